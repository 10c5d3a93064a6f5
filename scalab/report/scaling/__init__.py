"""The report of a validation, step by step: text, HTML, JSON, JUnit XML, and figures as data."""
