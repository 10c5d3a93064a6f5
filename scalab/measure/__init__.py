"""What a client knows, without I/O: histograms, tallies, pacing and how they are printed."""
