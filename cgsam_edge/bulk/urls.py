"""Files behind URLs, through fsspec: buckets, web servers, archives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cgsam_edge.errors import ImageError, InputError, MissingLibraryError
from cgsam_edge.url_secrets import shown_place, without_logins


def files(url: str, chosen: Callable[[str], bool]) -> Iterator[tuple[str, str, str]]:
    """Yield the files at or below a URL: path within it (empty for the URL itself), URL, and stamp.

    Raises:
        InputError: it does not exist, or cannot be listed.
        MissingLibraryError: fsspec, or its library for this kind of URL, is not installed.
    """
    system, path = _opened(url)
    try:
        alone = system.isfile(path)
        listed = {path: system.info(path)} if alone else system.find(path, detail=True) if system.exists(path) else None
    except Exception as error:  # each kind of storage has errors of another library
        raise InputError(f"{shown_place(url)}: cannot be listed ({_why(error)}).") from error
    if listed is None:
        raise InputError(f"{shown_place(url)}: no such file, folder or bucket, or no permission to see it.")
    if alone:
        yield "", url, _stamp(listed[path])
        return
    base = path.rstrip("/")
    for name in sorted(listed):
        inner = name[len(base) :].lstrip("/")
        if chosen(inner) and not any(part.startswith(".") for part in inner.split("/")):
            yield inner, _address(url, system, name, inner), _stamp(listed[name])


def read(url: str) -> bytes:
    """Return the content of a URL.

    Raises:
        ImageError: it cannot be read.
    """
    system, path = _opened(url)
    try:
        return bytes(system.cat_file(path))
    except Exception as error:  # see above
        raise ImageError(f"{shown_place(url)}: cannot be read ({_why(error)}).") from error


def _opened(url: str) -> tuple[Any, str]:
    fsspec = library("fsspec.core")
    scheme = url.partition("://")[0]
    try:
        system, path = fsspec.url_to_fs(url)  # with host, login or repository; keeps what it has opened
    except ImportError as error:
        raise MissingLibraryError(f"{scheme}:// needs a library that is not installed: {error}.") from error
    except Exception as error:  # an unknown scheme, a host that does not answer, or settings that a library refuses
        raise InputError(f"{shown_place(url)}: cannot be opened ({_why(error)}).") from error
    return system, str(path)


def _address(url: str, system: Any, name: str, inner: str) -> str:
    """Return the URL of a file that was found below another one."""
    first, chained, rest = url.partition("::")
    if chained:  # such as zip://photos::s3://bucket/photos.zip
        return f"{first.partition('://')[0]}://{name.lstrip('/')}::{rest}"
    if system._get_kwargs_from_urls(url):  # noqa: SLF001 — only it says whether names lack the host
        return f"{url.rstrip('/')}/{inner}"
    return str(system.unstrip_protocol(name))


def _why(error: Exception) -> str:
    return without_logins(f"{type(error).__name__}: {error}")


def _stamp(info: dict[str, Any]) -> str:
    known = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created") if key in info), ""
    )
    return f"{info.get('size', '')}:{known}"


def library(name: str) -> Any:
    """Import a library of the extra "ray".

    Raises:
        MissingLibraryError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"{name.partition('.')[0]} is not installed. Install it with: pip install 'cgsam-edge[ray]'"
        ) from error
