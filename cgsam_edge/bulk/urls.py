"""Files behind URLs, through fsspec: buckets, web servers, archives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from cgsam_edge.errors import ImageError, InputError, MissingLibraryError


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
        raise InputError(f"{url}: cannot be listed ({type(error).__name__}: {error}).") from error
    if listed is None:
        raise InputError(f"{url}: no such file, folder or bucket, or no permission to see it.")
    if alone:
        yield "", url, _stamp(listed[path])
        return
    base = path.rstrip("/")
    for name in sorted(listed):
        inner = name[len(base) :].lstrip("/")
        if chosen(inner) and not any(part.startswith(".") for part in inner.split("/")):
            yield inner, system.unstrip_protocol(name), _stamp(listed[name])


def read(url: str) -> bytes:
    """Return the content of a URL.

    Raises:
        ImageError: it cannot be read.
    """
    system, path = _opened(url)
    try:
        return bytes(system.cat_file(path))
    except Exception as error:  # see above
        raise ImageError(f"{url}: cannot be read ({type(error).__name__}: {error}).") from error


def _opened(url: str) -> tuple[Any, str]:
    system = _system(url.partition("://")[0], url if "::" in url else "")
    return system if isinstance(system, tuple) else (system, system._strip_protocol(url))  # noqa: SLF001 — its only way


@lru_cache(maxsize=8)
def _system(protocol: str, chained: str) -> Any:
    fsspec = library("fsspec")
    try:
        if chained:  # such as zip://*.jpg::s3://bucket/photos.zip
            return fsspec.core.url_to_fs(chained)
        return fsspec.filesystem(protocol)
    except ImportError as error:
        raise MissingLibraryError(f"{protocol}:// needs a library that is not installed: {error}.") from error
    except Exception as error:  # an unknown protocol, or settings that the storage's library refuses
        raise InputError(f"{protocol}://: cannot be opened ({type(error).__name__}: {error}).") from error


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
