"""What names a camera, and how it is shown."""

from __future__ import annotations

import sys

import pytest

from cgsam_edge import Camera, CameraError, InputError, MissingLibraryError
from cgsam_edge.live.address import address_of, is_camera, with_login
from cgsam_edge.live.pauses import Pauses


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (0, "camera 0"),
        ("2", "camera 2"),
        ("/dev/video1", "/dev/video1"),
        ("rtsp://cam/stream", "rtsp://cam/stream"),
        ("rtsp://a:b@cam:554/stream?x=1&y", "rtsp://***@cam:554/stream?x=***&***"),
        ("rtsp://a:p@ss@cam/stream", "rtsp://***@cam/stream"),
        ("http://cam/user=admin&password=x1&channel=1.sdp", "http://cam/user=***&password=***&channel=1.sdp"),
        ("rtsp://cam/user=admin&password=my_secret&channel=1.sdp", "rtsp://cam/user=***&password=***&channel=1.sdp"),
        ("rtsp://cam/user=a_b_password=my_se;cret_channel=1", "rtsp://cam/user=***_password=***_channel=1"),
        ("http://cam?token=abc", "http://cam?token=***"),
        ("http://[::1]:8080/a#secret", "http://[::1]:8080/a"),
    ],
)
def test_shown_without_secrets(typed: int | str, shown: str) -> None:
    address = address_of(typed)
    assert address.shown == shown
    assert address.url == (typed if isinstance(typed, str) and "://" in typed else None)
    assert not any(secret in repr(address) for secret in ("a:b", "p@ss", "x1", "abc", "secret", "cret", "a_b"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (-1, "0 or more"),
        (True, "a number, the path of a device or a URL, got bool"),
        ("clip.mp4", "For a file, use Video"),
        ("rtmp://a:b@h/x", r"rtmp://\*\*\*@h/x: a camera's URL begins with rtsp://"),
        ("rtsp://", "names no host"),
        ("rtsp://user:pa/ss@host/x", r"rtsp://\*\*\*@host/x: not a valid URL"),
        ("rtsp://host/x y", "holds spaces"),
    ],
)
def test_what_is_no_camera(typed: int | str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Camera(typed)
    assert "pa/ss" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("source", [77, "/dev/video77", "/dev/null"])
def test_no_such_device(source: int | str) -> None:
    with pytest.raises(CameraError, match=r"no such camera|/dev/null") as caught:
        Camera(source, open_timeout=2, read_timeout=1)
    assert str(caught.value).count("/dev/video77") == (source != "/dev/null")


@pytest.mark.parametrize("wrong", [{"open_timeout": 0}, {"read_timeout": -1}, {"longest_pause": float("nan")}])
def test_times_are_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be a positive number of seconds"):
        Camera("rtsp://127.0.0.1/x", **wrong)  # type: ignore[arg-type]


def test_words_that_name_cameras() -> None:
    assert [is_camera(word) for word in ("0", "rtsp://a", "/dev/video0", "a.mp4", "dir/0")] == [True] * 3 + [False] * 2


def test_pauses_grow() -> None:
    pauses = Pauses(1.5)
    assert [pauses.next() for _ in range(5)] == [0.25, 0.5, 1, 1.5, 1.5]
    pauses.reset()
    assert pauses.next() == 0.25


def test_a_url_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'cgsam-edge\[video\]'") as caught:
        Camera("rtsp://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)


def test_a_login_is_added_where_there_is_none() -> None:
    assert with_login("rtsp://cam/x", "me:a/b@c") == "rtsp://me:a%2Fb%40c@cam/x"
    assert with_login("rtsp://you:p@cam/x", "me:a") == "rtsp://you:p@cam/x"
    assert with_login("rtsp://cam/a@b?mail=c@d", "me:a") == "rtsp://me:a@cam/a@b?mail=c@d"
    assert with_login("0", "me:a") == "0"
    assert with_login("rtsp://cam/x", "") == "rtsp://cam/x"


def test_the_scheme_is_opened_in_small_letters() -> None:
    address = address_of("RTSP://User:Pass@Host:1/Cam")
    assert (address.url, address.shown) == ("rtsp://User:Pass@Host:1/Cam", "rtsp://***@Host:1/Cam")
