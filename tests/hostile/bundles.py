"""Bundles that were damaged, altered, or made to do harm."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.cases import READ, REFUSED, case
from tests.hostile.kit import Kit, edit, put, relist

_GRAPH = "onnxruntime/concept.onnx"
_VOCABULARY = "vocabulary.npz"


def _text(bundle: Path, text: str | bytes) -> Path:
    put(bundle / "manifest.json", text)
    return bundle


def _replaced(bundle: Path, old: str, new: str) -> Path:
    text = (bundle / "manifest.json").read_text(encoding="utf-8")
    assert old in text
    return _text(bundle, text.replace(old, new, 1))


def _arrays(bundle: Path, **news: Any) -> Path:
    """Write the vocabulary anew with other arrays, None leaving one out, and let the manifest vouch for it."""
    with np.load(bundle / _VOCABULARY) as old:
        arrays = {**old, **news}
    (bundle / _VOCABULARY).unlink()
    np.savez(bundle / _VOCABULARY, **{name: array for name, array in arrays.items() if array is not None})
    return relist(bundle, _VOCABULARY)


def _as_file(bundle: Path, name: str) -> Path:
    """List another path as the graph's file."""
    return edit(bundle, lambda m: m["files"].update({name: m["files"].pop(_GRAPH)}))


@case("bundle", REFUSED, "not a bundle (it has no manifest.json)")
def empty_folder(folder: Path, kit: Kit) -> Path:
    """A folder with nothing in it"""
    (folder / "empty.cgsam").mkdir()
    return folder / "empty.cgsam"


@case("bundle", REFUSED, "not a folder")
def a_file(folder: Path, kit: Kit) -> Path:
    """A file in place of the folder"""
    return put(folder / "b.cgsam", b"x")


@case("bundle", REFUSED, "manifest.json: not a regular file")
def manifest_pipe(folder: Path, kit: Kit) -> Path:
    """A named pipe as its manifest, which would be waited for"""
    bundle = kit.bundle(folder)
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")
    return bundle


@case("bundle", REFUSED, "1000 MB, too large for a manifest")
def manifest_of_a_gigabyte(folder: Path, kit: Kit) -> Path:
    """A manifest of 1 GB"""
    bundle = kit.bundle(folder)
    with (bundle / "manifest.json").open("r+b") as file:
        file.truncate(10**9)
    return bundle


@case("bundle", REFUSED, "manifest.json: not JSON (maximum recursion depth exceeded")
def deep_manifest(folder: Path, kit: Kit) -> Path:
    """A manifest nested 100,000 deep"""
    return _text(kit.bundle(folder), "[" * 100_000)


@case("bundle", REFUSED, "manifest.json: cannot be read")
def manifest_in_utf16(folder: Path, kit: Kit) -> Path:
    """A manifest saved as UTF-16"""
    bundle = kit.bundle(folder)
    return _text(bundle, (bundle / "manifest.json").read_text(encoding="utf-8").encode("utf-16"))


@case("bundle", REFUSED, "not the manifest of a cgsam-bundle")
def other_json(folder: Path, kit: Kit) -> Path:
    """Another program's manifest.json"""
    return _text(kit.bundle(folder), '{"name": "My App", "icons": []}')


@case("bundle", REFUSED, "not JSON (the key 'files' is repeated)")
def twin_keys(folder: Path, kit: Kit) -> Path:
    """A key that is repeated, of which each reader takes another one"""
    return _replaced(kit.bundle(folder), '"files":', '"files": {}, "files":')


@case("bundle", REFUSED, "format version 99 is newer than 2…Upgrade cgsam-edge")
def from_the_future(folder: Path, kit: Kit) -> Path:
    """A format version that does not exist yet"""
    return edit(kit.bundle(folder), lambda m: m.update(format_version=99))


@case("bundle", REFUSED, "format_version must be a number from 1, got '1'")
def version_as_text(folder: Path, kit: Kit) -> Path:
    """The format version as text"""
    return edit(kit.bundle(folder), lambda m: m.update(format_version="1"))


@case("bundle", REFUSED, "geometry.image_size: expected int, got '512'")
def number_as_text(folder: Path, kit: Kit) -> Path:
    """A number as text"""
    return edit(kit.bundle(folder), lambda m: m["geometry"].update(image_size="512"))


@case("bundle", REFUSED, "prompting.threshold: expected a finite number, got nan")
def not_a_number(folder: Path, kit: Kit) -> Path:
    """NaN in place of a number"""
    return edit(kit.bundle(folder), lambda m: m["prompting"].update(threshold=float("nan")))


@case("bundle", REFUSED, "geometry.image_size must be from 1 to 16384, got 1000000000")
def huge_geometry(folder: Path, kit: Kit) -> Path:
    """Images of a billion pixels a side"""
    return edit(kit.bundle(folder), lambda m: m["geometry"].update(image_size=10**9))


@case("bundle", REFUSED, "the tensor 'tokens' cannot have shape (1000000, 1000000, 1000000)")
def huge_tensor(folder: Path, kit: Kit) -> Path:
    """A tensor of 10^18 values"""
    shape = [10**6] * 3
    return edit(kit.bundle(folder), lambda m: m["targets"]["onnxruntime"]["image"]["outputs"][0].update(shape=shape))


@case(
    "bundle",
    REFUSED,
    "'points' of the graph 'decoder'…has shape (1, 19, 2); the bundle's sizes require (1, 9003, 2)",
)
def other_slots(folder: Path, kit: Kit) -> Path:
    """More click slots than the decoder has"""
    return edit(kit.bundle(folder), lambda m: m["prompting"].update(click_slots=9000))


@case("bundle", REFUSED, "geometry.embed_dim is 512, but the vocabulary's text features have 128 numbers")
def other_model(folder: Path, kit: Kit) -> Path:
    """The vocabulary of another model"""
    return edit(kit.bundle(folder), lambda m: m["geometry"].update(embed_dim=512))


@case("bundle", REFUSED, "the path '/etc/passwd' leads out of the bundle; refused")
def absolute_path(folder: Path, kit: Kit) -> Path:
    """An absolute path"""
    return _as_file(kit.bundle(folder), "/etc/passwd")


@case("bundle", REFUSED, "the path '../../secret' leads out of the bundle; refused")
def path_upwards(folder: Path, kit: Kit) -> Path:
    """A path that leaves the folder"""
    return _as_file(kit.bundle(folder), "../../secret")


@case("bundle", REFUSED, "the path 'onnxruntime\\\\concept.onnx' leads out of the bundle; refused")
def backslashes(folder: Path, kit: Kit) -> Path:
    """Another system's separators"""
    return _as_file(kit.bundle(folder), "onnxruntime\\concept.onnx")


@case("bundle", REFUSED, "the path 'C:evil' leads out of the bundle; refused")
def drive(folder: Path, kit: Kit) -> Path:
    """A path on another drive"""
    return _as_file(kit.bundle(folder), "C:evil")


@case("bundle", REFUSED, "contains characters that are not allowed in a path; refused")
def nul_in_a_path(folder: Path, kit: Kit) -> Path:
    """A NUL character in a path"""
    return _as_file(kit.bundle(folder), "a\0b")


@case("bundle", REFUSED, "cannot be…")
def endless_path(folder: Path, kit: Kit) -> Path:
    """A path of 10,000 characters"""
    return _as_file(kit.bundle(folder), "a" * 10_000)


@case("bundle", REFUSED, "\\x1b[31mHACKED…expected an object, got 3")
def colours_in_a_key(folder: Path, kit: Kit) -> Path:
    """A key with codes that a terminal would obey"""
    return edit(kit.bundle(folder), lambda m: m["files"].update({"\x1b[31mHACKED": 3}))


@case(
    "bundle", REFUSED, "leads out of the bundle; refused. It is a link: copy the bundle with the files behind its links"
)
def link_outside(folder: Path, kit: Kit) -> Path:
    """A link to a file outside, as a model hub's cache has"""
    bundle = kit.bundle(folder)
    shutil.move(bundle / _GRAPH, folder / "blob")
    (bundle / _GRAPH).symlink_to(folder / "blob")
    return bundle


@case("bundle", REFUSED, "cannot be…")
def link_to_itself(folder: Path, kit: Kit) -> Path:
    """A link that leads back to itself"""
    bundle = kit.bundle(folder)
    (bundle / _GRAPH).unlink()
    (bundle / _GRAPH).symlink_to("concept.onnx")
    return bundle


@case("bundle", REFUSED, "concept.onnx: missing from the bundle")
def missing_graph(folder: Path, kit: Kit) -> Path:
    """A file that is listed and not there"""
    bundle = kit.bundle(folder)
    (bundle / _GRAPH).unlink()
    return bundle


@case("bundle", REFUSED, "concept.onnx: not a regular file")
def folder_as_file(folder: Path, kit: Kit) -> Path:
    """A folder where a file is listed"""
    bundle = kit.bundle(folder)
    (bundle / _GRAPH).unlink()
    (bundle / _GRAPH).mkdir()
    return bundle


@case("bundle", REFUSED, "concept.onnx: truncated or altered: expected")
def truncated_graph(folder: Path, kit: Kit) -> Path:
    """A copy that was cut short"""
    bundle = kit.bundle(folder)
    put(bundle / _GRAPH, (bundle / _GRAPH).read_bytes()[:-1])
    return bundle


@case("bundle", REFUSED, "concept.onnx: altered: its SHA-256 differs from the one in the manifest")
def wrong_hash(folder: Path, kit: Kit) -> Path:
    """One bit changed"""
    bundle = kit.bundle(folder)
    content = bytearray((bundle / _GRAPH).read_bytes())
    content[len(content) // 2] ^= 1
    put(bundle / _GRAPH, bytes(content))
    return bundle


@case("bundle", REFUSED, "vocabulary.npz: not a vocabulary (Object arrays cannot be loaded when allow_pickle=False)")
def pickled_vocabulary(folder: Path, kit: Kit) -> Path:
    """Arrays with pickled objects in them"""
    return _arrays(kit.bundle(folder), features=np.asarray([{}], dtype=object))


@case("bundle", REFUSED, "bytes that would unpack to 800")
def npz_bomb(folder: Path, kit: Kit) -> Path:
    """Arrays that unpack to a thousand times their size"""
    bundle = kit.bundle(folder)
    (bundle / _VOCABULARY).unlink()
    np.savez_compressed(bundle / _VOCABULARY, features=np.zeros((11, 128), "f4"), rows=np.zeros((10, 2 * 10**6), "f4"))
    return relist(bundle, _VOCABULARY)


@case("bundle", REFUSED, "'rows.npy' declares float32 of shape (1000000000000,) and holds 4 bytes")
def lying_header(folder: Path, kit: Kit) -> Path:
    """An array that declares four terabytes"""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    bundle = kit.bundle(folder)
    (bundle / _VOCABULARY).unlink()
    with zipfile.ZipFile(bundle / _VOCABULARY, "w") as archive:
        archive.writestr("rows.npy", header.getvalue() + bytes(4))
    return relist(bundle, _VOCABULARY)


@case("bundle", REFUSED, "vocabulary.npz: not a vocabulary (File is not a zip file)")
def vocabulary_of_text(folder: Path, kit: Kit) -> Path:
    """Text where arrays should be"""
    bundle = kit.bundle(folder)
    put(bundle / _VOCABULARY, "car\nroad\n")
    return relist(bundle, _VOCABULARY)


@case("bundle", REFUSED, "vocabulary.npz: not a vocabulary (it lacks 'features')")
def vocabulary_without_features(folder: Path, kit: Kit) -> Path:
    """An array is missing"""
    return _arrays(kit.bundle(folder), features=None)


@case("bundle", REFUSED, "'features' holds NaN or infinity")
def nan_features(folder: Path, kit: Kit) -> Path:
    """Text features that are no numbers"""
    return _arrays(kit.bundle(folder), features=np.full((11, 128), np.nan, np.float32))


@case("bundle", REFUSED, "'features' must be of unit length, got 0")
def zero_features(folder: Path, kit: Kit) -> Path:
    """Text features that say nothing"""
    return _arrays(kit.bundle(folder), features=np.zeros((11, 128), np.float32))


@case("bundle", REFUSED, "'features' must be float32 with 2 axes and 11 entries, got float64 with shape (11, 128)")
def double_features(folder: Path, kit: Kit) -> Path:
    """Text features of another type"""
    return _arrays(kit.bundle(folder), features=np.ones((11, 128)))


@case(
    "bundle",
    REFUSED,
    "'text_row' of the graph 'concept'…has shape (1, 3, 48); the bundle's sizes require (1, 2, 48)",
)
def other_rows(folder: Path, kit: Kit) -> Path:
    """Rows for another number of blocks"""
    return _arrays(kit.bundle(folder), rows=np.zeros((11, 2, 48), np.float32))


@case("bundle", REFUSED, "'presence' of 'sky' mixes numbers and NaN")
def half_calibrated(folder: Path, kit: Kit) -> Path:
    """A presence calibration of which half is missing"""
    table = np.full((11, 9), np.nan, np.float32)
    table[0, :4] = 1
    return _arrays(kit.bundle(folder), presence=table)


@case("bundle", REFUSED, "names 'sky' and")
def one_name_twice(folder: Path, kit: Kit) -> Path:
    """Two concepts whose names differ in what nobody sees"""
    return edit(kit.bundle(folder), lambda m: m["concepts"][1].update(name="S\u200bky"))


@case("bundle", REFUSED, "is not a readable name")
def colours_in_a_name(folder: Path, kit: Kit) -> Path:
    """A concept's name with codes that a terminal would obey"""
    return edit(kit.bundle(folder), lambda m: m["concepts"][0].update(name="sky\x1b[2J"))


@case("bundle", REFUSED, "must be float32 with 2 axes and 0 entries")
def no_concept(folder: Path, kit: Kit) -> Path:
    """A list of concepts with nothing in it"""
    return edit(kit.bundle(folder), lambda m: m.update(concepts=[]))


@case("bundle", REFUSED, "parity does not have the form that an export writes")
def odd_parity(folder: Path, kit: Kit) -> Path:
    """Measurements of another form"""
    return edit(kit.bundle(folder), lambda m: m.update(parity={"onnxruntime": {"kind": 3}}))


@case("bundle", READ, "made by ['\\x1b[2J'] from an unnamed checkpoint")
def odd_notes(folder: Path, kit: Kit) -> Path:
    """Informative entries of other types than an export writes: nothing depends on them"""
    return edit(kit.bundle(folder), lambda m: m.update(cost={"image": {"macs": "many"}}, created={"by": ["\x1b[2J"]}))


@case("bundle to segment with", REFUSED, "does not list the file 'onnxruntime/concept.onnx' of graph 'concept'")
def unlisted_graph(folder: Path, kit: Kit) -> Path:
    """A graph for whose file nobody vouches"""
    return edit(kit.bundle(folder), lambda m: m["files"].pop(_GRAPH))


@case("bundle to segment with", REFUSED, "target 'onnxruntime' lacks the graph 'decoder'")
def lacking_graph(folder: Path, kit: Kit) -> Path:
    """A target without one of its graphs"""
    return edit(kit.bundle(folder), lambda m: m["targets"]["onnxruntime"].pop("decoder"))


@case("bundle to segment with", REFUSED, "concept.onnx")
def graph_of_noise(folder: Path, kit: Kit) -> Path:
    """A graph that is none, with the right hash"""
    bundle = kit.bundle(folder)
    put(bundle / _GRAPH, np.random.default_rng(0).bytes(1000))
    return relist(bundle, _GRAPH)


@case("bundle to segment with", REFUSED, "concept.onnx.data: not listed in manifest.json, so nothing protects it")
def unlisted_weights(folder: Path, kit: Kit) -> Path:
    """Weights beside a graph for which nobody vouches"""
    bundle = kit.bundle(folder)
    put(bundle / f"{_GRAPH}.data", b"anything")
    return bundle
