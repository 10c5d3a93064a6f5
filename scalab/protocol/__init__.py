"""The wire, without I/O: framing, messages, session rules."""
