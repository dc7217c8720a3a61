"""The reference model: CLIP-Guided SAM in PyTorch, unfused and readable, one file per part."""

from cgsam_edge.export.reference.model import Prediction, ReferenceModel

__all__ = ["Prediction", "ReferenceModel"]
