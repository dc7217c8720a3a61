"""A comparison of contenders as Markdown and as JSON, with the machine that it was measured on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.peaks import Peaks
from benchmarks.results import ContenderRow
from benchmarks.turns import Turn
from cgsam_edge.bench import cautions
from cgsam_edge.bench.measurement import Machine
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.tables import Table, number
from cgsam_edge.files import write_beside

FORMAT = "cgsam-alternatives"

_BUSY = 0.1
"""Cores that other programs keep busy before a warning is printed."""

NOTES = (
    (
        "one concept: from a picture in memory to a mask of its size, text alone; text features are computed before, "
        "for all, which favours the others: upstream runs CLIP's text encoder too."
    ),
    (
        "all draw the same points, by this project's fixed priorities, so that masks can be compared; upstream draws "
        "at random."
    ),
    (
        "PyTorch and plain ONNX prepare a picture as a person would write it: one call of Pillow's resize, and "
        "NumPy for the mean and standard deviation; their similarity maps, points and masks are this project's code."
    ),
    (
        "PyTorch is the reference model: upstream's computation, unfused. Plain ONNX is that model's three parts "
        "through torch.onnx.export as it is (the dynamo exporter), with the engine's own defaults; its INT8 is of "
        "the two encoders, with the tools' defaults: ONNX Runtime's quantize_dynamic, nncf.quantize on three "
        "rendered scenes."
    ),
    (
        "the first table has what a user gets by choosing the engine alone: OpenVINO then takes BF16 on "
        "processors that have it, PyTorch and ONNX Runtime float32, this project what its export proved."
    ),
    (
        "elsewhere all compute in float32 outside INT8, OpenVINO by INFERENCE_PRECISION_HINT; rows with BF16 are of "
        '`Segmenter(precision="reduced")` or of torch.autocast.'
    ),
    (
        "class mIoU: on rendered scenes with labels that no model was trained or calibrated on, from text alone, of "
        "models that were trained on such scenes; mask IoU: with eager PyTorch's masks at the same points."
    ),
    "cold start: of a process, imports included, to the first mask; from the second round on, caches are filled.",
    (
        "limit: the multiply-adds at the rate that the engine reaches on products of 1024×1024 matrices in the same "
        "run, each in the precision that it is in: of a bundle's INT8 only the products that are quantised are counted "
        "as such, of plain INT8 all, at the faster of both rates."
    ),
    "click: on an encoded image, decoder and mask alone.",
)


@dataclass(frozen=True)
class Alternatives:
    """A whole comparison.

    Attributes:
        when: local date and time of the end; turns have their own.
        model: its name, and a line about its sizes.
        machine: the machine.
        threads: CPU threads; None means the engines' own choice.
        versions: of the libraries that compute.
        picture: (width, height) in pixels.
        compared: concepts whose masks were compared.
        rows: one a contender.
        turns: the turns behind the rows.
        peaks: multiply-adds a second, by engine and precision.
        warnings: what distorts the numbers.
        notes: what numbers mean.
    """

    when: str
    model: tuple[str, ...]
    machine: Machine
    threads: int | None
    versions: dict[str, str]
    picture: tuple[int, ...]
    compared: int
    rows: tuple[ContenderRow, ...]
    turns: tuple[Turn, ...]
    peaks: Peaks
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = NOTES
    format: str = FORMAT


def warnings(turns: Sequence[Turn], sensors: Sensors, threads: int | None) -> list[str]:
    """Return warnings about what distorts the numbers."""
    found = cautions.before(
        cautions.Conditions(
            sensors.machine(), threads, governors=sensors.governors(), battery=sensors.on_battery(), load=None
        )
    )
    others = [turn.others for turn in turns if turn.others is not None]
    if others and sum(others) / len(others) > _BUSY:
        found.append(
            f"noisy: other programs kept {sum(others) / len(others):.1f} cores busy meanwhile, at most "
            f"{max(others):.1f}: times are too long, and ratios doubtful."
        )
    return found


def now() -> str:
    """Return local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z")


def markdown(found: Alternatives) -> str:
    """Return the comparison as Markdown."""
    parts = ["# " + " · ".join(found.model), "\n".join(f"{line}  " for line in _heading(found))]
    parts += [table.markdown() for table in _tables(found)]
    remarks = [*(f"warning: {line}" for line in found.warnings), *_problems(found), *found.notes]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in remarks)]) + "\n"


def text(found: Alternatives) -> str:
    """Return the tables for a terminal."""
    parts = [*(table.text() for table in _tables(found)), *_problems(found)]
    return "\n\n".join([*parts, *(f"warning: {line}" for line in found.warnings)])


def save(found: Alternatives, folder: Path) -> None:
    """Write ``results.json`` and ``results.md``.

    Raises:
        OutputError: they cannot be written.
    """
    plain = json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n"
    for name, content in (("results.json", plain), ("results.md", markdown(found))):
        write_beside(folder / name, partial(Path.write_text, data=content, encoding="utf-8"))


def _heading(found: Alternatives) -> list[str]:
    machine = found.machine
    memory = f", {machine.memory / 2**30:.1f} GiB" if machine.memory else ""
    threads = f"{found.threads} threads" if found.threads else "threads as the engines choose"
    width, height = found.picture
    return [
        f"{machine.processor}, {machine.cores} cores{memory}; {machine.system}; {threads}; {found.when}",
        ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        f"a picture of {width}×{height} pixels; masks of {found.compared} concepts compared",
    ]


def _tables(found: Alternatives) -> Iterator[Table]:
    measured = [row for row in found.rows if row.one is not None]
    yield Table("Defaults against defaults", _DEFAULTS, tuple(_default(row) for row in measured if row.by_default))
    yield Table("One image, one concept", _ONE, tuple(_one(row) for row in measured))
    yield Table("Start, click, memory, masks", _OTHER, tuple(_other(row) for row in measured))
    yield Table(
        "Products of matrices, GMAC/s",
        ("engine", "float32", "BF16 where there is", "INT8"),
        tuple(_peaks(found.peaks)),
    )


_ONE = ("", "median, ms", "p90, ms", "runs", "of eager", "of plain ONNX", "GMAC", "limit, ms", "times the limit")
_DEFAULTS = ("", "one concept, ms", "of eager", "peak memory, MB", "class mIoU", "mask IoU, mean")
_OTHER = ("", "cold start, s", "click, ms", "peak memory, MB", "class mIoU", "mask IoU, mean", "worst")


def _default(row: ContenderRow) -> tuple[str, ...]:
    assert row.one is not None
    memory = None if row.peak_memory is None else row.peak_memory / 1e6
    return (row.name, *map(number, (row.one.p50, row.to_eager, memory)), _share(row.class_miou), _share(row.mask_iou))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _one(row: ContenderRow) -> tuple[str, ...]:
    assert row.one is not None
    giga = None if row.macs is None else row.macs / 1e9
    values = (row.one.p50, row.one.p90, row.one.runs, row.to_eager, row.to_plain, giga, row.limit, row.to_limit)
    return (row.name, *(str(value) if isinstance(value, int) else number(value) for value in values))


def _other(row: ContenderRow) -> tuple[str, ...]:
    memory = None if row.peak_memory is None else row.peak_memory / 1e6
    shown = [number(value) for value in (row.cold, row.click.p50 if row.click else None, memory)]
    ious = [_share(value) for value in (row.class_miou, row.mask_iou, row.worst_mask_iou)]
    return (row.name, *shown, *ious)


def _peaks(peaks: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, ...]]:
    for engine, rates in peaks.items():
        yield (engine, *(number(rates[p] / 1e9) if p in rates else "–" for p in ("fp32", "reduced", "int8")))


def _problems(found: Alternatives) -> list[str]:
    return [f"{row.name}: {row.problem}" for row in found.rows if row.problem]
