"""A run for people and programs: text, HTML with plots, CSV, JSON, JUnit XML; without I/O."""
