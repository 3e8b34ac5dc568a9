"""Writing legal FiftyOne documents many at a time, straight into the collection of a dataset's samples.

The fields are declared through FiftyOne before; `_conformance` checks that the documents are FiftyOne's own. Every
batch is journaled and on the majority when it counts as written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from slicelab.core import ConflictError, Predictions, SampleTable
from slicelab.store._columns import StoredSamples, stored_batches
from slicelab.store._documents import sample_documents
from slicelab.store._labels import label_documents, prediction_documents

Document = dict[str, Any]

_SAMPLES = 1000
_BOXES = 20_000
"""How many samples, and about how many boxes, are written at once."""

_TRIES = 3


class BulkWriter:
    """Writes samples, labels and outcomes of one dataset.

    Parameters
    ----------
    stored
        Where its samples are.
    """

    def __init__(self, stored: StoredSamples) -> None:
        self._stored = stored

    def add_samples(
        self,
        table: SampleTable,
        *,
        label_field: str,
        predictions: Mapping[str, Predictions],
        load_id: str,
        progress: bool,
    ) -> None:
        """Add the samples of a table with their labels and predictions.

        Parameters
        ----------
        table
            Keys that aren't there yet.
        label_field
            Field of the labels; this one and the others are declared.
        predictions
            By field name.
        load_id
            Written on every sample, so that a load that was cut off can be taken back.
        progress
            Show a bar.
        """
        from fiftyone.core.media import get_media_type

        documents = sample_documents(
            table,
            label_field=label_field,
            predictions=predictions,
            load_id=load_id,
            dataset_id=self._stored.dataset_id,
            media_type=get_media_type,
        )
        frames = [table.boxes, *(p.frame for p in predictions.values() if p.task == "detection")]
        with _bar("write samples", len(table.samples), progress) as bar:
            for batch in _batches(documents, frames, len(table.samples)):
                self._stored.collection.insert_many(batch, ordered=False)
                bar.update(len(batch))

    def set_predictions(self, field: str, predictions: Predictions, samples: pd.DataFrame, *, progress: bool) -> None:
        """Set a model's predictions on samples that are there.

        Parameters
        ----------
        field
            That is declared.
        predictions
            Of one model; those for other samples are left out.
        samples
            Index `key`; columns `_id` (FiftyOne's), `width`, `height`.
        progress
            Show a bar.
        """
        frames = [predictions.frame] if predictions.task == "detection" else []
        documents = prediction_documents(predictions, samples)
        self._set(field, documents, samples, frames, title="write predictions", progress=progress)

    def set_labels(self, field: str, table: SampleTable, samples: pd.DataFrame) -> None:
        """Set labels on samples that are there; parameters as in `set_predictions`."""
        documents = label_documents(table, samples)
        self._set(field, documents, samples, [table.boxes], title="write labels", progress=False)

    def set_text(self, field: str, values: Mapping[str, str], samples: pd.DataFrame) -> None:
        """Set a text by key on samples that are there."""
        texts = (values.get(key) for key in samples.index)
        self._set(field, texts, samples, [], title="write texts", progress=False)

    def set_box_outcomes(
        self, outcome: str, on_labels: Words, on_boxes: Words, *, label_field: str, prediction_field: str
    ) -> None:
        """Set the outcome of every labelled and predicted box; None where nothing is said of it.

        Parameters
        ----------
        outcome
            Attribute of the labelled boxes; that of the predicted boxes is "outcome".
        on_labels, on_boxes
            The word by the sample's key and the box's `label_id` or `box_id`.
        label_field, prediction_field
            Whose boxes they are.

        Raises
        ------
        ConflictError
            Somebody else kept changing the same samples.
        """
        parts = (
            (f"{label_field}.detections", "label_id", outcome, on_labels),
            (f"{prediction_field}.detections", "box_id", "outcome", on_boxes),
        )
        where: Document = {}
        for _ in range(_TRIES):
            missed = self._set_words(parts, where)
            if not missed:
                return
            where = {"_id": {"$in": missed}}
        raise ConflictError(
            f"{len(missed)} samples were changed by somebody else while their outcomes were being written. "
            "Evaluate again when that is done."
        )

    def _set(
        self,
        field: str,
        values: Iterable[Any],
        samples: pd.DataFrame,
        frames: Sequence[pd.DataFrame],
        *,
        title: str,
        progress: bool,
    ) -> None:
        """Set a value per sample; None: that sample stays as it is."""
        from pymongo import UpdateOne

        updates = (
            UpdateOne({"_id": sample}, {"$set": {field: value, "last_modified_at": datetime.now(UTC)}})
            for sample, value in zip(samples["_id"].tolist(), values, strict=True)
            if value is not None
        )
        with _bar(title, len(samples), progress) as bar:
            for batch in _batches(updates, frames, len(samples)):
                self._stored.collection.bulk_write(batch, ordered=False)
                bar.update(len(batch))

    def _set_words(self, parts: Sequence[tuple[str, str, str, Words]], where: Document) -> list[Any]:
        """Set words on boxes by their places; return the samples that were changed between reading and writing."""
        from pymongo import UpdateOne

        missed: list[Any] = []
        paths = ["key", "last_modified_at", *(f"{at}.{ids}" for at, ids, _, _ in parts)]
        for documents in stored_batches(self._stored, paths, where):
            now = datetime.now(UTC)
            updates = []
            for document in documents:
                words = {
                    f"{at}.{place}.{attribute}": by_box.get((document["key"], box.get(ids)))
                    for at, ids, attribute, by_box in parts
                    for place, box in enumerate((document.get(at.partition(".")[0]) or {}).get("detections") or ())
                }
                if words:
                    # Places are those of the boxes that were read: only a sample that is still so is written.
                    same = {"_id": document["_id"], "last_modified_at": document.get("last_modified_at")}
                    updates.append(UpdateOne(same, {"$set": words | {"last_modified_at": now}}))
            if updates and self._stored.collection.bulk_write(updates, ordered=False).matched_count < len(updates):
                ids = [document["_id"] for document in documents]
                other = {"_id": {"$in": ids}, "last_modified_at": {"$ne": now}}
                missed += [d["_id"] for d in self._stored.collection.find(other, {"_id": True})]
        return missed


Words = Mapping[tuple[str, str], str]


def _batches(values: Iterable[Any], frames: Sequence[pd.DataFrame], samples: int) -> Iterator[list[Any]]:
    """Yield lists of at most `_SAMPLES` values, fewer where samples hold many boxes."""
    boxes = sum(map(len, frames)) / max(1, samples)
    size = max(1, min(_SAMPLES, int(_BOXES / max(1.0, boxes))))
    values = iter(values)
    while batch := list(itertools.islice(values, size)):
        yield batch


def _bar(title: str, total: int, progress: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=title, disable=not progress, leave=False)
