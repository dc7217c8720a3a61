"""The kind of a file, from its first bytes: most files that are not checkpoints are something else entirely."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Literal

from cgsam_edge.errors import CheckpointError

Kind = Literal["safetensors", "zip", "torchscript", "pickle"]

_HEAD = 4096
_LARGEST_JSON = 64 * 2**20

_TEXTS = {
    rb"version https://git-lfs": "a pointer of Git LFS, not the file itself. Run 'git lfs pull' in the repository",
    rb"\s*<(?:!doctype html|html|head|body)": (
        "a web page, not a file: the address leads to a page about it, or asks you to sign in. Open the page, and "
        "take its download link"
    ),
    rb"\s*<\?xml.*?<net\b": "OpenVINO's model, already exported. The export starts from the checkpoint in PyTorch",
    rb"\s*<(?:\?xml|error)": "an XML document, such as the error message of a file server. Download the file again",
}

_MAGIC = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves"),
    (0, b"GGUF", "a GGUF file"),
    (4, b"TFL3", "a TensorFlow Lite model, already exported"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89PNG", "an image"),
    (0, b"\xff\xd8\xff", "an image"),
    (0, b"%PDF", "a PDF"),
)

_ARCHIVES = (
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ", "xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard"),
    (0, b"Rar!", "RAR"),
    (257, b"ustar", "tar"),
)

_INCOMPLETE = (".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2", ".tmp")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\b")
_ORIGINAL = "The export starts from the checkpoint in PyTorch: .pth, .pt, .bin or .safetensors"


def kind_of(path: Path) -> Kind:
    """Return how to read a file.

    Raises:
        CheckpointError: it is missing, or of a kind without a checkpoint; the message says which kind, and what to do.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: {_no_file(path)}.")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    size = path.stat().st_size
    found = _problem(path, head, size)
    if found:
        raise CheckpointError(f"{path}: {found}.")
    if _is_safetensors(head, size):
        return "safetensors"
    if not zipfile.is_zipfile(path):
        return "pickle"
    return _kind_of_zip(path)


def _problem(path: Path, head: bytes, size: int) -> str | None:
    """Return the kind of the file if it is not a checkpoint."""
    if not size:
        return "an empty file; the download or copy failed"
    shard = _SHARD.search(path.name)
    if shard and int(shard[2]) > 1:
        return (
            f"one of {int(shard[2])} parts of a checkpoint. Load all of them with the code that saved them, and save "
            "the state dict as one file"
        )
    if path.suffix.lower() in _INCOMPLETE:
        return f"an incomplete download, according to its name ({path.suffix}). Complete it first"
    for form, what in _TEXTS.items():
        if re.match(form, head, re.IGNORECASE | re.DOTALL):
            return what
    return _json(path, head, size) or _binary(path, head)


def _binary(path: Path, head: bytes) -> str | None:
    for at, magic, what in _MAGIC:
        if head.startswith(magic, at):
            return f"{what}. {_ORIGINAL}"
    for at, magic, what in _ARCHIVES:
        if head.startswith(magic, at):
            return f"an archive ({what}). Unpack it, and name the checkpoint in it"
    onnx = re.match(rb"\x08[\x01-\x20][\x12\x1a\x22\x3a]", head)  # the field ir_version, followed by another field
    if path.suffix.lower() == ".onnx" or onnx:
        return f"an ONNX model, already exported. {_ORIGINAL}"
    return None


def _json(path: Path, head: bytes, size: int) -> str | None:
    if head.lstrip()[:1] not in (b"{", b"[") or size > _LARGEST_JSON:
        return None
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    parts = content.get("weight_map") if isinstance(content, dict) else None
    if isinstance(parts, dict):
        names = sorted({str(name) for name in parts.values()})
        some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        return (
            f"the index of a checkpoint in {len(names)} parts ({some}). "
            "Load all of them with the code that saved them, and save the state dict as one file"
        )
    return "JSON text, such as a configuration or the error message of a server. Name the file with the weights"


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= size


def _kind_of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"{path}: not a checkpoint, or truncated ({error}).") from error
    if any(name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "zip"
    inside = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError(f"{path}: NumPy arrays ({inside}). {_ORIGINAL}.")
    raise CheckpointError(
        f"{path}: a zip archive, but not one that torch.save wrote; it contains {inside or 'nothing'}. If it contains "
        "a checkpoint, unpack that."
    )


def _no_file(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"a link to {path.readlink()}, which does not exist"
    if not path.is_dir():
        return "not a regular file" if path.exists() else "no such file"
    return f"is a folder, not a file{_in_folder(path)}"


def _in_folder(path: Path) -> str:
    """Return the likely kind of a folder, and what to do."""
    names = sorted(child.name for child in path.iterdir())
    if "manifest.json" in names:
        return ": a bundle, already exported. Give it to 'cgsam segment'"
    if "data.pkl" in names:
        return ": an unpacked checkpoint. Use the original file instead"
    if ".metadata" in names:
        return (
            ": a distributed checkpoint. Join it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            f"{path} FILE"
        )
    if "zero_to_fp32.py" in names:
        return ": a checkpoint of DeepSpeed. Join it with the script zero_to_fp32.py that lies in it"
    likely = [name for name in names if name.lower().endswith((".pth", ".pt", ".bin", ".safetensors", ".ckpt"))]
    return f". It contains {', '.join(likely[:4])}: name one of these" if likely else ""
