"""Answers move items and change labels; nothing else does."""

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import (
    BOX_COLUMNS,
    TEXT,
    AnnotationTask,
    Batch,
    Box,
    InvalidInputError,
    NotFoundError,
    QueueItem,
    Return,
    ReturnedRow,
    StateError,
)
from slicelab.curation import ReturnOutcome, accept, apply_return, merge_labels, move_item

OLD = (Box("cat", 1, 2, 3, 4, "1", crowd=True), Box("dog", 5, 6, 7, 8, "2"))


def setting(task, n=3):
    """A batch of n images a, b, c with one item each that is out."""
    keys = "abcdef"[:n]
    tasks = tuple(
        AnnotationTask(
            task_id=f"B-{k}",
            key=k,
            filepath="",
            sha256="",
            width=100,
            height=100,
            items=(f"item {k}",),
            units=(k,),
            reasons=("relabel",),
            label="cat" if task == "classification" else None,
            boxes=OLD if task == "detection" else (),
        )
        for k in keys
    )
    batch = Batch("q", "ds", task, ("cat", "dog"), tasks, batch_id="B")
    items = [QueueItem("q", k, k, "relabel", state="exported", batch_id="B", item_id=f"item {k}") for k in keys]
    return batch, items


def back(*rows, batch_id="B"):
    """A return of (key, status, label or boxes)."""
    found = []
    for key, status, answer in rows:
        label, boxes = (answer, None) if isinstance(answer, str) else (None, answer)
        found.append(ReturnedRow(status, key, task_id=f"B-{key}", label=label, boxes=boxes))
    return Return(batch_id, "q", "csv", "back.csv", "", tuple(found))


def sample_frame(**labels):
    return pd.DataFrame({"label": pd.Series(labels, dtype=TEXT)}, index=pd.Index(list(labels), name="key"))


def box_frame(*rows):
    return pd.DataFrame(rows, columns=list(BOX_COLUMNS))


def test_only_matched_answers_count():
    """Matched items are returned; unreviewed, rejected, duplicated, unmatched and missing ones stay out."""
    batch, items = setting("classification", 6)
    others = ("unreviewed", "rejected", "duplicated", "unmatched")
    rows = [("a", "matched", "dog"), *((k, s, "dog") for k, s in zip("bcde", others, strict=True))]
    outcome = apply_return(back(*rows), batch, items)
    assert [(i.unit, i.state, i.rev) for i in outcome.items] == [("a", "returned", 2)]
    assert outcome.labels == {"a": "dog"}
    assert (outcome.changed, outcome.confirmed, outcome.tasks) == (1, 0, {"a": "B-a"})


def test_a_confirmed_label_is_an_answer_too():
    """The same label as before moves the item and counts as confirmed."""
    batch, items = setting("classification")
    outcome = apply_return(back(("a", "matched", "cat"), ("b", "matched", "dog")), batch, items)
    assert (outcome.changed, outcome.confirmed) == (1, 1)
    assert len(outcome.items) == 2


def test_all_items_of_an_image_move():
    """An answer to a task answers each of its items."""
    batch, items = setting("classification", 1)
    both = replace(batch.tasks[0], items=("item a", "second"))
    items.append(replace(items[0], unit="a2", item_id="second"))
    outcome = apply_return(back(("a", "matched", "dog")), replace(batch, tasks=(both,)), items)
    assert {i.unit for i in outcome.items} == {"a", "a2"}


@pytest.mark.parametrize("state", ["returned", "accepted"])
def test_the_same_file_again_moves_nothing(state):
    """Reading a return twice brings the same labels and no move, as long as they aren't merged."""
    batch, items = setting("classification")
    once = apply_return(back(("a", "matched", "dog")), batch, items)
    later = [*once.items, *items[1:]] if state == "returned" else [*accept(once.items), *items[1:]]
    again = apply_return(back(("a", "matched", "dog")), batch, later)
    assert (again.items, again.labels) == ((), once.labels)


@pytest.mark.parametrize("state", ["merged", "rejected", "queued", "needs_second_opinion"])
def test_answers_that_come_too_late_bring_nothing(state):
    """Once an item is merged, rejected or back in the queue, its answer doesn't count."""
    batch, items = setting("classification", 1)
    outcome = apply_return(back(("a", "matched", "dog")), batch, [replace(items[0], state=state)])
    assert outcome == ReturnOutcome()


def test_an_item_that_is_out_in_another_batch_is_left_alone():
    """An answer to an earlier batch doesn't touch an item that has gone out again."""
    batch, items = setting("classification", 1)
    again = move_item(move_item(items[0], "queued"), "exported", batch_id="C")
    assert apply_return(back(("a", "matched", "dog")), batch, [again]) == ReturnOutcome()


def test_a_return_of_another_batch_is_refused():
    """Batches aren't mixed up."""
    batch, items = setting("classification")
    with pytest.raises(InvalidInputError, match="belongs to the batch 'C'"):
        apply_return(back(("a", "matched", "dog"), batch_id="C"), batch, items)


def test_boxes_keep_their_ids_or_are_new():
    """Known ids stay, unknown ones are new boxes, and boxes that didn't come back are deleted."""
    batch, items = setting("detection", 1)
    answer = (Box("dog", 1, 2, 3, 4, "1", crowd=True), Box("cat", 9, 9, 9, 9, "strange"), Box("cat", 8, 8, 8, 8))
    outcome = apply_return(back(("a", "matched", answer)), batch, items)
    assert [b.label_id for b in outcome.boxes["a"]] == ["1", "", ""]
    assert outcome.deleted == {"a": ("2",)}
    assert (outcome.changed, outcome.confirmed) == (1, 0)


def test_the_same_boxes_are_confirmed():
    """The order of boxes means nothing; none at all means that all were deleted."""
    batch, items = setting("detection", 2)
    outcome = apply_return(back(("a", "matched", OLD[::-1]), ("b", "matched", ())), batch, items)
    assert (outcome.changed, outcome.confirmed) == (1, 1)
    assert outcome.deleted == {"b": ("1", "2")}


def test_accepted_items_stay_accepted():
    """accept moves what is returned, leaves what is accepted, and refuses what is still out."""
    _, items = setting("classification", 2)
    returned = [move_item(i, "returned") for i in items]
    once = accept(returned)
    assert [i.state for i in once] == ["accepted", "accepted"]
    assert accept(once) == once
    with pytest.raises(StateError, match="can't become 'accepted'"):
        accept(items)


def test_labels_are_merged_into_a_new_frame():
    """Answered labels are in, all others as before, columns and order kept, the old frame untouched."""
    samples = sample_frame(a="cat", b="cat", c=None)
    samples["site"] = ["x", "y", "z"]
    before = samples.copy()
    merged, _ = merge_labels(samples, box_frame(), ReturnOutcome(labels={"c": "=1", "a": "dog"}))
    assert merged["label"].tolist() == ["dog", "cat", "=1"]
    assert merged["site"].tolist() == ["x", "y", "z"]
    pd.testing.assert_frame_equal(samples, before)


def test_missing_labels_stay_missing():
    """A label that nobody answered stays NaN."""
    merged, _ = merge_labels(sample_frame(a=None, b="cat"), box_frame(), ReturnOutcome(labels={"b": "dog"}))
    assert merged["label"].isna().tolist() == [True, False]


def test_boxes_are_merged_into_a_new_frame():
    """Boxes of answered images are those of the answer, with ids made for new ones; others stay as they are."""
    boxes = box_frame(
        ["a", "1", "cat", 1.0, 2.0, 3.0, 4.0, True],
        ["b", "1", "dog", 5.0, 6.0, 7.0, 8.0, False],
        ["c", "1", "dog", 5.0, 6.0, 7.0, 8.0, False],
    )
    before = boxes.copy()
    answer = (Box("dog", 1, 2, 3, 4, "1", crowd=True), Box("cat", 9, 9, 9, 9), Box("cat", 8, 8, 8, 8))
    outcome = ReturnOutcome(boxes={"b": (), "a": answer}, tasks={"a": "B#a", "b": "B-b"})
    _, merged = merge_labels(sample_frame(c="", b="", a=""), boxes, outcome)
    assert merged.to_numpy().tolist() == [
        ["c", "1", "dog", 5.0, 6.0, 7.0, 8.0, False],
        ["a", "1", "dog", 1.0, 2.0, 3.0, 4.0, True],
        ["a", "new-B_a-1", "cat", 9.0, 9.0, 9.0, 9.0, False],
        ["a", "new-B_a-2", "cat", 8.0, 8.0, 8.0, 8.0, False],
    ]
    assert list(merged.columns) == list(BOX_COLUMNS)
    assert merged["crowd"].dtype == bool
    assert merged["x"].dtype == "float64"
    pd.testing.assert_frame_equal(boxes, before)


def test_all_boxes_can_go():
    """When no box is left, the frame is empty with its columns and types."""
    boxes = box_frame(["a", "1", "cat", 1.0, 2.0, 3.0, 4.0, True])
    _, merged = merge_labels(sample_frame(a=""), boxes, ReturnOutcome(boxes={"a": ()}, tasks={"a": "t"}))
    assert (len(merged), list(merged.columns), merged["x"].dtype) == (0, list(BOX_COLUMNS), "float64")


def test_answers_to_samples_that_are_gone_are_refused():
    """Merging into another dataset is refused, with the keys."""
    with pytest.raises(NotFoundError, match="'z'"):
        merge_labels(sample_frame(a="cat"), box_frame(), ReturnOutcome(labels={"z": "dog"}))


ANSWERS = st.dictionaries(
    st.sampled_from("abc"),
    st.lists(
        st.builds(
            Box,
            st.sampled_from(("cat", "dog")),
            *(st.integers(0, 40).map(float),) * 2,
            *(st.integers(1, 40).map(float),) * 2,
            label_id=st.just(""),
        ),
        max_size=3,
    ),
)


@settings(deadline=None)
@given(answers=ANSWERS, keep=st.sets(st.sampled_from("12")))
def test_merging_twice_changes_nothing_more(answers, keep):
    """Merging the same answers into the merged labels gives equal frames, and ids stay unique within an image."""
    batch, items = setting("detection")
    known = [b for b in OLD if b.label_id in keep]
    rows = [(key, "matched", (*known, *boxes)) for key, boxes in answers.items()]
    outcome = apply_return(back(*rows), batch, items)
    samples = sample_frame(a="", b="", c="")
    boxes = box_frame(*([k, b.label_id, b.label, b.x, b.y, b.width, b.height, b.crowd] for k in "abc" for b in OLD))
    boxes = boxes.astype(
        {"key": TEXT, "label_id": TEXT, "label": TEXT, "crowd": bool} | dict.fromkeys(("x", "y"), float)
    )
    _, once = merge_labels(samples, boxes, outcome)
    _, twice = merge_labels(samples, once, outcome)
    pd.testing.assert_frame_equal(once, twice)
    assert not once.duplicated(["key", "label_id"]).any()
    assert len(once) == sum(len(found) for found in outcome.boxes.values()) + 2 * (3 - len(answers))


def test_a_return_shows_its_counts_and_what_is_not_merged():
    """In a notebook: one line, and the answers that don't count; names from the file stay text."""
    returned = back(("a", "matched", "cat"), ("<img src=x>\u202e", "unmatched", "dog"))
    assert (
        str(returned)
        == "back.csv: 1 matched, 1 unmatched, 0 duplicated, 0 unreviewed, 0 conflicting, 0 rejected, 0 missing"
    )
    shown = returned._repr_html_()
    assert "1 matched" in shown
    assert "&lt;img src=x&gt;" in shown
    assert "<img" not in shown
    assert "\u202e" not in shown
    assert ">a<" not in shown
    assert "<table" not in back(("a", "matched", "cat"))._repr_html_()
    assert "<b>" not in replace(returned, file="<b>.csv")._repr_html_()
