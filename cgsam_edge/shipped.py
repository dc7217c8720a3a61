"""The reference model that comes with the package: trained on rendered street scenes, under the package's licence."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "models"

BUNDLE = _FOLDER / "scenes.cgsam"
"""The bundle that ``Segmenter()`` opens: eleven street concepts."""

CHECKPOINT = _FOLDER / "scenes.safetensors"
"""The checkpoint that ``cgsam-export`` reads without ``--checkpoint``, in upstream's layout."""

DEMO = _FOLDER / "demo.json"
"""The scene that ``cgsam demo`` shows, and how it was chosen."""
