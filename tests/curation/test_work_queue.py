"""Units wait for a decision, one step at a time, and go out in batches."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicelab.core import (
    BOX_COLUMNS,
    IN_FLIGHT,
    PREDICTED_BOX_COLUMNS,
    REASONS,
    STATES,
    TEXT,
    TRANSITIONS,
    Box,
    InvalidInputError,
    NotFoundError,
    QueueItem,
    StateError,
)
from slicelab.curation import add_items, make_batch, move_item


def units(*rows):
    """A units frame of (unit, key, loss)."""
    frame = pd.DataFrame(rows, columns=["unit", "key", "loss"]).set_index("unit")
    return frame.astype({"key": TEXT, "loss": "float64"})


def item(unit, state="queued", **values):
    return QueueItem(values.pop("queue", "q"), unit, values.pop("key", unit), "relabel", state=state, **values)


def sample_frame(*keys, label="cat"):
    rows = [[f"/im/{k}", f"{n:064x}", 100 + n, 50, label] for n, k in enumerate(keys)]
    return pd.DataFrame(
        rows, index=pd.Index(keys, name="key"), columns=["filepath", "sha256", "width", "height", "label"]
    )


NO_BOXES = pd.DataFrame(columns=list(BOX_COLUMNS))
ABOUT = {"dataset": "ds", "queue": "q", "classes": ("cat", "dog")}


def test_every_unit_becomes_an_item_with_its_loss_as_priority():
    """Items keep the order, the reason and the words; the loss says what comes first, 0 where it is unknown."""
    rows = units(("a#1", "a", 0.25), ("a#pred:m:3", "a", float("nan")), ("b#c#1", "b#c", 1.0))
    items = add_items("round 1", rows, reason="relabel", origin="knives", instruction="look")
    assert [(i.unit, i.key, i.priority) for i in items] == [
        ("a#1", "a", 0.25),
        ("a#pred:m:3", "a", 0.0),
        ("b#c#1", "b#c", 1.0),
    ]
    assert {(i.queue, i.reason, i.origin, i.instruction, i.state, i.rev) for i in items} == {
        ("round 1", "relabel", "knives", "look", "queued", 1)
    }
    assert len({i.item_id for i in items}) == 3


def test_a_priority_that_is_given_holds_for_all():
    """With priority= no loss is needed."""
    rows = units(("a", "a", 0.5)).drop(columns="loss")
    assert [i.priority for i in add_items("q", rows, reason="remove", priority=7)] == [7.0]
    with pytest.raises(InvalidInputError, match="'loss'"):
        add_items("q", rows, reason="remove")


@pytest.mark.parametrize("state", STATES)
def test_no_unit_is_in_flight_twice_in_a_queue(state):
    """A unit that is under way isn't added again; one that is through, or waits in another queue, is."""
    rows = units(("a", "a", 0.5), ("b", "b", 0.5))
    added = add_items("q", rows, reason="relabel", existing=[item("a", state)])
    assert [i.unit for i in added] == (["b"] if state in IN_FLIGHT else ["a", "b"])
    assert len(add_items("q", rows, reason="relabel", existing=[item("a", state, queue="other")])) == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"reason": "relable"}, "Did you mean 'relabel'"),
        ({"reason": "relabel", "priority": float("nan")}, "finite number"),
        ({"reason": "relabel", "priority": True}, "finite number"),
        ({"reason": "relabel", "instruction": "x" * 10_001}, "10001 characters"),
    ],
)
def test_wrong_items_are_refused_in_words(values, words):
    """An unknown reason, an odd priority, an endless instruction."""
    with pytest.raises(InvalidInputError, match=words):
        add_items("q", units(("a", "a", 0.5)), **values)


def test_odd_frames_are_refused():
    """A unit given twice, a frame without keys, a queue without a name."""
    with pytest.raises(InvalidInputError, match="unit must be there once"):
        add_items("q", units(("a", "a", 0.5), ("a", "a", 0.5)), reason="relabel")
    with pytest.raises(InvalidInputError, match="'key'"):
        add_items("q", units(("a", "a", 0.5)).drop(columns="key"), reason="relabel")
    with pytest.raises(InvalidInputError, match="name of the queue"):
        add_items(" ", units(("a", "a", 0.5)), reason="relabel")


@pytest.mark.parametrize("start", STATES)
@pytest.mark.parametrize("end", STATES)
def test_only_allowed_steps_are_taken(start, end):
    """Every pair of states: an allowed step gives the next revision, any other an error that names the allowed ones."""
    before = item("a", start, batch_id="b1")
    if end in TRANSITIONS[start]:
        after = move_item(before, end)
        assert (after.state, after.rev, after.item_id) == (end, 2, before.item_id)
        assert after.batch_id == (None if end == "queued" else "b1")
    else:
        with pytest.raises(StateError) as error:
            move_item(before, end)
        assert all(repr(s) in str(error.value) for s in (start, end, *TRANSITIONS[start]))
    assert (before.state, before.rev) == (start, 1)


def test_an_exported_item_knows_its_batch():
    """No item goes out without a batch; one that comes back to the queue forgets it."""
    with pytest.raises(InvalidInputError, match="batch_id"):
        move_item(item("a"), "exported")
    out = move_item(item("a"), "exported", batch_id="b7")
    assert out.batch_id == "b7"
    assert move_item(out, "returned").batch_id == "b7"
    assert move_item(out, "queued").batch_id is None
    with pytest.raises(InvalidInputError, match="Did you mean"):
        move_item(out, "return")


def test_items_of_one_image_share_a_task():
    """Tasks come by urgency, then key; a task names all its items, units and reasons and carries the sample."""
    items = [
        item("c", priority=0.1),
        QueueItem("q", "b#1", "b", "investigate", instruction="one", priority=0.2, origin="dark"),
        QueueItem("q", "b#2", "b", "relabel", instruction="two", priority=0.9, origin="dark"),
        item("a", priority=0.9),
        item("d", state="exported", priority=5),
    ]
    samples = sample_frame("a", "b", "c", "d")
    batch = make_batch(items, samples=samples, boxes=NO_BOXES, task="classification", batch_id="B", **ABOUT)
    assert [(t.task_id, t.key, t.priority) for t in batch.tasks] == [
        ("B-00001", "a", 0.9),
        ("B-00002", "b", 0.9),
        ("B-00003", "c", 0.1),
    ]
    second = batch.tasks[1]
    assert (second.units, second.reasons) == (("b#2", "b#1"), ("relabel", "investigate"))
    assert second.items == (items[2].item_id, items[1].item_id)
    assert (second.instruction, second.slice_name) == ("two\none", "dark")
    assert (second.filepath, second.sha256, second.width, second.height) == ("/im/b", f"{1:064x}", 101, 50)
    assert [t.label for t in batch.tasks] == ["cat"] * 3
    assert (batch.queue, batch.dataset, batch.classes, batch.batch_id) == ("q", "ds", ("cat", "dog"), "B")


@given(order=st.permutations(range(6)))
def test_a_batch_doesn_t_depend_on_the_order_of_items(order):
    """The same items in any order make the same tasks."""
    items = [item(f"{n // 2}#{n}", key=f"{n // 2}", priority=n % 3, item_id=f"i{n}") for n in range(6)]
    about = {"samples": sample_frame("0", "1", "2"), "boxes": NO_BOXES, "task": "detection", "batch_id": "B", **ABOUT}
    assert make_batch([items[n] for n in order], **about).tasks == make_batch(items, **about).tasks


def test_labels_and_predictions_go_along_unless_blind():
    """Classification: the label, NaN as None; the model's label and confidence, which a blind batch doesn't hold."""
    samples = sample_frame("a", "b", "c")
    samples.loc["b", "label"] = float("nan")
    said = pd.DataFrame({"label": ["dog", "cat"], "confidence": [0.75, float("nan")]}, index=["a", "b"])
    about = {"samples": samples, "boxes": NO_BOXES, "predicted": said, "task": "classification", "model": "m", **ABOUT}
    items = [item(k) for k in "abc"]
    seen = make_batch(items, **about)
    assert [t.label for t in seen.tasks] == ["cat", None, "cat"]
    assert [(t.predicted_label, t.predicted_confidence) for t in seen.tasks] == [
        ("dog", 0.75),
        ("cat", None),
        (None, None),
    ]
    blind = make_batch(items, blind=True, **about)
    assert {(t.predicted_label, t.predicted_confidence, t.predicted_boxes) for t in blind.tasks} == {(None, None, ())}


def test_boxes_go_along():
    """Detection: labelled and predicted boxes in the order of their frames, images without any are empty."""
    boxes = pd.DataFrame(
        [
            ["a", "1", "cat", 1.5, 2, 3, 4, True],
            ["x", "1", "cat", 0, 0, 1, 1, False],
            ["a", "2", "dog", 5, 6, 7, 8, False],
        ],
        columns=list(BOX_COLUMNS),
    )
    said = pd.DataFrame([["a", "p", "dog", 1, 2, 3, 4, 0.5]], columns=list(PREDICTED_BOX_COLUMNS))
    batch = make_batch(
        [item("a#1", key="a"), item("b#1", key="b", priority=-1)],
        samples=sample_frame("b", "a"),
        boxes=boxes,
        predicted=said,
        task="detection",
        **ABOUT,
    )
    first, second = batch.tasks
    assert first.boxes == (Box("cat", 1.5, 2, 3, 4, "1", crowd=True), Box("dog", 5, 6, 7, 8, "2"))
    assert first.predicted_boxes == (Box("dog", 1, 2, 3, 4, confidence=0.5),)
    assert (first.label, second.boxes, second.predicted_boxes) == (None, (), ())


def test_batches_that_make_no_sense_are_refused():
    """Nothing queued, a sample that is gone, items of another queue, an unknown task."""
    about = {"samples": sample_frame("a"), "boxes": NO_BOXES, "task": "classification", **ABOUT}
    with pytest.raises(StateError, match="none of its 1 items is 'queued'"):
        make_batch([item("a", "merged")], **about)
    with pytest.raises(NotFoundError, match="'z'"):
        make_batch([item("a"), item("z")], **about)
    with pytest.raises(InvalidInputError, match="'other'"):
        make_batch([item("a"), item("a", queue="other")], **about)
    with pytest.raises(InvalidInputError, match="Did you mean"):
        make_batch([item("a")], **about | {"task": "detektion"})


def test_reasons_are_all_accepted():
    """Each of the six reasons makes an item."""
    assert [add_items("q", units(("a", "a", 1)), reason=r)[0].reason for r in REASONS] == list(REASONS)
