"""Returns as they come in life: reordered, partial, doubled, renamed, foreign, wrong."""

import json
import zipfile
from dataclasses import replace

import pytest
from defusedxml.ElementTree import fromstring, tostring

from slicelab.annotation import RETURN_FORMATS, read_return
from slicelab.core import Box, InvalidInputError, ReturnFileError

TASKS = ("classification", "detection")
LABELS = {"set/0.jpg": "dog", "set/1.jpg": "cat", "set/2.jpg": "a b"}


def save(folder, content, name="back.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def load(path):
    return json.loads(path.read_bytes())


@pytest.fixture
def labels_back(batch_of, answered, tmp_path):
    """A Label Studio return of three answers: (batch, its tasks)."""
    batch = batch_of("classification")
    return batch, load(answered(batch, tmp_path, "label-studio", LABELS))


@pytest.fixture
def boxes_back(batch_of, answered, tmp_path):
    """A Label Studio return with one moved box in each image: (batch, its tasks)."""
    batch = batch_of("detection", boxes=(Box("cat", 10, 20, 30, 40, "a"),))
    decisions = {t.key: [("a", "dog", 12, 20, 30, 40)] for t in batch.tasks}
    return batch, load(answered(batch, tmp_path, "label-studio", decisions))


def answers(returned, batch):
    keys = {t.task_id: t.key for t in batch.tasks}
    return {keys[r.task_id]: r.label for r in returned.matched}


def test_order_means_nothing(labels_back, tmp_path):
    """Tasks in another order bring every label to its own image."""
    batch, tasks = labels_back
    assert answers(read_return(save(tmp_path, tasks[::-1]), batch), batch) == LABELS
    assert answers(read_return(save(tmp_path, tasks[1:] + tasks[:1]), batch), batch) == LABELS


def test_what_is_not_there_is_missing(labels_back, tmp_path):
    """A partial file is taken; the tasks that it lacks are named."""
    batch, tasks = labels_back
    returned = read_return(save(tmp_path, tasks[:1]), batch)
    assert returned.counts() == {
        "matched": 1,
        "unmatched": 0,
        "duplicated": 0,
        "unreviewed": 0,
        "conflicting": 0,
        "rejected": 0,
        "missing": 2,
    }
    assert returned.missing == tuple(t.task_id for t in batch.tasks[1:])


def test_the_same_answers_twice_count_once(labels_back, tmp_path):
    """A file joined with itself gives each answer once, the second time as a duplicate."""
    batch, tasks = labels_back
    returned = read_return(save(tmp_path, tasks + tasks), batch)
    assert answers(returned, batch) == LABELS
    assert [r.status for r in returned.rows] == ["matched"] * 3 + ["duplicated"] * 3


@pytest.mark.parametrize("latest_first", [True, False])
def test_of_several_annotations_the_latest_counts(labels_back, tmp_path, latest_first):
    """Two people answered one task: the later answer is taken, wherever it stands, and both are listed."""
    batch, tasks = labels_back
    early = tasks[0]["annotations"][0] | {"updated_at": "2026-01-31T23:30:00-01:00"}
    late = json.loads(json.dumps(early).replace('"dog"', '"cat"')) | {"updated_at": "2026-02-01T00:31:00Z"}
    tasks[0]["annotations"] = [late, early] if latest_first else [early, late]
    returned = read_return(save(tmp_path, tasks), batch)
    assert answers(returned, batch)["set/0.jpg"] == "cat"
    assert sorted(r.status for r in returned.rows[:2]) == ["duplicated", "matched"]
    assert all("differ" in r.reason for r in returned.rows[:2])


def test_answers_that_contradict_each_other_without_a_time_are_not_taken(labels_back, tmp_path):
    """Where nothing says which of two different answers is the later, none is taken."""
    batch, tasks = labels_back
    first = tasks[0]["annotations"][0]
    first.pop("updated_at")
    tasks[0]["annotations"].append(json.loads(json.dumps(first).replace('"dog"', '"cat"')))
    returned = read_return(save(tmp_path, tasks), batch)
    assert [r.status for r in returned.rows] == ["rejected", "duplicated", "matched", "matched"]
    assert returned.missing == ()


def test_skipped_tasks_and_predictions_are_unreviewed(labels_back, tmp_path):
    """A cancelled annotation, and a task that has predictions only, bring no label."""
    batch, tasks = labels_back
    tasks[0]["annotations"][0]["was_cancelled"] = True
    tasks[1]["predictions"] = [{"result": tasks[1]["annotations"][0]["result"]}]
    tasks[1]["annotations"] = []
    returned = read_return(save(tmp_path, tasks), batch)
    assert [r.status for r in returned.rows] == ["unreviewed", "unreviewed", "matched"]


def test_ids_decide_then_hashes_then_names(labels_back, tmp_path):
    """Without the id the hash finds the task, without both the name; all three are said."""
    batch, tasks = labels_back
    tasks[0]["data"]["image"] = tasks[0]["data"]["file"] = "renamed.jpg"
    tasks[1]["data"].pop("slicelab_id")
    tasks[1]["data"]["file"] = "renamed too.jpg"
    for gone in ("slicelab_id", "sha256", "file"):
        tasks[2]["data"].pop(gone)
    returned = read_return(save(tmp_path, tasks), batch)
    assert [r.matched_by for r in returned.rows] == ["id", "hash", "name"]
    assert answers(returned, batch) == LABELS


def test_a_name_of_several_images_is_nobodys(batch_of, tmp_path):
    """A bare file name that two folders hold is not guessed at; with its folder it is found."""
    batch = batch_of("classification", 2, keys=["a/1.jpg", "b/1.jpg"])
    returned = read_return(save(tmp_path, "file,label,reviewed\n1.jpg,dog,yes\nx/b/1.jpg,cat,yes\n", "r.csv"), batch)
    assert [r.status for r in returned.rows] == ["unmatched", "matched"]
    assert "fits 2 images" in returned.rows[0].reason
    assert answers(returned, batch) == {"b/1.jpg": "cat"}


def test_the_same_name_in_another_folder_is_another_image(batch_of, tmp_path):
    """Cameras repeat names: a file of another folder doesn't answer ours."""
    batch = batch_of("classification", 1, keys=["a/1.jpg"])
    returned = read_return(save(tmp_path, "file,label,reviewed\nother/1.jpg,dog,yes\n", "r.csv"), batch)
    assert [r.status for r in returned.rows] == ["unmatched"]


def test_images_with_one_hash_are_told_apart_by_name(batch_of, tmp_path):
    """Two equal files in a batch are never exchanged."""
    batch = batch_of("classification", 2, keys=["a.jpg", "b.jpg"])
    batch = replace(batch, tasks=tuple(replace(t, sha256="0" * 64) for t in batch.tasks))
    text = f"sha256,file,label,reviewed\n{'0' * 64},b.jpg,dog,yes\n{'0' * 64},c.jpg,cat,yes\n"
    returned = read_return(save(tmp_path, text, "r.csv"), batch)
    assert [(r.status, r.matched_by) for r in returned.rows] == [("matched", "name"), ("unmatched", "")]
    assert answers(returned, batch) == {"b.jpg": "dog"}


@pytest.mark.parametrize(
    ("task", "fmt"), [(t, f) for t in TASKS for f in RETURN_FORMATS if t == "detection" or f not in ("yolo", "voc")]
)
def test_a_return_of_another_batch_matches_nothing(batch_of, answered, fmt, task, tmp_path):
    """Answers to an earlier batch of the same images are not taken for answers to this one."""
    batch, earlier = batch_of(task), batch_of(task, batch_id="f" * 32)
    decision = "dog" if task == "classification" else [("a", "dog", 5, 5, 9, 9)]
    returned = read_return(answered(earlier, tmp_path, fmt, {"set/1.jpg": decision, "set/2.jpg": decision}), batch)
    assert returned.matched == ()
    assert sum("another batch" in r.reason for r in returned.rows) >= 2


def test_a_wholly_foreign_file_is_reported_row_by_row(batch_of, answered, tmp_path):
    """A file of other images gives unmatched rows with reasons, and everything is missing."""
    foreign = batch_of("classification", keys=["x.jpg", "y.jpg", "z.jpg"], batch_id="job-1")
    batch = batch_of("classification")
    returned = read_return(answered(foreign, tmp_path, "coco", {"x.jpg": "dog"}), batch)
    assert [r.status for r in returned.rows] == ["unmatched"] * 3
    assert len(returned.missing) == 3


def test_other_image_bytes_are_rejected(labels_back, tmp_path):
    """An answer that was given to an image with another hash isn't taken."""
    batch, tasks = labels_back
    tasks[0]["data"]["sha256"] = "ab" * 32
    returned = read_return(save(tmp_path, tasks), batch)
    assert returned.rows[0].status == "rejected"
    assert "hash" in returned.rows[0].reason


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("zebra", "unknown class"),
        ("Cat", "Did you mean 'cat'"),
        ("x" * 257, "257 characters"),
        ("x" * 2_000_000, "2000000 characters"),
        ("c\x00at", "unknown class"),
        ("\ud800", "unknown class"),
        ("", "empty"),
        (None, "empty"),
        (["cat"], "empty"),
    ],
)
def test_labels_that_are_no_class_are_rejected(labels_back, tmp_path, label, words):
    """An answer with an unknown, overlong or broken label is rejected, in words that can be shown."""
    batch, tasks = labels_back
    tasks[0]["annotations"][0]["result"][0]["value"]["choices"] = [label]
    row = read_return(save(tmp_path, tasks), batch).rows[0]
    assert row.status == "rejected"
    assert words in row.reason
    assert len(row.reason) < 500
    assert "\x00" not in row.reason
    row.reason.encode()


@pytest.mark.parametrize("labels", [[], ["cat", "dog"]])
def test_one_label_is_needed(labels_back, tmp_path, labels):
    """No label, or two, is no answer."""
    batch, tasks = labels_back
    tasks[0]["annotations"][0]["result"][0]["value"]["choices"] = labels
    assert read_return(save(tmp_path, tasks), batch).rows[0].status == "rejected"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": float("nan")}, "finite"),
        ({"width": float("inf")}, "finite"),
        ({"width": 1e400}, "finite"),
        ({"height": "tall"}, "finite"),
        ({"height": None}, "finite"),
        ({"width": -5}, "wider"),
        ({"width": 0}, "wider"),
        ({"x": -1}, "2.0 px out of the image at the left"),
        ({"width": 99}, "at the right"),
        ({"rotation": 12}, "rotated"),
        ({"rectanglelabels": ["zebra"]}, "unknown class"),
        ({"rectanglelabels": ["cat", "dog"]}, "2 labels"),
    ],
)
def test_boxes_that_are_no_boxes_reject_the_whole_answer(boxes_back, tmp_path, change, words):
    """One bad box rejects its image's answer, so that no half answer is taken; other images are not touched."""
    batch, tasks = boxes_back
    results = tasks[1]["annotations"][0]["result"]
    bad = json.loads(json.dumps(results[0])) | {"id": "extra"}
    bad["value"] |= change
    results.append(bad)
    returned = read_return(save(tmp_path, tasks), batch)
    assert [r.status for r in returned.rows] == ["matched", "rejected", "matched"]
    assert words in returned.rows[1].reason
    assert returned.rows[1].boxes is None


def test_a_box_that_sticks_out_by_rounding_is_cut(boxes_back, tmp_path):
    """Up to half a pixel outside is rounding: the box ends at the frame."""
    batch, tasks = boxes_back
    tasks[0]["annotations"][0]["result"][0]["value"] |= {"x": -0.1, "width": 100.2, "y": 0, "height": 100.0000001}
    (box,) = read_return(save(tmp_path, tasks), batch).rows[0].boxes
    assert (box.x, box.y, box.x + box.width, box.y + box.height) == pytest.approx((0, 0, 200, 100), abs=1e-9)
    assert box.x >= 0
    assert box.x + box.width <= 200


def test_other_shapes_reject_the_answer(boxes_back, tmp_path):
    """A polygon can't be kept as a box, so its image stays open; comments are let be."""
    batch, tasks = boxes_back
    tasks[0]["annotations"][0]["result"].append({"type": "polygonlabels", "value": {"points": [[1, 1]]}})
    tasks[1]["annotations"][0]["result"].append({"type": "textarea", "value": {"text": ["blurred"]}})
    returned = read_return(save(tmp_path, tasks), batch)
    assert [r.status for r in returned.rows] == ["rejected", "matched", "matched"]


def test_an_image_of_another_size_is_rejected(batch_of, answered, tmp_path):
    """Pixels of a resized image mean other places: such answers are not taken."""
    batch = batch_of("detection")
    path = answered(batch, tmp_path, "cvat", {"set/1.jpg": [("a", "dog", 5, 5, 9, 9)]})
    back = save(tmp_path, path.read_text().replace('width="200"', 'width="400"'), "back.xml")
    row = read_return(back, batch).rows[1]
    assert row.status == "rejected"
    assert "400 x 100" in row.reason


def test_a_copied_box_is_a_new_box(boxes_back, tmp_path):
    """Of two boxes with one id the nearer one is the old box, the other is new."""
    batch, tasks = boxes_back
    results = tasks[0]["annotations"][0]["result"]
    far = json.loads(json.dumps(results[0]))
    far["value"] |= {"x": 60}
    tasks[0]["annotations"][0]["result"] = [far, *results]
    boxes = read_return(save(tmp_path, tasks), batch).rows[0].boxes
    assert [(b.x, b.label_id) for b in boxes] == [(pytest.approx(120), ""), (pytest.approx(12), "a")]


def test_a_box_without_its_mark_is_known_by_its_place(batch_of, answered, tmp_path):
    """A tool that drops our keys doesn't turn relabelled boxes into new ones."""
    batch = batch_of("detection")
    decisions = {"set/1.jpg": [("a", "dog", 10, 20, 30, 40), ("b", "dog", 50.25, 10.5, 100.125, 60)]}
    data = load(answered(batch, tmp_path, "coco", decisions))
    for annotation in data["annotations"]:
        annotation.pop("label_id", None)
        annotation["bbox"] = [round(v, 1) for v in annotation["bbox"]]
    row = read_return(save(tmp_path, data), batch).rows[1]
    assert [(b.label_id, b.label) for b in row.boxes] == [("a", "dog"), ("b", "dog")]


def test_coco_categories_are_known_by_name(batch_of, answered, tmp_path):
    """A tool may number categories and images anew and reorder everything."""
    batch = batch_of("classification")
    data = load(answered(batch, tmp_path, "coco", LABELS))
    for category in data["categories"]:
        category["id"] += 100
    for image in data["images"]:
        image["id"] = 7 - image["id"]
    for annotation in data["annotations"]:
        annotation["category_id"] += 100
        annotation["image_id"] = 7 - annotation["image_id"]
    data = {k: v[::-1] if isinstance(v, list) else v for k, v in data.items()}
    assert answers(read_return(save(tmp_path, data), batch), batch) == LABELS


def test_coco_leftovers_are_listed(batch_of, answered, tmp_path):
    """Annotations of unlisted images, and image ids that stand twice, are rows with reasons."""
    batch = batch_of("classification")
    data = load(answered(batch, tmp_path, "coco", LABELS))
    data["annotations"] += [{"image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 1]}, {"category_id": 1}, "x"]
    data["images"][1]["id"] = data["images"][0]["id"]
    returned = read_return(save(tmp_path, data), batch)
    assert [r.status for r in returned.rows] == [
        "rejected",
        "rejected",
        "matched",
        "unmatched",
        "unmatched",
        "unmatched",
    ]
    assert "2 times" in returned.rows[0].reason


def test_changes_prove_work_but_missing_boxes_do_not(batch_of, exported, tmp_path):
    """COCO without marks: a relabelled image counts; rounded, emptied or thinned-out ones stay open."""
    batch = batch_of("detection", 4, boxes=(Box("cat", 10.4, 20, 30, 40, "a"), Box("dog", 50, 10, 60, 60, "b")))
    data = load(exported(batch, tmp_path, "coco"))
    by_image = {n: [a for a in data["annotations"] if a["image_id"] == n] for n in (1, 2, 3, 4)}
    by_image[1][0]["category_id"] = 2
    by_image[2][0]["bbox"] = [round(v) for v in by_image[2][0]["bbox"]]
    data["annotations"] = [*by_image[1], *by_image[2], by_image[4][0]]
    returned = read_return(save(tmp_path, data), batch)
    assert [r.status for r in returned.rows] == ["matched", "unreviewed", "unreviewed", "unreviewed"]


def test_cvat_boxes_pasted_from_another_image_stay_where_they_are(batch_of, answered, tmp_path):
    """A box copied between images carries the other image's marks: its image is still the one that is named."""
    batch = batch_of("detection", boxes=(Box("cat", 10, 20, 30, 40, "a"),))
    same = [("a", "cat", 10, 20, 30, 40)]
    path = answered(batch, tmp_path, "cvat", {t.key: same for t in batch.tasks})
    root = fromstring(path.read_bytes())
    first, second, third = root.findall("image")
    pasted = fromstring(tostring(first.find("box")))
    pasted.set("xtl", "100.00")
    pasted.set("xbr", "120.00")
    second.append(pasted)
    third.remove(third.find("box"))
    third.append(pasted)
    returned = read_return(save(tmp_path, tostring(root).decode(), "back.xml"), batch)
    assert [r.status for r in returned.rows] == ["matched", "matched", "unmatched"]
    assert [(b.x, b.label_id) for b in returned.rows[1].boxes] == [(10, "a"), (100, "")]
    assert "another one" in returned.rows[2].reason


def test_cvat_without_our_attributes_keeps_untouched_images_open(batch_of, exported, tmp_path):
    """A CVAT task made without labels.json drops all marks: imported shapes still aren't taken for answers."""
    batch = batch_of("detection")
    root = fromstring(exported(batch, tmp_path, "cvat").read_bytes())
    for box in root.iter("box"):
        for attribute in list(box):
            box.remove(attribute)
    root.findall("image")[2].find("box").set("label", "a b")
    returned = read_return(save(tmp_path, tostring(root).decode(), "back.xml"), batch)
    assert [(r.status, r.matched_by) for r in returned.rows] == [
        ("unreviewed", "name"),
        ("unreviewed", "name"),
        ("matched", "name"),
    ]
    assert [(b.label_id, b.label) for b in returned.rows[2].boxes] == [("a", "a b"), ("b", "a b")]


def test_cvat_images_are_found_by_id_when_renamed(batch_of, answered, tmp_path):
    """A renamed image is found by the marks on its shapes."""
    batch = batch_of("detection")
    path = answered(batch, tmp_path, "cvat", {"set/1.jpg": [("a", "dog", 10, 20, 30, 40)]})
    back = save(tmp_path, path.read_text().replace("set/1.jpg", "frame_000001.png"), "back.xml")
    (row,) = read_return(back, batch).matched
    assert (row.task_id, row.matched_by) == (batch.tasks[1].task_id, "id")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_of_other_spreadsheets_is_read(batch_of, tmp_path, delimiter):
    """Semicolons with decimal commas, tabs, a byte order mark and Windows line ends are read alike."""
    batch = batch_of("detection", 2)
    number = "12,5" if delimiter == ";" else "12.5"
    cells = [
        ["slicelab_id", "label_id", "label", "x", "y", "width", "height", "reviewed"],
        [batch.tasks[1].task_id, "a", "dog", number, "20", "30", "40", "YES"],
        [batch.tasks[0].task_id, "", "", "", "", "", "", "x"],
        [batch.tasks[1].task_id, "", "cat", "1", "1", "5", "5", "yes"],
    ]
    path = tmp_path / "back.csv"
    path.write_bytes("\r\n".join(delimiter.join(c) for c in cells).encode("utf-8-sig"))
    returned = read_return(path, batch)
    found = {r.task_id: [(b.label_id, b.label, b.x) for b in r.boxes] for r in returned.matched}
    assert found == {batch.tasks[0].task_id: [], batch.tasks[1].task_id: [("a", "dog", 12.5), ("", "cat", 1)]}


def test_csv_rows_of_an_image_must_all_be_reviewed(batch_of, tmp_path):
    """An image with some rows marked and some not stays open; a word that is neither is rejected."""
    batch = batch_of("detection", 3)
    head = "slicelab_id,label_id,label,x,y,width,height,reviewed\n"
    rows = [(1, "a", "yes"), (1, "b", "no"), (2, "a", "maybe")]
    text = head + "".join(f"{batch.tasks[t].task_id},{i},cat,1,1,5,{n + 1},{r}\n" for n, (t, i, r) in enumerate(rows))
    returned = read_return(save(tmp_path, text, "r.csv"), batch)
    assert [r.status for r in returned.rows] == ["unreviewed", "rejected"]
    assert "1 of its 2 rows" in returned.rows[0].reason


def test_a_zip_is_read_like_its_file(batch_of, answered, tmp_path):
    """CVAT's zip with images, and a zip with one JSON file, are opened."""
    batch = batch_of("classification")
    for fmt in ("cvat", "coco"):
        (tmp_path / fmt).mkdir()
        path = answered(batch, tmp_path / fmt, fmt, LABELS)
        with zipfile.ZipFile(tmp_path / f"{fmt}.zip", "w") as archive:
            archive.write(path, "annotations.xml" if fmt == "cvat" else "result.json")
            archive.writestr("images/set/0.jpg", b"picture")
        returned = read_return(tmp_path / f"{fmt}.zip", batch)
        assert (returned.format, answers(returned, batch)) == (fmt, LABELS)


def test_an_unknown_format_is_refused(batch_of, tmp_path):
    """A format that doesn't exist is a wrong argument, not a wrong file."""
    with pytest.raises(InvalidInputError, match="Did you mean 'label-studio'"):
        read_return(tmp_path / "x", batch_of("classification"), format="labelstudio")


@pytest.mark.parametrize("fmt", [f for f in RETURN_FORMATS if f not in ("yolo", "voc")])
def test_the_file_is_identified(batch_of, answered, fmt, tmp_path):
    """A return names its batch, its file and the file's hash, and the format that was seen in it."""
    batch = batch_of("classification")
    path = answered(batch, tmp_path, fmt, LABELS)
    returned = read_return(path, batch)
    assert (returned.batch_id, returned.queue, returned.format, returned.file) == (batch.batch_id, "q", fmt, str(path))
    assert len(returned.sha256) == 64
    assert read_return(path, batch).rows == returned.rows


def test_a_return_file_error_names_the_file(batch_of, tmp_path):
    """What can't be read says which file it was."""
    with pytest.raises(ReturnFileError, match=r"back\.json: The JSON can't be read"):
        read_return(save(tmp_path, "[{]"), batch_of("classification"))
