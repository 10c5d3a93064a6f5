"""The backend role: pulls items and runs the workload for each."""
