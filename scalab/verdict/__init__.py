"""Judging a run: figures by name, thresholds, self-checks, comparisons; without I/O."""
