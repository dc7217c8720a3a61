"""Identity, flicker and blinking on rendered clips, with and without tracking and smoothing.

``python -m benchmarks.tracks`` writes the tables of ``docs/guides/tracks.md``. The model's results are computed once, a
few minutes, and kept in the folder ``--cache``; all rows are computed from the same ones.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from benchmarks import other_trackers
from benchmarks.clip_results import FOUND, SIDE, ClipResults, clip_results
from cgsam_edge import Segmenter, Tracking
from cgsam_edge.files import write_beside
from cgsam_edge.live.follower import Follower
from cgsam_edge.quality.flicker import FlickerJudge, FlickerScore
from cgsam_edge.quality.identity import IdentityJudge, IdentityScore, Numbered, labelled_things
from cgsam_edge.quality.scenes import CONCEPTS, ClipFrame
from cgsam_edge.quality.scenes.clips import RATE
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.vocabulary import Vocabulary

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "tracks.md"
JUDGED = {CONCEPTS.index(name): name for name in ("car", "pedestrian", "bicyclist")}
"""What is tracked: things that move."""

FLICKERING = {CONCEPTS.index(name): name for name in FOUND}
AMOUNTS = (0.0, 0.3, 0.5, 0.7, 0.85)
_IN_PLACE = 0.5

Numberer = Callable[[Result], list[Numbered]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracks", description=__doc__)
    parser.add_argument("--clips", type=int, default=6, help="how many clips (default: 6)")
    parser.add_argument("--frames", type=int, default=48, help="frames of each (default: 48)")
    parser.add_argument("--cache", type=Path, default=Path("build/clips"), help="folder of the model's results")
    parser.add_argument("--print", action="store_true", help="print the tables, and write nothing")
    options = parser.parse_args()
    with Segmenter(backend="onnxruntime") as segmenter:
        vocabulary = segmenter.bundle.vocabulary
        clips = [clip_results(segmenter, index, options.frames, options.cache) for index in range(options.clips)]
    tables = {
        "identity": "\n".join(identity_table(clips, vocabulary)),
        "flicker": "\n".join(flicker_table(clips, vocabulary)),
    }
    print("\n\n".join(tables.values()))
    if not options.print:
        write_beside(PAGE, partial(Path.write_text, data=_with_tables(tables), encoding="utf-8"))


def _with_tables(tables: dict[str, str]) -> str:
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables.items():
        marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marked.sub(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)  # type: ignore[misc]
    return text


def identity_table(clips: list[ClipResults], vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the lines of the table of numbers: on the labels' masks, and on the model's."""
    yield "| masks | numbers | switches per 100 frames | ids per thing | things found | frames of them |"
    yield "|---|---|---|---|---|---|"
    perfect = [ClipResults(clip.frames, [_of_labels(one) for one in clip.frames]) for clip in clips]
    for masks, source in (("labels'", perfect), ("model's", clips)):
        for name, begin in numberers(vocabulary).items():
            total = sum((_identity(clip, begin()) for clip in source), IdentityScore())
            shares = f"{total.things} | {total.matched} of {total.visible}"
            yield f"| {masks} | {name} | {total.switches_per_100:.1f} | {total.ids_per_thing:.2f} | {shares} |"


def numberers(vocabulary: Vocabulary) -> dict[str, Callable[[], Numberer]]:
    """Return what gives numbers to objects, by name; each clip begins anew."""

    def follow(*, track: Tracking | bool, smooth: float = 0.0) -> Callable[[], Numberer]:
        return lambda: partial(_tracked, Follower(vocabulary, track=track, smooth=smooth))

    found: dict[str, Callable[[], Numberer]] = {
        "none: place in `objects()`": lambda: _listed,
        "`track=True`": follow(track=True),
        "`Tracking(min_frames=1)`": follow(track=Tracking(min_frames=1)),
        "`Tracking(max_gap=0)`": follow(track=Tracking(max_gap=0)),
        "`track=True, smooth=0.5`": follow(track=True, smooth=0.5),
    }
    if other_trackers.installed():
        for name in other_trackers.NAMES:
            found[f"{name}, boxes"] = partial(other_trackers.tracker, name, JUDGED.values(), RATE)
    return found


def _identity(clip: ClipResults, number: Numberer) -> IdentityScore:
    judge = IdentityJudge()
    for frame, result in zip(clip.frames, clip.results, strict=True):
        some = replace(result, concepts={name: result[name] for name in JUDGED.values()})
        judge.add(labelled_things(frame.labels, frame.ids, JUDGED), number(some))
    return judge.score()


def _listed(result: Result) -> list[Numbered]:
    present = (one.objects() for one in result.values() if one.present)
    return [Numbered(place, one.concept, one.mask) for found in present for place, one in enumerate(found)]


def _tracked(follower: Follower, result: Result) -> list[Numbered]:
    return [Numbered(one.id, one.object.concept, one.object.mask) for one in follower.follow(result).tracks]


def _of_labels(frame: ClipFrame) -> Result:
    """Return a result whose masks are the labels."""
    none = np.zeros((0, 2), np.float32)

    def one(name: str, mask: np.ndarray) -> ConceptResult:
        logits, size = np.where(mask, 5, -5).astype(np.float32), (SIDE, SIDE)
        return ConceptResult(name, logits, 1.0, 0.99, bool(mask.any()), none[:, 0], none, none, none[:, 0], None, size)

    concepts = {name: one(name, frame.labels == index) for index, name in JUDGED.items()}
    return Result(Image.fromarray(frame.image), concepts)


def flicker_table(clips: list[ClipResults], vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the lines of the table of masks and presence."""
    yield "| `smooth` | steadiness, labels' | steadiness | mask IoU | blinks per 100 frames | presence right | ms |"
    yield "|---|---|---|---|---|---|---|"
    for amount in AMOUNTS:
        yield _flicker_line(f"{amount:g}" if amount else "0, off", clips, vocabulary, amount)
    yield _flicker_line(f"{_IN_PLACE:g}, without motion", map(_in_place, clips), vocabulary, _IN_PLACE)


def _in_place(clip: ClipResults) -> ClipResults:
    """Return a clip whose pictures are all black: nothing is seen to move, so averages are taken in place."""
    black = Image.new("RGB", (SIDE, SIDE))
    return ClipResults(clip.frames, [replace(one, image=black) for one in clip.results])


def _flicker_line(name: str, clips: Iterable[ClipResults], vocabulary: Vocabulary, amount: float) -> str:
    score, seconds = FlickerScore(), 0.0
    for clip in clips:
        judge, follower = (
            FlickerJudge(score, FLICKERING),
            Follower(vocabulary, track=False, smooth=amount),
        )
        for frame, result in zip(clip.frames, clip.results, strict=True):
            start = time.perf_counter()
            smoothed = follower.follow(result)
            seconds += time.perf_counter() - start
            judge.add(frame.labels, dict(smoothed))
    steady = f"{fmean(score.label_steadiness):.3f} | {fmean(score.steadiness):.3f} | {fmean(score.accuracy):.3f}"
    right, cost = 100 * fmean(score.right), 1000 * seconds / score.frames
    return f"| {name} | {steady} | {score.blinks_per_100:.1f} | {right:.1f} % | {cost:.0f} |"


if __name__ == "__main__":
    main()
