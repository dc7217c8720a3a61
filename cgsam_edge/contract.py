"""The tensor shapes that follow from a bundle's sizes, so that a wrong one is found before an engine sees it."""

from __future__ import annotations

from cgsam_edge.errors import BundleError
from cgsam_edge.manifest import Manifest
from cgsam_edge.prompts import EXTRA_SLOTS
from cgsam_edge.vocabulary import Vocabulary


def check_shapes(where: str, manifest: Manifest, vocabulary: Vocabulary) -> None:
    """Refuse a manifest whose sizes, graphs and vocabulary contradict each other.

    Args:
        where: path of the manifest, for messages.
        manifest: as read.
        vocabulary: as read.

    Raises:
        BundleError: the shape of a graph's tensor contradicts the sizes.
    """
    if vocabulary.features.shape[1] != manifest.geometry.embed_dim:
        raise BundleError(
            f"{where}: geometry.embed_dim is {manifest.geometry.embed_dim}, but the vocabulary's text features have "
            f"{vocabulary.features.shape[1]} numbers."
        )
    expected = expected_shapes(manifest, vocabulary)
    for target, graphs in manifest.targets.items():
        for name, graph in graphs.items():
            for tensor in (*graph.inputs, *graph.outputs):
                shape = expected.get(tensor.name)
                if shape is not None and tensor.shape != shape:
                    raise BundleError(
                        f"{where}: {tensor.name!r} of the graph {name!r} for {target} has shape {tensor.shape}; the "
                        f"bundle's sizes require {shape}."
                    )


def expected_shapes(manifest: Manifest, vocabulary: Vocabulary) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that follows from the bundle's sizes, by name."""
    geometry, slots = manifest.geometry, manifest.prompting.click_slots + EXTRA_SLOTS
    mask = (1, 1, geometry.mask_size, geometry.mask_size)
    return {
        "pixels": (1, 3, geometry.image_size, geometry.image_size),
        "clip_features": (1 + geometry.patch_grid**2, geometry.embed_dim),
        "similarity": (1, 1, geometry.patch_grid, geometry.patch_grid),
        "text_row": (1, *vocabulary.rows.shape[1:]),
        "points": (1, slots, 2),
        "labels": (1, slots),
        "dense_prompt": mask,
        "mask_logits": mask,
        "iou": (1, 1),
        "text_embedding": (1, geometry.embed_dim),
        "text": (1, geometry.embed_dim),
    }
