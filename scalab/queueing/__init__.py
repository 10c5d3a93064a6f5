"""The queues, without I/O: who gets which item, and how each item ends."""
