"""Questions that make no sense: the refusal says where, and what was expected, in plain words."""

from __future__ import annotations

import re

import pytest

from tests.serve.running import FORM, Client, form


@pytest.mark.parametrize("depth", [1000, 10_000, 200_000])
def test_deep_json(server: Client, street: bytes, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for body in (deep, b'{"image": ' + deep + b"}", b'{"a":' * depth + b"1" + b"}" * depth):
        answer = server.json("/segment", body)
        assert answer.status == 422
        assert answer.detail
    parts = form(street, None)[: -len(b"--edge--\r\n")]
    parts += b'--edge\r\nContent-Disposition: form-data; name="request"\r\n\r\n' + deep + b"\r\n--edge--\r\n"
    assert server.ask("POST", "/segment", parts, content_type=FORM).status == 422


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the request: not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"{}", "image: this field is missing"),
        (b'{"image": "../../etc/passwd"}', "image: expected a picture's handle"),
        (b'{"image": 1}', "image: expected a text, got 1"),
        (b"null", "expected an object"),
    ],
)
def test_json_that_is_no_question(server: Client, body: bytes, reason: str) -> None:
    answer = server.json("/segment", body)
    assert (answer.status, reason in answer.detail) == (422, True), answer.detail


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ({"concepts": ["unicorn"]}, "has no concept 'unicorn'"),
        ({"concepts": "car"}, "concepts: expected a list, got 'car'"),
        ({"concepts": [""]}, "concepts.0: expected a text of 1 or more characters"),
        ({"colour": 1}, "unknown field 'colour'; expected some of concepts, prompts,"),
        ({"concept": ["car"]}, "unknown field 'concept'; did you mean 'concepts'?"),
        ({"prompts": [{"concept": "car", "point": []}]}, "prompts.0: unknown field 'point'; did you mean 'points'?"),
        (
            {"min_area": 2.5},
            "min_area: expected a whole number of pixels, 1 or more, or a share of the picture below 1, g",
        ),
        ({"prompts": [{"concept": "car", "points": [[9999, 1]]}]}, "outside"),
        (
            {"prompts": [{"concept": "car", "points": [[1, 1]], "labels": [1, 0]}]},
            "2 labels for 1 point; expected one for each",
        ),
        ({"prompts": [{"concept": "car", "points": [[1, 1]], "labels": [2]}]}, "labels.0: expected 0 or 1, got 2"),
        ({"prompts": [{"concept": "car", "points": [[1, 1]] * 17}]}, "16 slots"),
        ({"prompts": [{"concept": "car", "points": [["1", 1]]}]}, "points.0.0: expected a number, got '1'"),
        ({"prompts": [{"concept": "car", "points": [[float("nan"), 1]]}]}, "points.0.0: expected a finite number"),
        ({"prompts": [{"concept": "car"}, {"concept": "car"}]}, "twice"),
        ({"prompts": [{"concept": "car"}, {"concept": "vehicle"}]}, "same concept"),
        ({"max_concepts": 0}, "max_concepts: expected 1 or more, got 0"),
        ({"max_concepts": True}, "max_concepts: expected a whole number, got true"),
        ({"format": "exe"}, "format: expected one of masks"),
    ],
)
def test_questions_that_make_no_sense(server: Client, street: bytes, question: object, reason: str) -> None:
    answer = server.form("/segment", street, question)
    assert (answer.status, reason in answer.detail) == (422, True), answer.detail
    assert not re.search("Input should|Value error|Extra inputs|String should|List should", answer.detail)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"hello", 415),
        ("application/x-www-form-urlencoded", b"image=1", 415),
        ("multipart/form-data", b"no boundary", 422),
        (FORM, b"--edge\r\n", 422),
        (FORM, b'--edge\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--edge--\r\n', 422),
        (FORM, b'--edge\r\nContent-Disposition: form-data; name="other"\r\n\r\ntext\r\n--edge--\r\n', 422),
        (FORM, b"--edge\r\nContent-Disposition: form-data\r\n\r\ntext\r\n--edge--\r\n", 422),
        (FORM, form(b"a")[:-10] + form(b"b"), 422),
    ],
)
def test_bodies_that_are_no_form(server: Client, kind: str, body: bytes, status: int) -> None:
    answer = server.ask("POST", "/segment", body, content_type=kind)
    assert (answer.status, bool(answer.detail)) == (status, True), answer.body


def test_a_handle_that_nobody_gave(server: Client) -> None:
    answer = server.json("/segment", {"image": "sha256:" + "0" * 64})
    assert (answer.status, "upload it again" in answer.detail) == (404, True)
