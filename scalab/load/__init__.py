"""What a load sends and when, without I/O: levels over time, arrivals, pacing and scenarios."""
