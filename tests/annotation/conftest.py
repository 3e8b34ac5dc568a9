# ruff: noqa: RUF001 - look-alike characters are what is tested
"""Batches to send out, and annotators who answer them with plain libraries, knowing only the documented formats."""

import csv
import hashlib
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from slicelab.annotation import write_batch
from slicelab.core import AnnotationTask, Batch, Box

LABEL_FILES = {
    "label-studio": "tasks.json",
    "cvat": "annotations.xml",
    "coco": "annotations.json",
    "csv": "labels.csv",
    "jsonl": "labels.jsonl",
    "labelbox": "labels.ndjson",
    "sagemaker": "input.manifest",
    "yolo": "data.yaml",
    "voc": "Annotations",
}
FOLDERS = ("yolo", "voc")
CLASSES = ("cat", "dog", "a b")
BATCH_ID = "0123456789abcdef" * 2


def make(task, n=3, classes=CLASSES, batch_id=BATCH_ID, boxes=None, keys=None):
    """A batch of n images of 200 x 100 px; detection: the first has no boxes, the others two."""
    two = (Box(classes[0], 10, 20, 30, 40, "a"), Box(classes[-1], 50.25, 10.5, 100.125, 60, "b"))
    tasks = []
    for i in range(n):
        key = keys[i] if keys else f"set/{i}.jpg"
        mine = () if task == "classification" else boxes if boxes is not None else two if i else ()
        tasks.append(
            AnnotationTask(
                task_id=f"{batch_id}-{i + 1:05d}",
                key=key,
                filepath=f"/nowhere/{key}",
                sha256=hashlib.sha256(key.encode()).hexdigest(),
                width=200,
                height=100,
                items=(f"item{i}",),
                units=(key,),
                reasons=("relabel",),
                label=classes[0] if task == "classification" else None,
                boxes=mine,
            )
        )
    return Batch("q", "ds", task, tuple(classes), tuple(tasks), batch_id=batch_id, created_at="2026-01-01T00:00:00Z")


def answer_label_studio(content, decisions, batch):
    """What a JSON export looks like after a person submitted these decisions by key."""
    tasks = json.loads(content)
    for n, task in enumerate(tasks):
        drawn = {r["id"]: r for p in task["predictions"] for r in p["result"]}
        task["predictions"] = [n]  # an export holds bare ids
        task["id"], task["annotations"] = 1000 - n, []
        decision = decisions.get(task["data"]["key"])
        if decision is None:
            continue
        common = {"to_name": "image", "original_width": 200, "original_height": 100, "image_rotation": 0}
        if batch.task == "classification":
            result = [
                {"id": f"r{n}", "from_name": "label", "type": "choices", "value": {"choices": [decision]}} | common
            ]
        else:
            result = []
            for m, (label_id, label, x, y, w, h) in enumerate(decision):
                mark = next((i for i in drawn if label_id and i.endswith(f"_{label_id}")), f"new{m}")
                value = {"x": x / 2, "y": y, "width": w / 2, "height": h, "rotation": 0, "rectanglelabels": [label]}
                result.append({"id": mark, "from_name": "box", "type": "rectanglelabels", "value": value} | common)
        task["annotations"] = [
            {"id": n, "completed_by": 7, "was_cancelled": False, "updated_at": "2026-02-01T00:00:00Z", "result": result}
        ]
    return json.dumps(tasks)


def answer_cvat(content, decisions, batch):
    """What CVAT exports after a person decided and gave the tag."""
    root = ET.fromstring(content)
    by_name = {t.key: t for t in batch.tasks}
    for image in root.findall("image"):
        decision = decisions.get(image.get("name"))
        if decision is None:
            continue
        before = {
            next((a.text for a in s.findall("attribute") if a.get("name") == "label_id"), None): s
            for s in image.findall("box")
        }
        for shape in list(image):
            image.remove(shape)
        ET.SubElement(image, "tag", label="slicelab_reviewed", source="manual")
        if batch.task == "classification":
            tag = ET.SubElement(image, "tag", label=decision, source="manual")
            ET.SubElement(tag, "attribute", name="slicelab_id").text = by_name[image.get("name")].task_id
            continue
        for label_id, label, x, y, w, h in decision:
            edges = {"xtl": x, "ytl": y, "xbr": x + w, "ybr": y + h}
            box = ET.SubElement(image, "box", {"label": label, "occluded": "0", "source": "manual"})
            box.attrib.update({k: f"{v:.2f}" for k, v in edges.items()})
            if label_id in before:
                box.extend(before[label_id].findall("attribute"))
    return ET.tostring(root, encoding="unicode")


def answer_coco(content, decisions, batch):
    """What a COCO tool that keeps extra keys saves."""
    data = json.loads(content)
    category = {c["name"]: c["id"] for c in data["categories"]}
    annotations = list(data["annotations"])
    for image in data["images"]:
        decision = decisions.get(image["key"])
        if decision is None:
            continue
        image["slicelab_reviewed"] = True
        annotations = [a for a in annotations if a["image_id"] != image["id"]]
        rows = [(None, decision, 0, 0, 200, 100)] if batch.task == "classification" else decision
        for label_id, label, *bbox in rows:
            annotation = {"image_id": image["id"], "category_id": category[label], "bbox": bbox, "iscrowd": 0}
            annotations.append(annotation | ({"label_id": label_id} if label_id else {}))
    data["annotations"] = [a | {"id": n} for n, a in enumerate(annotations, start=1)]
    return json.dumps(data)


def answer_csv(content, decisions, batch):
    """What a person saves from a spreadsheet: the apostrophes stay, new cells are typed with one where needed."""
    rows = list(csv.DictReader(io.StringIO(content)))
    keys = {t.task_id: t.key for t in batch.tasks}
    out = [r for r in rows if keys[r["slicelab_id"]] not in decisions]
    for task_id, key in keys.items():
        if key not in decisions:
            continue
        row = next(r for r in rows if r["slicelab_id"] == task_id) | {"reviewed": "yes"}
        typed = "=+-@\t\r\n＝＋－＠'"
        if batch.task == "classification":
            label = decisions[key]
            out.append(row | {"label": "'" + label if label[0] in typed else label})
            continue
        empty = dict.fromkeys(("label_id", "label", "x", "y", "width", "height"), "")
        for label_id, label, x, y, w, h in decisions[key]:
            label = "'" + label if label[0] in typed else label
            cells = {"label_id": label_id or "", "label": label, "x": x, "y": y, "width": w, "height": h}
            out.append(row | cells)
        if not decisions[key]:
            out.append(row | empty)
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(out)
    return stream.getvalue()


def answer_jsonl(content, decisions, batch):
    """What a script with a JSON library saves."""
    lines = []
    for line in content.splitlines():
        row = json.loads(line)
        decision = decisions.get(row["key"])
        if decision is not None:
            row |= {"reviewed": True, "annotator": "ann", "updated_at": "2026-02-01T00:00:00Z"}
            if batch.task == "classification":
                row["label"] = decision
            else:
                names = ("label_id", "label", "x", "y", "width", "height")
                row["boxes"] = [dict(zip(names, box, strict=True)) for box in decision]
        lines.append(json.dumps(row))
    return "\n".join(reversed(lines))


def answer_labelbox(content, decisions, batch):
    """An export v2 of Labelbox; it keeps global keys and gives everything else ids of its own."""
    lines = []
    for n, task in enumerate(batch.tasks):
        decision, labels = decisions.get(task.key), []
        if decision is not None:
            if batch.task == "classification":
                answer = {"feature_id": "a", "name": decision, "value": decision}
                annotations = {"objects": [], "classifications": [{"name": "label", "radio_answer": answer}]}
            else:
                objects = [
                    {
                        "feature_id": f"f{m}",
                        "name": label,
                        "annotation_kind": "ImageBoundingBox",
                        "bounding_box": {"left": x, "top": y, "width": w, "height": h},
                    }
                    for m, (_, label, x, y, w, h) in enumerate(decision)
                ]
                annotations = {"objects": objects, "classifications": []}
            details = {"created_at": "2026-02-01T00:00:00.000+00:00", "created_by": "ann@example.com"}
            labels = [
                {"id": f"l{n}", "label_details": details, "annotations": annotations}
                | {"performance_details": {"skipped": False}}
            ]
        row = {"id": f"d{n}", "global_key": task.task_id, "external_id": task.key}
        media = {"width": 200, "height": 100}
        lines.append(json.dumps({"data_row": row, "media_attributes": media, "projects": {"p": {"labels": labels}}}))
    return "\n".join(reversed(lines)) + "\n"


def answer_sagemaker(content, decisions, batch):
    """The output manifest of an adjustment job: boxes in whole pixels."""
    lines = []
    for line in content.splitlines():
        row = json.loads(line)
        decision = decisions.get(row["key"])
        about = {"creation-date": "2026-02-01T00:00:00.000000", "human-annotated": "yes", "job-name": "labeling-job/j"}
        if decision is not None and batch.task == "classification":
            row["j"] = batch.classes.index(decision)
            row["j-metadata"] = about | {"class-name": decision, "type": "groundtruth/image-classification"}
        elif decision is not None:
            boxes = [
                {"class_id": batch.classes.index(label), "left": round(x), "top": round(y)}
                | {"width": max(round(x + w) - round(x), 1), "height": max(round(y + h) - round(y), 1)}
                for _, label, x, y, w, h in decision
            ]
            row["j"] = {"image_size": [{"width": 200, "height": 100, "depth": 3}], "annotations": boxes}
            names = {str(n): c for n, c in enumerate(batch.classes)}
            row["j-metadata"] = about | {"class-map": names, "type": "groundtruth/object-detection"}
        lines.append(json.dumps(row))
    return "\n".join(reversed(lines))


def answer_yolo(folder, decisions, batch):
    """What a YOLO tool saves: rows of numbers, and a list of what is finished."""
    names = json.loads((folder / "manifest.json").read_text())["tasks"]
    stems = {t["key"]: t["file"].rsplit(".", 1)[0] if "." in t["file"][-6:] else t["file"] for t in names}
    for key, decision in decisions.items():
        rows = [
            f"{batch.classes.index(label)} {(x + w / 2) / 200} {(y + h / 2) / 100} {w / 200} {h / 100}"
            for _, label, x, y, w, h in decision
        ]
        path = next(p for p in (folder / "labels/train").iterdir() if p.stem == stems[key])
        path.write_text("\n".join(rows))
    (folder / "reviewed.txt").write_text("".join(f"{stems[key]}.jpg\n" for key in decisions))


def answer_voc(folder, decisions, batch):
    """What a VOC tool saves: whole pixels from 1, unknown elements of the image kept, those of objects gone."""
    for path in (folder / "Annotations").iterdir():
        tree = ET.parse(path)
        root = tree.getroot()
        key = next(t.key for t in batch.tasks if t.task_id == root.findtext("slicelab_id"))
        decision = decisions.get(key)
        if decision is None:
            continue
        root.find("slicelab_reviewed").text = "1"
        for each in root.findall("object"):
            root.remove(each)
        for _, label, x, y, w, h in decision:
            each = ET.SubElement(root, "object")
            ET.SubElement(each, "name").text = label
            box = ET.SubElement(each, "bndbox")
            left, top = round(x) + 1, round(y) + 1
            sides = (left, top, max(round(x + w), left), max(round(y + h), top))
            for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True):
                ET.SubElement(box, tag).text = str(value)
        tree.write(path, encoding="utf-8")


ANSWER = {
    "label-studio": answer_label_studio,
    "cvat": answer_cvat,
    "coco": answer_coco,
    "csv": answer_csv,
    "jsonl": answer_jsonl,
    "labelbox": answer_labelbox,
    "sagemaker": answer_sagemaker,
    "yolo": answer_yolo,
    "voc": answer_voc,
}


@pytest.fixture(scope="session")
def batch_of():
    """Function (task, n, classes, ...) -> Batch."""
    return make


@pytest.fixture(scope="session")
def exported():
    """Function (batch, folder, fmt) -> path of the label file that went out."""

    def export(batch, folder, fmt, **options):
        paths = write_batch(batch, folder, format=fmt, **options)
        if fmt in FOLDERS:
            return next(p for p in Path(folder).iterdir() if p.is_dir() and p.name.endswith(fmt))
        return next(p for p in paths if p.name == LABEL_FILES[fmt])

    return export


@pytest.fixture(scope="session")
def answered(exported):
    """Function (batch, folder, fmt, decisions by key) -> path of the file that comes back."""

    def answer(batch, folder, fmt, decisions):
        out = exported(batch, folder, fmt)
        if fmt in FOLDERS:
            ANSWER[fmt](out, decisions, batch)
            return out
        back = Path(folder) / f"back{out.suffix}"
        back.write_bytes(ANSWER[fmt](out.read_bytes().decode(), decisions, batch).encode())
        return back

    return answer
