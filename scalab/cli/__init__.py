"""The command line: options to settings, errors to exit codes."""
