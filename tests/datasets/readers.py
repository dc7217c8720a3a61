"""Reads a data set with the tool that it is for, and saves the masks; a program, so that tools may have another Python.

    python readers.py TOOL FOLDER OUTPUT.npz

Nothing of the project is imported. Keys of the output are ``picture|number|concept``; masks are bool (H, W). It ends
with code 77 if the tool is not installed. It prints the tool's version.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NOT_INSTALLED = 77

Masks = dict[str, Any]


def pycocotools(folder: Path) -> Masks:
    from pycocotools.coco import COCO

    found: Masks = {}
    for path in sorted((folder / "annotations").glob("*.json")):
        data = COCO(str(path))
        for number, one in enumerate(data.loadAnns(data.getAnnIds())):
            (image,), (category,) = data.loadImgs(one["image_id"]), data.loadCats(one["category_id"])
            found[f"{image['file_name']}|{number}|{category['name']}"] = data.annToMask(one).astype(bool)
    return found


def supervision(folder: Path) -> Masks:
    from supervision import DetectionDataset

    found: Masks = {}
    for path in sorted((folder / "annotations").glob("*.json")):
        data = DetectionDataset.from_coco(str(folder / "images"), str(path), force_masks=True)
        found |= _of_supervision(data, folder / "images")
    return found


def supervision_yolo(folder: Path) -> Masks:
    from supervision import DetectionDataset

    found: Masks = {}
    for split in sorted(path.name for path in (folder / "images").iterdir()):
        data = DetectionDataset.from_yolo(
            str(folder / "images" / split), str(folder / "labels" / split), str(folder / "data.yaml"), force_masks=True
        )
        found |= _of_supervision(data, folder / "images" / split)
    return found


def _of_supervision(data: Any, images: Path) -> Masks:
    found: Masks = {}
    for path, _, detections in data:
        name = Path(path).relative_to(images).as_posix()
        for number in range(len(detections)):
            concept = data.classes[detections.class_id[number]]
            found[f"{name}|{number}|{concept}"] = np.asarray(detections.mask[number], bool)
    return found


def ultralytics(folder: Path) -> Masks:
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    found: Masks = {}
    for split in ("train", "val"):
        dataset = YOLODataset(img_path=data[split], data=data, task="segment", augment=False, imgsz=64)
        for label in dataset.labels:
            size, name = label["shape"], Path(label["im_file"]).relative_to(data[split]).as_posix()
            for number, (concept, ring) in enumerate(zip(label["cls"][:, 0], label["segments"], strict=True)):
                pixels = (ring * size[::-1]).reshape(1, -1)
                found[f"{name}|{number}|{data['names'][int(concept)]}"] = polygon2mask(size, list(pixels)).astype(bool)
    return found


def datumaro(folder: Path, form: str) -> Masks:
    from datumaro.components.annotation import AnnotationType, Mask, Polygon
    from datumaro.components.dataset import Dataset

    data = Dataset.import_from(str(folder), form)
    found: Masks = {}
    labels = data.categories()[AnnotationType.label]
    for item in data:
        size = item.media.size if item.media else tuple(json.loads((folder / "size.txt").read_text()))
        for number, one in enumerate(item.annotations):
            if isinstance(one, (Mask, Polygon)):
                mask = _polygon(one.points, size) if isinstance(one, Polygon) else np.asarray(one.image, bool)
                together = f"group {one.group}" if one.group else number  # polygons of one object
                key = f"{item.id}|{together}|{labels[one.label].name}"
                found[key] = found.get(key, False) | mask
    return found


def labelstudio(folder: Path) -> Masks:
    from label_studio_sdk.converter.brush import decode_rle
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((folder / "config.xml").read_text(encoding="utf-8"))
    tasks, found = json.loads((folder / "tasks.json").read_text(encoding="utf-8")), {}
    for task in tasks:
        (prediction,) = task["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
        for number, one in enumerate(prediction["result"]):
            size, value = (one["original_height"], one["original_width"]), one["value"]
            if one["type"] == "brushlabels":
                mask = decode_rle(value["rle"]).reshape(*size, 4)[..., 3] > 0
            else:
                mask = _polygon((np.array(value["points"]) / 100 * size[::-1]).ravel(), size)
            found[f"{task['data']['image']}|{number}|{value[one['type']][0]}"] = mask
    return found


def labelstudio_coco(folder: Path) -> Masks:
    """Predictions as a person would submit them, exported to COCO by Label Studio's converter, then pycocotools'."""
    from label_studio_sdk.converter import Converter

    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    for number, task in enumerate(tasks, 1):
        task |= {"id": number, "annotations": [{"id": number, "result": task.pop("predictions")[0]["result"]}]}
    export = folder / "export"
    export.mkdir()
    (export / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    converter = Converter((folder / "config.xml").read_text(encoding="utf-8"), str(folder), download_resources=False)
    converter.convert_to_coco(str(export / "tasks.json"), str(export / "annotations"), is_dir=False)
    (export / "annotations" / "result.json").rename(export / "annotations" / "instances.json")
    return pycocotools(export)


def labelme(folder: Path) -> Masks:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from labelme import LabelFile
    from labelme.utils import shape_to_mask

    found: Masks = {}
    for path in sorted(folder.rglob("*.json")):
        file = LabelFile(str(path))
        height, width = json.loads(path.read_text())["imageHeight"], json.loads(path.read_text())["imageWidth"]
        for number, shape in enumerate(file.shapes):
            mask = np.zeros((height, width), bool)
            if shape["shape_type"] == "mask":
                (left, top), (right, bottom) = np.array(shape["points"], int)
                mask[top : bottom + 1, left : right + 1] = shape["mask"]
            else:
                mask = shape_to_mask((height, width), shape["points"], shape["shape_type"])
            found[f"{path.relative_to(folder).as_posix()}|{number}|{shape['label']}"] = mask
    return found


def geojson(folder: Path) -> Masks:
    """shapely judges each geometry, and rasterio draws it by the centres of pixels."""
    from rasterio.features import rasterize
    from shapely import is_valid
    from shapely.geometry import shape

    found: Masks = {}
    size = json.loads((folder / "size.txt").read_text())
    for path in sorted(folder.rglob("*.geojson")):
        for number, one in enumerate(json.loads(path.read_text(encoding="utf-8"))["features"]):
            geometry = shape(one["geometry"])
            assert is_valid(geometry)
            key = f"{path.relative_to(folder).as_posix()}|{number}|{one['properties']['concept']}"
            found[key] = rasterize([geometry], size).astype(bool)
    return found


def _polygon(points: Any, size: tuple[int, int]) -> Any:
    from pycocotools import mask as coco

    return coco.decode(coco.frPyObjects([list(map(float, points))], *size)[0]).astype(bool)


READERS: dict[str, tuple[str, Callable[[Path], Masks]]] = {
    "pycocotools": ("pycocotools", pycocotools),
    "supervision": ("supervision", supervision),
    "supervision-yolo": ("supervision", supervision_yolo),
    "ultralytics": ("ultralytics", ultralytics),
    "datumaro-coco": ("datumaro", lambda folder: datumaro(folder, "coco_instances")),
    "datumaro-voc": ("datumaro", lambda folder: datumaro(folder, "voc_segmentation")),
    "datumaro-cvat": ("datumaro", lambda folder: datumaro(folder, "cvat")),
    "labelstudio": ("label-studio-sdk", labelstudio),
    "labelstudio-coco": ("label-studio-sdk", labelstudio_coco),
    "labelme": ("labelme", labelme),
    "geojson": ("rasterio", geojson),
}
"""The package of each reader, and the reader."""


def main() -> int:
    from importlib.metadata import PackageNotFoundError, version

    package, reader = READERS[sys.argv[1]]
    try:
        print(f"{package} {version(package)}")
    except PackageNotFoundError:
        return NOT_INSTALLED
    if sys.argv[1] == "datumaro-cvat" and version(package).startswith("0."):
        return NOT_INSTALLED  # it passes over masks without a word
    np.savez(sys.argv[3], **reader(Path(sys.argv[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
