"""A run as a file: its format, reading, merging and replaying it; without I/O but for reading."""
