"""``cgsam-export`` and ``cgsam export``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from cgsam_edge import shipped
from cgsam_edge.errors import BackendError

_DESCRIPTION = """\
Make a bundle of a CLIP-Guided SAM checkpoint and a list of concepts. The adapters are fused exactly into SAM's
weights, the concepts' CLIP text embeddings are computed once, and what comes out needs neither PyTorch nor a network.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; their defaults are upstream's."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=shipped.CHECKPOINT,
        metavar="FILE",
        help="what training saved (.pth or .safetensors), or a public SAM checkpoint with --clip (default: the "
        "reference model that comes with the package, trained on rendered street scenes)",
    )
    parser.add_argument(
        "--concepts",
        type=Path,
        required=True,
        metavar="FILE",
        help="UTF-8, one concept a line, synonyms after '|', comments after '#'",
    )
    parser.add_argument(
        "--target",
        default="onnxruntime",
        metavar="NAMES",
        help="engines, separated by commas: onnxruntime, openvino, coreml (default: onnxruntime)",
    )
    parser.add_argument(
        "--precision",
        metavar="WORDS",
        help="fp32, fp16 or int8, or one for each graph: image=int8,concept=int8,decoder=fp16. fp16 is of the stored "
        "weights, and on Core ML of the arithmetic too; int8 is of the encoder's linear layers, the rest is then fp16 "
        "(default: fp32, on Core ML fp16)",
    )
    parser.add_argument(
        "--ios",
        type=int,
        choices=(16, 17, 18),
        default=17,
        help="the oldest iOS that Core ML packages must run on; 16, 17, 18 are macOS 13, 14, 15 (default: 17)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="the bundle (default: <stem of the concepts file>.cgsam); replaced if it is one already",
    )
    parser.add_argument(
        "--image-size",
        type=_image_size,
        metavar="PIXELS",
        help="side to which images are squashed, smaller and faster than the checkpoint's own: a multiple of 64 from "
        "256; or auto, the smallest whose masks have --min-iou with those at its own size (default: its own)",
    )
    parser.add_argument(
        "--text-encoder",
        action="store_true",
        help="add CLIP's text encoder to the bundle, so that 'cgsam vocab add' can teach it new names later",
    )
    clip = parser.add_argument_group("CLIP")
    clip.add_argument(
        "--clip",
        type=Path,
        metavar="FILE",
        help="public CLIP weights for a checkpoint that holds none: an open_clip state dict, or OpenAI's archive "
        "(ViT-B-16.pt). The archive is TorchScript and is read with torch.jit.load: use only a file that you trust",
    )
    clip.add_argument(
        "--clip-activation",
        choices=("quickgelu", "gelu"),
        help="of its MLPs, where neither name nor shapes of the weights say: OpenAI's and MetaCLIP's have quickgelu, "
        "LAION's and DataComp's gelu (default: found out, else refused)",
    )
    clip.add_argument(
        "--clip-heads",
        type=_heads,
        metavar="VISION,TEXT",
        help="how many heads its towers have, where the weights do not say (default: found out, else refused)",
    )
    clip.add_argument(
        "--clip-image-size",
        type=int,
        metavar="PIXELS",
        help="side at which it runs (default: what it was trained at, half of SAM's for public weights; never "
        "more than --image-size)",
    )
    _add_quality(parser.add_argument_group("quantisation, and the gate that holds masks to the PyTorch model's"))
    _add_training(parser.add_argument_group("how the model was trained, which no checkpoint says"))
    parser.set_defaults(run=run)


def _image_size(text: str) -> int | str:
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of pixels, or auto, got {text!r}")
    return text if text == "auto" else int(text)


def _heads(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"expected one or two numbers of heads, such as 16,12, got {text!r}")
    return tuple(map(int, parts))


def _add_quality(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="photos for int8, 8 or more of what the device will see (default: rendered street scenes)",
    )
    group.add_argument(
        "--calibration-count", type=int, default=64, metavar="N", help="how many of them to use (default: 64)"
    )
    group.add_argument(
        "--gate-images",
        type=Path,
        metavar="FOLDER",
        help="pictures to compare masks on, none of them for calibration (default: some of the calibration folder, "
        "set aside; without one, rendered scenes)",
    )
    group.add_argument("--gate-labels", type=Path, metavar="PATH", help="their index PNGs, or a COCO JSON")
    group.add_argument("--gate-classes", type=Path, metavar="FILE", help="for index PNGs: one concept a line")
    group.add_argument(
        "--gate-count", type=int, default=8, metavar="N", help="how many pictures; 0 for no gate (default: 8)"
    )
    group.add_argument(
        "--min-iou",
        type=float,
        metavar="X",
        help="least mean mask IoU with PyTorch (default: 0.98; where something is int8, 0.95). With --image-size auto "
        "the least one of PyTorch at a smaller size with PyTorch at the checkpoint's own (default: 0.9), and the gate "
        "keeps its defaults",
    )
    group.add_argument(
        "--max-drop", type=float, default=0.01, metavar="X", help="most loss of labelled class mIoU (default: 0.01)"
    )
    group.add_argument(
        "--allow-degraded", action="store_true", help="write a bundle that does not pass, marked as such"
    )
    group.add_argument(
        "--report-only", action="store_true", help="show what int8 does to each layer's masks, and write nothing"
    )
    group.add_argument(
        "--repair-minutes",
        type=float,
        default=10.0,
        metavar="M",
        help="how long to try layers one by one when int8 does not pass; 0 for no repair (default: 10)",
    )
    group.add_argument(
        "--coreml-int8",
        choices=("weights", "w8a8", "palette6", "palette4"),
        default="weights",
        help="what int8 is on Core ML: weights alone, activations too, or tables of 64 or 16 values (default: weights)",
    )
    group.add_argument(
        "--smoothing", type=float, default=0.5, metavar="X", help="of outlier channels, 0 for none (default: 0.5)"
    )


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--trained-for",
        choices=("text", "clicks", "both"),
        help="the prompts of training; the runtime warns when used otherwise (default: what a "
        "safetensors checkpoint says of itself, else text)",
    )
    group.add_argument(
        "--similarity-norm",
        choices=("tokens", "channels"),
        default="tokens",
        help="axis of the feature norm: upstream's code takes the tokens (norm_dim=1), the paper the "
        "channels (norm_dim=-1) (default: tokens)",
    )
    group.add_argument(
        "--threshold",
        type=float,
        default=0.8,
        metavar="X",
        help="of the similarity map, for points and dense prompt (default: 0.8)",
    )
    group.add_argument("--points", type=int, default=5, metavar="K", help="points drawn in text-only mode (default: 5)")
    group.add_argument(
        "--prompt-slots", type=int, default=16, metavar="N", help="clicks that fit the decoder (default: 16)"
    )
    group.add_argument(
        "--prompt-ensemble",
        action="store_true",
        help="put concept names through CLIP's 85 templates; upstream does not",
    )


def run(options: argparse.Namespace) -> int:
    """Export."""
    missing = [
        name
        for name in ("torch", "open_clip", "segment_anything", "onnx", "tokenizers")
        if not importlib.util.find_spec(name)
    ]
    if missing:
        raise BackendError(f"exporting needs {', '.join(missing)}: pip install 'cgsam-edge[export]'.")
    from cgsam_edge.export.config import PromptConfig, PromptKind
    from cgsam_edge.export.finish import export_checked
    from cgsam_edge.export.options import ExportOptions
    from cgsam_edge.export.quality_options import QualityOptions
    from cgsam_edge.quality.defaults import AUTO_SIZE_MIN_IOU

    kinds: dict[str | None, tuple[PromptKind, ...] | None] = {
        "text": ("text",),
        "clicks": ("clicks",),
        "both": ("text", "clicks"),
        None: None,
    }
    auto_size = options.image_size == "auto"
    quality = QualityOptions(
        calibration=options.calibration,
        calibration_count=options.calibration_count,
        gate_images=options.gate_images,
        gate_labels=options.gate_labels,
        gate_classes=options.gate_classes,
        gate_count=options.gate_count,
        mean_iou=None if auto_size else options.min_iou,
        size_iou=options.min_iou if auto_size and options.min_iou is not None else AUTO_SIZE_MIN_IOU,
        labelled_drop=options.max_drop,
        allow_degraded=options.allow_degraded,
        report_only=options.report_only,
        repair_seconds=60 * options.repair_minutes,
        coreml_kind=options.coreml_int8,
        smoothing=options.smoothing,
    )
    export_checked(
        ExportOptions(
            checkpoint=options.checkpoint,
            concepts=options.concepts,
            output=options.output,
            targets=tuple(dict.fromkeys(name.strip() for name in options.target.split(","))),
            precision=options.precision,
            clip=options.clip,
            clip_activation=options.clip_activation,
            clip_heads=options.clip_heads,
            image_size=options.image_size,
            clip_image_size=options.clip_image_size,
            prompt=PromptConfig(
                similarity_norm=options.similarity_norm,
                threshold=options.threshold,
                points=options.points,
                trained_for=kinds[options.trained_for],
            ),
            click_slots=options.prompt_slots,
            prompt_ensemble=options.prompt_ensemble,
            text_encoder=options.text_encoder,
            ios=options.ios,
        ),
        quality,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    return 0
