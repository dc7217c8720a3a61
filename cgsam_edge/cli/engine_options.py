"""The arguments that several commands share: the bundle, and the options that choose an engine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cgsam_edge import shipped
from cgsam_edge.cli import values


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Declare a bundle that may be left out: the reference bundle is then taken."""
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        default=shipped.BUNDLE,
        help="the bundle's folder (default: the reference bundle)",
    )


def add_engine(
    parser: argparse.ArgumentParser, whom: str = "", threads: str = "CPU threads (default: all cores)"
) -> None:
    """Declare --backend, --device, --soc and --threads under a separate heading.

    Args:
        parser: the command's parser.
        whom: which bundles the choice applies to, such as " for both bundles"; empty for a single bundle.
        threads: help of --threads.
    """
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--backend",
        type=values.backend,
        default="auto",
        metavar="NAME",
        help=f"force this engine{whom} (default: auto, the fastest)",
    )
    group.add_argument(
        "--device",
        type=values.device,
        default="auto",
        metavar="NAME",
        help=f"force this device{whom}; cgsam doctor lists them (default: auto)",
    )
    add_soc(group)
    group.add_argument("--threads", type=values.threads, metavar="N", help=threads)


def add_soc(parser: Any) -> None:
    """Declare --soc."""
    text = "with --device qnn: the chip, by Qualcomm's model number, such as 57"
    parser.add_argument("--soc", type=values.soc, metavar="N", help=text)


def engine(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_engine` declared, as a `Segmenter` takes it; refuse a chip without its device."""
    check_soc(options)
    return {"backend": options.backend, "device": options.device, "threads": options.threads, "soc": options.soc}


def check_soc(options: argparse.Namespace) -> None:
    """Refuse --soc for devices that are no chips of Qualcomm.

    Raises:
        UsageError: see above.
    """
    if options.soc is not None and options.device.lower() not in ("qnn", "npu"):
        raise values.UsageError(f"--soc {options.soc} names a chip of Qualcomm; give --device qnn too, or neither.")
