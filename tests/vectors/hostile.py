"""Bundles that every reader must refuse, as changes of the good one that any language can make."""

from __future__ import annotations

import base64
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cgsam_edge.bundle import file_spec
from cgsam_edge.manifest import FILE_NAME, VOCABULARY_FILE

_GRAPH = "onnxruntime/concept.onnx"
Steps = list[dict[str, Any]]
Row = tuple[str, str, Steps, list[str]]


def recipes(bundle: Path) -> list[dict[str, Any]]:
    """Return all: a name, what it is, the steps that make it, and words that the error must hold."""
    manifest = json.loads((bundle / FILE_NAME).read_text(encoding="utf-8"))
    made = [*_manifests(manifest), *_paths(manifest), *_files(bundle), *_vocabularies(bundle)]
    return [{"name": name, "about": about, "steps": steps, "says": says} for name, about, steps, says in made]


def _set(*path: str | int, to: Any) -> dict[str, Any]:
    return {"set": list(path), "to": to}


def _manifests(manifest: dict[str, Any]) -> list[Row]:
    slots, target = manifest["prompting"]["click_slots"] + 1, ("targets", "onnxruntime")
    changes: dict[str, tuple[str, dict[str, Any], list[str]]] = {
        "future_format": ("A format version that does not exist yet", _set("format_version", to=99), ["version", "99"]),
        "version_as_text": ("The format version as text", _set("format_version", to="1"), ["format_version"]),
        "other_json": ("Another program's manifest", _set("format", to="my-app"), [FILE_NAME]),
        "no_json": ("A manifest that is cut short", {"file": FILE_NAME, "keep": 100}, [FILE_NAME]),
        "no_manifest": ("A bundle without a manifest", {"file": FILE_NAME, "gone": True}, [FILE_NAME]),
        "huge_geometry": ("A billion pixels a side", _set("geometry", "image_size", to=10**9), ["image_size"]),
        "number_as_text": ("A number as text", _set("geometry", "image_size", to="256"), ["image_size"]),
        "no_threshold": ("A threshold above every map", _set("prompting", "threshold", to=1.5), ["threshold"]),
        "other_slots": ("More slots than the decoder has", _set("prompting", "click_slots", to=slots), ["points"]),
        "huge_tensor": (
            "A tensor of 10^18 values",
            _set(*target, "image", "outputs", 0, "shape", to=[10**6] * 3),
            ["shape"],
        ),
        "lacking_graph": ("A target without one of its graphs", {"unset": [*target, "decoder"]}, ["decoder"]),
        "no_concept": ("A list of concepts with nothing in it", _set("concepts", to=[]), ["vocabulary"]),
        "one_name_twice": ("Two concepts of one name", _set("concepts", 1, "name", to="CAR"), ["CAR"]),
    }
    return [(name, about, [step], says) for name, (about, step, says) in changes.items()]


def _paths(manifest: dict[str, Any]) -> list[Row]:
    spec = manifest["files"][_GRAPH]
    bad = {
        "path_upwards": ("A path that leaves the folder", "../outside.onnx"),
        "path_upwards_within": ("A path that goes up and down again", "onnxruntime/../../outside.onnx"),
        "absolute_path": ("An absolute path", "/etc/passwd"),
        "backslashes": ("Another system's separators", "onnxruntime\\concept.onnx"),
        "drive": ("A path on another drive", "C:concept.onnx"),
    }
    made: list[Row] = []
    for name, (about, path) in bad.items():
        steps = [_set("files", path, to=spec), _set("targets", "onnxruntime", "concept", "path", to=path)]
        made.append((name, about, steps, ["refused"]))
    made.append(("unlisted_graph", "A graph for whose file nobody vouches", [{"unset": ["files", _GRAPH]}], [_GRAPH]))
    return made


def _files(bundle: Path) -> list[Row]:
    size = (bundle / _GRAPH).stat().st_size
    noise = np.random.Generator(np.random.PCG64(0)).bytes(1000)
    return [
        ("wrong_hash", "One bit changed", [{"file": _GRAPH, "flip": size // 2}], ["concept.onnx", "SHA-256"]),
        ("truncated_graph", "A copy that was cut short", [{"file": _GRAPH, "keep": size - 1}], ["concept.onnx"]),
        ("missing_graph", "A file that is listed and not there", [{"file": _GRAPH, "gone": True}], ["concept.onnx"]),
        ("graph_of_noise", "A graph that is none, with the right hash", _replaced(_GRAPH, noise), ["concept"]),
    ]  # fmt: skip


def _replaced(name: str, content: bytes) -> Steps:
    return [{"file": name, "base64": base64.b64encode(content).decode()}, {"relist": name}]


def _vocabularies(bundle: Path) -> list[Row]:
    size = (bundle / VOCABULARY_FILE).stat().st_size
    with np.load(bundle / VOCABULARY_FILE) as held:
        arrays = dict(held)
    features = arrays["features"]
    flip: Steps = [{"file": VOCABULARY_FILE, "flip": size // 2}]
    contents = {
        "npz_of_text": ("Text where arrays should be", b"car\nroad\n"),
        "lying_header": ("An array that declares four terabytes", _lying()),
        "without_features": ("An array is missing", _npz(arrays, features=None)),
        "nan_features": ("Text features that are no numbers", _npz(arrays, features=features * np.float32(np.nan))),
        "double_features": ("Text features of another type", _npz(arrays, features=features.astype(np.float64))),
        "long_features": ("Text features that are not of unit length", _npz(arrays, features=features * 3)),
        "one_feature_less": ("A text feature less than there are concepts", _npz(arrays, features=features[1:])),
    }
    return [
        ("truncated_npz", "A vocabulary cut short, with the right hash", _cut(size // 2), [VOCABULARY_FILE]),
        (
            "npz_without_end",
            "A vocabulary without its last bytes, with the right hash",
            _cut(size - 30),
            [VOCABULARY_FILE],
        ),
        ("altered_npz", "One bit of the vocabulary changed", flip, [VOCABULARY_FILE]),
        *((name, about, _replaced(VOCABULARY_FILE, new), [VOCABULARY_FILE]) for name, (about, new) in contents.items()),
    ]


def _cut(keep: int) -> Steps:
    return [{"file": VOCABULARY_FILE, "keep": keep}, {"relist": VOCABULARY_FILE}]


def _npz(arrays: dict[str, Any], **news: Any) -> bytes:
    """Return an archive that has the same bytes whenever it is made."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in {**arrays, **news}.items():
            if array is not None:
                held = io.BytesIO()
                np.lib.format.write_array(held, array)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), held.getvalue())
    return out.getvalue()


def _lying() -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("features.npy"), header.getvalue() + bytes(4))
    return out.getvalue()


def make(recipe: dict[str, Any], bundle: Path, folder: Path) -> Path:
    """Make a bundle by its recipe from a copy of the good one, ``folder``/NAME.cgsam."""
    made = folder / f"{recipe['name']}.cgsam"
    shutil.copytree(bundle, made)
    for step in recipe["steps"]:
        _apply(step, made)
    return made


def _apply(step: dict[str, Any], bundle: Path) -> None:
    if "file" in step:
        _change_file(bundle / step["file"], step)
        return
    manifest = json.loads((bundle / FILE_NAME).read_text(encoding="utf-8"))
    if "relist" in step:
        manifest["files"][step["relist"]] = vars(file_spec(bundle / step["relist"]))
    else:
        *parents, last = step.get("set") or step["unset"]
        place = manifest
        for key in parents:
            place = place[key]
        if "set" in step:
            place[last] = step["to"]
        else:
            del place[last]
    (bundle / FILE_NAME).write_text(json.dumps(manifest), encoding="utf-8")


def _change_file(path: Path, step: dict[str, Any]) -> None:
    if "gone" in step:
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    if "keep" in step:
        del content[step["keep"] :]
    elif "flip" in step:
        content[step["flip"]] ^= 1
    else:
        content = bytearray(base64.b64decode(step["base64"]))
    path.write_bytes(content)
