"""One quantiser per target: each rewrites a graph that the export has written, with the engine's own tool."""
