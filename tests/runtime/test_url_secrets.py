"""What of a URL is shown and kept."""

from __future__ import annotations

import pytest

from cgsam_edge.url_secrets import shown_place, without_logins


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/photos/icon@2x #1.png", "s3://bucket/photos/icon@2x #1.png"),
        ("https://bucket.org/a@2x.jpg?X-Amz-Signature=pw&e=1", "https://bucket.org/a@2x.jpg?X-Amz-Signature=***&e=***"),
        ("ftp://me:pw@host/a.jpg", "ftp://***@host/a.jpg"),
        ("ftp://me:p/w@host/a.jpg", "ftp://***@host/a.jpg"),
        ("http://host:80/a@b.jpg", "http://host:80/a@b.jpg"),
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
