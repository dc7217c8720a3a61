"""One quantiser per target: each rewrites an exported graph with the engine's own tool."""
