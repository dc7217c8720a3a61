"""Rendered street scenes with labels, still or in motion: seeded, any number, any size."""

from cgsam_edge.quality.scenes.clips import ClipFrame, render_clip
from cgsam_edge.quality.scenes.concepts import CONCEPTS, IGNORE
from cgsam_edge.quality.scenes.mix import HARD, PLAIN, Mix
from cgsam_edge.quality.scenes.render import Scene, render

__all__ = ["CONCEPTS", "HARD", "IGNORE", "PLAIN", "ClipFrame", "Mix", "Scene", "render", "render_clip"]
