"""Rendered street scenes with labels: seeded, any number, any size."""

from training.scenes.concepts import CONCEPTS, IGNORE
from training.scenes.render import Scene, render

__all__ = ["CONCEPTS", "IGNORE", "Scene", "render"]
