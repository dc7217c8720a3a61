"""A bundle's model card: README.md with the front matter that model hubs read, from the bundle's own records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.errors import OutputError
from cgsam_edge.files import write_beside
from cgsam_edge.manifest import CARD_FILE, CARD_PICTURES, FILE_NAME
from cgsam_edge.quality.report import HTML_FILE, JSON_FILE
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.segmenter import Segmenter

_MARK = "<!-- Written by `cgsam card`. -->"
_TARGETS = {"onnxruntime": "onnx", "openvino": "openvino", "coreml": "coreml"}
_OWN = "*Not recorded in the bundle. Describe it here.*"


@dataclass(frozen=True)
class Facts:
    """The records of a bundle.

    Attributes:
        name: name of the folder.
        manifest: content of ``manifest.json``.
        report: content of ``report.json``, or empty.
        calibrated: names of the concepts whose presence was calibrated.
        screened: names of those that similarity alone may rule out.
    """

    name: str
    manifest: dict[str, Any]
    report: dict[str, Any]
    calibrated: tuple[str, ...]
    screened: tuple[str, ...]

    def presence(self, concept: str) -> str:
        """Return, in words, how a concept's presence is decided."""
        if concept in self.calibrated:
            return "calibrated"
        return "present unless similarity rules it out" if concept in self.screened else "always present"


def write_card(
    bundle: Bundle,
    *,
    licence: str | None = None,
    images: Sequence[Path] = (),
    segmenter: Segmenter | None = None,
    replace: bool = False,
) -> Path:
    """Write the card, and overlays of some images, into a bundle.

    Args:
        bundle: the bundle.
        licence: the model's licence as model hubs abbreviate it, such as "apache-2.0"; None means "not stated".
        images: photos to show with their masks; needs ``segmenter``.
        segmenter: a segmenter for the images.
        replace: whether to replace a README.md that another program or person wrote.

    Returns:
        The card's path.

    Raises:
        OutputError: a README.md from elsewhere exists, or a file cannot be written.
        ImageError: an image cannot be used.
    """
    path = bundle.path / CARD_FILE
    _check(path, replace=replace)
    pictures = (
        []
        if segmenter is None
        else [
            _picture(segmenter, bundle.path / CARD_PICTURES / f"{number}-{image.stem}.png", image)
            for number, image in enumerate(images, start=1)
        ]
    )
    text = card(facts(bundle), licence, pictures)
    write_beside(path, partial(Path.write_text, data=text, encoding="utf-8"))
    return path


def _check(path: Path, *, replace: bool) -> None:
    """Refuse to replace a README.md from elsewhere."""
    if replace or not path.exists():
        return
    if _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise OutputError(f"{path}: exists, and this program did not write it. Move it away, or add --force.")


def facts(bundle: Bundle) -> Facts:
    """Read the records of a bundle."""
    manifest = json.loads((bundle.path / FILE_NAME).read_text(encoding="utf-8"))
    report = bundle.path / JSON_FILE
    found = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    words = bundle.vocabulary
    calibrated, screened = (
        tuple(name for name in words.names if words.calibrated(name, kind)) for kind in ("presence", "screening")
    )
    return Facts(bundle.path.resolve().name, manifest, found, calibrated, screened)


def _picture(segmenter: Segmenter, target: Path, image: Path) -> str:
    """Write an image's overlay, and return its path within the bundle."""
    try:
        target.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{target.parent}: cannot be made ({error.strerror}).") from error
    overlay = segmenter.segment(image).overlay()
    write_beside(target, partial(overlay.save, format="PNG"))
    return f"{target.parent.name}/{target.name}"


def card(known: Facts, licence: str | None, pictures: Sequence[str]) -> str:
    """Return the text of the card."""
    parts = [
        _front_matter(known, licence),
        f"{_MARK}\n\n# {known.name}",
        *_summary(known, pictures),
        *_use(known),
        *_concepts(known),
        *_accuracy(known),
        *_size(known),
        *_training(known),
        *_limits(known),
        "## Licence",
        f"`{licence}`" if licence else _OWN,
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(known: Facts, licence: str | None) -> str:
    tags = ["segment-anything", "clip", "clip-guided-sam", "edge"]
    tags += [_TARGETS.get(target, target) for target in known.manifest["targets"]]
    lines = ["---", f"license: {licence or 'other'}"]
    lines += [] if licence else ["license_name: not-stated"]
    lines += ["library_name: cgsam-edge", "pipeline_tag: image-segmentation", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join([*lines, "---"])


def _summary(known: Facts, pictures: Sequence[str]) -> Iterator[str]:
    created = known.manifest.get("created", {})
    count = len(known.manifest["concepts"])
    yield (
        f"A *bundle* of {count} {'concept' if count == 1 else 'concepts'} for cgsam-edge, which segments images by "
        "concept on a device, offline and without PyTorch: a [CLIP-Guided SAM](https://arxiv.org/abs/2605.24807), or a "
        f"related model. {created.get('model', 'Its sizes are not recorded')}."
    )
    if known.manifest.get("quality", {}).get("degraded"):
        yield "**Its masks are too far from the PyTorch model's: it was exported with `--allow-degraded`.**"
    yield from (f"![Masks of all concepts]({picture})" for picture in pictures)


def _use(known: Facts) -> Iterator[str]:
    first = json.dumps(known.manifest["concepts"][0]["name"], ensure_ascii=False)
    yield "## Use"
    yield (
        "```python\nimport cgsam_edge\n\n"
        f'with cgsam_edge.Segmenter("{known.name}") as segmenter:\n'
        f'    result = segmenter.segment("photo.jpg", [{first}])\n'
        f"    result[{first}].mask, result[{first}].present\n```"
    )
    yield "Fetch the folder without links. `cgsam verify` checks that the engines of your machine agree with PyTorch."


def _concepts(known: Facts) -> Iterator[str]:
    yield "## Concepts"
    rows = ["| concept | other names | presence |", "|---|---|---|"]
    for one in known.manifest["concepts"]:
        state = known.presence(one["name"])
        rows.append(f"| {_cell(one['name'])} | {_cell(', '.join(one.get('synonyms', ())))} | {state} |")
    yield "\n".join(rows)


def _accuracy(known: Facts) -> Iterator[str]:
    yield "## Accuracy"
    gate = known.manifest.get("quality", {}).get("gate")
    if not gate:
        yield "The export compared no masks (`--gate-count 0`, or a version without a gate)."
        return
    shown = known.manifest["quality"].get("pictures", "")
    yield f"Masks of each target against those of the PyTorch model, from names alone. {shown}".strip()
    rows = ["| target | mask IoU, mean | limit | worst concept | presence flipped | class mIoU against labels |"]
    rows += ["|---|---|---|---|---|---|", *(_gate_row(target, found) for target, found in gate.items())]
    yield "\n".join(rows)
    if known.report:
        yield _by_concept(known.report)
        yield f"`{HTML_FILE}` shows the worst masks, errors and times; `{JSON_FILE}` has all numbers."


def _by_concept(report: dict[str, Any]) -> str:
    """Return each concept's mask IoU with PyTorch, a column for each target."""
    found = {one["target"]: one["by_concept"] for one in report["targets"] if one.get("by_concept")}
    names = dict.fromkeys(name for ious in found.values() for name in ious)
    rows = [
        f"| mask IoU with PyTorch | {' | '.join(f'`{target}`' for target in found)} |",
        "|---" * (1 + len(found)) + "|",
    ]
    for name in names:
        cells = [f"{ious[name]:.4f}" if name in ious else "" for ious in found.values()]
        rows.append(f"| {_cell(name)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    """Return text with Markdown's special characters escaped."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _gate_row(target: str, found: dict[str, Any]) -> str:
    concept, iou = found["worst_concept"]
    labelled = found.get("class_miou")
    miou = f"{labelled[0]:.4f} → {labelled[1]:.4f}" if labelled else "not measured"
    mean = f"{found['mean_iou']:.4f} over {amount(found['masks'], 'mask')}"
    limit = "by labels" if found["limit"] is None else f"{found['limit']:.2f}"
    return f"| `{target}` | {mean} | {limit} | {_cell(concept)} {iou:.4f} | {found['flips']} | {miou} |"


def _size(known: Facts) -> Iterator[str]:
    files, cost = known.manifest["files"], known.manifest.get("cost", {})
    yield "## Size"
    rows = ["| target | graph | precision | size | multiply-adds |", "|---|---|---|---|---|"]
    for target, graphs in known.manifest["targets"].items():
        for name, graph in graphs.items():
            stem = graph["path"].removesuffix(".xml")
            size = sum(file["size"] for path, file in files.items() if path.startswith((graph["path"], f"{stem}.bin")))
            macs = cost.get(name, {}).get("macs")
            work = f"{macs / 1e9:.1f} G" if macs else ""
            rows.append(f"| `{target}` | {name} | {graph['precision']} | {size / 1e6:.1f} MB | {work} |")
    yield "\n".join(rows)
    yield f"All files: {sum(file['size'] for file in files.values()) / 1e6:.1f} MB."


def _training(known: Facts) -> Iterator[str]:
    created, prompting = known.manifest.get("created", {}), known.manifest["prompting"]
    checkpoint = created.get("checkpoint", {})
    yield "## How it was made"
    lines = [
        f"- Checkpoint: `{checkpoint.get('name', 'unnamed')}`, SHA-256 `{checkpoint.get('sha256', 'not recorded')}`.",
        f"- Trained for prompts from {' and '.join(prompting['trained_for'])}.",
        f"- From text: {amount(prompting['points'], 'point')}, threshold {prompting['threshold']:g}.",
        f"- Exported by {created.get('by', 'an unknown version')}.",
    ]
    yield "\n".join(lines)
    yield f"Training data: {_OWN}"


def _limits(known: Facts) -> Iterator[str]:
    yield "## Limits"
    lines = ["- A concept has one mask, over all of its objects; there are no instances."]
    left = [one["name"] for one in known.manifest["concepts"] if one["name"] not in known.calibrated]
    if left:
        lines.append(f"- Their presence is not calibrated: {', '.join(left)}.")
    kept = known.manifest.get("quality", {}).get("kept") or ()
    if kept:
        lines.append(
            f"- {amount(len(kept), 'layer')} stayed in higher precision, because INT8 changed the masks too much."
        )
    yield "\n".join(lines)
    yield f"Intended use: {_OWN}"
