"""Functions for CVAT: text prompts for whole tasks, and clicks for one concept, answered by `cgsam serve`.

    cvat-cli task auto-annotate 12 --function-file cgsam_cvat.py --allow-unmatched-labels
    cvat-cli function create-native "cars by click" --function-file cgsam_cvat.py -p concept=str:car

README.md has the rest. The first needs CVAT alone, the second an agent (`cvat-cli function run-agent`).
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import PIL.Image
import urllib3
from cvat_sdk import models

from cgsam_edge.datasets.shapes import row_counts
from cgsam_edge.mask_runs import MaskRuns
from cgsam_edge.polygons import mask_polygons

SERVER = "http://127.0.0.1:8765/"
SECONDS = 60.0


class ServerClient:
    """`cgsam serve`."""

    def __init__(self, address: str) -> None:
        token = os.environ.get("CGSAM_SERVE_TOKEN", "")
        self._address = address.rstrip("/")
        self._pool = urllib3.PoolManager(
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=SECONDS,
            retries=urllib3.Retry(10, status_forcelist=(429, 503), allowed_methods=None, backoff_factor=0.5),
        )

    def concepts(self) -> list[str]:
        """Return the names that the bundle knows."""
        return [one["concept"] for one in self._ask("GET", "concepts")["concepts"]]

    def keep(self, image: PIL.Image.Image) -> str:
        """Upload a picture, and return its handle."""
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG")
        fields = {"image": ("image.png", file.getvalue(), "image/png")}
        return str(self._ask("POST", "images", fields=fields)["image"])

    def segment(self, handle: str, **asked: Any) -> list[dict[str, Any]]:
        """Return the concepts that were found."""
        body = json.dumps({"image": handle, **asked}).encode()
        found = self._ask("POST", "segment", body=body, headers={"Content-Type": "application/json"})
        return list(found["concepts"])

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        options["headers"] = {**self._pool.headers, **options.pop("headers", {})}
        answer = self._pool.request(method, f"{self._address}/{path}", **options)
        if answer.status != 200:
            raise RuntimeError(f"cgsam serve answered {answer.status}: {answer.data[:500].decode(errors='replace')}")
        return dict(json.loads(answer.data))


def points_of(part: dict[str, Any]) -> list[float]:
    """Return an object as CVAT's mask: lengths of runs along the rows of its box, and the box."""
    x, y, width, height = part["box"]
    counts = row_counts(MaskRuns.of_rle(part["mask"]).crop((x, y, width, height)))
    return [*map(float, counts), x, y, x + width - 1, y + height - 1]


class Detector:
    """Finds all concepts of the bundle by their names; CVAT matches them with a task's labels by name."""

    def __init__(self, server: ServerClient) -> None:
        self._server = server
        names = server.concepts()
        self._numbers = {name: number for number, name in enumerate(names)}
        labels = [cvataa.label_spec(name, number, type="any") for name, number in self._numbers.items()]
        self.spec = cvataa.DetectionFunctionSpec(labels=labels)

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> Sequence[models.LabeledShapeRequest]:
        """Return each object as a mask, or as polygons if CVAT asks for these."""
        least = context.conf_threshold
        shapes: list[models.LabeledShapeRequest] = []
        for one in self._server.segment(self._server.keep(image)):
            if not one["present"] or (least is not None and one["presence"] < least):
                continue
            number = self._numbers[one["concept"]]
            for part in one["objects"]:
                if context.conv_mask_to_poly:
                    outlines = mask_polygons(MaskRuns.of_rle(part["mask"]))
                    shapes += [cvataa.polygon(number, outline.exterior.ravel().tolist()) for outline in outlines]
                else:
                    shapes.append(cvataa.mask(number, points_of(part)))
        return shapes


@dataclass(frozen=True)
class SentPicture:
    """A picture that the server keeps; the picture itself is for a server that has dropped it."""

    handle: str
    image: PIL.Image.Image


class Interactor:
    """Finds one concept by clicks and a box."""

    def __init__(self, server: ServerClient, concept: str) -> None:
        self._server = server
        self._concept = concept
        self.spec = cvataa.InteractionFunctionSpec(min_pos_points=1, min_neg_points=0, min_bounding_boxes=0)

    def preprocess_image(self, _: cvataa.InteractionFunctionContext, image: PIL.Image.Image) -> SentPicture:
        """Upload a picture once for all clicks."""
        return SentPicture(self._server.keep(image), image)

    def detect(
        self, _: cvataa.InteractionFunctionContext, pp_image: SentPicture, prompts: cvataa.InteractionPrompts
    ) -> list[cvataa.InteractionResultShape]:
        """Return the parts of the mask that hold a click inside; all parts if none does."""
        inside, outside = list(prompts.pos_points), list(prompts.neg_points)
        box = None if prompts.bounding_box is None else [*prompts.bounding_box[0], *prompts.bounding_box[1]]
        prompt = {
            "concept": self._concept,
            "points": [list(map(float, point)) for point in (*inside, *outside)],
            "labels": [1] * len(inside) + [0] * len(outside),
            "box": None if box is None else list(map(float, box)),
        }
        [found] = self._segment(pp_image, prompt)
        parts = found["objects"]
        held = [one for one in parts if any(MaskRuns.of_rle(one["mask"]).holds(x, y) for x, y in inside)]
        return [cvataa.InteractionResultShape(type="mask", points=points_of(one)) for one in held or parts]

    def _segment(self, picture: SentPicture, prompt: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            return self._server.segment(picture.handle, prompts=[prompt])
        except RuntimeError as error:
            if "answered 404" not in str(error):
                raise
            return self._server.segment(self._server.keep(picture.image), prompts=[prompt])


def create(server: str = SERVER, concept: str = "") -> Detector | Interactor:
    """Return the function that `cvat-cli` runs: by clicks if a concept is named, else by all names."""
    return Interactor(ServerClient(server), concept) if concept else Detector(ServerClient(server))
