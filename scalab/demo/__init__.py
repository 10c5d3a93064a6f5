"""The whole system in one process, watched live in the terminal."""
