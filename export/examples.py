"""Recording the examples that engines are checked against: outputs of the fused graphs in PyTorch, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from cgsam_edge.examples import Examples, sample
from cgsam_edge.export.graphs.build import Graphs
from cgsam_edge.export.parity import sample_picture
from cgsam_edge.image import to_pixels
from cgsam_edge.manifest import TEXT_GRAPHS, Geometry, Prompting
from cgsam_edge.prompts import decoder_prompt
from cgsam_edge.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

_PICTURE_WIDTH = 192
"""Size of the picture, large enough to show something; it is squashed to the model's square like any image."""


def record(graphs: Graphs, vocabulary: Vocabulary, geometry: Geometry, prompting: Prompting) -> Examples:
    """Segment the sample picture from the first concept's text, and record the inputs and outputs of each graph."""
    picture = sample_picture(_PICTURE_WIDTH)
    made: dict[str, Float] = {"pixels": to_pixels(picture, geometry.image_size)}
    inputs: dict[str, dict[str, Float]] = {}
    outputs: dict[str, dict[str, Float]] = {}
    for graph in graphs:
        if graph.name in TEXT_GRAPHS:  # their inputs do not depend on the picture
            made |= {name: tensor.numpy() for name, tensor in graph.example().items()}
        if graph.name == "concept":
            made |= _conditions(made["clip_features"], vocabulary, geometry)
        if graph.name == "decoder":
            made |= _prompt(made["similarity"][0, 0], picture, geometry, prompting)
        out = graph.run({name: torch.from_numpy(made[name]) for name in graph.inputs})
        inputs[graph.name] = {name: made[name] for name in graph.inputs if name in _STORED}
        outputs[graph.name] = {name: sample(tensor.numpy()) for name, tensor in out.items()}
        made |= {name: tensor.numpy() for name, tensor in out.items()}
    return Examples(np.asarray(picture), inputs, outputs)


_STORED = ("similarity", "text_row", "points", "labels", "dense_prompt", "token_ids", "end", "text")
"""Inputs that no graph produces."""


def _conditions(features: Float, vocabulary: Vocabulary, geometry: Geometry) -> dict[str, Float]:
    scores = (features[1:] @ vocabulary.features[0]).reshape(1, 1, geometry.patch_grid, geometry.patch_grid)
    return {"similarity": scores, "text_row": vocabulary.rows[:1]}


def _prompt(similarity: Float, picture: Image.Image, geometry: Geometry, prompting: Prompting) -> dict[str, Float]:
    made = decoder_prompt(similarity, picture.size, geometry, prompting)
    return {"points": made.points, "labels": made.labels, "dense_prompt": made.dense}
