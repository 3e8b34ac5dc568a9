# ruff: noqa: RUF001 - look-alike characters are what is tested
"""Batches go out, are answered, and come back as they were answered."""

import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicelab.annotation import RETURN_FORMATS, read_return
from slicelab.core import RETURN_STATUSES, Box

NASTY = (
    *(
        "=cmd|' /C calc'!A0",
        "+1",
        "-1",
        "@sum",
        "＝1",
        "'",
        "''=x",
        "'cat",
        '"',
        'a,b;"c"',
        "مرحبا",
        "עברית",
        "👩‍🚀",
        "猫 🐈",
    ),
    *(
        " lead",
        "trail ",
        "  ",
        "<b>&amp;",
        "]]>",
        "$image",
        "US$cat",
        "0",
        "nan",
        "None",
        "yes",
        "a/b\\c",
        "{x}",
        "é",
        "é",
    ),
)
texts = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=12)
labels = texts.filter(lambda t: t.strip() and "\x85" not in t)
class_lists = st.lists(labels, min_size=1, max_size=5, unique=True)
parts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="/\\"), min_size=1, max_size=8)
key_lists = st.lists(st.lists(parts, min_size=1, max_size=3).map("/".join), min_size=1, max_size=4, unique=True)
sides = st.tuples(st.floats(0, 150), st.floats(0, 70), st.floats(1, 49), st.floats(1, 29))
BOTH = [
    (t, f)
    for t in ("classification", "detection")
    for f in RETURN_FORMATS
    if t == "detection" or f not in ("yolo", "voc")
]
BY_PLACE = ("yolo", "voc", "labelbox", "sagemaker")
"""Formats that keep no id on a box: one that was moved is a new one."""
round_trip = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("fmt", [f for f in RETURN_FORMATS if f not in ("yolo", "voc")])
@round_trip
@given(data=st.data())
def test_labels_come_back_byte_for_byte(batch_of, answered, fmt, data):
    """Every answered label is read as it was written, whatever characters it has; the others stay open."""
    classes, keys = data.draw(class_lists), data.draw(key_lists)
    batch = batch_of("classification", len(keys), classes, keys=keys)
    decisions = {k: data.draw(st.sampled_from(classes)) for k in keys if data.draw(st.booleans())}
    with tempfile.TemporaryDirectory() as folder:
        returned = read_return(answered(batch, folder, fmt, decisions), batch)
    by_id = {t.task_id: t.key for t in batch.tasks}
    assert {by_id[r.task_id]: r.label for r in returned.matched} == decisions
    assert len(returned.rows) == len(keys)
    assert sum(returned.counts()[s] for s in RETURN_STATUSES) == len(keys)
    assert returned.missing == ()


@pytest.mark.parametrize("fmt", RETURN_FORMATS)
@round_trip
@given(data=st.data())
def test_boxes_come_back_in_place(batch_of, answered, fmt, data):
    """Kept, moved, new and deleted boxes come back within half a pixel, known ones with their id."""
    classes = data.draw(class_lists)
    kept = data.draw(st.lists(sides, max_size=3, unique=True))
    present = tuple(Box(data.draw(st.sampled_from(classes)), *s, f"{n}") for n, s in enumerate(kept))
    batch = batch_of("detection", 2, classes, boxes=present, keys=["a/1.jpg", "b/1.jpg"])
    decision = []
    for box in present:
        moves = () if fmt in BY_PLACE else ("move",)
        fate = data.draw(st.sampled_from(("keep", "relabel", "delete", *moves)))
        where = data.draw(sides) if fate == "move" else (box.x, box.y, box.width, box.height)
        label = data.draw(st.sampled_from(classes)) if fate == "relabel" else box.label
        decision += [] if fate == "delete" else [(box.label_id, label, *where)]
    far = [s for s in data.draw(st.lists(sides, max_size=2, unique=True)) if all(_far(s, k) for k in kept)]
    decision += [("", data.draw(st.sampled_from(classes)), *s) for s in far if all(_far(s, d[2:]) for d in decision)]
    with tempfile.TemporaryDirectory() as folder:
        returned = read_return(answered(batch, folder, fmt, {"a/1.jpg": decision}), batch)
    (row,) = returned.matched
    assert row.task_id == batch.tasks[0].task_id
    assert len(row.boxes) == len(decision)
    for box, (label_id, label, *where) in zip(_ordered(row.boxes), sorted(decision, key=lambda d: d[0]), strict=True):
        if label_id:
            assert (box.label_id, box.label) == (label_id, label)
            assert (box.x, box.y, box.width, box.height) == pytest.approx(where, abs=0.52 if fmt == "voc" else 0.5)
    news = sorted((b.label, round(b.x), round(b.y)) for b in row.boxes if not b.label_id)
    assert len(news) == sum(not d[0] for d in decision)
    assert [n[0] for n in news] == sorted(d[1] for d in decision if not d[0])
    assert [r.status for r in returned.rows if r is not row] == ["unreviewed"]


def _far(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) > 2


def _ordered(boxes):
    return sorted(boxes, key=lambda b: b.label_id)


@pytest.mark.parametrize("fmt", RETURN_FORMATS)
def test_an_unmoved_box_keeps_its_exact_numbers(batch_of, answered, fmt, tmp_path):
    """Rounding in the format changes no box that nobody moved, so nothing counts as changed."""
    exact = (Box("cat", 1 / 3, 100 / 7, 20.001, 30.0049, "a", crowd=True),)
    batch = batch_of("detection", 1, boxes=exact)
    decision = [("a", "cat", 1 / 3, 100 / 7, 20.001, 30.0049)]
    (row,) = read_return(answered(batch, tmp_path, fmt, {"set/0.jpg": decision}), batch).matched
    assert row.boxes == exact


@pytest.mark.parametrize("fmt", RETURN_FORMATS)
def test_an_empty_image_is_an_answer(batch_of, answered, fmt, tmp_path):
    """ "No boxes", said by a person, differs from not answered."""
    batch = batch_of("detection", 3)
    returned = read_return(answered(batch, tmp_path, fmt, {"set/1.jpg": []}), batch)
    (row,) = returned.matched
    assert row.boxes == ()
    assert row.reason == "2 of its 2 boxes were deleted"
    assert row.task_id == batch.tasks[1].task_id
    assert returned.counts()["unreviewed"] == 2


@pytest.mark.parametrize(("task", "fmt"), BOTH)
def test_untouched_labels_are_never_answers(batch_of, exported, fmt, task, tmp_path):
    """The file that went out, sent back as it is, brings no label at all."""
    batch = batch_of(task)
    returned = read_return(exported(batch, tmp_path, fmt), batch)
    assert returned.matched == ()
    assert returned.counts()["unreviewed"] + len(returned.missing) == 3
    assert all(r.reason for r in returned.rows)


@pytest.mark.parametrize("fmt", ["cvat", "coco"])
@pytest.mark.parametrize("task", ["classification", "detection"])
def test_formats_without_review_take_all_on_request(batch_of, exported, fmt, task, tmp_path):
    """all_reviewed=True says what CVAT and COCO can't: that somebody has finished every image."""
    batch = batch_of(task)
    returned = read_return(exported(batch, tmp_path, fmt), batch, all_reviewed=True)
    assert [(r.label, r.boxes) for r in returned.matched] == [
        (t.label, t.boxes if task == "detection" else None) for t in batch.tasks
    ]


@pytest.mark.parametrize("fmt", ["label-studio", "csv"])
def test_formats_with_review_are_believed(batch_of, exported, fmt, tmp_path):
    """all_reviewed=True doesn't turn predictions or rows without yes into answers."""
    batch = batch_of("classification")
    assert read_return(exported(batch, tmp_path, fmt), batch, all_reviewed=True).matched == ()


@pytest.mark.parametrize(("task", "fmt"), BOTH)
def test_blind_batches_hold_no_present_label(batch_of, exported, fmt, task, tmp_path):
    """A blind batch shows the classes, but no image's label or box."""
    batch = batch_of(task, boxes=(Box("cat", 11.5, 12.5, 13.5, 14.5, "secret"),))
    seen = {
        p: (tmp_path / p).mkdir() or exported(batch, tmp_path / p, fmt, blind=p == "blind") for p in ("blind", "see")
    }
    sign = {"coco": '"bbox"', "yolo": " 0."}.get(fmt, "cat")
    count = {p: sum(text.count(sign) for text in _texts(path)) for p, path in seen.items()}
    # YOLO: the numbers of a box; VOC: the class and both tags of "truncated"; Ground Truth: the class is named twice
    each = {"yolo": 4, "voc": 3, "sagemaker": 2 if task == "classification" else 1}.get(fmt, 1)
    assert count["see"] == count["blind"] + 3 * each
    assert not any("secret" in text for text in _texts(seen["blind"].parent))


def _texts(path):
    """Return what the files at or below a path hold."""
    return [p.read_text() for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file()]
