"""The examples for labelling tools, on a real server and with the tools' own libraries; no tool itself runs here.

Label Studio's part is a server of files that asks for a key, as Label Studio does, and requests as it sends them.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge.rle import decode_rle
from tests.serve.running import Client, Reply, until

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "Token of-label-studio"
PERSONAL = "a-personal-access-token"
ACCESS = "Bearer an-access-token"
LABELS = '<Label value="car"/><Label value="Road"/><Label value="unicorn"/>'


def loaded(path: Path) -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def interface(tag: str) -> str:
    return (
        f'<View><Image name="photo" value="$image"/><{tag} name="tag" toName="photo">{LABELS}</{tag}>'
        f'<KeyPointLabels name="point" toName="photo" smart="true">{LABELS}</KeyPointLabels></View>'
    )


@pytest.fixture
def studio(street: bytes) -> Iterator[str]:
    """A server of one picture, for whoever has the key; it also leads to another host, with the headers it got.

    A personal access token is no key; it gives one, as that of Label Studio 1.23 does.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            right = (self.path, body) == ("/api/token/refresh", {"refresh": PERSONAL})
            self.send_response(200 if right else 401)
            self.end_headers()
            if right:
                self.wfile.write(json.dumps({"access": ACCESS.removeprefix("Bearer ")}).encode())

        def do_GET(self) -> None:
            right = self.headers.get("Authorization") in (KEY, ACCESS) and self.path == "/data/upload/1/street.png"
            if self.path.startswith("/to/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/to/"))
            else:
                self.send_response(200 if right else 401)
            self.end_headers()
            if right:
                self.wfile.write(street)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def key() -> str:
    return KEY


@pytest.fixture
def backend(server: Client, studio: str, key: str) -> Iterator[Client]:
    import uvicorn

    module = loaded(EXAMPLES / "label-studio" / "backend.py")
    addresses = module.Addresses(studio, key, f"http://127.0.0.1:{server.port}/", "")
    running = uvicorn.Server(uvicorn.Config(module.make_app(addresses), port=0, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    until(lambda: running.started)
    yield Client(running.servers[0].sockets[0].getsockname()[1])
    running.should_exit = True
    thread.join()


def ask(backend: Client, tag: str, context: list[dict[str, Any]] | None = None, image: str = "") -> Reply:
    body = {
        "tasks": [{"id": 1, "data": {"image": image or "/data/upload/1/street.png"}}],
        "project": "1.1700000000",
        "label_config": interface(tag),
        "params": {"login": None, "password": None, "context": {"result": context} if context else None},
    }
    return backend.json("/predict", body)


def test_label_studio_s_other_requests(backend: Client) -> None:
    assert backend.get("/health").json["status"] == "UP"
    assert "model_version" in backend.json("/setup", {"project": "1", "schema": interface("BrushLabels")}).json
    assert backend.json("/webhook", {"action": "ANNOTATION_CREATED"}).status == 201


@pytest.mark.parametrize("tag", ["BrushLabels", "PolygonLabels", "RectangleLabels"])
def test_label_studio_gets_a_prediction(backend: Client, server: Client, street: bytes, tag: str) -> None:
    answer = ask(backend, tag)
    assert answer.status == 200, answer.body
    [prediction] = answer.json["results"]
    regions = prediction["result"]
    found = server.form("/segment", street, {"concepts": ["car", "road"]}).json["concepts"]
    assert len(regions) == sum(len(one["objects"]) for one in found)
    kind = tag.lower()
    assert {one["value"][kind][0] for one in regions} == {"car", "Road"}  # the interface's own spelling
    assert {(one["from_name"], one["to_name"]) for one in regions} == {("tag", "photo")}
    assert 0 < prediction["score"] <= 1


@pytest.mark.parametrize(("key", "status"), [(PERSONAL, 200), ("a-wrong-token", 400)])
def test_a_personal_access_token_is_changed_for_a_key(backend: Client, status: int) -> None:
    for _ in range(2):  # the second time with the key that it has
        answer = ask(backend, "BrushLabels")
        assert answer.status == status, answer.body
    assert status == 200 or "/api/token/refresh: 401" in answer.json["detail"]


def test_label_studio_s_library_takes_the_predictions(backend: Client, server: Client, street: bytes) -> None:
    pytest.importorskip("label_studio_sdk", reason="needs label-studio-sdk (make test-serve-tools)")
    from label_studio_sdk.converter.brush import decode_rle as decode_brush
    from label_studio_sdk.label_interface import LabelInterface

    for tag in ("BrushLabels", "PolygonLabels", "RectangleLabels"):
        [prediction] = ask(backend, tag).json["results"]
        errors = LabelInterface(interface(tag)).validate_prediction(prediction, return_errors=True)
        assert errors == [], tag
    [prediction] = ask(backend, "BrushLabels").json["results"]
    found = server.form("/segment", street, {"concepts": ["car", "road"]}).json["concepts"]
    masks = [decode_rle(part["mask"]) for one in found for part in one["objects"]]
    for region, mask in zip(prediction["result"], masks, strict=True):
        pixels = np.asarray(decode_brush(region["value"]["rle"])).reshape(*mask.shape, 4)[:, :, 3]
        assert np.array_equal(pixels > 0, mask)


def test_a_click_in_label_studio_is_a_prompt(backend: Client, server: Client, street: bytes) -> None:
    click = {
        "type": "keypointlabels", "is_positive": 1, "original_width": 512, "original_height": 512,
        "value": {"x": 50, "y": 60, "width": 0.5, "keypointlabels": ["car"]},
    }  # fmt: skip
    drag = {
        "type": "rectanglelabels",
        "value": {"x": 20, "y": 40, "width": 60, "height": 30, "rectanglelabels": ["car"]},
    }
    [prediction] = ask(backend, "RectangleLabels", [click, drag]).json["results"]
    asked = {"concept": "car", "points": [[256.0, 307.2]], "labels": [1], "box": [102.4, 204.8, 409.6, 358.4]}
    [car] = server.form("/segment", street, {"prompts": [asked]}).json["concepts"]
    boxes = [one["box"] for one in car["objects"]]
    assert [
        [round(5.12 * one["value"][side]) for side in ("x", "y", "width", "height")] for one in prediction["result"]
    ] == boxes


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "pictures come from"),
        ("file:///etc/passwd", "pictures come from"),
        ("s3://bucket/street.png", "pictures come from"),
        ("/data/upload/1/other.png", "401"),
        ("/to/http://169.254.169.254/latest", "pictures come from"),
        ("/to//data/upload/1/street.png", "401"),  # the key is not sent on
    ],
)
def test_label_studio_s_tasks_cannot_lead_elsewhere(backend: Client, image: str, reason: str) -> None:
    answer = ask(backend, "BrushLabels", image=image)
    assert (answer.status, reason in answer.json["detail"]) == (400, True), answer.body


def test_an_interface_without_masks(backend: Client) -> None:
    answer = ask(backend, "Choices")
    assert (answer.status, "has none of BrushLabels" in answer.json["detail"]) == (400, True)


class Context:
    """What CVAT tells a function."""

    frame_name = "street.png"
    conf_threshold: float | None = None
    conv_mask_to_poly = False


class Prompts:
    """What a person clicked in CVAT."""

    pos_points = ((256.0, 250.0),)
    neg_points = ((20.0, 20.0),)
    bounding_box = ((100.0, 150.0), (400.0, 400.0))


def test_cvat_finds_objects_by_name(server: Client, scene: Image.Image, street: bytes) -> None:
    pytest.importorskip("cvat_sdk", reason="needs cvat-sdk (make test-serve-tools)")
    from cvat_sdk.masks import decode_mask

    function = loaded(EXAMPLES / "cvat" / "cgsam_cvat.py").create(server=f"http://127.0.0.1:{server.port}")
    names = {one.id: one.name for one in function.spec.labels}
    shapes = function.detect(Context(), scene)
    found = [one for one in server.form("/segment", street).json["concepts"] if one["present"]]
    expected = [(one["concept"], decode_rle(part["mask"])) for one in found for part in one["objects"]]
    assert len(shapes) == len(expected) > 3
    for shape, (name, mask) in zip(shapes, expected, strict=True):
        assert (names[shape.label_id], str(shape.type), shape.frame) == (name, "mask", 0)
        assert np.array_equal(decode_mask(shape.points, image_width=512, image_height=512), mask)

    class Polygons(Context):
        conv_mask_to_poly = True
        conf_threshold = 0.95

    polygons = function.detect(Polygons(), scene)
    sure = {one["concept"] for one in found if one["presence"] >= 0.95}
    assert {names[one.label_id] for one in polygons} == sure
    assert all(str(one.type) == "polygon" and len(one.points) >= 6 for one in polygons)


def test_cvat_clicks(server: Client, scene: Image.Image, street: bytes) -> None:
    pytest.importorskip("cvat_sdk", reason="needs cvat-sdk (make test-serve-tools)")
    from cvat_sdk.masks import decode_mask

    function = loaded(EXAMPLES / "cvat" / "cgsam_cvat.py").create(f"http://127.0.0.1:{server.port}", concept="car")
    prepared = function.preprocess_image(None, scene)
    shapes = function.detect(None, prepared, Prompts())
    prompt = {"concept": "car", "points": [[256.0, 250.0], [20.0, 20.0]], "labels": [1, 0], "box": [100, 150, 400, 400]}
    [car] = server.form("/segment", street, {"prompts": [prompt]}).json["concepts"]
    masks = [decode_mask(one.points, image_width=512, image_height=512) for one in shapes]
    parts = [decode_rle(one["mask"]) for one in car["objects"]]
    holding = [one for one in parts if one[250, 256]] or parts
    assert [np.array_equal(a, b) for a, b in zip(masks, holding, strict=True)] == [True] * len(holding)
    forgotten = type(prepared)("sha256:" + "0" * 64, scene)
    again = function.detect(None, forgotten, Prompts())
    assert [one.points for one in again] == [one.points for one in shapes]
