"""What is written in bulk is what FiftyOne would have written, and FiftyOne works with it as with its own."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from slicelab.core import InvalidInputError, SampleTable
from slicelab.store import Datasets, _bulk, _conformance, _datasets, connect

pytestmark = pytest.mark.mongo

DIGITS = 300


def digits(folder):
    """Return the first digits with the predictions of two models, one of them with probabilities."""
    from slicelab.sources import read_predictions, read_samples

    labels = pd.read_csv(folder / "digits" / "labels.csv").head(DIGITS)
    table, _, _ = read_samples(folder / "digits" / "images", labels, progress=False)
    table = SampleTable(table.task, table.samples.dropna(subset="label"), table.boxes, table.classes)
    paths = {"cnn": "predictions_cnn.csv", "small": "predictions_cnn_small.csv"}
    return table, {
        model: read_predictions(folder / "digits" / path, model=model, table=table, progress=False)[0]
        for model, path in paths.items()
    }


def baggage(folder):
    """Return the scans with labelled boxes, and the predictions of two models."""
    from slicelab.sources import read_categories, read_predictions, read_samples

    labels = folder / "baggage" / "labels.json"
    table, _, _ = read_samples(folder / "baggage" / "images", labels, progress=False)
    return table, {
        model: read_predictions(
            folder / "baggage" / f"predictions_{model}.json",
            model=model,
            table=table,
            categories=read_categories(labels),
            progress=False,
        )[0]
        for model in ("v3", "v4")
    }


def write(store, name, table, models):
    """Do everything that writes: a load, a model and samples later, outcomes, and a new version of the labels."""
    from slicelab.evaluation import classification_units, detection_units

    first, second = models.values()
    half = len(table.samples) // 2
    early, late = table.samples.index[:half], table.samples.index[half:]

    def part(keys):
        boxes = table.boxes[table.boxes["key"].isin(keys)].reset_index(drop=True)
        return SampleTable(table.task, table.samples.loc[keys], boxes, table.classes)

    store.create(name, part(early), [first], progress=False)
    store.add(name, part(late), [second], progress=False)
    units = classification_units if table.task == "classification" else detection_units
    store.write_outcomes(name, second.model, units(store.read_table(name), store.read_predictions(name, second.model)))
    key = table.samples.index[3]
    if table.task == "classification":
        changed = {"labels": {key: table.classes[0]}, "boxes": {}}
    else:
        changed = {"labels": {}, "boxes": {key: table.boxes[table.boxes["key"] == key].head(1)}}
    store.write_label_version(name, "ground_truth_v2", provenance={}, **changed)


def documents(name):
    """Return the stored samples and FiftyOne's record of the dataset, less what differs from load to load."""
    samples = connect().samples
    record = samples["datasets"].find_one({"name": name})
    fields = [(f["name"], f["ftype"], f["embedded_doc_type"], f["subfield"]) for f in record["sample_fields"]]
    stored = list(samples[record["sample_collection_name"]].find({}).sort("key", 1))
    for document in stored:
        document["slicelab_load"] = bool(document["slicelab_load"])
    return {"media_type": record["media_type"], "fields": sorted(map(str, fields)), "samples": stored}


@pytest.fixture(scope="module")
def store(shared_home):
    """The datasets of a new folder."""
    return Datasets(connect())


@pytest.mark.parametrize("read", [digits, baggage])
def test_every_key_type_and_value_is_fiftyones(store, samples, read, monkeypatch, caplog):
    """Two real tables go through every writing call both ways: what is stored is the same, key by key."""
    table, models = read(samples)
    with caplog.at_level(logging.WARNING, "slicelab"):
        write(store, f"{read.__name__} in bulk", table, models)
    assert caplog.messages == []
    monkeypatch.setattr(_datasets, "conforms", lambda _: False)
    write(store, f"{read.__name__} by calls", table, models)
    ours, theirs = documents(f"{read.__name__} in bulk"), documents(f"{read.__name__} by calls")
    assert len(ours["samples"]) == len(table.samples)
    assert list(_conformance.compare(ours, theirs)) == []
    ids = [[d["_id"] for d in sorted(side["samples"], key=lambda d: d["_id"])] for side in (ours, theirs)]
    keys = [[d["key"] for d in sorted(side["samples"], key=lambda d: d["_id"])] for side in (ours, theirs)]
    assert ids[0] != ids[1]
    assert keys[0] == keys[1] == list(table.samples.index)


def test_the_comparison_sees_every_kind_of_difference():
    """A key more, a key less, another type, another value and another length are all named."""
    ours = {"a": 1, "b": {"c": [1, 2]}, "_id": 1, "only": None, "n": float("nan")}
    theirs = {"a": 1.0, "b": {"c": [1, 3, 4]}, "_id": 2, "other": None, "n": float("nan")}
    said = list(_conformance.compare(ours, theirs))
    assert [line.split(" ")[0] for line in said] == [".a", ".b.c", ".b.c[1]", ".only", ".other"]
    assert list(_conformance.compare({"_id": 1}, {"_id": "1"})) != []


def test_fiftyone_works_with_what_was_written_in_bulk(store, samples, tmp_path):
    """FiftyOne iterates, filters, evaluates, edits, extends, exports and deletes samples written in bulk."""
    import fiftyone as fo
    from fiftyone import ViewField

    table, models = baggage(samples)
    info = store.create("works", table, list(models.values()), progress=False)
    dataset = store.open("works")
    field = info.prediction_field("v3")
    assert len(dataset) == dataset.count() == len(table.samples)
    assert dataset.count("ground_truth.detections") == len(table.boxes)
    first = table.samples.index[0]
    found = dataset.match(ViewField("key") == first).first()
    assert found.metadata.width == table.samples.loc[first, "width"]
    assert found.created_at is not None
    assert sum(len(s.ground_truth.detections) for s in dataset.iter_samples()) == len(table.boxes)
    some = dataset.filter_labels(field, ViewField("confidence") > 0.5)
    assert some.count(f"{field}.detections") == int((models["v3"].frame["confidence"] > 0.5).sum())
    view = dataset.limit(20)
    results = view.evaluate_detections(field, gt_field="ground_truth", eval_key="ev", progress=False)
    assert len(results.ytrue) >= view.count("ground_truth.detections")
    found.tags.append("seen")
    found.ground_truth.detections[0].label = table.classes[-1]
    found.save()
    dataset.add_sample_field("remark", fo.StringField)
    dataset.set_values("remark", ["fine"] * len(dataset))
    dataset.reload()
    assert dataset.match_tags("seen").values("remark") == ["fine"]
    assert store.read_table("works").boxes["label"].iloc[0] == table.classes[-1]
    view.export(str(tmp_path / "coco"), dataset_type=fo.types.COCODetectionDataset, label_field=field, progress=False)
    assert (tmp_path / "coco" / "labels.json").stat().st_size > 0
    dataset.delete_samples(dataset.limit(1))
    assert len(store.read_table("works").samples) == len(table.samples) - 1


def test_samples_in_memory_see_what_is_written(store, samples):
    """A sample that the user holds has the predictions and outcomes that were written after it was read."""
    from slicelab.evaluation import classification_units

    table, models = digits(samples)
    store.create("held", table, progress=False)
    held = store.open("held").first()
    store.add("held", None, [models["cnn"]], progress=False)
    assert held.cnn.label == models["cnn"].frame["label"][held.key]
    units = classification_units(store.read_table("held"), store.read_predictions("held", "cnn"))
    store.write_outcomes("held", "cnn", units)
    assert held["outcome_cnn"] == units.loc[held.key, "outcome"]


@pytest.fixture
def never_compared(store, monkeypatch):
    """Neither this process nor the database knows yet whether bulk writes conform."""

    def forget():
        monkeypatch.setattr(_conformance, "_known", {})
        for record in connect().records.find("conformance"):
            connect().records.delete("conformance", record["_id"])

    forget()
    yield store
    forget()


def test_where_fiftyone_stores_otherwise_its_own_calls_write(never_compared, samples, monkeypatch, caplog):
    """A difference is found before anything is written, said once, remembered, and the dataset is right."""
    store = never_compared
    table, models = digits(samples)
    honest = _bulk.sample_documents

    def other(*arguments, **options):
        for document in honest(*arguments, **options):
            yield document | {"surprise": 1}

    monkeypatch.setattr(_bulk, "sample_documents", other)
    with caplog.at_level(logging.WARNING, "slicelab"):
        write(store, "guarded", table, models)
    assert [m for m in caplog.messages if "surprise" in m] == caplog.messages[:1]
    assert len(caplog.messages) == 1
    stored = documents("guarded")["samples"]
    assert len(stored) == len(table.samples)
    assert not any("surprise" in document for document in stored)
    assert set(store.open("guarded").values("cnn.label")) - {None} <= set(table.classes)
    monkeypatch.setattr(_conformance, "_known", {})
    monkeypatch.setattr(_conformance, "differences", lambda _: pytest.fail("it was found out already"))
    assert not _conformance.conforms(connect())
    import fiftyone

    assert [n for n in fiftyone.list_datasets() if "loading" in n] == []


def test_outcomes_go_to_their_boxes_when_boxes_are_removed_meanwhile(store, samples, monkeypatch):
    """A box that is deleted between reading and writing doesn't shift the outcomes of the boxes after it."""
    table, models = baggage(samples)
    info = store.create("shifting", table, [models["v3"]], progress=False)
    at = info.prediction_field("v3")
    counts = models["v3"].frame["key"].value_counts()
    key = counts.index[0]
    dataset = store.open("shifting")
    honest, turns = _bulk.stored_batches, []

    def meanwhile(*arguments):
        for batch in honest(*arguments):
            if not turns:
                turns.append(1)
                sample = dataset.match({"key": key}).first()
                sample[at].detections.pop(0)
                sample.save()
            yield batch

    from slicelab.evaluation import detection_units

    units = detection_units(store.read_table("shifting"), store.read_predictions("shifting", "v3"))
    monkeypatch.setattr(_bulk, "stored_batches", meanwhile)
    store.write_outcomes("shifting", "v3", units)
    sample = store.open("shifting").match({"key": key}).first()
    assert len(sample[at].detections) == counts.iloc[0] - 1
    wanted = {i: o for k, i, o in zip(units["key"], units["box_id"], units["outcome"], strict=True) if k == key}
    assert [d.outcome for d in sample[at].detections] == [wanted.get(d.box_id) for d in sample[at].detections]


def test_columns_that_come_later_are_added(store, samples):
    """New samples may bring columns: the earlier ones hold nothing there. A value of another type is refused."""
    table, _ = digits(samples)
    first, later = table.samples.index[:20], table.samples.index[20:40]

    def part(keys, **columns):
        return SampleTable(table.task, table.samples.loc[keys].assign(**columns), table.boxes, table.classes)

    store.create("columns", part(first), progress=False)
    with pytest.raises(InvalidInputError, match=r"'shift'.*7"):
        store.add("columns", part(later, shift=pd.Series(["a", 7] * 10, index=later, dtype=object)), progress=False)
    assert len(store.read_table("columns").samples) == 20
    assert not store.open("columns").has_field("shift")
    store.add("columns", part(later, shift="night", weight=np.linspace(0, 1, 20)), progress=False)
    read = store.read_table("columns").samples
    assert read["shift"].isna().tolist() == [True] * 20 + [False] * 20
    assert read["weight"].iloc[-1] == 1.0
    assert [s["shift"] for s in store.open("columns").sort_by("_id")] == [None] * 20 + ["night"] * 20


def test_samples_keep_their_order_when_ids_overflow(store, samples, monkeypatch):
    """Ids are made by a counter that starts again at 0; the order of the table is kept nevertheless."""
    from bson import ObjectId

    table, _ = digits(samples)
    monkeypatch.setattr(ObjectId, "_inc", 0xFFFFFF - 100)
    store.create("overflow", table, progress=False)
    assert list(store.read_table("overflow").samples.index) == list(table.samples.index)
