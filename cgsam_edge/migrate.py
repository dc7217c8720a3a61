"""Rewriting a bundle of format 1 as format 2: the graph "image" becomes "clip" and "image"."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from cgsam_edge import split_onnx, split_openvino
from cgsam_edge._version import __version__
from cgsam_edge.arithmetic import ArithmeticProof
from cgsam_edge.bundle import Bundle, file_spec
from cgsam_edge.errors import BundleError, InputError
from cgsam_edge.examples import EXAMPLES_FILE, Examples
from cgsam_edge.manifest import CARD_FILE, CARD_PICTURES, FILE_NAME, FORMAT_VERSION, FileSpec, GraphSpec, Manifest
from cgsam_edge.revise import carry_files
from cgsam_edge.staging import staged

OF_CLIP = ("clip_features", "vision")
"""Outputs of the old graph "image" that the graph "clip" gives."""

SPLITTERS: dict[str, ModuleType] = {"onnxruntime": split_onnx, "openvino": split_openvino}


def migrate(bundle: str | Path, output: str | Path | None = None, *, drop: Collection[str] = ()) -> Path:
    """Rewrite a bundle in the newest format; no checkpoint is needed.

    On ONNX Runtime masks stay the same to the bit. OpenVINO compiles two graphs otherwise than one, which moves logits
    by what float32 rounds.

    The new bundle is complete beside its destination before it takes its place.

    Args:
        bundle: the bundle's folder.
        output: where to write; None replaces the bundle itself.
        drop: targets to leave out. Core ML's packages cannot be rewritten, so a bundle with them is refused unless
            "coreml" is dropped.

    Returns:
        The path of the bundle that was written.

    Raises:
        InputError: the bundle has the newest format already, or ``drop`` names a target that it does not hold.
        BundleError: a file is missing or altered, a target cannot be rewritten, or none would be left.
        BackendError: the package that a target is rewritten with is not installed.
        OutputError: the bundle cannot be written.
    """
    old = Bundle(bundle)
    targets = _kept_targets(old, drop)
    old.verify()
    destination = old.path if output is None else Path(output)
    with staged(destination) as folder:
        graphs = {target: old.manifest.targets[target] for target in targets}
        dropped = [name for name in old.manifest.targets if name not in targets]
        rewritten = _rewritten(old, targets, dropped)
        carry_files(old, folder, rewritten)
        macs: dict[str, int | None] = {}
        for target in targets:
            graphs[target], macs = _split(old, target, folder)
        if EXAMPLES_FILE in old.manifest.files:
            _split_examples(Examples.load(old.path / EXAMPLES_FILE)).save(folder / EXAMPLES_FILE)
        made = replace(_manifest(old.manifest, graphs, macs), files=_files(old, folder, rewritten))
        (folder / FILE_NAME).write_text(made.to_json(), encoding="utf-8")
    return destination


def _kept_targets(old: Bundle, drop: Collection[str]) -> list[str]:
    """Return the targets to rewrite, or refuse."""
    held = old.manifest.targets
    unknown = [name for name in drop if name not in held]
    if unknown:
        raise InputError(f"{old.path}: holds no target {unknown[0]!r} to drop; it holds {', '.join(held)}.")
    if old.manifest.format_version >= FORMAT_VERSION:
        raise InputError(f"{old.path}: has format {old.manifest.format_version} already; there is nothing to migrate.")
    kept = [name for name in held if name not in drop]
    for name in kept:
        if name not in SPLITTERS:
            raise BundleError(
                f"{old.path}: the graphs for {name!r} cannot be rewritten without the checkpoint. Export the bundle "
                f"again, or leave them out with --drop {name}."
            )
    if not kept:
        raise BundleError(f"{old.path}: no target would be left; it holds {', '.join(held)}.")
    return kept


def _rewritten(old: Bundle, targets: Collection[str], dropped: Collection[str]) -> set[str]:
    """Return the files that the new bundle does not take over as they are."""
    files = {EXAMPLES_FILE}
    for target in targets:
        files.update(old.files_of(old.graphs(target)["image"].path))
    for target in dropped:
        for spec in old.graphs(target).values():
            files.update(old.files_of(spec.path))
    return files


def _split(old: Bundle, target: str, folder: Path) -> tuple[dict[str, GraphSpec], dict[str, int | None]]:
    """Write the two parts of a target's graph "image"; return all graphs of it, and the parts' multiply-adds."""
    specs = old.graphs(target)
    whole = specs["image"]
    sides = {
        "clip": tuple(one for one in whole.outputs if one.name in OF_CLIP),
        "image": tuple(one for one in whole.outputs if one.name not in OF_CLIP),
    }
    place, splitter = PurePosixPath(whole.path).parent, SPLITTERS[target]
    (folder / place).mkdir(parents=True, exist_ok=True)
    names = {name: [one.name for one in outputs] for name, outputs in sides.items()}
    macs = splitter.split(old.path / whole.path, folder / place, names)
    made = {
        name: replace(whole, path=f"{place}/{name}{splitter.SUFFIX}", outputs=outputs)
        for name, outputs in sides.items()
    }
    return {**made, **{name: spec for name, spec in specs.items() if name != "image"}}, macs


def _split_examples(examples: Examples) -> Examples:
    """Give the outputs of the old graph "image" to the two new ones; neither has a stored input."""
    whole = examples.outputs.get("image", {})
    rest = {graph: tensors for graph, tensors in examples.outputs.items() if graph != "image"}
    clip = {name: values for name, values in whole.items() if name in OF_CLIP}
    image = {name: values for name, values in whole.items() if name not in OF_CLIP}
    return replace(examples, outputs={"clip": clip, "image": image, **rest})


def _manifest(old: Manifest, targets: dict[str, dict[str, GraphSpec]], macs: Mapping[str, int | None]) -> Manifest:
    created = {**old.created, "migrated": f"from format {old.format_version} by cgsam-edge {__version__}"}
    kept = old.with_targets(targets)
    return replace(
        kept,
        format_version=FORMAT_VERSION,
        created=created,
        cost=_cost(old.cost, macs),
        quality=_quality(kept.quality),
        arithmetic={
            target: {kind: _proof(proof) for kind, proof in proofs.items()}
            for target, proofs in kept.arithmetic.items()
        },
    )


def _proof(proof: ArithmeticProof) -> ArithmeticProof:
    """Give "clip" the arithmetic that the old graph "image", which held both, was proven in."""
    if "image" not in proof.graphs:
        return proof
    return replace(proof, graphs={"clip": proof.graphs["image"], **proof.graphs})


def _cost(old: Mapping[str, Any], macs: Mapping[str, int | None]) -> dict[str, Any]:
    """Replace the entry of the old graph by what is known of its parts."""
    rest = {name: cost for name, cost in old.items() if name not in macs}
    return {**rest, **{name: {"macs": count} for name, count in macs.items() if count}}


def _quality(old: Mapping[str, Any]) -> dict[str, Any]:
    """Say of layers that were kept in float in which graph they are now."""
    made = dict(old)
    if isinstance(made.get("kept"), list):
        made["kept"] = [_kept_layer(one) for one in made["kept"]]
    return made


def _kept_layer(one: Any) -> Any:
    of_clip = isinstance(one, dict) and one.get("graph") == "image" and str(one.get("layer")).startswith("clip.")
    return {**one, "graph": "clip"} if of_clip else one


def _files(old: Bundle, folder: Path, rewritten: Collection[str]) -> dict[str, FileSpec]:
    """Return all files of the new bundle but manifest and card; only what was written anew is read."""
    files = {name: spec for name, spec in old.manifest.files.items() if name not in rewritten}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        of_card = name == CARD_FILE or name.startswith(f"{CARD_PICTURES}/")
        if path.is_file() and name not in files and not of_card:
            files[name] = file_spec(path)
    return files
