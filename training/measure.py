"""The figures of a trained model's card: through bundles, and against the PyTorch reference."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgsam_edge import Segmenter
from cgsam_edge.agreement import mask_iou
from cgsam_edge.export.graphs import normalise_pixels
from cgsam_edge.export.loading import load_reference
from cgsam_edge.image import to_pixels
from cgsam_edge.quality.evaluate import evaluate
from cgsam_edge.quality.label_prompts import LabelPrompting
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.quality.metrics import Evaluation, summarise
from cgsam_edge.quality.pairs import LabelPair, pair_with_label
from cgsam_edge.quality.scenes import CONCEPTS
from training.ablation import ABLATIONS, silenced

log = logging.getLogger("training")

ZOOMED = 100
"""Pictures on which clicks and boxes are zoomed in on, which takes the time of dozens of pictures each."""


def brief(found: Evaluation) -> dict[str, Any]:
    """Return the numbers of a card."""
    presence = found.presence
    return {
        "images": found.images,
        "class_miou": found.class_miou,
        "pair_miou": found.pair_miou,
        "presence_auroc": found.presence_auroc,
        "precision": presence.precision if presence else None,
        "recall": presence.recall if presence else None,
        "concepts": {row.concept: row.iou for row in found.rows},
    }


def measure(bundle: Path, images: Sequence[LabelledImage], ablated: int) -> dict[str, Any]:
    """Evaluate a bundle from text; on the first ``ablated`` images with clicks and boxes, and with one input silenced."""
    found: dict[str, Any] = {}
    with Segmenter(bundle) as segmenter:
        found["text"] = brief(evaluate(segmenter, images, CONCEPTS))
        log.info("text: %s", found["text"])
        for mode in ("clicks", "box"):
            found[mode] = brief(evaluate(segmenter, images[:ablated], CONCEPTS, prompting=LabelPrompting(mode)))
            log.info("%s: %s", mode, found[mode])
        found["zoom"] = measure_zoom(segmenter, images[:ZOOMED])
        found["ablation"] = {"full": brief(evaluate(segmenter, images[:ablated], CONCEPTS))}
        for name in ABLATIONS:
            with silenced(segmenter, name):
                found["ablation"][name] = brief(evaluate(segmenter, images[:ablated], CONCEPTS))
            log.info("%s: %s", name, found["ablation"][name])
    return found


def measure_zoom(segmenter: Segmenter, images: Sequence[LabelledImage]) -> dict[str, Any]:
    """Evaluate from text, and with clicks and a box, without zoom and with it (``clicks_zoom``, ``box_zoom``)."""
    found = {"text": brief(evaluate(segmenter, images, CONCEPTS))}
    for mode in ("clicks", "box"):
        for name, zoom in ((mode, False), (f"{mode}_zoom", True)):
            prompting = LabelPrompting(mode, zoom=zoom)
            found[name] = brief(evaluate(segmenter, images, CONCEPTS, prompting=prompting))
            log.info("%s on %d pictures: %s", name, len(images), found[name])
    return found


def compare_with_reference(
    checkpoint: Path, bundles: dict[str, Path], images: Sequence[LabelledImage]
) -> dict[str, Any]:
    """Segment images with the PyTorch reference and with bundles, from the same points, and compare metrics and masks.

    Args:
        checkpoint: the reference model.
        bundles: by a name such as "fp32"; each was made from it.
        images: labelled images.

    Returns:
        Class mIoU and mean IoU over pairs of "pytorch" and each bundle, and each bundle's mean and worst mask IoU
        against PyTorch over (image, present concept).
    """
    model = load_reference(checkpoint)
    pairs: dict[str, list[LabelPair]] = {name: [] for name in ("pytorch", *bundles)}
    agreement: dict[str, list[float]] = {name: [] for name in bundles}
    size = model.config.sam.image_size
    opened = {name: Segmenter(path, precision="float32") for name, path in bundles.items()}
    for image in images:
        encoded = {name: segmenter.encode(image.path) for name, segmenter in opened.items()}
        picture = next(iter(encoded.values())).image
        pixels = normalise_pixels(torch.from_numpy(to_pixels(picture, size)))
        for index, concept in enumerate(CONCEPTS):
            truth = image.masks.get(concept)
            results = {name: one.predict(concept) for name, one in encoded.items()}
            first = next(iter(results.values()))
            text = torch.from_numpy(next(iter(opened.values())).bundle.vocabulary.features[index : index + 1])
            points = torch.from_numpy(first.points * (size / np.asarray(picture.size))).float()
            with torch.no_grad():
                out = model.predict(pixels, text, (points[None], torch.ones(1, len(points))))
            results["pytorch"] = replace(first, logits=out.mask_logits[0, 0].numpy())
            for name, result in results.items():
                pairs[name].append(pair_with_label(image.path, concept, truth, image.valid, result, calibrated=False))
                if name != "pytorch" and pairs[name][-1].held:
                    agreement[name].append(mask_iou(result.mask, results["pytorch"].mask))
    for segmenter in opened.values():
        segmenter.close()
    found = {name: brief(summarise("text", len(images), CONCEPTS, made)) for name, made in pairs.items()}
    keep = ("images", "class_miou", "pair_miou")
    return {
        name: {key: values[key] for key in keep}
        | ({"mask_iou": float(np.mean(agreement[name])), "worst": min(agreement[name])} if name in agreement else {})
        for name, values in found.items()
    }


def quiet() -> None:
    """Leave out warnings that say how a model was trained: both kinds of prompts are measured on purpose."""
    warnings.filterwarnings("ignore", message="this model was trained")
