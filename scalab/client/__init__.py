"""The client role: keeps requests going and measures them."""
