"""The report of an export or a comparison: ``report.html``, which is self-contained, and ``report.json``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.files import make_folder, write_beside
from cgsam_edge.page.document import bullets, card, page, plot_grid, section
from cgsam_edge.page.markup import Html, joined, number, tag
from cgsam_edge.quality import charts
from cgsam_edge.quality.document import to_json
from cgsam_edge.quality.judge import mean_iou
from cgsam_edge.quality.pictures import figures
from cgsam_edge.quality.tables import float_table, graph_table, sharing_table, size_table
from cgsam_edge.quality.verdicts import NOT_RUN, Verdict, not_run, verdict
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from cgsam_edge.quality.findings import Quality
    from cgsam_edge.quality.judge import TargetQuality
    from cgsam_edge.quality.pairs import MaskPair
    from cgsam_edge.quality.pictures import Figure, Masks
    from cgsam_edge.quality.resolution import SizeSearch
    from cgsam_edge.quality.shared_blocks import SharingSearch

HTML_FILE, JSON_FILE = "report.html", "report.json"

_PICTURE_BYTES = 1_200_000
_SHOWN_FLIPS = 6


def write_report(quality: Quality, folder: Path, masks: Masks) -> None:
    """Write ``report.html`` and ``report.json`` to a folder, which is created if necessary.

    Args:
        quality: the findings.
        folder: where to write.
        masks: function from a target's name and a pair to the picture (W, H) and the reference's and target's masks,
            bool (H, W). Called only for the pairs that are shown.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    compared = [target for target in quality.targets if target.pairs]
    shown = _page(quality, figures(compared, masks, _PICTURE_BYTES))
    text = json.dumps(to_json(quality), indent=1, ensure_ascii=False, allow_nan=False)
    make_folder(folder)
    for name, content in ((HTML_FILE, shown), (JSON_FILE, f"{text}\n")):
        data = content.encode("utf-8", "replace")  # a file's name may contain bytes that are not text
        write_beside(folder / name, lambda path, data=data: path.write_bytes(data))  # type: ignore[misc]


def save_report(folder: Path, beside: Path) -> None:
    """Copy the report of a refused bundle to another folder, which is created."""
    beside.mkdir(exist_ok=True)
    for name in (HTML_FILE, JSON_FILE):
        shutil.copy(folder / name, beside / name)


def _page(quality: Quality, pictures: dict[str, list[Figure]]) -> str:
    sections = (_top(quality), *_measures(quality), *_figures(quality, pictures), *_remarks(quality))
    return page(quality.title, sections, f"All numbers: {JSON_FILE}")


def _top(quality: Quality) -> Html:
    idle = [_verdict_card(name, Verdict(NOT_RUN, "idle", "–"), [_idle()]) for name in not_run(quality)]
    return joined(
        [
            tag("h1", quality.title),
            tag("p", f"Masks are compared with those of {quality.reference}. {quality.pictures}", class_="lead"),
            tag("p", _summary(quality), class_="summary"),
            tag("div", *(_target_card(quality, target) for target in quality.targets), *idle, class_="grid"),
        ]
    )


def _summary(quality: Quality) -> str:
    words = [verdict(quality, target).word for target in quality.targets] + [NOT_RUN] * len(not_run(quality))
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    if len(words) == 1:
        return f"The target {_phrase(words[0], quality)}"
    return f"{len(words)} targets: " + ", ".join(f"{count} {word}" for word, count in counts.items())


def _phrase(word: str, quality: Quality) -> str:
    return {"agrees": f"agrees with {quality.reference}", "differs": f"differs from {quality.reference}"}.get(
        word, word
    )


def _idle() -> Html:
    return tag("p", "No engine of this machine runs it, so nothing was compared here.", class_="quiet")


def _target_card(quality: Quality, target: TargetQuality) -> Html:
    found = verdict(quality, target)
    if not target.pairs:
        return _verdict_card(target.target, found, [_idle()])
    problems = [bullets(target.problems, "problems")] if target.problems else []
    if found.word == "degraded":
        problems.append(tag("p", "The bundle was written nevertheless, as requested.", class_="quiet"))
    body = [
        tag("p", number(target.mean_iou), class_="big"),
        tag("p", f"mean mask IoU of {amount(len(target.counted), 'mask')}; {_needed(target)}", class_="quiet"),
        *problems,
        tag("dl", *_facts(target)),
        *_flips(target),
    ]
    return _verdict_card(target.target, found, body)


def _needed(target: TargetQuality) -> str:
    least, apart = target.least_iou, target.compared
    if least is None:
        return "judged by labels"
    if target.least_of_all is None:
        return f"judged by labels, but for {len(apart)} of them: {number(mean_iou(apart))}, at least {least:.4g}"
    return f"at least {least:.4g}"


def _verdict_card(name: str, found: Verdict, body: Sequence[Html]) -> Html:
    badge = tag("span", f"{found.mark} {found.word}", class_="badge")
    return tag("article", tag("header", tag("h3", name), badge), *body, class_=f"card verdict {found.kind}")


def _facts(target: TargetQuality) -> list[Html]:
    concept, iou = target.worst_concept
    calibrated, labelled, limits = target.decisions, target.labelled, target.limits
    drawn = "not measured"
    if target.drawn_iou is not None:
        most = f", at most {limits.max_disagreement:g}" if limits.min_iou is None and target.least_of_all else ""
        drawn = f"{number(target.drawn_iou)}; the target differs {target.disagreement:.2f} times as much{most}"
    rows = (
        ("worst concept", f"{concept} {number(iou)}"),
        ("worst mask", f"{target.worst.concept} {number(target.worst.iou)}"),
        ("mask IoU at other points", drawn),
        ("presence flipped", f"{target.flips} of {calibrated}" if calibrated else "not calibrated"),
        ("change of scores", number(target.score_change)),
        (
            "class mIoU by labels",
            "no labels"
            if labelled is None
            else f"{number(labelled[0])} → {number(labelled[1])}, a drop of {limits.max_drop:g} passes",
        ),
    )
    return [part for name, value in rows for part in (tag("dt", name), tag("dd", value))]


def _flips(target: TargetQuality) -> list[Html]:
    flipped = target.flipped
    if not flipped:
        return []
    items = [tag("li", _flip(pair)) for pair in flipped[:_SHOWN_FLIPS]]
    more = len(flipped) - _SHOWN_FLIPS
    return [
        tag("p", "Presence that changed:", class_="quiet flips"),
        tag("ul", *items, *([tag("li", f"and {more} more")] if more > 0 else []), class_="quiet flips-list"),
    ]


def _flip(pair: MaskPair) -> str:
    words = ("absent", "present")
    return f"{pair.concept} in {pair.image.name}: {words[pair.expected_present]} → {words[pair.present]}"


def _measures(quality: Quality) -> list[Html]:
    made = [_size(quality.size)] if quality.size else []
    made += [_sharing(quality.sharing)] if quality.sharing else []
    if quality.graphs:
        text = (
            "Error: root mean square, in standard deviations (σ) of the expected outputs. Cold: open, then first run."
        )
        plots = charts.latency(quality.graphs)
        made.append(section("Graphs", text, graph_table(quality.graphs)))
        if plots:
            made.append(section("Latency on this machine", "", plot_grid(plots)))
    compared = [target for target in quality.targets if target.pairs]
    if compared:
        made.append(section("Agreement of masks", "", *map(charts.agreement, compared)))
    return made


def _size(search: SizeSearch) -> Html:
    text = f"Chosen: {search.conclusion}. Masks are compared with those of the same model at its own size."
    return section("Image size", text, size_table(search), plot_grid([charts.sizes(search)]))


def _sharing(search: SharingSearch) -> Html:
    text = f"Taken: {search.conclusion}. Masks are compared with those of the same model without shared blocks."
    return section("Shared blocks", text, sharing_table(search))


def _figures(quality: Quality, pictures: dict[str, list[Figure]]) -> list[Html]:
    if not pictures:
        return []
    swatches = (
        ("#0072b2", quality.reference),
        ("#e67800", "target"),
        ("#46b4ff", f"only {quality.reference}"),
        ("#ff961e", "only the target"),
        ("#9a9a9a", "both"),
    )
    legend = [tag("span", tag("i", style=f"background:{colour}"), label) for colour, label in swatches]
    blocks = [
        joined([tag("h3", name), tag("div", *map(_figure, found), class_="figures")])
        for name, found in pictures.items()
    ]
    return [
        section(
            "Masks",
            "Worst, median and best: reference, target, difference.",
            tag("div", *legend, class_="legend"),
            *blocks,
        )
    ]


def _figure(figure: Figure) -> Html:
    pair, (width, height) = figure.pair, figure.size
    caption = joined([tag("b", f"{figure.kind}: {pair.concept}"), f" · IoU {number(pair.iou)} · {pair.image.name}"])
    sources = (("reference", figure.reference), ("target", figure.target), ("difference", figure.difference))
    tiles = [
        tag("img", src=uri, alt=f"{pair.concept} in {pair.image.name}, {name}", width=str(width), height=str(height))
        for name, uri in sources
    ]
    return tag("figure", tag("figcaption", caption), tag("div", *tiles, class_="tiles"), class_="card")


def _remarks(quality: Quality) -> list[Html]:
    made = []
    if quality.sensitivity:
        text = "Masks with a single layer quantised, the most sensitive layer first."
        made.append(section("Sensitivity", text, plot_grid(charts.sensitivity(quality.sensitivity))))
    if quality.kept_in_float:
        made.append(section("Layers kept in float", "", float_table(quality.kept_in_float)))
    notes = (*(f"Left out: {line}" for line in quality.left_out), *quality.notes)
    for title, lines in (("Notes", notes), ("Machine and versions", quality.machine)):
        if lines:
            made.append(section(title, "", card(bullets(lines))))
    return made
