"""What of a URL is shown and kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsam_edge.url_secrets import shown_place, shown_typed, shown_url, shown_word, without_logins


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/photos/icon@2x #1.png", "s3://bucket/photos/icon@2x #1.png"),
        ("https://bucket.org/a@2x.jpg?X-Amz-Signature=pw&e=1", "https://bucket.org/a@2x.jpg?X-Amz-Signature=***&e=***"),
        ("ftp://me:pw@host/a.jpg", "ftp://***@host/a.jpg"),
        ("ftp://me:p/w@host/a.jpg", "ftp://***@host/a.jpg"),
        # A port may be the beginning of a password.
        ("http://host:80/a@b.jpg", "http://***@b.jpg"),
        ("http://10.0.0.1:80/a@b.jpg", "http://10.0.0.1:80/a@b.jpg"),
        ("https://user:12/p@host/a.png", "https://***@host/a.png"),
        ("https://user%3Apa/ss@host/x", "https://***@host/x"),
        ("https://us/er:pass@host/a.png", "https://***@host/a.png"),
        ("sftp://us/er:pass@host/a.png", "sftp://***@host/a.png"),
        ("s3://bucket/12:30/a@2x.png", "s3://bucket/12:30/a@2x.png"),
        ("https://[::1]/a.jpg?sig=pw", "https://[::1]/a.jpg?sig=***"),
        ("zip://day::https://host/a.zip?sig=pw", "zip://day::https://host/a.zip?sig=***"),
        ("github://owner:repo@main/photos", "github://owner:repo@main/photos"),
        ("abfs://box@account.dfs.core.windows.net/a", "abfs://box@account.dfs.core.windows.net/a"),
        ("/photos/a?b@c.jpg", "/photos/a?b@c.jpg"),
    ],
)
def test_shown_place(text: str, shown: str) -> None:
    assert shown_place(text) == shown


def test_a_library_s_error() -> None:
    text = "403, message='Forbidden', url='https://me:pw@host/a.jpg?sig=pw'"
    assert without_logins(text) == "403, message='Forbidden', url='https://***@host/a.jpg?sig=***'"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a:pw@one/x,https://b:pw@two/y", "https://***@one/x,https://***@two/y"),
        ("[https://one/x?sig=pw;ftp://b:pw@two/y]", "[https://one/x?sig=***;ftp://***@two/y]"),
        ("no https://a:p'w@one/x.", "no https://***@one/x."),
        ("url='https://a:p\"<w>@one/x' failed", "url='https://***@one/x' failed"),
        ('<https://one/x>, "https://two/a@2x"', '<https://one/x>, "https://two/a@2x"'),
        ("('https://one/x','https://a:pw@two/y')", "('https://one/x','https://***@two/y')"),
        ("url='https://one/x?sig=pw',mail='a@b'", "url='https://one/x?sig=***'"),
    ],
)
def test_urls_in_a_library_s_error(text: str, shown: str) -> None:
    made = without_logins(text)
    assert "pw" not in made
    assert made == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # An @ behind the host is no login …
        ("rtsp://cam/a@b", "rtsp://cam/a@b"),
        ("rtsp://[::1]:5/a@b", "rtsp://[::1]:5/a@b"),
        ("rtsp://192.168.1.20:554/a@b", "rtsp://192.168.1.20:554/a@b"),
        ("http://cam/x@y?token=ab#c", "http://cam/x@y?token=***"),
        ("http://cam/v?user=a@b.com&pwd=x1", "http://cam/v?user=***&pwd=***"),
        (
            "rtsp://10.0.0.1:554/user=me&password=x@y&channel=1.sdp",
            "rtsp://10.0.0.1:554/user=***&password=***&channel=1.sdp",
        ),
        # … unless what is before it can be one, since a password may hold anything.
        ("rtsp://cam:554/a@b", "rtsp://***@b"),
        ("rtsp://user:554/ss@host/x", "rtsp://***@host/x"),
        ("rtsp://u:pa/ss@host/x", "rtsp://***@host/x"),
        ("rtsp://u:pa?ss@host/x", "rtsp://***@host/x"),
        ("rtsp://u:pa#ss@host/x", "rtsp://***@host/x"),
        ("rtsp://u%3Apa/ss@host/x", "rtsp://***@host/x"),
        ("rtsp://us/er:pa@host/x", "rtsp://***@host/x"),
        ("rtsp://a:b@cam/x@y", "rtsp://***@y"),
        ("rtsp://key@cam/x", "rtsp://***@cam/x"),
        ("rtsp://key@cam/a@b", "rtsp://***@b"),
        ("rtsp://u:p@[::1]:554/x", "rtsp://***@[::1]:554/x"),
        ("rtsp:///u:p@cam", "rtsp://***@cam"),
        # The end of a value is as secret as its beginning.
        ("http://cam:80/v?user=a@b.com&pwd=x1", "http://***"),
        ("rtsp://a:b@cam/x?mail=c@d", "rtsp://***"),
        ("rtsp://cam:554/user=me&password=x@y&channel=1.sdp", "rtsp://***"),
        ("rtsp://admin:pa/ss@cam/live?token=a@SECRET", "rtsp://***"),
        ("rtsp://admin:pa/ss@cam/live?a@SECRET", "rtsp://***"),
        ("rtsp://admin:pa/ss@cam/live#a@SECRET", "rtsp://***"),
        ("rtsp://admin:pa/ss@cam/user=admin&password=x@SECRET&channel=1.sdp", "rtsp://***"),
        ("rtsp://cam/user=me&password=x/SECRET&channel=1.sdp", "rtsp://cam/user=***&password=***&channel=1.sdp"),
        ("rtsp://cam/user=me/password=x/SECRET/channel=1", "rtsp://cam/user=***/password=***/channel=1"),
        # No host, or none that can be.
        ("rtsp://admin:pw/stream", "rtsp://***"),
        ("rtsp://u:p\uff20cam/x", "rtsp://***"),
        ("rtsp://u:p@ss:w@host:p", "rtsp://***"),
        ("rtsp://", "rtsp://"),
        # A login elsewhere.
        ("me:pw@rtsp://host/x", "***://host/x"),
        ("http://10.0.0.1/rtsp://u:p@cam/x", "http://10.0.0.1/***@cam/x"),
        ("http://10.0.0.1/rtsp%3A%2F%2Fu%3Ap%40cam/x", "http://10.0.0.1/***"),
        ("http://cam/x?a=1&pw&1b=2", "http://cam/x?a=***&***&***"),
    ],
)
def test_shown_url(text: str, shown: str) -> None:
    assert shown_url(text) == shown


_ODD = st.text(st.sampled_from("@/?#:&=;%._~ab1 \u00e9"), max_size=8)


@given(
    user=st.text(st.sampled_from("ab1.@/_-"), min_size=1, max_size=6),
    before=_ODD,
    behind=_ODD,
    path=st.text("ab/", max_size=4),
)
def test_no_part_of_a_password_is_shown(user: str, before: str, behind: str, path: str) -> None:
    """However odd, and even if the user forgot to encode it."""
    shown = shown_url(f"rtsp://{user}:{before}MARK{behind}@camera/{path}")
    assert "MARK" not in shown
    assert shown in (f"rtsp://***@camera/{path}", "rtsp://***")


_SECRETS = (
    "live?token=x{}MARK",
    "live?x{}MARK",
    "live#x{}MARK",
    "user=me&password=x{}MARK&channel=1.sdp",
    "user=me_password=x{}MARK_channel=1.sdp",
    "password=x{}MARK",
)


@given(
    login=st.just("") | st.builds("{}:{}@".format, st.text("ab1", min_size=1, max_size=3), _ODD),
    place=st.sampled_from(["camera", "10.0.0.1:554"]),
    path=st.sampled_from(_SECRETS),
    within=st.text("@/ab1.-", max_size=4),
)
def test_no_part_of_a_value_is_shown_behind_any_login(login: str, place: str, path: str, within: str) -> None:
    assert "MARK" not in shown_url(f"rtsp://{login}{place}/{path.format(within)}")


@given(value=_ODD, behind=_ODD)
def test_no_part_of_a_value_is_shown(value: str, behind: str) -> None:
    assert "MARK" not in shown_url(f"http://camera:80/x?pwd={value.replace('&', '')}MARK{behind}")


def test_a_word_that_is_no_url() -> None:
    assert shown_word("me:pw@cam/x") == "***@cam/x"
    assert shown_word("photos@2x.png") == "photos@2x.png"
    assert shown_word("cam/password=x1") == "cam/password=***"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("a@b.jpg", "a@b.jpg"),
        ("C:/photos/a@b.jpg", "C:/photos/a@b.jpg"),
        ("rtsp:/user:p@ss@h/cam", "rtsp:/***@h/cam"),
        ("user%3Ap@h/cam", "***@h/cam"),
        ("--camera=rtsp://user:p@ss@h/cam", "--camera=rtsp://***@h/cam"),
    ],
)
def test_a_misspelt_address_is_shown_without_its_login(typed: str, shown: str) -> None:
    assert shown_typed(typed) == shown
    assert shown_typed(shown) == shown
