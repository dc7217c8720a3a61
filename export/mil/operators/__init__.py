"""Each MIL operator in PyTorch.

A function takes the operator's inputs by their MIL names, with the operator's defaults. Floating-point tensors are
float32 regardless of their declared type; integer constants are numpy arrays, scalars are Python's.
"""

from cgsam_edge.export.mil.operators import constants, elementwise, layout, neural
from cgsam_edge.export.mil.operators.table import OPERATORS, Operator

__all__ = ["OPERATORS", "Operator", "constants", "elementwise", "layout", "neural"]
