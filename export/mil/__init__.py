"""Core ML packages away from a Mac: loading written packages, computing them operator by operator, and linting them."""
