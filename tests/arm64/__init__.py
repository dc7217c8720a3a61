"""The device half of the package on arm64, under emulation."""
