"""What runs in processes of its own: each peer's worker and client, under that peer's Python.

Nothing here is imported by the program that measures, and all that these share, ``window``, needs
only the standard library.
"""
