"""URLs as messages and files show them: without login, signature and token."""

from __future__ import annotations

import re

_HIDDEN = "***"
_KEY = "user(?:name)?|login|usr|pass(?:word|wd)?|pwd|psw|auth|token|key|secret|sign?(?:ature)?"
_SECRET = re.compile(rf"(?P<key>{_KEY})=(?:(?!_(?:{_KEY}|channel|stream)=|[&;][a-z]+=)[^/?#])*", re.IGNORECASE)
"""Some cameras take the login in the path: ``/user=admin&password=x&channel=1.sdp``, or with ``_`` for ``&``.

A value may hold the separators, so one of them ends it only before a further key.
"""


def shown_url(text: str) -> str:
    """Return a URL as messages show it: without user, password, the values of its query, and its fragment."""
    scheme, _, rest = text.partition("://")
    place, slash, path = _split_place(rest)
    host = place.rpartition("@")[2]
    login = f"{_HIDDEN}@" if "@" in place else ""
    path, question, query = path.partition("#")[0].partition("?")
    values = "&".join(f"{one.partition('=')[0]}={_HIDDEN}" if "=" in one else _HIDDEN for one in query.split("&"))
    return f"{scheme}://{login}{host}{slash}{without_secrets(path)}{question}{values if question else ''}"


def _split_place(rest: str) -> tuple[str, str, str]:
    """Split after the host; a password may hold a slash, so all before the last @ counts as the login."""
    login, at, host = rest.rpartition("@")
    place, slash, path = host.partition("/")
    if "?" in place:
        place, question, query = place.partition("?")
        slash, path = "", f"{question}{query}{slash}{path}"
    return f"{login}{at}{place}", slash, path


def without_secrets(text: str) -> str:
    """Return a path without the values of ``password=`` and the like."""
    return _SECRET.sub(lambda found: f"{found['key']}={_HIDDEN}", text)


_PARTS = re.compile(r"::(?=[a-zA-Z0-9+.-]+://)")
_ANYWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]+")
_NO_LOGIN = ("github", "git", "abfs", "abfss", "wasb", "wasbs", "adl", "az")
"""Schemes with a container, an account or a repository before the @."""


def shown_place(text: str) -> str:
    """Return the URL of a file without login and signature; one that holds neither, or a path, is returned unchanged.

    In buckets an @ or a # may be part of a name, which `shown_url` would take for the end of a login or of the URL.
    """
    return "::".join(map(_shown_part, _PARTS.split(text))) if "://" in text else text


def _shown_part(text: str) -> str:
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    login = "@" in host or ("@" in path and not host.rpartition(":")[2].isdecimal() and ":" in host)
    if login and scheme.lower() not in _NO_LOGIN:
        return shown_url(text)
    if "?" not in rest:
        return text
    plain = path.replace("@", "\0")  # of the path, not of a login
    return shown_url(f"{scheme}://{host}{slash}{plain}").replace("\0", "@")


def without_logins(text: str) -> str:
    """Return the text of a library's error with each URL in it as `shown_place` gives it."""
    return _ANYWHERE.sub(lambda found: shown_place(found.group()), text)
