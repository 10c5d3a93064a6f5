"""A small client for Redis and Valkey, on Trio: one connection, pipelined, that comes back."""
