"""The frontend role: serves named queues to clients and backends."""
