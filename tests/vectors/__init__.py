"""The test vectors of the contract, in `docs/vectors`: `python -m tests.vectors` makes them."""
