"""Rendered street scenes with labels: seeded, any number, any size."""

from cgsam_edge.quality.scenes.concepts import CONCEPTS, IGNORE
from cgsam_edge.quality.scenes.render import Scene, render

__all__ = ["CONCEPTS", "IGNORE", "Scene", "render"]
