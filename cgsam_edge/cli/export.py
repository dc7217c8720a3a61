"""``cgsam-export`` and ``cgsam export``; the defaults are those of the options in `cgsam_edge.export`."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from cgsam_edge import shipped
from cgsam_edge.arithmetic import BELOW_FLOAT32, FLOAT32
from cgsam_edge.cli.labels import EXIT_LEFT_OUT
from cgsam_edge.cli.values import number, size, usable, whole, wrong_usage
from cgsam_edge.errors import BackendError

_DESCRIPTION = """\
Make a bundle from a CLIP-Guided SAM checkpoint and a list of concepts. The adapters are fused exactly into SAM's
weights, and the concepts' text features are computed once. The bundle needs neither PyTorch nor a network.
"""

_NEEDED = ("torch", "open_clip", "segment_anything", "onnx", "tokenizers")
_TRAINED_FOR = {"text": ("text",), "clicks": ("clicks",), "both": ("text", "clicks")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; their defaults are those of the fields of the same names."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = "%(prog)s --concepts FILE [--checkpoint FILE] [options]"
    _add_export(parser)
    _add_more(parser.add_argument_group("prompts and Core ML"))
    _add_clip(parser.add_argument_group("CLIP"))
    _add_quantisation(parser.add_argument_group("quantisation"))
    _add_gate(parser.add_argument_group("the gate, which compares masks with the PyTorch model's"))
    _add_training(parser.add_argument_group("how the model was trained (checkpoints do not record it)"))
    parser.set_defaults(run=run)


def _add(group: argparse._ActionsContainer, owner: type, name: str, text: str, *aliases: str, **more: Any) -> None:
    """Declare an option whose default is that of the field of the same name of ``owner``.

    Numbers are parsed as the default's type, and a default of False makes a switch. ``text`` is followed by the default
    unless that is None; ``unset`` explains what None means.
    """
    default = getattr(owner, more.get("dest", name[2:].replace("-", "_")))
    if default is False:
        more["action"] = "store_true"
    elif isinstance(default, (int, float)):
        more.setdefault("type", type(default))
    shown = more.pop("unset", "" if default in (None, False) else str(default).removesuffix(".0"))
    group.add_argument(name, *aliases, default=default, help=text + (f" (default: {shown})" if shown else ""), **more)


def _add_export(parser: argparse.ArgumentParser) -> None:
    from cgsam_edge.export.options import ExportOptions

    add = partial(_add, parser, ExportOptions)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=shipped.CHECKPOINT,
        metavar="FILE",
        help="the checkpoint that training saved (.pth or .safetensors), or a public SAM checkpoint with --clip "
        "(default: the reference model, trained on rendered street scenes)",
    )
    concepts = "UTF-8, one concept a line, synonyms after '|', comments after '#'"
    parser.add_argument("--concepts", type=Path, required=True, metavar="FILE", help=concepts)
    text = "engines, separated by commas: onnxruntime, openvino, coreml"
    add("--target", text, dest="targets", type=_targets, metavar="NAMES", unset=",".join(ExportOptions.targets))
    text = (
        "fp32, fp16, int8 or int4, or one for each graph: image=int8,concept=int8,decoder=fp16. fp16 stores weights "
        "in half precision, in which Core ML also computes; int8 quantises the encoders' linear layers, for OpenVINO "
        "two of SAM's convolutions too, and stores the rest as fp16; int4 stores linear layers' weights in four bits"
    )
    words = parser.add_mutually_exclusive_group()
    _add(words, ExportOptions, "--precision", text, metavar="WORDS", unset="fp32, on Core ML fp16")
    for name, word in (("--half", "fp16"), ("--int8", "int8")):
        more: dict[str, Any] = {"dest": "precision", "action": "store_const", "const": word}
        words.add_argument(name, default=argparse.SUPPRESS, help=f"the same as --precision {word}", **more)
    text = "folder to write; an existing bundle is replaced"
    add("--output", text, type=Path, metavar="FOLDER", unset="<stem of the concepts file>.cgsam")
    text = (
        "side in pixels that images are squashed to: a multiple of 64 from 256 up to the checkpoint's own size; "
        "smaller is faster. auto takes the smallest size at which masks reach --min-iou with those at the checkpoint's "
        "own size"
    )
    add("--image-size", text, "--imgsz", type=_image_size, metavar="PIXELS", unset="its own")
    text = (
        "in how many of the first blocks that depend on the concept all concepts share one condition, so that they run "
        "once an image and a further concept costs less; or auto, the most whose masks pass the gate"
    )
    add("--shared-blocks", text, type=_or_auto("blocks"), metavar="K", unset="0, masks stay as they are")
    text = "add CLIP's text encoder to the bundle, so that 'cgsam vocab add' can add concepts later"
    add("--text-encoder", text)


def _add_more(group: argparse._ArgumentGroup) -> None:
    from cgsam_edge.export.options import ExportOptions
    from cgsam_edge.export.targets import IOS_VERSIONS

    add = partial(_add, group, ExportOptions)
    add("--prompt-slots", "largest number of clicks in one prompt", type=whole(), metavar="N")
    add("--prompt-ensemble", "average each concept name over CLIP's 85 templates, which upstream does not do")
    text = "the oldest iOS version that Core ML packages must run on; 16, 17, 18 correspond to macOS 13, 14, 15"
    add("--ios", text, choices=IOS_VERSIONS)


def _add_clip(group: argparse._ArgumentGroup) -> None:
    from cgsam_edge.export.options import ExportOptions

    add = partial(_add, group, ExportOptions)
    text = (
        "public CLIP weights, for a checkpoint that contains no CLIP: an open_clip state dict, or OpenAI's archive "
        "(ViT-B-16.pt). The archive is TorchScript and is read with torch.jit.load: use only a file that you trust"
    )
    add("--clip", text, type=Path, metavar="FILE")
    text = (
        "activation of CLIP's MLPs, if it cannot be determined from the name or shapes of the weights: quickgelu for "
        "OpenAI and MetaCLIP, gelu for LAION and DataComp"
    )
    add("--clip-activation", text, choices=("quickgelu", "gelu"), unset="determined from the weights, or an error")
    text = "number of attention heads of CLIP's two towers, if it cannot be determined from the weights"
    add("--clip-heads", text, type=_heads, metavar="VISION,TEXT", unset="determined from the weights, or an error")
    unset = "the size of its training; for public weights, half of SAM's; never more than --image-size"
    add("--clip-image-size", "side in pixels of CLIP's input", type=whole(), metavar="PIXELS", unset=unset)


def _add_quantisation(group: argparse._ArgumentGroup) -> None:
    from cgsam_edge.export.options import ExportOptions
    from cgsam_edge.export.quality_options import QualityOptions
    from cgsam_edge.export.targets import COREML_INT8

    add = partial(_add, group, QualityOptions)
    text = (
        "most that a device may store that takes one target of the bundle, such as 120MB; without --precision, the "
        "most precise of fp32, fp16, int8 and int4 that fits is taken"
    )
    _add(group, ExportOptions, "--max-size", text, type=size, metavar="SIZE")
    text = "for int8 and int4: 8 or more photos like those that the device will see"
    add("--calibration", text, type=Path, metavar="FOLDER", unset="rendered street scenes")
    add("--calibration-count", "number of these photos to use", type=_photos, metavar="N")
    text = "meaning of int8 on Core ML: 8-bit weights, 8-bit weights and activations, or palettes of 64 or 16 values"
    add("--coreml-int8", text, choices=tuple(COREML_INT8))
    text = "strength of the smoothing of outlier channels, from 0 (none) to 1"
    add("--smoothing", text, type=number(0, 1), metavar="X")
    text = (
        "if int8 or int4 does not pass the gate: minutes for trying layers one by one, to keep the most sensitive ones "
        "in float (with int4, in int8); 0 for no fallback"
    )
    add("--fallback-minutes", text, "--repair-minutes", type=number(), metavar="M")
    text = "show how much int8 or int4 in each single layer changes the masks, and write nothing"
    group.add_argument("--report-only", action="store_true", help=text)


def _add_gate(group: argparse._ArgumentGroup) -> None:
    from cgsam_edge.export.quality_options import QualityOptions
    from cgsam_edge.quality.defaults import AUTO_SIZE_MIN_IOU, ORIENTATIONS

    add = partial(_add, group, QualityOptions)
    unset = "some of the calibration photos, set aside; without those, rendered scenes"
    text = "pictures to compare masks on; none may be a calibration photo"
    add("--gate-images", text, type=Path, metavar="FOLDER", unset=unset)
    text = "labels of these pictures: a folder of index PNGs, or a COCO JSON file"
    add("--gate-labels", text, type=Path, metavar="PATH")
    add("--gate-classes", "for index PNGs: a file with one concept a line", type=Path, metavar="FILE")
    text = (
        "whether labels of photos with an EXIF rotation were drawn on the photo as viewers show it, or on its "
        "pixels as stored"
    )
    unset = "upright; labels that only fit the stored pixels are named and left out"
    add("--labels-orientation", text, choices=ORIENTATIONS, unset=unset)
    add("--gate-count", "number of pictures; 0 for no gate", type=whole(0), metavar="N")
    text = (
        "largest difference from PyTorch's masks that passes without labels, 1 - mean mask IoU, in units of what two "
        "other random draws of the points do to PyTorch's own masks"
    )
    add("--max-disagreement", text, type=number(), metavar="X")
    text = (
        "smallest mean mask IoU with PyTorch that passes, in place of --max-disagreement and of the limits for "
        "presence and scores (default: none). With --image-size auto, applies "
        f"to PyTorch at the new size compared with the checkpoint's own (default: {AUTO_SIZE_MIN_IOU:g}); the gate "
        "then keeps its defaults"
    )
    add("--min-iou", text, type=number(0, 1), metavar="X")
    add("--max-drop", "largest drop of class mIoU against labels that passes", type=number(0, 1), metavar="X")
    text = (
        "arithmetic below float32 that is tried on the gate's pictures; devices may compute in it where it passes: "
        "bfloat16, float16 or both; float32 tries none"
    )
    more: dict[str, Any] = {"type": _arithmetic, "metavar": "KINDS", "unset": "bfloat16,float16"}
    add("--arithmetic", text, **more)
    add("--arithmetic-minutes", "how long that may take", type=number(), metavar="M")
    add("--allow-degraded", "write a bundle even if it does not pass, marked as degraded")


def _add_training(group: argparse._ArgumentGroup) -> None:
    from cgsam_edge.export.config import PromptConfig

    add = partial(_add, group, PromptConfig)
    text = "the kinds of prompts used in training; the runtime warns about other kinds"
    unset = "the entry in a safetensors checkpoint's metadata, otherwise text"
    add("--trained-for", text, type=_trained_for, metavar=f"{{{','.join(_TRAINED_FOR)}}}", unset=unset)
    text = (
        "axis of the feature norm: tokens as in upstream's code (norm_dim=1), or channels as in the paper (norm_dim=-1)"
    )
    add("--similarity-norm", text, choices=("tokens", "channels"))
    text = "threshold of the similarity map, for points and the dense prompt"
    add("--threshold", text, type=number(0, 1, above=True, below=True), metavar="X")
    add("--points", "number of points drawn in text-only mode", type=whole(), metavar="K")


def _image_size(text: str) -> int | str:
    from cgsam_edge.export.image_sizes import check_size

    side = _or_auto("pixels")(text)
    if isinstance(side, int):
        usable(lambda: check_size(side))
    return side


def _photos(text: str) -> int:
    from cgsam_edge.quality.photos import LEAST

    return whole(LEAST)(text)


def _or_auto(things: str) -> Callable[[str], int | str]:
    from cgsam_edge.export.image_sizes import AUTO

    def parse(text: str) -> int | str:
        if text != AUTO and not text.isdecimal():
            raise argparse.ArgumentTypeError(f"expected a number of {things}, or {AUTO}, got {text!r}")
        return text if text == AUTO else int(text)

    return parse


def _heads(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"expected one or two numbers of heads, such as 16,12, got {text!r}")
    return tuple(map(int, parts))


def _targets(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def _arithmetic(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if any(kind not in (FLOAT32, *BELOW_FLOAT32) for kind in kinds):
        raise argparse.ArgumentTypeError(f"expected {FLOAT32}, or {' and '.join(BELOW_FLOAT32)}, got {text!r}")
    return tuple(kind for kind in kinds if kind != FLOAT32)


def _trained_for(text: str) -> tuple[str, ...]:
    if text not in _TRAINED_FOR:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(_TRAINED_FOR)}, got {text!r}")
    return _TRAINED_FOR[text]


def run(arguments: argparse.Namespace) -> int:
    """Export a bundle, or show the table of layers."""
    missing = [name for name in _NEEDED if not importlib.util.find_spec(name)]
    if missing:
        raise BackendError(f"exporting needs {', '.join(missing)}: pip install 'cgsam-edge[export]'.")
    from cgsam_edge.cli.progress_lines import ProgressLines
    from cgsam_edge.export.config import PromptConfig
    from cgsam_edge.export.layer_table import rank_layers
    from cgsam_edge.export.options import ExportOptions
    from cgsam_edge.export.pipeline import export_bundle
    from cgsam_edge.export.quality_options import QualityOptions, check_together
    from cgsam_edge.quality.labels import Remarks

    recipe = rank_layers if arguments.report_only else export_bundle
    with wrong_usage():
        options = ExportOptions(
            prompt=PromptConfig(**_given(PromptConfig, arguments)), **_given(ExportOptions, arguments)
        )
        quality = QualityOptions(**_given(QualityOptions, arguments))
        check_together(options, quality)
    remarks = Remarks()
    with ProgressLines() as progress:
        recipe(options, quality, progress=progress, remarks=remarks)
    return EXIT_LEFT_OUT if remarks.left_out else 0


def _given(owner: type, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that are fields of ``owner``."""
    return {field.name: getattr(arguments, field.name) for field in fields(owner) if hasattr(arguments, field.name)}
