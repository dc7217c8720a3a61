"""Files that are no checkpoint, or none that can be exported: each is named, with what to do."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from tests.hostile.cases import REFUSED, case
from tests.hostile.kit import Kit, put
from tests.tiny import Parts, write

_BLOCK = "image_encoder.blocks.2."


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


def _spoilt(folder: Path, parts: Parts, **news: torch.Tensor) -> Path:
    return write(folder / "c.pth", {**parts[0], **news}, parts[1])


@case("checkpoint", REFUSED, "a pointer of Git LFS, not the file itself. Run 'git lfs pull'")
def lfs_pointer(folder: Path, kit: Kit) -> Path:
    """A repository cloned without Git LFS"""
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 375042383\n"
    return put(folder / "c.pth", text)


@case("checkpoint", REFUSED, "a web page, not a file")
def web_page(folder: Path, kit: Kit) -> Path:
    """The page about the file in place of the file"""
    return put(folder / "c.pth", "\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>")


@case("checkpoint", REFUSED, "an XML document, such as the error message of a file server")
def access_denied(folder: Path, kit: Kit) -> Path:
    """A storage server's refusal"""
    return put(folder / "c.pth", '<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code></Error>')


@case("checkpoint", REFUSED, "JSON text, such as a configuration or the error message of a server")
def json_error(folder: Path, kit: Kit) -> Path:
    """A model hub's refusal, or its config.json"""
    return put(folder / "c.pth", '{"error": "Repository not found"}')


@case("checkpoint", REFUSED, "the index of a checkpoint in 2 parts (model-00001-of-00002.safetensors, ")
def shard_index(folder: Path, kit: Kit) -> Path:
    """The index of weights that are in several files"""
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    return put(folder / "model.safetensors.index.json", json.dumps({"weight_map": {"a": names[0], "b": names[1]}}))


@case("checkpoint", REFUSED, "one of 3 parts of a checkpoint")
def shard(folder: Path, kit: Kit) -> Path:
    """One of several files"""
    path = folder / "model-00001-of-00003.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    return path


@case("checkpoint", REFUSED, "an empty file; the download or copy failed")
def empty(folder: Path, kit: Kit) -> Path:
    """No byte at all"""
    return put(folder / "c.pth", b"")


@case("checkpoint", REFUSED, "an incomplete download, according to its name")
def unfinished(folder: Path, kit: Kit) -> Path:
    """A browser's partial download"""
    path = write(folder / "c.pth", *kit.parts())
    return put(folder / "c.pth.crdownload", path.read_bytes()[:5000])


@case("checkpoint", REFUSED, "not a checkpoint, or truncated")
def truncated(folder: Path, kit: Kit) -> Path:
    """The end is missing"""
    path = write(folder / "c.pth", *kit.parts())
    return put(path, path.read_bytes()[:-5000])


@case("checkpoint", REFUSED, "not a readable safetensors file, or truncated")
def truncated_safetensors(folder: Path, kit: Kit) -> Path:
    """safetensors without its end"""
    save_file({"a": torch.zeros(100)}, folder / "c.safetensors")
    return put(folder / "c.safetensors", (folder / "c.safetensors").read_bytes()[:-50])


@case("checkpoint", REFUSED, "not a readable safetensors file, or truncated")
def deep_safetensors(folder: Path, kit: Kit) -> Path:
    """safetensors whose header is nested 100,000 deep"""
    header = b'{"a":' * 100_000
    return put(folder / "c.safetensors", len(header).to_bytes(8, "little") + header)


@case("checkpoint", REFUSED, "not a readable safetensors file, or truncated")
def lying_safetensors(folder: Path, kit: Kit) -> Path:
    """safetensors that declares a terabyte"""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    return put(folder / "c.safetensors", len(header).to_bytes(8, "little") + header + bytes(8))


@case("checkpoint", REFUSED, "an archive (gzip). Unpack it")
def gzipped(folder: Path, kit: Kit) -> Path:
    """A compressed checkpoint"""
    return put(folder / "c.pth.gz", gzip.compress(b"x" * 100))


@case("checkpoint", REFUSED, "a zip archive, but not one that torch.save wrote; it contains c.pth")
def zip_of_a_checkpoint(folder: Path, kit: Kit) -> Path:
    """A zip archive with the checkpoint in it"""
    write(folder / "c.pth", *kit.parts())
    with zipfile.ZipFile(folder / "weights.zip", "w") as archive:
        archive.write(folder / "c.pth", "c.pth")
    return folder / "weights.zip"


@case("checkpoint", REFUSED, "would unpack to 0.1 GB, far more than weights do; refused")
def zip_bomb(folder: Path, kit: Kit) -> Path:
    """An archive of torch.save that unpacks to a thousand times its size"""
    with zipfile.ZipFile(folder / "c.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/data.pkl", bytes(2**27))
    return folder / "c.pth"


@case("checkpoint", REFUSED, "an ONNX model, already exported")
def onnx_model(folder: Path, kit: Kit) -> Path:
    """A graph in place of the checkpoint, under its name"""
    return put(folder / "c.pth", b"\x08\x0a\x12\x07pytorch\x1a\x05" + b"2.7.0" + bytes(50))


@case("checkpoint", REFUSED, "an HDF5 file, as Keras saves")
def keras(folder: Path, kit: Kit) -> Path:
    """Weights of another framework"""
    return put(folder / "c.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))


@case("checkpoint", REFUSED, "an image")
def picture(folder: Path, kit: Kit) -> Path:
    """A picture in place of the checkpoint"""
    kit.picture.save(folder / "c.png")
    return folder / "c.png"


@case("checkpoint", REFUSED, "a TorchScript archive. Only --clip accepts those")
def torchscript(folder: Path, kit: Kit) -> Path:
    """A scripted model in place of its weights"""
    with zipfile.ZipFile(folder / "c.pt", "w") as archive:
        archive.writestr("c/data.pkl", b"")
        archive.writestr("c/constants.pkl", b"")
    return folder / "c.pt"


@case(
    "checkpoint", REFUSED, "a folder, not a file. It contains model.safetensors, pytorch_model.bin: name one of these"
)
def hub_folder(folder: Path, kit: Kit) -> Path:
    """A model's folder in place of its file"""
    made = folder / "model"
    made.mkdir()
    for name in ("config.json", "model.safetensors", "pytorch_model.bin"):
        put(made / name, b"{}")
    return made


@case("checkpoint", REFUSED, "a distributed checkpoint. Join it: python -m torch.distributed.checkpoint.format_utils")
def distributed(folder: Path, kit: Kit) -> Path:
    """A folder of torch.distributed.checkpoint"""
    made = folder / "step_1000"
    made.mkdir()
    put(made / ".metadata", b"x")
    put(made / "__0_0.distcp", b"x")
    return made


@case("checkpoint", REFUSED, "a bundle, already exported")
def exported(folder: Path, kit: Kit) -> Path:
    """A bundle in place of the checkpoint"""
    return kit.bundle(folder)


@case("checkpoint", REFUSED, "a link to gone.pth, which does not exist")
def dangling(folder: Path, kit: Kit) -> Path:
    """A link that leads nowhere"""
    (folder / "c.pth").symlink_to("gone.pth")
    return folder / "c.pth"


@case("checkpoint", REFUSED, "not a regular file")
def pipe(folder: Path, kit: Kit) -> Path:
    """A named pipe, which would be waited for"""
    os.mkfifo(folder / "c.pth")
    return folder / "c.pth"


@case("checkpoint", REFUSED, "SAM under the names of Hugging Face transformers")
def transformers_sam(folder: Path, kit: Kit) -> Path:
    """SamModel's weights"""
    keys = ("vision_encoder.layers.0.attn.qkv.weight", "shared_image_embedding.positional_embedding")
    state = {key: torch.zeros(3) for key in (*keys, "mask_decoder.iou_token.weight")}
    save_file(state, folder / "m.safetensors")
    return folder / "m.safetensors"


@case("checkpoint", REFUSED, "contains only CLIP. Pass it with --clip")
def clip_alone(folder: Path, kit: Kit) -> Path:
    """CLIP's weights in place of SAM's"""
    torch.save(kit.model.clip.state_dict(), folder / "clip.pt")
    return folder / "clip.pt"


@case("checkpoint", REFUSED, "refused, because unpickling it would call 'posix.system'")
def code(folder: Path, kit: Kit) -> Path:
    """A pickle that runs a command"""
    torch.save({"model_state_dict": _Evil()}, folder / "c.pth")
    return folder / "c.pth"


@case("checkpoint", REFUSED, "refused, because unpickling it would call")
def bare_code(folder: Path, kit: Kit) -> Path:
    """A pickle that runs a command, without an archive around it"""
    return put(folder / "c.pth", pickle.dumps(_Evil(), protocol=2))


@case("checkpoint", REFUSED, "refused, because unpickling it would call 'torch.nn.modules.linear.Linear'")
def whole_model(folder: Path, kit: Kit) -> Path:
    """torch.save(model) in place of its state dict"""
    torch.save({"model": torch.nn.Linear(2, 2)}, folder / "c.pth")
    return folder / "c.pth"


@case("checkpoint", REFUSED, "not a checkpoint")
def object_array(folder: Path, kit: Kit) -> Path:
    """A numpy array of objects, which may be anything"""
    return write(folder / "c.pth", *kit.parts(), rng=np.array([{}], dtype=object))


@case(
    "checkpoint",
    REFUSED,
    "contains two different tensors 'image_encoder.pos_embed', one of them as 'module.image_encoder",
)
def two_values(folder: Path, kit: Kit) -> Path:
    """One tensor with and without a prefix, with different values"""
    parts = kit.parts()
    return _spoilt(folder, parts, **{"module.image_encoder.pos_embed": parts[0]["image_encoder.pos_embed"] + 1})


@case("checkpoint", REFUSED, "holds SAM more than once, under 'student.', 'teacher.'. Save only the intended one")
def student_and_teacher(folder: Path, kit: Kit) -> Path:
    """Two models in one state dict"""
    sam, clip = kit.parts()
    both = {f"{who}.{k}": v for who in ("student", "teacher") for k, v in sam.items()}
    return write(folder / "c.pth", both, clip)


@case("checkpoint", REFUSED, "'pixel_mean' is [0.5, 0.5, 0.5]; the export normalises pixels as SAM and upstream do")
def other_pixels(folder: Path, kit: Kit) -> Path:
    """A model that was trained on pixels normalised in another way"""
    return _spoilt(folder, kit.parts(), pixel_mean=torch.full((3, 1, 1), 0.5))


@case("checkpoint", REFUSED, "contains torch.int8 instead of floating-point numbers: quantised weights?")
def quantised(folder: Path, kit: Kit) -> Path:
    """Weights as whole numbers"""
    name = f"{_BLOCK}mlp.lin1.weight"
    parts = kit.parts()
    return _spoilt(folder, parts, **{name: parts[0][name].to(torch.int8)})


@case("checkpoint", REFUSED, "holds no data (device meta)")
def without_data(folder: Path, kit: Kit) -> Path:
    """Tensors of the meta device: shapes without numbers"""
    return _spoilt(folder, kit.parts(), **{f"{_BLOCK}norm1.bias": torch.zeros(32, device="meta")})


@case("checkpoint", REFUSED, "holds sparse data; expected plain numbers")
def sparse(folder: Path, kit: Kit) -> Path:
    """A sparse tensor"""
    name = f"{_BLOCK}mlp.lin1.weight"
    return _spoilt(folder, kit.parts(), **{name: torch.zeros(64, 32).to_sparse()})


@case("checkpoint", REFUSED, "GB of weights")
def expanded(folder: Path, kit: Kit) -> Path:
    """One number that claims to be a table of 30,000 tokens a side"""
    return _spoilt(folder, kit.parts(), **{"image_encoder.pos_embed": torch.zeros(1).expand(1, 30_000, 30_000, 32)})


@case("checkpoint", REFUSED, "lin1.bias' holds NaN or infinity; the training run that wrote it diverged")
def diverged(folder: Path, kit: Kit) -> Path:
    """Weights that are no numbers"""
    return _spoilt(folder, kit.parts(), **{f"{_BLOCK}mlp.lin1.bias": torch.full((64,), torch.nan)})


@case("checkpoint", REFUSED, "has shape (0, 32), so it is empty")
def empty_tensor(folder: Path, kit: Kit) -> Path:
    """A tensor with no row"""
    return _spoilt(folder, kit.parts(), **{"image_encoder.blocks.0.mlp.lin1.weight": torch.zeros(0, 32)})


@case("checkpoint", REFUSED, "the sizes of its tensors contradict each other")
def odd_heads(folder: Path, kit: Kit) -> Path:
    """A decoder whose width its eight heads cannot share"""
    parts = kit.parts()
    name = "mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight"
    return _spoilt(folder, parts, **{name: torch.zeros(3, 32)})


@case("checkpoint", REFUSED, "holds LoRA, which is not supported")
def lora(folder: Path, kit: Kit) -> Path:
    """A research variant that cannot be exported"""
    return _spoilt(folder, kit.parts(), **{f"{_BLOCK}attn.qkv.linear_a_q.weight": torch.zeros(4, 32)})


@case("checkpoint", REFUSED, "holds an image encoder other than SAM's ViT (MobileSAM, EdgeSAM or SAM 2)")
def sam2(folder: Path, kit: Kit) -> Path:
    """SAM 2's weights"""
    torch.save({"model": {"image_encoder.trunk.pos_embed": torch.zeros(1)}}, folder / "sam2.pt")
    return folder / "sam2.pt"


@case("checkpoint", REFUSED, "'attn_mask' is not the causal mask of CLIP's text encoder")
def seeing_everything(folder: Path, kit: Kit) -> Path:
    """A text encoder without the causal mask"""
    sam, clip = kit.parts()
    return write(folder / "c.pth", sam, {**clip, "attn_mask": torch.zeros(77, 77)})
