"""scalab: the scalability lab for work that runs on devices."""

__version__ = "0.1.0"
