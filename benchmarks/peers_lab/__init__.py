"""The same no-op work through scalab and through its peers; ``peers.py`` is the command."""
