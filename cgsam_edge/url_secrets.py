"""URLs as messages and files show them: without login, signature and token."""

from __future__ import annotations

import re
from urllib.parse import unquote

_HIDDEN = "***"
_KEY = "user(?:name)?|login|usr|pass(?:word|wd)?|pwd|psw|auth|token|key|secret|sign?(?:ature)?"
_SECRET = re.compile(rf"(?P<key>{_KEY})=(?:(?![_/](?:{_KEY}|channel|stream)=|[&;][a-z]+=)[^?#])*", re.IGNORECASE)
"""Some cameras take the login in the path: ``/user=admin&password=x&channel=1.sdp``, or with ``_`` for ``&``.

A value may hold the separators and ``/``, so one of them ends it only before a further key.
"""


def shown_url(text: str) -> str:
    """Return a URL as messages show it: without user, password, the values of its query, and its fragment.

    A password that was not encoded may hold any of ``@/?#``. Where a URL can be read in two ways, all is hidden that
    is secret in one of them, up to the whole URL behind its scheme.
    """
    scheme, _, rest = text.partition("://")
    shown = f"{scheme if _SCHEME.fullmatch(scheme) else _HIDDEN}://"
    authority, beyond = _split(rest)
    before, at, behind = rest.rpartition("@")
    readable = _PLACE.fullmatch(authority.rpartition("@")[2]) is not None
    if readable and not _may_be_login(authority, before):
        return shown + _shown_place(rest, hidden_login="@" in authority)
    path = _path(beyond)
    in_value = "@" in beyond[len(path) :] or _SECRET.search(path) is not None
    if not at or (readable and in_value) or _VALUE.search(before):
        return shown + _HIDDEN
    usable = _PLACE.fullmatch(_split(behind)[0]) is not None
    return shown + (_shown_place(behind, hidden_login=True) if usable else _HIDDEN)


_VALUE = re.compile("@.*[=?#]", re.DOTALL)
"""Before the last @: an earlier one may end the login, and the last one be part of a value."""

_SCHEME = re.compile("[a-zA-Z][a-zA-Z0-9+.-]*")
_NUMBERS = re.compile(r"(\[[0-9a-f:.]*\]|\d+\.\d+\.\d+\.\d+)(:\d*)?", re.IGNORECASE)
_PLACE = re.compile(rf"{_NUMBERS.pattern}|[^:@\[\]]*(:\d*)?", re.IGNORECASE)


def _split(rest: str) -> tuple[str, str]:
    """Split what follows the scheme where the standard ends the host."""
    found = re.match("[^/?#]*", rest)
    assert found is not None
    return found.group(), rest[found.end() :]


def _path(beyond: str) -> str:
    return re.split("[?#]", beyond, maxsplit=1)[0]


def _may_be_login(authority: str, before: str) -> bool:
    """Whether all before the last @ may be a login that holds a slash, though the standard ends the host earlier.

    A login has a colon or an @ before that. Nobody is called 192.168.1.20, though.
    """
    if before.count("@") == authority.count("@") - 1 or _NUMBERS.fullmatch(authority):
        return False  # the last @ is where the standard expects it
    return "@" in authority or ":" in unquote(before)


def _shown_place(rest: str, *, hidden_login: bool) -> str:
    authority, beyond = _split(rest)
    path, question, query = beyond.partition("#")[0].partition("?")
    shown = "&".join(f"{name}={_HIDDEN}" if equals else _HIDDEN for name, equals in map(_named, query.split("&")))
    host = authority.rpartition("@")[2]
    return f"{f'{_HIDDEN}@' if hidden_login else ''}{host}{_shown_path(path)}{question}{shown if question else ''}"


def _named(part: str) -> tuple[str, bool]:
    name, equals, _ = part.partition("=")
    return name, bool(equals) and re.fullmatch(r"[a-zA-Z_][\w.-]*", name) is not None


def _shown_path(path: str) -> str:
    """Return a path without a login in it, such as that of another URL."""
    shown = without_secrets(path)
    if ":" not in unquote(shown).rpartition("@")[0]:
        return shown
    return f"/{_HIDDEN}@{shown.rpartition('@')[2]}" if ":" in shown.rpartition("@")[0] else f"/{_HIDDEN}"


def shown_word(text: str) -> str:
    """Return what may be a URL without its scheme, as messages show it."""
    before, _, behind = text.rpartition("@")
    return without_secrets(f"{_HIDDEN}@{behind}" if ":" in unquote(before) else text)


def shown_typed(text: str) -> str:
    """Return a word of the command line as messages show it: without the login of an address that is misspelt."""
    if "://" in text:
        return without_logins(text)
    begun = _MISSPELT.match(text)
    start = begun.group() if begun else ""
    before, _, behind = text[len(start) :].rpartition("@")
    return f"{start}{_HIDDEN}@{behind}" if ":" in unquote(before) else text


_MISSPELT = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[/\\]+")
"""A scheme with a slash too few, or a drive of Windows."""


def without_secrets(text: str) -> str:
    """Return a path without the values of ``password=`` and the like."""
    return _SECRET.sub(lambda found: f"{found['key']}={_HIDDEN}", text)


_PARTS = re.compile(r"::(?=[a-zA-Z0-9+.-]+://)")
_BEGUN = "[a-zA-Z][a-zA-Z0-9+.-]*://"
_ANYWHERE = re.compile(rf"{_BEGUN}(?:(?!['\"<>]*[,;]['\"<>]*{_BEGUN})\S)+")
"""A URL in a text; quotes and brackets may be part of a password, and what divides two URLs is kept."""

_ENDS = re.compile(r"['\"<>]")
_NO_LOGIN = ("github", "git", "abfs", "abfss", "wasb", "wasbs", "adl", "az")
"""Schemes with a container, an account or a repository before the @."""

_LOGIN = ("http", "https", "ftp", "ftps", "sftp")
"""Schemes with a user and a password before the @."""


def shown_place(text: str) -> str:
    """Return the URL of a file without login and signature; one that holds neither, or a path, is returned unchanged.

    In buckets an @ or a # may be part of a name, which `shown_url` would take for the end of a login or of the URL.
    On the web and FTP, all before an @ is hidden wherever it may be a login.
    """
    return "::".join(map(_shown_part, _PARTS.split(text))) if "://" in text else text


def _shown_part(text: str) -> str:
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    if scheme.lower() in _LOGIN:
        authority, (before, at, _) = _split(rest)[0], rest.rpartition("@")
        login = bool(at) and ("@" in authority or _may_be_login(authority, before))
    else:
        login = "@" in host or ("@" in path and not host.rpartition(":")[2].isdecimal() and ":" in host)
    if login and scheme.lower() not in _NO_LOGIN:
        return shown_url(text)
    if "?" not in rest:
        return text
    plain = path.replace("@", "\0")  # of the path, not of a login
    return shown_url(f"{scheme}://{host}{slash}{plain}").replace("\0", "@")


def without_logins(text: str) -> str:
    """Return the text of a library's error with each URL in it as `shown_place` gives it."""
    return _ANYWHERE.sub(lambda found: _shown_quoted(found.group()), text)


def _shown_quoted(found: str) -> str:
    """Return a URL that may end at a quote or a bracket, with what follows it, without logins.

    A password may hold these too: what is before the last @ is part of the URL.
    """
    start = found.rfind("@") + 1
    end = _ENDS.search(found, start)
    cut = end.start() if end else len(found)
    return shown_place(found[:cut]) + found[cut:]
