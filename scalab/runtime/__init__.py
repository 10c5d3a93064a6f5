"""The Trio shell: streams, HTTP, service lifecycle. Knows nothing of queues or workloads."""
