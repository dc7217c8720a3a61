"""A machine learning backend for Label Studio: text prompts and clicks, answered by `cgsam serve`.

    cgsam serve cars.cgsam
    LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=TOKEN python examples/label-studio/backend.py

Then add http://localhost:9090 to a project in Label Studio: Settings, Model, Connect Model. README.md has the rest.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cgsam_edge import __version__
from cgsam_edge.datasets.brush import encode_brush
from cgsam_edge.mask_runs import MaskRuns
from cgsam_edge.polygons import mask_polygons

VERSION = f"cgsam-edge {__version__}"
MOST_BYTES = 64 * 2**20
SECONDS = 60
RENEWAL = 120
"""Seconds after which a personal access token is changed for a new key; Label Studio's hold for 300."""

BOUNDARY = "cgsam-label-studio"
KINDS = {"BrushLabels": "brushlabels", "PolygonLabels": "polygonlabels", "RectangleLabels": "rectanglelabels"}
"""Tags of the labelling interface that can take a mask, the most exact first."""


@dataclass(frozen=True)
class Addresses:
    """Where pictures come from and who segments them.

    Attributes:
        studio: Label Studio's address; pictures of other hosts are fetched without its key.
        key: a personal access token of Label Studio, or the whole header ``Authorization``, "Token …" for a legacy key.
        server: the address of `cgsam serve`.
        token: its token, or empty.
        hosts: further hosts from which pictures are fetched.
    """

    studio: str
    key: str
    server: str
    token: str
    hosts: tuple[str, ...] = ()

    @classmethod
    def of_environment(cls) -> Addresses:
        """Read the variables that README.md lists."""
        get = os.environ.get
        return cls(
            get("LABEL_STUDIO_URL", "http://localhost:8080"),
            get("LABEL_STUDIO_API_KEY", ""),
            get("CGSAM_SERVER", "http://127.0.0.1:8765/"),
            get("CGSAM_SERVE_TOKEN", ""),
            tuple(one for one in get("PICTURE_HOSTS", "").split(",") if one),
        )


@dataclass(frozen=True)
class Control:
    """A tag of the labelling interface: its name, the picture's tag and variable, its kind and labels."""

    name: str
    picture: str
    variable: str
    kind: str
    labels: tuple[str, ...]


class UnusableError(ValueError):
    """A task, a configuration or an address that cannot be used."""


def control_of(config: str) -> Control:
    """Return the tag of an interface that takes masks best."""
    try:
        root = ET.fromstring(config)  # noqa: S314 — expat of Python 3.10 and newer bounds entities
    except ET.ParseError as error:
        raise UnusableError(f"the labelling interface is no XML: {error}.") from error
    pictures = {one.get("name"): (one.get("value") or "").removeprefix("$") for one in root.iter("Image")}
    for tag, kind in KINDS.items():
        for one in root.iter(tag):
            to = (one.get("toName") or "").split(",")[0]
            if to in pictures:
                labels = tuple(label.get("value") or "" for label in one.iter("Label"))
                return Control(one.get("name") or "", to, pictures[to], kind, labels)
    raise UnusableError(f"the labelling interface has none of {', '.join(KINDS)} for an Image.")


class LabelStudioBackend:
    """Answers Label Studio's requests."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self._key, self._renewal = "", 0.0

    def predict(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a prediction for each task; clicks and boxes of ``params.context`` belong to the first one."""
        control = control_of(str(body.get("label_config") or ""))
        names = self._names(control.labels)
        context = ((body.get("params") or {}).get("context") or {}).get("result") or []
        return [self._task(task, control, names, context) for task in body.get("tasks") or []]

    def _names(self, labels: tuple[str, ...]) -> list[str]:
        """Return the labels that the bundle knows, by name or synonym."""
        found = json.loads(self._server("concepts"))["concepts"]
        known = {name.casefold() for one in found for name in (one["concept"], *one["synonyms"])}
        names = [label for label in labels if label.casefold() in known]
        if not names:
            raise UnusableError(f"the bundle knows none of the labels {', '.join(labels)}.")
        return names

    def _task(
        self, task: dict[str, Any], control: Control, names: list[str], context: list[dict[str, Any]]
    ) -> dict[str, Any]:
        picture = self.picture(str(task["data"][control.variable]))
        kept = json.loads(self._server("images", picture))
        prompt = prompt_of(context, kept["width"], kept["height"])
        asked: dict[str, Any] = {"image": kept["image"]}
        asked |= {"prompts": [prompt]} if prompt else {"concepts": names}
        found = json.loads(self._server("segment", json.dumps(asked).encode(), "application/json"))
        label_of = {self._concept(found, name): name for name in names}
        size = (found["width"], found["height"])
        regions = []
        for one in found["concepts"]:
            if prompt or one["present"]:
                label = prompt["concept"] if prompt else label_of.get(one["concept"], one["concept"])
                regions += [region(part, one, label, control, size) for part in one["objects"]]
        score = min((one["score"] for one in regions), default=0.0)
        return {"model_version": VERSION, "score": score, "result": [one for one in regions if one["value"]]}

    @staticmethod
    def _concept(found: dict[str, Any], name: str) -> str:
        """Return the concept's own name for a label, where they differ by case alone."""
        own = [one["concept"] for one in found["concepts"] if one["concept"].casefold() == name.casefold()]
        return own[0] if own else name

    def picture(self, address: str) -> bytes:
        """Return a picture's file; Label Studio's key is sent to Label Studio alone."""
        request = urllib.request.Request(urljoin(self.addresses.studio, address))  # noqa: S310 — checked next
        self.check_address(request.full_url)
        if self.addresses.key and urlsplit(request.full_url).netloc == urlsplit(self.addresses.studio).netloc:
            request.add_unredirected_header("Authorization", self._authorization())
        return _fetched(request, urllib.request.build_opener(_Redirects(self)))

    def _authorization(self) -> str:
        """Return the header; a personal access token is no key itself, but gives keys that hold for minutes."""
        if " " in self.addresses.key:
            return self.addresses.key
        if time.monotonic() >= self._renewal:
            body = json.dumps({"refresh": self.addresses.key}).encode()
            address = urljoin(self.addresses.studio, "/api/token/refresh")
            request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
            self._key = f"Bearer {json.loads(_fetched(request))['access']}"
            self._renewal = time.monotonic() + RENEWAL
        return self._key

    def check_address(self, address: str) -> None:
        """Refuse addresses of hosts that were not named: whoever writes tasks could reach any host from here."""
        parts, studio = urlsplit(address), urlsplit(self.addresses.studio).netloc
        if parts.scheme not in ("http", "https") or parts.netloc not in (studio, *self.addresses.hosts):
            raise UnusableError(f"{address[:200]}: pictures come from {studio}; name other hosts in PICTURE_HOSTS.")

    def _server(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        headers = {"Authorization": f"Bearer {self.addresses.token}"} if self.addresses.token else {}
        if body is not None and not kind:
            head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n\r\n'
            body = head.encode() + body + f"\r\n--{BOUNDARY}--\r\n".encode()
            kind = f"multipart/form-data; boundary={BOUNDARY}"
        headers |= {"Content-Type": kind} if kind else {}
        return _fetched(urllib.request.Request(urljoin(self.addresses.server, path), body, headers))  # noqa: S310


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to hosts that were named; the key is not sent on."""

    def __init__(self, backend: LabelStudioBackend) -> None:
        self._backend = backend

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        """Check the new address, which comes last."""
        self._backend.check_address(arguments[-1])
        return super().redirect_request(*arguments)


def _fetched(request: urllib.request.Request, opener: urllib.request.OpenerDirector | None = None) -> bytes:
    try:
        with (opener or urllib.request.build_opener()).open(request, timeout=SECONDS) as answer:
            found: bytes = answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise UnusableError(f"{request.full_url}: {error.code}, {error.read(500).decode(errors='replace')}") from error
    except OSError as error:
        raise UnusableError(f"{request.full_url}: {error}") from error
    if len(found) > MOST_BYTES:
        raise UnusableError(f"{request.full_url}: over {MOST_BYTES // 2**20} MB.")
    return found


def prompt_of(context: list[dict[str, Any]], width: int, height: int) -> dict[str, Any] | None:
    """Return what a person clicked and dragged as a prompt, or None; Label Studio gives percents."""
    points, labels, box, concept = [], [], None, ""
    for one in context:
        kind, value = one.get("type", ""), one.get("value", {})
        names = value.get(kind) or []
        concept = names[0] if names else concept
        x, y = value.get("x", 0) * width / 100, value.get("y", 0) * height / 100
        if kind == "keypointlabels":
            points.append([x, y])
            labels.append(int(bool(one.get("is_positive", 1))))
        elif kind == "rectanglelabels":
            box = [x, y, x + value["width"] * width / 100, y + value["height"] * height / 100]
    if not concept or not (points or box):
        return None
    return {"concept": concept, "points": points, "labels": labels, "box": box}


def region(
    part: dict[str, Any], concept: dict[str, Any], label: str, control: Control, size: tuple[int, int]
) -> dict[str, Any]:
    """Return one object as a region of Label Studio; its value is empty if it has no outline."""
    runs = MaskRuns.of_rle(part["mask"])
    (x, y, w, h), (width, height) = part["box"], size
    value: dict[str, Any]
    if control.kind == "brushlabels":
        value = {"format": "rle", "rle": encode_brush(runs.crop((x, y, w, h)), (x, y, w, h), size)}
    elif control.kind == "polygonlabels":
        outlines = mask_polygons(runs)
        ring = max((one.exterior for one in outlines), key=len, default=np.zeros((0, 2)))
        value = {"points": (ring * (100 / width, 100 / height)).round(4).tolist(), "closed": True} if len(ring) else {}
    else:
        value = {
            "x": 100 * x / width, "y": 100 * y / height, "width": 100 * w / width, "height": 100 * h / height,
            "rotation": 0,
        }  # fmt: skip
    return {
        "type": control.kind,
        "from_name": control.name,
        "to_name": control.picture,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": round(concept["presence"], 6),
        "value": value | {control.kind: [label]} if value else {},
    }


def make_app(addresses: Addresses) -> Starlette:
    """Return the application, with the addresses that Label Studio calls."""
    backend = LabelStudioBackend(addresses)

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "UP", "model_class": "cgsam-edge"})

    async def setup(_: Request) -> JSONResponse:
        return JSONResponse({"model_version": VERSION})

    async def predict(request: Request) -> JSONResponse:
        try:
            results = await run_in_threadpool(backend.predict, await request.json())
        except (UnusableError, KeyError, json.JSONDecodeError) as error:
            return JSONResponse({"detail": str(error)}, 400)
        return JSONResponse({"results": results, "model_version": VERSION})

    async def webhook(_: Request) -> JSONResponse:
        return JSONResponse({}, 201)  # nothing is trained

    return Starlette(
        routes=[
            Route("/", health),
            Route("/health", health),
            Route("/setup", setup, methods=["POST"]),
            Route("/predict", predict, methods=["POST"]),
            Route("/webhook", webhook, methods=["POST"]),
        ]
    )


if __name__ == "__main__":
    uvicorn.run(make_app(Addresses.of_environment()), host=os.environ.get("HOST", "127.0.0.1"), port=9090)
