"""What each MIL operator computes, in PyTorch.

A function takes the operator's inputs by their MIL names, and its defaults are the operator's. Floating tensors come as
float32 whatever their declared type; integer constants come as numpy arrays, scalars as Python's.
"""

from cgsam_edge.export.mil.operators import constants, elementwise, layout, neural
from cgsam_edge.export.mil.operators.table import OPERATORS, Operator

__all__ = ["OPERATORS", "Operator", "constants", "elementwise", "layout", "neural"]
