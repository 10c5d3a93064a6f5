"""Simulated devices, and the workload that runs on them.

Pure code, to which time comes in as ``now``, with a thin Trio shell (exporter.py, listening.py)
over it. The workload is a program of its own that imports nothing of all this.
"""
