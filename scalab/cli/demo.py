"""``scalab demo``."""


def demo() -> int:
    """Show the whole system on this machine."""
    return 0
