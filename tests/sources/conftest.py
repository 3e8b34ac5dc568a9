"""Small pictures and label files, made anew for each test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image


class Folder:
    """A folder of images that a test fills."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = root / "images"
        self.images.mkdir()

    def picture(self, name: str, *, size=(20, 10), colour=(200, 30, 60), **save) -> Path:
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path, **save)
        return path

    def pictures(self, *names: str) -> None:
        for i, name in enumerate(names):
            self.picture(name, colour=(10 * i % 256, 100, 200))

    def write(self, name: str, content) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def coco(self, *, images=None, annotations=(), categories=None, name="labels.json") -> Path:
        if images is None:
            images = [{"id": i, "file_name": f"{n}.png", "width": 20, "height": 10} for i, n in ((7, "a"), (9, "b"))]
        if categories is None:
            categories = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]
        return self.write(name, {"images": images, "annotations": list(annotations), "categories": categories})


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


def refusals(findings, rows=None):
    return [f for f in findings if f.refused and (rows is None or f.rows == rows)]


def kinds(findings, *, refused=True):
    return [f.kind for f in findings if f.refused == refused]


def check_books(table, findings, rows_in):
    """Rows in = loaded + refused, for each kind; no key twice; each box on a sample that is there."""
    labels = len(table.boxes) if table.task == "detection" else int(table.samples["label"].notna().sum())
    assert rows_in["samples"] == len(table.samples) + len(refusals(findings, "samples"))
    assert rows_in["labels"] == labels + len(refusals(findings, "labels"))
    assert table.samples.index.is_unique
    assert set(table.boxes["key"]) <= set(table.samples.index)
    assert all(f.kind and f.reason and isinstance(f.file, str) for f in findings)
    for finding in findings:
        json.dumps(finding.__dict__).encode()
