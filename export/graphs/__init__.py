"""The graphs of a bundle as PyTorch modules, from which every target is converted."""

from cgsam_edge.export.graphs.decoder import DecoderGraph
from cgsam_edge.export.graphs.model import ClipGraph, ConceptGraph, ImageGraph, normalise_pixels, semantic_adapters

__all__ = ["ClipGraph", "ConceptGraph", "DecoderGraph", "ImageGraph", "normalise_pixels", "semantic_adapters"]
