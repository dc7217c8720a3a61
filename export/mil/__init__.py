"""Core ML packages away from a Mac: loading what was written, computing it operator by operator, and linting it."""
