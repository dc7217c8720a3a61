"""Every file that cannot be read is named, with what is wrong in it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cgsam_edge.errors import CheckpointError
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.reference import ReferenceModel
from tests.export.test_checkpoint import openai_archive
from tests.tiny import Parts, write

BLOCK = "image_encoder.blocks.2."


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


def _no_file(path: Path, _parts: Parts) -> str:
    path.unlink(missing_ok=True)
    return "no such file"


def _folder(path: Path, _parts: Parts) -> str:
    path.mkdir()
    return "is a folder"


def _text(path: Path, _parts: Parts) -> str:
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    return "a pointer of Git LFS"


def _empty(path: Path, _parts: Parts) -> str:
    path.touch()
    return "an empty file"


def _truncated(path: Path, parts: Parts) -> str:
    write(path, *parts)
    path.write_bytes(path.read_bytes()[:-5000])
    return "truncated"


def _malicious(path: Path, _parts: Parts) -> str:
    torch.save({"model_state_dict": _Evil()}, path)
    return "system"


def _old_malicious(path: Path, _parts: Parts) -> str:
    path.write_bytes(pickle.dumps(_Evil()))
    return "refused|not a checkpoint"


def _list(path: Path, _parts: Parts) -> str:
    torch.save([torch.ones(1)], path)
    return "expected a dict of tensors; got list"


def _other_dict(path: Path, _parts: Parts) -> str:
    torch.save({"weights": 3}, path)
    return "no weights found"


def _numbered(path: Path, _parts: Parts) -> str:
    torch.save({0: torch.ones(1), "epoch": 3}, path)
    return "no weights found"


def _lacking(path: Path, parts: Parts) -> str:
    del parts[0][f"{BLOCK}norm2.weight"]
    write(path, *parts)
    return r"lacks the tensor 'image_encoder\.blocks\.2\.norm2\.weight'"


def _lacking_positions(path: Path, parts: Parts) -> str:
    del parts[0]["image_encoder.pos_embed"]
    write(path, *parts)
    return r"lacks the tensor 'image_encoder\.pos_embed'"


def _lacking_block(path: Path, parts: Parts) -> str:
    write(path, {k: v for k, v in parts[0].items() if not k.startswith(BLOCK)}, parts[1])
    return r"lacks the tensors 'image_encoder\.blocks\.2"


def _misshapen(path: Path, parts: Parts) -> str:
    parts[0][f"{BLOCK}MLP_Adapter.D_fc2.weight"] = torch.zeros(32, 9)
    write(path, *parts)
    return r"blocks\.2\.MLP_Adapter\.D_fc2\.weight' has the wrong shape: expected \(32, 8\), got \(32, 9\)"


def _lora(path: Path, parts: Parts) -> str:
    parts[0][f"{BLOCK}attn.qkv.linear_a_q.weight"] = torch.zeros(4, 32)
    write(path, *parts)
    return "LoRA, which is not supported"


def _unknown(path: Path, parts: Parts) -> str:
    parts[0][f"{BLOCK}frobnicator.weight"] = torch.zeros(4, 32)
    write(path, *parts)
    return r"unknown variant: 'image_encoder\.blocks\.2\.frobnicator"


def _mobile(path: Path, _parts: Parts) -> str:
    torch.save({"image_encoder.layers.0.conv.weight": torch.zeros(1)}, path)
    return "MobileSAM"


def _nan(path: Path, parts: Parts) -> str:
    parts[0][f"{BLOCK}mlp.lin1.bias"] = torch.full((64,), torch.nan)
    write(path, *parts)
    return r"lin1\.bias' holds NaN or infinity"


def _no_clip(path: Path, parts: Parts) -> str:
    write(path, parts[0], None)
    return "contains no CLIP.*--clip"


def _resnet(path: Path, parts: Parts) -> str:
    write(path, parts[0], {"visual.layer1.0.conv1.weight": torch.zeros(1)})
    return "CLIP ResNet"


BAD = [
    _no_file,
    _folder,
    _text,
    _empty,
    _truncated,
    _malicious,
    _old_malicious,
    _list,
    _other_dict,
    _numbered,
    _lacking,
    _lacking_positions,
    _lacking_block,
    _misshapen,
    _lora,
    _unknown,
    _mobile,
    _nan,
    _no_clip,
    _resnet,
]


@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__)
def test_bad_files_are_named(
    spoil: Callable[[Path, Parts], str], parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pth"
    message = spoil(path, parts)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_reference(path)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "owned").exists()


def test_truncated_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="truncated"):
        load_reference(path)


def test_trained_clip_and_public_clip_exclude_each_other(parts: Parts, model: ReferenceModel, tmp_path: Path) -> None:
    torch.save(model.clip.state_dict(), tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match="Leave --clip out"):
        load_reference(write(tmp_path / "c.pth", *parts), clip=tmp_path / "clip.pt")


def test_torchscript_is_read_for_clip_only(model: ReferenceModel, tmp_path: Path) -> None:
    openai_archive(dict(model.clip.state_dict()), tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match="Only --clip accepts those"):
        load_reference(tmp_path / "clip.pt")
