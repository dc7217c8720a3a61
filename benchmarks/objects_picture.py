"""The picture of objects in docs: each object of some concepts in a separate colour, with its outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cgsam_edge import Result
from cgsam_edge.opencv import cv2
from cgsam_edge.overlay import palette

OPACITY = 0.45


def objects_picture(result: Result, concepts: Sequence[str]) -> Image.Image:
    """Return the image with the objects of those concepts that are present, numbered from the largest of each."""
    here = [result[name] for name in concepts if result[name].present]
    found = [(one, number) for concept in here for number, one in enumerate(concept.objects(), 1)]
    picture = np.array(result.image)
    for (one, number), colour in zip(found, palette(len(found)), strict=True):
        inside = one.mask
        picture[inside] = (1 - OPACITY) * picture[inside] + OPACITY * np.array(colour)
        for polygon in one.polygons():
            cv2.polylines(picture, [ring.astype(np.int32) for ring in polygon.rings], True, colour, 2, cv2.LINE_AA)
        x, y = one.box[0] + 4, one.box[1] + one.box[3] // 2
        text = f"{one.concept} {number}"
        for ink, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, ink, width, cv2.LINE_AA)
    return Image.fromarray(picture)
