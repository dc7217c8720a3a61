"""``cgsam segment`` on a camera: JSON lines, and video if wanted, until interrupted."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from types import FrameType
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli.drawing import document, even, presences
from cgsam_edge.cli.live_options import check_for_camera, free_bytes, rotations
from cgsam_edge.cli.messages import say
from cgsam_edge.errors import ImageError
from cgsam_edge.files import make_folder
from cgsam_edge.live.address import with_login
from cgsam_edge.live.camera import Camera, CameraFrame
from cgsam_edge.live.just_in_time import JustInTime
from cgsam_edge.live.recording import Recording
from cgsam_edge.pipeline import Stage, follow_up, overlap
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.cli.looks import Look
    from cgsam_edge.results import Result
    from cgsam_edge.segmenter import Segmenter

_AHEAD = 3
"""Frames in progress: one in the engine, one drawn, one written; the next is read only as the engine is free."""

LOGIN = "CGSAM_CAMERA_LOGIN"
"""Variable with ``user:password``, so that neither the list of processes nor the shell's history shows them."""

_LOST = 3
"""Exit code if anything had no room on the disk."""

Drawing = tuple[str, "NDArray[np.uint8] | None", dict[str, bool], bool]


def run_live(
    options: argparse.Namespace, look: Look, names: list[str] | None, segmenter: Callable[[], Segmenter]
) -> int:
    """Segment a camera's frames until interrupted; return the exit code.

    Raises:
        CgsamError: the camera cannot be reached at the beginning, the engine failed, or nothing can be written.
    """
    check_for_camera(options)
    make_folder(options.output)
    with segmenter() as opened, _camera(options) as camera:
        opened.check_concepts(names)
        recording = _recording(options, look, camera)
        with closing(recording):
            seen, bare = _follow(camera, opened, names, options, look, recording)
    return _conclude(camera, recording, seen, look.bare_note if bare and seen else "")


def _camera(options: argparse.Namespace) -> Camera:
    usual, source = 5.0, with_login(options.images[0], os.environ.get(LOGIN, ""))
    return Camera(
        source,
        open_timeout=options.open_timeout or usual,
        read_timeout=options.read_timeout or usual,
        progress=say,
    )


def _recording(options: argparse.Namespace, look: Look, camera: Camera) -> Recording:
    rotate = rotations(options)
    wanted = options.record or look.blur is not None or look.cutout
    return Recording(
        options.output,
        re.sub(r"[^A-Za-z0-9.]+", "-", camera.name).strip("-"),
        video=look.video if wanted else None,
        rotate_bytes=rotate.size,
        rotate_seconds=rotate.seconds,
        keep_free=free_bytes(options),
        alpha=look.alpha,
        progress=say,
    )


def _follow(
    camera: Camera,
    segmenter: Segmenter,
    names: list[str] | None,
    options: argparse.Namespace,
    look: Look,
    recording: Recording,
) -> tuple[Counter[str], bool]:
    from tqdm import tqdm

    frames = JustInTime(camera)
    chosen = {key: getattr(options, key) for key in ("max_concepts", "time_budget", "skip_absent")}
    follow = follow_up(segmenter, track=options.track, smooth=options.smooth) or (lambda result: result)
    stages = (
        Stage(frames.guarded(lambda frame: (frame, segmenter.prepare(frame.image)))),
        Stage(frames.freeing(lambda pair: (pair[0], segmenter.segment(pair[1], names, **chosen)))),
        Stage(lambda pair: (pair[0], follow(pair[1]))),
        Stage(lambda pair: _drawn(camera.name, pair[0], pair[1], look if recording.video else None)),
    )
    seen: Counter[str] = Counter()
    bare, size = True, None
    with _stopping(frames.interrupt, options.duration), closing(overlap(frames, *stages, ahead=_AHEAD)) as processed:
        for frame, done in tqdm(processed, unit="frame", disable=None):
            try:
                line, picture, present, shown = done.result()
            except ImageError as error:  # it concerns this frame alone
                say(f"cgsam: error: {camera.name}: frame {frame.number}: {error}")
                continue
            if size is not None and frame.image.shape != size:
                recording.rotate()  # a video cannot change its size
            size = frame.image.shape
            recording.add(line, picture, frame.seconds)
            seen.update({name: int(found) for name, found in present.items()})
            bare = bare and shown
    return seen, bare


def _drawn(name: str, frame: CameraFrame, result: Result, look: Look | None) -> Drawing:
    arrived = datetime.fromtimestamp(frame.arrived, timezone.utc).isoformat(timespec="milliseconds")
    head = {"camera": name, "frame": frame.number, "time": round(frame.seconds, 6), "arrived": arrived}
    picture = None if look is None else even(look.draw(result, moving=True))
    bare = look is not None and look.is_bare(result)
    return json.dumps(document(head, result), ensure_ascii=False), picture, presences(result), bare


@contextmanager
def _stopping(stop: Callable[[], None], duration: float | None) -> Iterator[None]:
    """Stop on Ctrl-C, SIGTERM and after a time, with everything written; a second Ctrl-C interrupts at once."""
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            kept = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
            restore = _restorer(kept)
            stack.callback(restore)

            def handle(_number: int, _frame: FrameType | None) -> None:
                restore()
                stop()

            for one in kept:
                signal.signal(one, handle)
        if duration is not None:
            timer = threading.Timer(duration, stop)
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        yield


def _restorer(kept: dict[signal.Signals, Any]) -> Callable[[], None]:
    def restore() -> None:
        for one, handler in kept.items():
            signal.signal(one, handler)

    return restore


def _conclude(camera: Camera, recording: Recording, seen: Counter[str], note: str) -> int:
    """Print what was done, and return the exit code."""
    found = ", ".join(f"{name} in {count}" if count else f"{name} absent" for name, count in seen.items())
    again = f", found again {amount(camera.reconnections, 'time')}" if camera.reconnections else ""
    counts = f"{amount(recording.written, 'frame')} segmented of {camera.arrived} that arrived"
    print(f"{camera.name}: {counts}{again}; {found}{note}")
    if not recording.lost and not recording.unrecorded:
        return 0
    lost = f"{amount(recording.lost, 'line')}; {amount(recording.unrecorded, 'frame')} in no video"
    print(f"the disk was full. Lost: {lost}.", file=sys.stderr)
    return _LOST
