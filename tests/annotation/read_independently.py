"""Reads batches with other people's libraries, in their environment; prints boxes or a label by image."""

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


def datumaro_of(folder):
    """What datumaro reads of a batch for CVAT: its items and the names of its labels."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    unpacked = folder / "unpacked"
    zipfile.ZipFile(folder / "cvat.zip").extractall(unpacked)
    dataset = Dataset.import_from(str(unpacked), "cvat")
    return list(dataset), [each.name for each in dataset.categories()[AnnotationType.label].items]


def cvat(folder):
    from datumaro.components.annotation import Bbox

    items, names = datumaro_of(folder)
    return {
        item.id: [[names[a.label], a.x, a.y, a.w, a.h] for a in item.annotations if isinstance(a, Bbox)]
        for item in items
    }


def cvat_labels(folder):
    from datumaro.components.annotation import Label

    items, names = datumaro_of(folder)
    return one_each({item.id: [names[a.label] for a in item.annotations if isinstance(a, Label)] for item in items})


def labelbox_of(folder):
    """What Labelbox's own package reads: annotations by file name; images without any are among the data rows."""
    from labelbox.data.serialization import NDJsonConverter

    rows = [json.loads(line) for line in (folder / "labels.ndjson").read_text(encoding="utf-8").splitlines()]
    name_of = {r["global_key"]: r["external_id"] for r in json.loads((folder / "data_rows.json").read_text())}
    found = {name: [] for name in name_of.values()}
    for label in NDJsonConverter.deserialize(rows):
        key = label.data["global_key"] if isinstance(label.data, dict) else label.data.global_key
        found[name_of[key]] += label.annotations
    return found


def labelbox(folder):
    def box(a):
        return [
            a.name,
            a.value.start.x,
            a.value.start.y,
            a.value.end.x - a.value.start.x,
            a.value.end.y - a.value.start.y,
        ]

    return {name: [box(a) for a in annotations] for name, annotations in labelbox_of(folder).items()}


def labelbox_labels(folder):
    return one_each({name: [a.value.answer.name for a in found] for name, found in labelbox_of(folder).items()})


def one_each(found):
    assert all(len(labels) <= 1 for labels in found.values()), found
    return {name: labels[0] if labels else None for name, labels in found.items()}


READ = {
    "yolo": yolo,
    "voc": voc,
    "cvat": cvat,
    "cvat-labels": cvat_labels,
    "labelbox": labelbox,
    "labelbox-labels": labelbox_labels,
}

if __name__ == "__main__":
    found = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for name in sys.argv[1:]:
            kind, folder = name.split("=", 1)
            found[name] = READ[kind](Path(folder))
    print(json.dumps(found))
