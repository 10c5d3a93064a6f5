"""Queues that several frontends share over a store: Redis or Valkey."""
