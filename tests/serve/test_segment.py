"""What the server answers is what `Segmenter` computes."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from cgsam_edge import Segmenter
from cgsam_edge.datasets import FORMATS
from cgsam_edge.rle import decode_rle
from tests.serve.running import Client

CLICK = {"concept": "car", "points": [[256, 300], [20, 20]], "labels": [1, 0], "box": [100, 200, 400, 400]}


def test_masks_are_the_segmenter_s(server: Client, segmenter: Segmenter, scene: Image.Image, street: bytes) -> None:
    answer = server.form("/segment", street)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    expected = segmenter.segment(scene)
    assert [one["concept"] for one in answer.json["concepts"]] == list(expected)
    for one in answer.json["concepts"]:
        own = expected[one["concept"]]
        assert np.array_equal(decode_rle(one["mask"]), own.mask)
        assert (one["present"], one["skipped"], one["area"]) == (own.present, own.skipped, own.area)
        assert one["score"] == pytest.approx(own.score, abs=1e-5)
    assert (answer.json["width"], answer.json["height"]) == scene.size


def test_objects_are_the_parts_of_the_mask(server: Client, street: bytes) -> None:
    import cv2

    [car] = server.form("/segment", street, {"concepts": ["car"], "min_area": 20}).json["concepts"]
    mask = decode_rle(car["mask"])
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = sorted((int(area) for area in stats[1:, cv2.CC_STAT_AREA] if area >= 20), reverse=True)
    assert [one["area"] for one in car["objects"]] == areas
    assert areas
    assert all(int(decode_rle(one["mask"]).sum()) == one["area"] for one in car["objects"])


def test_a_click_needs_no_second_upload(
    server: Client, segmenter: Segmenter, scene: Image.Image, street: bytes
) -> None:
    kept = server.form("/images", street).json
    assert kept["image"].startswith("sha256:")
    assert set(kept["likeliest"]) == set(segmenter.concepts)
    assert server.form("/images", street).json["kept"] is True
    answer = server.json("/segment", {"image": kept["image"], "prompts": [CLICK]})
    [one] = answer.json["concepts"]
    own = segmenter.encode(scene).predict("car", CLICK["points"], CLICK["labels"], CLICK["box"])  # type: ignore[arg-type]
    assert np.array_equal(decode_rle(one["mask"]), own.mask)
    assert (one["points"], one["labels"], one["prompt_box"]) == (CLICK["points"], CLICK["labels"], CLICK["box"])
    assert answer.json["seconds"]["image"] == 0


def test_a_prompt_is_zoomed_in_on(server: Client, segmenter: Segmenter, scene: Image.Image, street: bytes) -> None:
    near = {"concept": "car", "points": [[256, 300]], "box": [200, 250, 300, 340], "zoom": True}
    [one] = server.form("/segment", street, {"prompts": [near]}).json["concepts"]
    encoded = segmenter.encode(scene)
    own = encoded.predict("car", near["points"], box=near["box"], zoom=True)  # type: ignore[arg-type]
    assert np.array_equal(decode_rle(one["mask"]), own.mask)
    assert not np.array_equal(own.mask, encoded.predict("car", near["points"], box=near["box"]).mask)  # type: ignore[arg-type]
    refused = server.form("/segment", street, {"prompts": [{"concept": "car", "zoom": True}]})
    assert refused.status == 422
    assert "zoom needs clicks or a box" in refused.detail


def test_a_prompt_replaces_the_concept_s_text(server: Client, street: bytes) -> None:
    """By a synonym too."""
    asked = {"concepts": ["road", "car"], "prompts": [{**CLICK, "concept": "vehicle"}]}
    found = server.form("/segment", street, asked).json["concepts"]
    assert [(one["concept"], bool(one["prompt_box"])) for one in found] == [("road", False), ("car", True)]


def test_limits_leave_concepts_out(server: Client, street: bytes) -> None:
    answer = server.form("/segment", street, {"max_concepts": 1, "skip_absent": False}).json
    assert len(answer["concepts"]) == 1
    assert set(answer["left_out"].values()) == {"max_concepts"}


def test_pictures_are_drawn(server: Client, segmenter: Segmenter, scene: Image.Image, street: bytes) -> None:
    drawn = {}
    for kind in ("overlay", "cutout", "labels"):
        answer = server.form("/segment", street, {"format": kind})
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''street.{kind}.png"
        drawn[kind] = PngImageFile(io.BytesIO(answer.body))
    result = segmenter.segment(scene)
    assert np.array_equal(np.asarray(result.overlay()), np.asarray(drawn["overlay"]))
    assert all(one.text["Software"].startswith("cgsam-edge ") for one in drawn.values())
    assert np.array_equal(np.asarray(drawn["labels"]).astype(int) - 1, result.label_map())
    anything = np.any([one.mask for one in result.values() if one.present], axis=0)
    assert np.array_equal(np.asarray(drawn["cutout"])[:, :, 3] > 0, anything)
    assert np.array_equal(np.asarray(drawn["cutout"])[anything, :3], np.asarray(scene)[anything])


@pytest.mark.parametrize("kind", list(FORMATS))
def test_a_dataset_s_form_is_a_file_or_a_zip(server: Client, street: bytes, kind: str) -> None:
    answer = server.form("/segment", street, {"format": kind, "concepts": ["car", "road"]})
    assert answer.status == 200, answer.body
    again = server.form("/segment", street, {"format": kind, "concepts": ["car", "road"]})
    assert again.body == answer.body
    if answer.headers["content-type"] == "application/zip":
        archive = zipfile.ZipFile(io.BytesIO(answer.body))
        assert len(archive.namelist()) > 1
        assert archive.testzip() is None
    elif "json" in answer.headers["content-type"]:
        json.loads(answer.body)


def test_coco_holds_every_object(server: Client, street: bytes) -> None:
    coco = json.loads(server.form("/segment", street, {"format": "coco", "concepts": ["car"]}).body)
    [car] = server.form("/segment", street, {"concepts": ["car"]}).json["concepts"]
    assert [one["name"] for one in coco["categories"]] == ["car"]
    assert sorted(one["area"] for one in coco["annotations"]) == sorted(one["area"] for one in car["objects"])
    assert coco["images"][0]["file_name"].endswith("street.png")


def clicked_without_presence(server: Client, street: bytes, label: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """A request that clicks where a concept then gets a mask, though the model calls it absent, and its answer."""
    for place in ([256, 300], [256, 400], [100, 300], [400, 200], [5, 5], [500, 500]):
        for concept in ("pedestrian", "bicyclist", "fence", "sign", "tree"):
            asked = {"prompts": [{"concept": concept, "points": [place], "labels": [label]}], "min_area": 1}
            [found] = server.form("/segment", street, asked).json["concepts"]
            if found["objects"] and not found["present"]:
                return asked, found
    raise AssertionError("no click gives a mask to a concept that is called absent")


def test_what_is_clicked_is_there(server: Client, street: bytes) -> None:
    """Whatever presence says: a data set gets what a person has clicked, the own form keeps the model's word."""
    asked, found = clicked_without_presence(server, street)
    coco = json.loads(server.form("/segment", street, {**asked, "format": "coco"}).body)
    assert sum(one["area"] for one in coco["annotations"]) == sum(one["area"] for one in found["objects"]) > 0
    outside, _ = clicked_without_presence(server, street, label=0)
    assert json.loads(server.form("/segment", street, {**outside, "format": "coco"}).body)["annotations"] == []
    unclicked = {"concepts": [asked["prompts"][0]["concept"]], "format": "coco"}
    assert json.loads(server.form("/segment", street, unclicked).body)["annotations"] == []


def test_photos_are_turned_upright(server: Client, scene: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    scene.crop((0, 0, 512, 300)).save(file, "JPEG", exif=exif)
    answer = server.form("/images", file.getvalue()).json
    assert (answer["width"], answer["height"]) == (300, 512)
