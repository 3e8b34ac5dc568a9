"""Whatever bytes a file holds: a typed error or a table that adds up, and never another exception."""

import contextlib
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from slicelab.core import MediaError, SliceLabError
from slicelab.sources import make_thumbnail, probe_image, read_image, read_predictions, read_samples
from tests.sources.conftest import Folder, check_books, refusals

BOX = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 0}
COCO = {
    "images": [{"id": 7, "file_name": "a.png", "width": 20, "height": 10}, {"id": 9, "file_name": "b.png"}],
    "annotations": [BOX, BOX | {"id": 2, "image_id": 9}],
    "categories": [{"id": 3, "name": "cat"}],
}
VALID = {
    "coco.json": json.dumps(COCO).encode(),
    "table.csv": 'filepath,label,weight\na.png,cat,1.5\nb.png,"dög, big",2\n'.encode(),
    "boxes.csv": b"filepath,label,x,y,width,height\na.png,cat,1,2,3,4\nb.png,,,,,\n",
    "table.jsonl": b'{"filepath": "a.png", "label": "cat"}\n{"filepath": "b.png", "label": "dog"}\n',
    "data.yaml": b"names: {0: cat, 1: dog}\npath: .\n",
    "voc/a.xml": b"<annotation><filename>a.png</filename><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
    b"<xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>",
    "labels/a.txt": b"0 0.5 0.5 0.2 0.2\n1 0.25 0.5 0.1 0.1\n",
}
WORDS = rb"""" ' , { ] [[[[ : < &x; ../ - 0 NaN 1e999 null true \ud800 _id"""
PIECES = st.sampled_from([*WORDS.split(), b"", b"\0", b"\xff", b"\n", b"\r", b"9" * 400, b"\xe2\x80\xae"])
EXAMPLES = os.environ.get("SLICELAB_FUZZ_EXAMPLES")  # more than the default run takes, each time others
QUIET = settings(
    max_examples=int(EXAMPLES or 60),
    deadline=None,
    derandomize=EXAMPLES is None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def mutated(draw, data):
    """Replace a few short stretches of bytes."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        data = data[:start] + draw(PIECES) + data[start + draw(st.integers(0, 6)) :]
    return data


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("mutated"))
    folder.pictures("a.png", "b.png")
    return folder


@pytest.mark.parametrize("name", list(VALID))
def test_mutated_labels(shared, name):
    """Labels of each format."""

    @QUIET
    @given(mutated(VALID[name]))
    def check(data):
        if name == "labels/a.txt":
            shared.write("classes.txt", "cat\ndog\n")
        path = shared.write(name, data)
        with contextlib.suppress(SliceLabError):
            source = path.parent if "/" in name else path
            check_books(*read_samples(shared.images, source, progress=False, verify=False))

    check()


@pytest.mark.parametrize("name", ["p.csv", "p.json", "p.jsonl"])
def test_mutated_predictions(shared, name):
    """Predictions of each format."""
    results = [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}] * 2
    valid = {
        "p.csv": b"filepath,prediction,confidence,p_cat,p_dog\na.png,cat,0.75,0.75,0.25\nb.png,dog,1,0,1\n",
        "p.json": json.dumps(results).encode(),
        "p.jsonl": b'{"key": "a.png", "label": "cat", "score": 0.5}\n{"key": "b.png", "label": "dog"}\n',
    }[name]
    labels = shared.write("truth.json", COCO) if name == "p.json" else shared.write("t.csv", VALID["table.csv"])
    table, _, _ = read_samples(shared.images, labels, progress=False)

    @QUIET
    @given(mutated(valid))
    def check(data):
        with contextlib.suppress(SliceLabError):
            classes = None if name == "p.json" else ["cat", "dog"]
            found, findings, rows_in = read_predictions(
                shared.write(name, data), model="v1", table=table, classes=classes, categories={3: "cat"}
            )
            assert rows_in == len(found.frame) + len(refusals(findings))

    check()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff"])
def test_mutated_pictures(shared, suffix):
    """Damaged pictures are MediaError or pixels, in all three readers."""
    path = shared.root / f"x.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 8), (1, 2, 3)).save(path, **({} if suffix == "bmp" else {"exif": exif}))
    valid = path.read_bytes()

    @QUIET
    @given(mutated(valid))
    def check(data):
        path.write_bytes(data)
        for use in (probe_image, read_image, make_thumbnail):
            with contextlib.suppress(MediaError):
                use(path)

    check()
