"""Where a camera is: a device of this machine or a URL, and how it is named without its credentials."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from os import PathLike
from urllib.parse import quote, urlsplit

from cgsam_edge.errors import InputError
from cgsam_edge.url_secrets import shown_url, shown_word

SCHEMES = ("rtsp", "rtsps", "http", "https")
"""Schemes of URLs that a camera may have."""

_AUTHORITY = re.compile("[^:/?#]+://(?P<authority>[^/?#]*)")


@dataclass(frozen=True)
class Address:
    """The address of a camera; its repr and `shown` never hold credentials.

    Attributes:
        shown: the address as messages name it: user, password and values of a query are replaced by ``***``.
        url: the URL with its credentials, or None for a device.
        device: number or path of a device of this machine, or None for a URL.
    """

    shown: str
    url: str | None = field(default=None, repr=False)
    device: int | str | None = None


def address_of(source: int | str | PathLike[str]) -> Address:
    """Parse what a user typed: 0, "0", "/dev/video0", or a URL.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(source, bool) or not isinstance(source, (int, str, PathLike)):
        raise InputError(f"a camera is a number, the path of a device or a URL, got {type(source).__name__}.")
    if isinstance(source, int):
        return _numbered(source)
    text = os.fspath(source)
    if text.isascii() and text.isdecimal():
        return _numbered(int(text))
    if "://" in text:
        return _remote(text)
    if text.startswith("/dev/"):
        return Address(text, device=text)
    raise InputError(
        f"{shown_word(text)}: not a camera: expected its number, a device such as /dev/video0, or a URL that "
        f"begins with {', '.join(f'{one}://' for one in SCHEMES)}. For a file, use Video."
    )


def is_camera(text: str) -> bool:
    """Whether a word of the command line names a camera: a URL, a device, or a number."""
    return "://" in text or text.startswith("/dev/video") or (text.isascii() and text.isdecimal())


def _numbered(number: int) -> Address:
    if number < 0:
        raise InputError(f"the number of a camera is 0 or more, got {number}.")
    return Address(f"camera {number}", device=number)


def _remote(text: str) -> Address:
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # the error may quote the password
        raise InputError(f"{shown_url(text)}: not a valid URL.") from None
    if parts.scheme.lower() not in SCHEMES:
        raise InputError(
            f"{shown_url(text)}: a camera's URL begins with {', '.join(f'{one}://' for one in SCHEMES)}, not with "
            f"{shown_url(text).partition('://')[0]}://."
        )
    if not usable or _unprintable(text):
        raise InputError(f"{shown_url(text)}: not a valid URL: it names no host, or holds spaces.")
    text = f"{parts.scheme}{text[len(parts.scheme) :]}"  # in small letters, as FFmpeg expects it
    return Address(shown_url(text), url=text)


def with_login(source: str, login: str) -> str:
    """Return a URL with ``user:password`` added, if it has no login yet; anything else is returned unchanged.

    Args:
        source: what a user typed.
        login: user and password as they are, not encoded.
    """
    found = _AUTHORITY.match(source)
    if found is None or "@" in found["authority"] or not login:
        return source
    user, colon, password = login.partition(":")
    return source.replace("://", f"://{quote(user, safe='')}{colon}{quote(password, safe='')}@", 1)


def _unprintable(text: str) -> bool:
    return any(character.isspace() or not character.isprintable() for character in text)
