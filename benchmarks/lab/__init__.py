"""What the benchmarks share: processes, session peers, tables, and one module for each mode."""
