"""Reads batches with other people's libraries, in their environment; prints [[label, x, y, w, h], ...] by image."""

import contextlib
import io
import json
import sys
import zipfile
from pathlib import Path


def yolo(folder):
    import supervision as sv

    where = (folder / "images/train", folder / "labels/train", folder / "data.yaml")
    return supervised(sv.DetectionDataset.from_yolo(*map(str, where)))


def voc(folder):
    import supervision as sv

    return supervised(sv.DetectionDataset.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations")))


def supervised(dataset):
    found = {}
    for path, boxes in dataset.annotations.items():
        corners = zip(boxes.xyxy.tolist(), boxes.class_id.tolist(), strict=True)
        found[Path(path).name] = [[dataset.classes[c], x, y, r - x, b - y] for (x, y, r, b), c in corners]
    return found


def cvat(folder):
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    unpacked = folder / "unpacked"
    zipfile.ZipFile(folder / "cvat.zip").extractall(unpacked)
    dataset = Dataset.import_from(str(unpacked), "cvat")
    names = [each.name for each in dataset.categories()[AnnotationType.label].items]
    return {
        item.id: [[names[a.label], a.x, a.y, a.w, a.h] for a in item.annotations if a.type == AnnotationType.bbox]
        for item in dataset
    }


if __name__ == "__main__":
    found = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for name in sys.argv[1:]:
            kind, folder = name.split("=", 1)
            found[name] = {"yolo": yolo, "voc": voc, "cvat": cvat}[kind](Path(folder))
    print(json.dumps(found))
