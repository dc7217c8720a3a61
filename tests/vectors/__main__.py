"""Make the vectors of `docs/vectors` again: `python -m tests.vectors`, and `--export` for the bundle as well.

`--hostile FOLDER` writes the bundles that a reader must refuse, ready to be opened.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from tests.vectors import cases, hostile, stages
from tests.vectors.values import FOLDER, Store

BUNDLES = FOLDER / "bundles"


def bundles() -> list[Path]:
    """Return the committed bundles, one a format version."""
    return sorted(BUNDLES.glob("format-*.cgsam"))


def make(folder: Path = FOLDER) -> None:
    """Write vectors, pictures and recipes of hostile bundles, from the committed bundle of the newest format."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store()
    stages.add_all(store)
    cases.add_all(store, folder, bundles()[-1])
    store.write(folder, {"bundles": [f"bundles/{path.name}" for path in bundles()]})
    recipes = hostile.recipes(bundles()[-1])
    lines = ",\n".join(f"  {json.dumps(recipe)}" for recipe in recipes)
    head = json.dumps({"format": "cgsam-hostile", "version": 1, "bundle": f"bundles/{bundles()[-1].name}"}, indent=1)
    (folder / "hostile.json").write_text(f'{head[:-2]},\n "recipes": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def export() -> None:
    """Export the seeded model in the format that this version writes, in place of the committed bundle."""
    from cgsam_edge.manifest import FORMAT_VERSION
    from tests.vectors.model import export as export_model

    target = BUNDLES / f"format-{FORMAT_VERSION}.cgsam"
    BUNDLES.mkdir(parents=True, exist_ok=True)
    export_model(target, ("onnxruntime", "coreml"), progress=_say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("--export", action="store_true", help="export the seeded model again first (a minute)")
    parser.add_argument("--hostile", type=Path, metavar="FOLDER", help="only write the bundles to refuse into a folder")
    arguments = parser.parse_args()
    if arguments.hostile:
        shutil.rmtree(arguments.hostile, ignore_errors=True)
        arguments.hostile.mkdir(parents=True)
        for recipe in json.loads((FOLDER / "hostile.json").read_text(encoding="utf-8"))["recipes"]:
            _say(str(hostile.make(recipe, bundles()[-1], arguments.hostile)))
        return
    if arguments.export:
        export()
    make()


if __name__ == "__main__":
    main()
