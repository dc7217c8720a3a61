"""``cgsam serve``: an HTTP server for one bundle, and its page."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli.engine_options import add_bundle, add_engine, engine
from cgsam_edge.cli.values import number, whole, wrong_usage
from cgsam_edge.errors import InputError, MissingLibraryError
from cgsam_edge.image_limits import MAX_PIXELS
from cgsam_edge.serve.settings import HIGHEST_PORT

if TYPE_CHECKING:
    from cgsam_edge.serve.settings import ServeSettings

TOKEN_VARIABLE = "CGSAM_SERVE_TOKEN"  # noqa: S105 — the variable's name
_MEGABYTE = 2**20


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "serve",
        help="serve a bundle over HTTP, with a page (needs the extra 'serve')",
        description="Serve a bundle over HTTP: a page to click on at /, the interface at /docs. Only this machine can "
        "reach it, unless --host names another address; that needs a token.",
    )
    add_bundle(parser)
    _add_address(parser.add_argument_group("address"))
    _add_limits(parser.add_argument_group("limits"))
    add_engine(parser)
    parser.set_defaults(run=run)


def _add_address(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", metavar="ADDRESS", help="listen here (default: 127.0.0.1, this machine alone)")
    group.add_argument(
        "--port", type=whole(0, HIGHEST_PORT), metavar="N", help="listen here; 0 takes a free one (default: 8765)"
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"a file with the token that clients must send (default: the variable {TOKEN_VARIABLE}; none on "
        "this machine alone)",
    )
    group.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which browsers reach the server, beside localhost and addresses; repeat for more",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    megapixels = number(0, MAX_PIXELS / 1e6, above=True)
    group.add_argument(
        "--waiting", type=whole(0), metavar="N", help="most requests that wait; more get 429 (default: 32)"
    )
    group.add_argument("--workers", type=whole(), metavar="N", help="requests computed at once (default: 1)")
    group.add_argument("--timeout", type=number(0.01), metavar="SECONDS", help="time for an answer (default: 30)")
    group.add_argument(
        "--upload-timeout", type=number(0.01), metavar="SECONDS", help="time for a request to arrive (default: 30)"
    )
    group.add_argument("--max-upload", type=whole(), metavar="MB", help="largest body (default: 32)")
    group.add_argument("--max-megapixels", type=megapixels, metavar="N", help="largest picture (default: 40)")
    group.add_argument(
        "--image-memory",
        type=whole(0),
        metavar="MB",
        help="memory for pictures that are kept for clicks (default: 512)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            f"cgsam serve needs {error.name}, which the extra 'serve' brings: pip install 'cgsam-edge[serve]'"
        ) from error
    from cgsam_edge.cli.memory import return_big_blocks
    from cgsam_edge.segmenter import Segmenter
    from cgsam_edge.serve.server import serve
    from cgsam_edge.serve.service import CACHE_BYTES

    settings = settings_of(options)
    return_big_blocks()
    performance = "latency" if settings.workers == 1 else "throughput"
    with Segmenter(options.bundle, performance=performance, cache_bytes=CACHE_BYTES, **engine(options)) as segmenter:
        try:
            serve(segmenter, settings, lambda url: _started(url, segmenter, settings))
        except KeyboardInterrupt:  # uvicorn has answered what ran, and hands the signal on
            print("stopped.")
    return 0


def settings_of(options: argparse.Namespace) -> ServeSettings:
    """Return the settings; what was not given keeps the default of `ServeSettings`."""
    from cgsam_edge.serve.settings import ServeSettings

    given = {
        "host": options.host,
        "port": options.port,
        "token": _token(options.token_file),
        "names": tuple(name.lower() for name in options.allow_host) or None,
        "waiting": options.waiting,
        "workers": options.workers,
        "timeout": options.timeout,
        "upload_timeout": options.upload_timeout,
        "max_upload": _scaled(options.max_upload, _MEGABYTE),
        "max_pixels": _scaled(options.max_megapixels, 1e6),
        "image_memory": _scaled(options.image_memory, _MEGABYTE),
    }
    with wrong_usage():
        return ServeSettings(**{name: value for name, value in given.items() if value is not None})


def _scaled(value: float | None, unit: float) -> int | None:
    return None if value is None else round(value * unit)


def _token(file: Path | None) -> str | None:
    """Return the token that clients must send; an unusable one is unusable input, which is no wrong option."""
    from cgsam_edge.serve.settings import check_token

    if file is None:
        origin, token = f"the variable {TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            return None
    else:
        origin, token = str(file), _read(file)
    try:
        check_token(token)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from error
    return token


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise InputError(f"{file}: the token cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def _started(url: str, segmenter: Any, settings: ServeSettings) -> None:
    who = "this machine alone can reach it" if settings.loopback else "other machines can reach it, with the token"
    placement = segmenter.placement
    print(
        f"{segmenter.bundle.path.name}, {placement.backend} on {placement.device}: {url} ({who}); Ctrl-C stops.",
        flush=True,
    )
