"""What makers start from: a tiny model and its two parts, and the bundle that comes with the package."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from cgsam_edge.bundle import file_spec
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.shipped import BUNDLE
from tests import tiny


@dataclass(frozen=True)
class Kit:
    """Shared between all makers; none may change it.

    Attributes:
        model: a tiny model.
        picture: a small picture.
    """

    model: ReferenceModel
    picture: Image.Image

    def parts(self) -> tiny.Parts:
        """Return ``model_state_dict`` and ``clip_model``, to be spoilt."""
        return tiny.upstream_parts(self.model)

    def bundle(self, folder: Path) -> Path:
        """Return a copy of the reference bundle; its graphs are links to the package's: replace them, never write."""
        made = folder / "hostile.cgsam"
        shutil.copytree(BUNDLE, made, copy_function=_link)
        for name in ("manifest.json", "vocabulary.npz"):
            content = (made / name).read_bytes()
            put(made / name, content)
        return made


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def put(path: Path, content: bytes | str) -> Path:
    """Write a file anew, in place of one that may be a link."""
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change a bundle's manifest."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    put(bundle / "manifest.json", json.dumps(manifest))
    return bundle


def relist(bundle: Path, name: str) -> Path:
    """Let the manifest vouch for a file as it is now."""
    spec = file_spec(bundle / name)
    return edit(bundle, lambda m: m["files"].update({name: {"size": spec.size, "sha256": spec.sha256}}))


@contextmanager
def foreign_class(path: str, base: type = object) -> Iterator[type]:
    """Lend a class of a package that is not installed, so that its objects can be pickled."""
    module_name, name = path.rsplit(".", 1)
    made = type(name, (base,), {"__module__": module_name})
    names = [module_name.rsplit(".", i)[0] for i in range(module_name.count(".") + 1)]
    kept = {each: sys.modules.get(each) for each in names}
    sys.modules.update({each: types.ModuleType(each) for each in names})
    setattr(sys.modules[module_name], name, made)
    try:
        yield made
    finally:
        for each, module in kept.items():
            if module is None:
                del sys.modules[each]
            else:
                sys.modules[each] = module
