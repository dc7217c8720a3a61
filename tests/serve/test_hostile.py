"""Requests that no honest client sends: each gets an answer with a reason, and the server works on."""

from __future__ import annotations

import io
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.datasets import FORMATS
from cgsam_edge.errors import InputError
from tests.serve.running import FORM, HOST, Client, parsed, png, running


@pytest.fixture(autouse=True)
def still_works(server: Client) -> Iterator[None]:
    yield
    assert server.get("/health").status == 200


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that promises side × side pixels."""
    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def text_bomb(*, late: bool = False) -> bytes:
    """A PNG whose compressed text unpacks to 64 MB, before or after its pixels."""
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 2**26))
    whole = png(Image.new("RGB", (8, 8)))
    at = -12 if late else 33  # before the last chunk, or after the first
    return whole[:at] + text + whole[at:]


@pytest.mark.parametrize(
    ("picture", "status", "reason"),
    [
        (b"no image", 415, "street.png: not a picture; expected one of JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not a picture"),
        (b"", 422, "street.png: an empty file"),
        (bomb(10_000), 413, "10000x10000 is 100.0 megapixels; the limit is 40"),
        (bomb(60_000), 413, "too many pixels"),
        (bomb(100), 422, "corrupt, truncated or unreadable"),
        (bomb(1), 422, "1x1 pixels; expected at least 2"),
        (text_bomb(), 422, "street.png: corrupt or unreadable"),
        (text_bomb(late=True), 422, "corrupt, truncated or unreadable"),
    ],
)
def test_pictures(server: Client, picture: bytes, status: int, reason: str) -> None:
    for path in ("/images", "/segment"):
        answer = server.form(path, picture)
        assert (answer.status, reason in answer.detail) == (status, True), answer.body


@pytest.mark.parametrize("cut", [10, 30, 200, 5000])
def test_damaged_files(server: Client, street: bytes, cut: int) -> None:
    answer = server.form("/images", street[:cut])
    assert answer.status in (415, 422)
    assert answer.detail


def test_a_head_that_promises_10_gb_is_refused_before_its_body(server: Client) -> None:
    head = b"POST /segment HTTP/1.1\r\n" + HOST + b"Content-Length: 10737418240\r\nContent-Type: " + FORM.encode()
    answer = parsed(server.raw(head + b"\r\n\r\n"))
    assert (answer.status, "the limit is 4194304 bytes" in answer.detail) == (413, True)


@pytest.mark.parametrize("length", [b"-1", b"1e9", b"9" * 5000, b"1, 2"])
def test_lengths_that_are_none(server: Client, length: bytes) -> None:
    answer = parsed(server.raw(b"POST /segment HTTP/1.1\r\n" + HOST + b"Content-Length: " + length + b"\r\n\r\n"))
    assert answer.status in (400, 413)
    assert answer.detail


def test_a_head_without_end_is_cut(server: Client) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        sent = 0
        try:
            connection.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"X: ")
            while sent < 100 * 2**20:
                sent += connection.send(b"a" * 65536)
        except OSError:
            pass
    assert sent < 20 * 2**20
    answer = parsed(server.raw(b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 66_000))
    assert (answer.status, "65536 bytes" in answer.detail) == (431, True)


def test_a_chunked_body_without_end_is_cut(server: Client) -> None:
    head = b"POST /images HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Type: " + FORM.encode()
    part = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
    answer = parsed(server.raw(head + b"\r\n\r\n" + part * 5))
    assert (answer.status, "the body is longer" in answer.detail) == (413, True)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\street.png", "/street.png", "a/b.png", "..", "a\tb.png", "a:b.png"]
)
def test_a_path_in_a_file_name(server: Client, street: bytes, name: str) -> None:
    answer = server.form("/segment", street, {"format": "coco"}, name=name)
    assert (answer.status, "expected a name without a folder" in answer.detail) == (422, True)


def test_a_long_file_name(server: Client, street: bytes) -> None:
    for name in ("a" * 254, "é" * 101):
        answer = server.form("/segment", street, {"format": "geojson", "concepts": ["car"]}, name=name)
        assert (answer.status, "bytes; the limit is 200" in answer.detail) == (422, True)
    longest = {"format": "geojson", "concepts": ["car"]}
    assert server.form("/segment", street, longest, name="a" * 200).status == 200


@pytest.mark.parametrize(
    ("wrong", "status"), [(OSError(28, "No space left on device"), 500), (InputError("this cannot be written"), 422)]
)
def test_no_refusal_shows_a_path_of_the_server(
    server: Client, street: bytes, monkeypatch: pytest.MonkeyPatch, wrong: Exception, status: int
) -> None:
    def failing(self: object, pictures: object, concepts: object, output: Path, **_: object) -> None:
        if isinstance(wrong, OSError):
            raise OSError(wrong.errno, wrong.strerror, str(output))
        raise InputError(f"{output}: {wrong}")

    monkeypatch.setattr(type(FORMATS["coco"]), "write", failing)
    answer = server.form("/segment", street, {"format": "coco", "concepts": ["car"]})
    assert (answer.status, "could not be written" in answer.detail) == (status, True)
    assert "/" not in answer.detail


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/../app.py", "//etc/passwd"])
def test_paths_out_of_the_page(server: Client, path: str) -> None:
    answer = server.get(path)
    assert (answer.status, "root:" in answer.detail) == (404, False)


@pytest.mark.parametrize(
    "sent", [b"\0\1\2\3\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET / HTTP/9\r\n\r\n"]
)
def test_what_is_no_http(server: Client, sent: bytes) -> None:
    answer = parsed(server.raw(sent))
    assert (answer.status, bool(answer.detail)) == (400, True)


def test_two_lengths_are_no_way_to_smuggle(server: Client) -> None:
    head = b"POST /images HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
    assert parsed(server.raw(head)).status == 400
    both = b"POST /images HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.raw(both + b"0\r\n\r\nGET /", end=True).count(b"HTTP/1.1 2") == 0


def test_what_is_uploaded_at_once_is_bounded(segmenter: Segmenter) -> None:
    with running(segmenter, max_upload=2**20, body_memory=1000) as client:
        answer = client.form("/images", b"x" * 5000)
        assert (answer.status, "too many uploads" in answer.detail) == (503, True)
        assert client.form("/images", b"x").status == 415  # nothing of the first is counted any more


def test_an_error_of_the_engine_has_a_reason(
    segmenter: Segmenter, street: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cgsam_edge.errors import BackendError

    def broken(*_: object) -> None:
        raise BackendError(f"{segmenter.bundle.path / 'image.onnx'}: the engine lost its device.")

    with running(segmenter) as client:
        monkeypatch.setattr(type(segmenter._model), "run", broken)
        answer = client.form("/segment", street)
        assert (answer.status, answer.detail) == (500, "scenes.cgsam/image.onnx: the engine lost its device.")
        monkeypatch.undo()
        assert client.form("/segment", street, {"concepts": ["car"]}).status == 200


def test_a_picture_of_any_kind_of_pixels(server: Client) -> None:
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        assert server.form("/images", png(Image.new(mode, (64, 48)))).status in (200, 422), mode


def test_refusals_are_json(server: Client) -> None:
    answer = server.get("/segment")
    assert (answer.status, json.loads(answer.body)["title"]) == (405, "Method Not Allowed")
    assert answer.headers["allow"] == "POST"
    assert io.BytesIO(answer.body).read()
