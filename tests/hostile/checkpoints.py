"""Checkpoints that training tools write, and that hold all that is asked for: they are read."""

from __future__ import annotations

import argparse
import datetime as dt
import pathlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from tests.hostile.cases import READ, case
from tests.hostile.kit import Kit, foreign_class
from tests.tiny import write


def _renamed(kit: Kit, folder: Path, prefix: str) -> Path:
    sam, clip = ({f"{prefix}{k}": v for k, v in part.items()} for part in kit.parts())
    return write(folder / "c.pth", sam, clip)


def _flat(kit: Kit, sam_prefix: str, clip_prefix: str) -> dict[str, Any]:
    sam, clip = kit.parts()
    return {f"{sam_prefix}{k}": v for k, v in sam.items()} | {f"{clip_prefix}{k}": v for k, v in clip.items()}


@case("checkpoint", READ, "names were read without '_orig_mod.'")
def compiled(folder: Path, kit: Kit) -> Path:
    """Saved from a model under torch.compile"""
    return _renamed(kit, folder, "_orig_mod.")


@case("checkpoint", READ, "names were read without '_orig_mod.', 'module.'")
def compiled_in_parallel(folder: Path, kit: Kit) -> Path:
    """Compiled, then DistributedDataParallel"""
    return _renamed(kit, folder, "module._orig_mod.")


@case("checkpoint", READ, "names were read without '_orig_mod.', 'module.'")
def parallel_compiled(folder: Path, kit: Kit) -> Path:
    """DistributedDataParallel, then compiled"""
    return _renamed(kit, folder, "_orig_mod.module.")


@case("checkpoint", READ, "without '_checkpoint_wrapped_module.', '_fsdp_wrapped_module.', '_orig_mod.'")
def wrapped_blocks(folder: Path, kit: Kit) -> Path:
    """Every block compiled or wrapped by itself, under FSDP"""
    sam, clip = kit.parts()
    inner = {"blocks.0.": "blocks.0._orig_mod.", "blocks.1.": "blocks.1._checkpoint_wrapped_module."}
    named = {}
    for key, value in sam.items():
        for plain, wrapped in inner.items():
            key = key.replace(plain, wrapped)  # noqa: PLW2901
        named[f"_fsdp_wrapped_module.{key}"] = value
    return write(folder / "c.pth", named, clip)


@case("checkpoint", READ, "entries that are not weights were ignored: total_ops (2), total_params (2)")
def profiled(folder: Path, kit: Kit) -> Path:
    """Counters of thop in every module"""
    sam, clip = kit.parts()
    for name in ("image_encoder.", ""):
        sam |= {f"{name}total_ops": torch.zeros(1), f"{name}total_params": torch.zeros(1)}
    return write(folder / "c.pth", sam, clip)


@case("checkpoint", READ, "entries that are not weights were ignored: pixel_mean, pixel_std")
def pixel_buffers(folder: Path, kit: Kit) -> Path:
    """SAM's own pixel_mean and pixel_std among the weights"""
    sam, clip = kit.parts()
    sam["pixel_mean"] = torch.tensor([123.675, 116.28, 103.53]).reshape(3, 1, 1)
    sam["pixel_std"] = torch.tensor([58.395, 57.12, 57.375]).reshape(3, 1, 1)
    return write(folder / "c.pth", sam, clip)


@case("checkpoint", READ, "entries that are not weights were ignored: attn_mask")
def attention_mask(folder: Path, kit: Kit) -> Path:
    """CLIP's causal mask among its weights, as older open_clip saves it"""
    sam, clip = kit.parts()
    return write(folder / "c.pth", sam, {**clip, "attn_mask": torch.full((77, 77), -torch.inf).triu(1)})


@case("checkpoint", READ, "settings beside the weights were ignored (pathlib.PosixPath, datetime.date")
def settings(folder: Path, kit: Kit) -> Path:
    """numpy numbers and arrays, argparse's options, paths and dates beside the weights"""
    options = argparse.Namespace(lr=1e-4, out=pathlib.PosixPath("runs"), day=dt.date(2026, 1, 1))
    more = {"args": options, "best_IoU": np.float32(0.5), "seed": np.int64(3), "rng": np.arange(5, dtype=np.uint32)}
    return write(folder / "c.pth", *kit.parts(), **more)


@case("checkpoint", READ, "settings beside the weights were ignored (omegaconf.dictconfig.DictConfig")
def hydra(folder: Path, kit: Kit) -> Path:
    """Settings of a package that is not installed"""
    with foreign_class("omegaconf.dictconfig.DictConfig") as settings_class:
        made = settings_class()
        made.__dict__["lr"] = 0.1
        return write(folder / "c.pth", *kit.parts(), config=made)


@case("checkpoint", READ, "settings beside the weights were ignored (easydict.EasyDict)")
def easy_dict(folder: Path, kit: Kit) -> Path:
    """Settings in a dictionary of another class"""
    with foreign_class("easydict.EasyDict", dict) as settings_class:
        made = settings_class(lr=0.1)
        made.__dict__["lr"] = 0.1
        return write(folder / "c.pth", *kit.parts(), config=made)


@case(
    "checkpoint",
    READ,
    "read from its entry 'state_dict'…CLIP was read from 'model.clip.'…SAM was read from 'model.'",
)
def lightning(folder: Path, kit: Kit) -> Path:
    """PyTorch Lightning's checkpoint, CLIP inside SAM's module"""
    content = {"state_dict": _flat(kit, "model.", "model.clip."), "pytorch-lightning_version": "2.4", "epoch": 3}
    torch.save({**content, "hyper_parameters": {"lr": 1e-4}, "callbacks": {}}, folder / "last.ckpt")
    return folder / "last.ckpt"


@case("checkpoint", READ, "entries of losses or metrics were ignored: 'loss_fn.weight' (2 in all)")
def lightning_with_metrics(folder: Path, kit: Kit) -> Path:
    """Lightning's checkpoint with a loss and a metric that have tensors"""
    state = _flat(kit, "net.", "clip_net.")
    state |= {"loss_fn.weight": torch.ones(3), "val_metric.confmat": torch.zeros(3, 3)}
    torch.save({"state_dict": state}, folder / "c.ckpt")
    return folder / "c.ckpt"


@case("checkpoint", READ, "an averaged copy ('ema_model.') was ignored, because upstream evaluates the other weights")
def averaged_beside(folder: Path, kit: Kit) -> Path:
    """An averaged model (EMA) under the same state dict"""
    state = _flat(kit, "model.", "clip.")
    state |= {f"ema_model.{k}": v + 1 for k, v in kit.parts()[0].items()}
    torch.save({"state_dict": state}, folder / "c.ckpt")
    return folder / "c.ckpt"


@case(
    "checkpoint",
    READ,
    "an averaged copy ('model_ema') was ignored, and 'model_state_dict' taken",
)
def averaged_entry(folder: Path, kit: Kit) -> Path:
    """An averaged model (EMA) in an entry beside the trained one"""
    sam, clip = kit.parts()
    return write(folder / "c.pth", sam, clip, model_ema={k: v + 1 for k, v in sam.items()})


@case("checkpoint", READ, "weights were read from its entry 'model'")
def plain_entry(folder: Path, kit: Kit) -> Path:
    """Weights under 'model', CLIP among them"""
    torch.save({"model": _flat(kit, "", "clip_model."), "optimizer": {}}, folder / "c.pth")
    return folder / "c.pth"


@case("checkpoint", READ, "read as it should be")
def capitals(folder: Path, kit: Kit) -> Path:
    """safetensors with its suffix in capitals"""
    flat = {k: v.clone() for k, v in _flat(kit, "model_state_dict.", "clip_model.").items()}
    save_file(flat, folder / "C.SAFETENSORS")
    return folder / "C.SAFETENSORS"


@case("checkpoint", READ, "read as it should be")
def misnamed(folder: Path, kit: Kit) -> Path:
    """safetensors under the name of the other format"""
    flat = {k: v.clone() for k, v in _flat(kit, "model_state_dict.", "clip_model.").items()}
    save_file(flat, folder / "c.pth")
    return folder / "c.pth"


@case("checkpoint", READ, "read as it should be")
def zipped_anew(folder: Path, kit: Kit) -> Path:
    """Unpacked and packed again, compressed: its tensors cannot be mapped from the disk"""
    stored = write(folder / "stored.pth", *kit.parts())
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(folder / "c.pth", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return folder / "c.pth"


@case("checkpoint", READ, "read as it should be")
def old_format(folder: Path, kit: Kit) -> Path:
    """torch.save's format before PyTorch 1.6"""
    sam, clip = kit.parts()
    content = {"model_state_dict": sam, "clip_model": clip}
    torch.save(content, folder / "c.pth.tar", _use_new_zipfile_serialization=False)
    return folder / "c.pth.tar"


@case("checkpoint", READ, "read as it should be")
def saved_twice(folder: Path, kit: Kit) -> Path:
    """Every tensor with and without the prefix of DataParallel, the same values"""
    sam, clip = kit.parts()
    return write(folder / "c.pth", sam | {f"module.{k}": v for k, v in sam.items()}, clip)
