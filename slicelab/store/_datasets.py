"""FiftyOne datasets: writing samples, predictions and outcomes, and reading them back as tables.

A new dataset is filled under a temporary name and renamed when it is complete. Additions to a dataset that is there
are first announced in its record and taken back at the next opening if they were cut off. So a reader sees a load
wholly, or not at all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import pandas as pd

from slicelab.core import (
    BOX_UNIT_COLUMNS,
    TEXT,
    UNIT_COLUMNS,
    ConflictError,
    NotFoundError,
    Predictions,
    SampleTable,
    StateError,
    check_name,
    new_id,
    now,
)
from slicelab.store._additions import Additions
from slicelab.store._builds import Builds
from slicelab.store._bulk import BulkWriter
from slicelab.store._columns import StoredSamples, find_samples, read_samples
from slicelab.store._conformance import conforms
from slicelab.store._dataset_info import (
    RESERVED,
    TRUTH,
    DatasetInfo,
    check_group,
    field_name,
    find_info,
    keep_confidences,
    model_entries,
)
from slicelab.store._fields import (
    declare,
    declare_labels,
    declare_media,
    declare_metadata,
    declare_text,
)
from slicelab.store._fiftyone import import_fiftyone, load_dataset, refresh_dataset
from slicelab.store._public_writer import PublicWriter
from slicelab.store._saved_views import save_slices
from slicelab.store._tables import read_predictions, read_table

if TYPE_CHECKING:
    import fiftyone as fo

    from slicelab.store._connection import Connection

P = ParamSpec("P")
T = TypeVar("T")
Writer = BulkWriter | PublicWriter


def _repeatable(method: Callable[Concatenate[Datasets, P], T]) -> Callable[Concatenate[Datasets, P], T]:
    """Do a method again when the database was killed under it; its FiftyOne calls know nothing of that."""

    @functools.wraps(method)
    def repeated(self: Datasets, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._connection.run(lambda: method(self, *args, **kwargs))

    return repeated


class Datasets:
    """The datasets of a connection.

    Parameters
    ----------
    connection
        To the database; FiftyOne is pointed to the same one before it is imported.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._records = connection.records
        self._builds = Builds(connection)
        self._additions = Additions(connection)

    # -- what is there -------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all datasets, sorted."""
        return sorted(record["_id"] for record in self._records.find("datasets"))

    def info(self, name: str) -> DatasetInfo:
        """Return what is known of a dataset, or raise `NotFoundError`."""
        return find_info(self._records, name)

    @_repeatable
    def open(self, name: str) -> fo.Dataset:
        """Return the FiftyOne dataset itself, after taking back an addition that was cut off."""
        self._whole(name)
        return load_dataset(self._connection, name)

    def delete(self, name: str) -> None:
        """Delete a dataset with its samples. Its slices, cases and queues stay."""
        rev = self.info(name).rev
        fiftyone = import_fiftyone(self._connection)
        if fiftyone.dataset_exists(name):
            fiftyone.delete_dataset(name)
        self._records.delete("datasets", name, rev=rev)

    # -- writing -------------------------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        table: SampleTable,
        predictions: Sequence[Predictions] = (),
        *,
        media_roots: Sequence[str] = (),
        categories: Mapping[int, str] | None = None,
        overwrite: bool = False,
        progress: bool = True,
    ) -> DatasetInfo:
        """Make a persistent dataset from checked tables.

        Parameters
        ----------
        name
            Of the dataset.
        table, predictions
            Checked already; rows are written as they are.
        media_roots
            Folders below which the images lie.
        categories
            Class names by COCO category id.
        overwrite
            Replace a dataset of that name; the old one stays until the new one is complete. Operating points that a
            person gave to models stay with models of the same name.

        Raises
        ------
        ConflictError
            A dataset of that name is there.
        InvalidInputError
            The name isn't usable, or the table's `group` is no column of it.
        """
        check_name(name, "dataset name")
        fiftyone = import_fiftyone(self._connection)
        if not overwrite and (self._records.get("datasets", name) or fiftyone.dataset_exists(name)):
            raise ConflictError(f"A dataset {name!r} is there already. Choose another name, or pass overwrite=True.")
        info = DatasetInfo(
            name,
            table.task,
            table.classes,
            models=keep_confidences(model_entries({}, predictions), self._records.get("datasets", name)),
            media_roots=tuple(media_roots),
            metadata_columns=tuple(table.metadata_columns),
            categories={str(k): v for k, v in (categories or {}).items()},
            group=check_group(table.group, table.metadata_columns),
        )

        def fill(dataset: fo.Dataset) -> None:
            declare_metadata(dataset, table.samples, table.metadata_columns)
            fields = {info.prediction_field(p.model): p for p in predictions}
            declare(dataset, info.task, label_field=TRUTH, prediction_fields=list(fields))
            declare_media(dataset, table.samples)
            writer = self._writer(dataset)
            writer.add_samples(table, label_field=TRUTH, predictions=fields, load_id="", progress=progress)

        # Done again from the start when the database is killed meanwhile.
        self._connection.run(lambda: conforms(self._connection))
        self._connection.run(lambda: self._builds.build(info, fill))
        return self.info(name)

    @_repeatable
    def add(
        self, name: str, table: SampleTable | None, predictions: Sequence[Predictions] = (), *, progress: bool = True
    ) -> DatasetInfo:
        """Add samples, and predictions of models that are new, to a dataset.

        Parameters
        ----------
        name
            Of the dataset.
        table
            Samples whose keys aren't there yet; None: none.
        predictions
            Of models whose names aren't there yet, for samples that are there or in `table`.

        Raises
        ------
        ConflictError
            Somebody else is adding at this moment, or a model of that name is there.
        """
        info = self.info(name)
        dataset = self.open(name)
        taken = [p.model for p in predictions if p.model in info.models]
        if taken:
            raise ConflictError(
                f"Dataset {name!r} has predictions of {taken[0]!r} already. Load them under a new name."
            )
        models = model_entries(info.models, predictions)
        fields = {str(models[p.model]["field"]): p for p in predictions}
        columns = [] if table is None else table.metadata_columns
        new = [c for c in columns if c not in info.metadata_columns]
        load_id = new_id()
        with self._additions.announced(name, load_id, [*fields, *(c for c in new if not dataset.has_field(c))]):
            if table is not None:
                declare_metadata(dataset, table.samples, columns)
            declare(dataset, info.task, label_field=info.label_field, prediction_fields=list(fields))
            writer = self._writer(dataset)
            old = read_samples(find_samples(self._connection.samples, name))
            if table is not None:
                writer.add_samples(
                    table, label_field=info.label_field, predictions=fields, load_id=load_id, progress=progress
                )
            for at, p in fields.items():
                writer.set_predictions(at, p, old, progress=progress)
            dataset.reload()
            self._additions.commit(name, models=models, metadata_columns=[*info.metadata_columns, *new])
        return self.info(name)

    @_repeatable
    def set_confidence(
        self, name: str, model: str, confidence: float | dict[str, float], *, by: Literal["given", "f1"]
    ) -> DatasetInfo:
        """Keep from which confidence on a model's boxes count.

        Parameters
        ----------
        name, model
            Dataset and model.
        confidence
            A number, or one per class.
        by
            Who says so: "given" by a person, or found where "f1" was highest.

        Raises
        ------
        StateError
            Another process is adding to the dataset at this moment.
        ConflictError
            Another process has changed what is known of the dataset meanwhile.
        """
        info = self._whole(name)
        info.prediction_field(model)
        models = {m: dict(entry) for m, entry in info.models.items()}
        models[model] |= {"confidence": confidence, "confidence_by": by}
        self._records.update("datasets", name, rev=info.rev, changes={"models": models})
        return self.info(name)

    @_repeatable
    def set_group(self, name: str, group: str | None) -> DatasetInfo:
        """Say which metadata column holds the groups; None: each image is by itself.

        Raises
        ------
        InvalidInputError
            There is no such column.
        """
        info = self._whole(name)
        check_group(group, info.metadata_columns)
        if group != info.group:
            self._records.update("datasets", name, rev=info.rev, changes={"group": group})
        return self.info(name)

    @_repeatable
    def add_group(self, name: str, groups: pd.Series[str], *, column: str) -> DatasetInfo:
        """Write a new metadata column of texts and make it the one that holds the groups.

        Parameters
        ----------
        name
            Of the dataset.
        groups
            The group of each image, index `key`; an image that isn't there, or whose value is missing, is by itself.
        column
            Name of the column; where a field is called like that, it gets a number.

        Raises
        ------
        NotFoundError
            A key of an image that isn't in the dataset.
        """
        dataset = self.open(name)
        samples = read_samples(find_samples(self._connection.samples, name))
        strange = groups.index.difference(samples.index)
        if len(strange):
            raise NotFoundError(f"{len(strange)} of these groups are of no sample, first {strange[0]!r}.")
        field = field_name(column, {*dataset.get_field_schema(), *RESERVED, *UNIT_COLUMNS, *BOX_UNIT_COLUMNS})
        words = {str(key): str(group) for key, group in groups.dropna().items()}
        with self._additions.announced(name, new_id(), [field]):
            declare_text(dataset, field)
            self._writer(dataset).set_text(field, words, samples)
            dataset.reload()
            columns = [*self.info(name).metadata_columns, field]
            self._additions.commit(name, metadata_columns=columns, group=field)
        return self.info(name)

    @_repeatable
    def write_outcomes(self, name: str, model: str, units: pd.DataFrame) -> None:
        """Store every unit's outcome on the dataset, where FiftyOne's App shows it.

        Parameters
        ----------
        name, model
            Dataset and model.
        units
            Units frame. Classification: sample field `outcome_<model field>`. Detection: attribute `outcome` of the
            predicted boxes and `outcome_<model field>` of the labelled boxes.
        """
        info, stored = self._stored(name)
        at = info.prediction_field(model)
        outcome = f"outcome_{at}"
        path = outcome if info.task == "classification" else f"{info.label_field}.detections.{outcome}"
        writer: Writer = BulkWriter(stored)
        if path not in stored.fields or not conforms(self._connection):
            dataset = load_dataset(self._connection, name)
            declare_text(dataset, path)
            writer = self._writer(dataset)
        if info.task == "classification":
            words = dict(zip(units["key"].tolist(), units["outcome"].astype(TEXT).tolist(), strict=True))
            writer.set_text(outcome, words, read_samples(stored))
        else:
            on_labels, on_boxes = _words(units, "label_id"), _words(units, "box_id")
            writer.set_box_outcomes(outcome, on_labels, on_boxes, label_field=info.label_field, prediction_field=at)
        refresh_dataset(self._connection, name)

    @_repeatable
    def write_label_version(
        self,
        name: str,
        new_field: str,
        *,
        labels: dict[str, str],
        boxes: dict[str, pd.DataFrame],
        provenance: dict[str, Any],
        also: Callable[[Any], None] | None = None,
    ) -> DatasetInfo:
        """Write a new version of the labels beside the old ones and make it the truth.

        Parameters
        ----------
        name
            Of the dataset.
        new_field
            Name of the new label field, like "ground_truth_v2".
        labels
            Classification: new label by key; every other sample keeps its present one.
        boxes
            Detection: all boxes (`BOX_COLUMNS`) of each sample that changes.
        provenance
            JSON values kept with the version.
        also
            What happens in the same transaction as the change of the truth; it gets the session.

        Raises
        ------
        ConflictError
            The field is there already.
        """
        info = self.info(name)
        dataset = self.open(name)
        if dataset.has_field(new_field):
            raise ConflictError(f"Dataset {name!r} has a field {new_field!r} already. Merge into a new name.")
        table = self.read_table(name)
        old = set(table.classes)
        new_labels = [*labels.values(), *(label for frame in boxes.values() for label in frame["label"])]
        classes = [*table.classes, *sorted(set(new_labels) - old)]
        merged = _merged(table, labels, boxes)
        load_id = new_id()
        with self._additions.announced(name, load_id, [new_field]):
            declare_labels(dataset, new_field, info.task, ids="label_id")
            samples = read_samples(find_samples(self._connection.samples, name))
            self._writer(dataset).set_labels(new_field, merged, samples)
            dataset.reload()
            versions = [*info.label_fields, new_field]
            record = {"_id": load_id, "dataset": name, "field": new_field, "from": info.label_field, "at": now()}

            def write(session: Any) -> None:
                self._records.append("label_versions", record | provenance, session=session)
                if also is not None:
                    also(session)

            self._additions.commit(name, also=write, label_field=new_field, label_fields=versions, classes=classes)
        return self.info(name)

    @_repeatable
    def step_back(self, name: str) -> str:
        """Make the labels from which the present ones were merged the truth again; return their field.

        Raises
        ------
        StateError
            The present labels are the first ones.
        """
        info = self.info(name)
        made = self.label_versions(name, info.label_field)
        if not made:
            raise StateError(f"{info.label_field!r} are the first labels of {name!r}: nothing to step back to.")
        before = str(made[-1]["from"])
        self._additions.commit(name, label_field=before)
        return before

    def label_versions(self, name: str, label_field: str) -> list[dict[str, Any]]:
        """Return from where a label field was written, oldest first; several if the dataset was replaced between."""
        return self._records.find("label_versions", dataset=name, field=label_field, sort="at")

    # -- reading -------------------------------------------------------------------------------------------------

    @_repeatable
    def read_table(self, name: str, *, label_field: str | None = None) -> SampleTable:
        """Read samples and labels as a table, in the order of the dataset.

        Parameters
        ----------
        name
            Of the dataset.
        label_field
            None: the present truth.
        """
        info, stored = self._stored(name)
        return read_table(stored, info, label_field or info.label_field)

    @_repeatable
    def read_predictions(self, name: str, model: str) -> Predictions:
        """Read a model's predictions, rows in the order of the dataset."""
        info, stored = self._stored(name)
        return read_predictions(stored, info, model)

    # -- saved views (derived; can be rebuilt) -------------------------------------------------------------------

    @_repeatable
    def show_slices(self, name: str, members: Mapping[str, tuple[str, Sequence[str]]]) -> None:
        """Make FiftyOne's saved views say what the slices say.

        Parameters
        ----------
        name
            Of the dataset.
        members
            By slice id: the slice's name and the keys of its samples. Views of other slices are deleted.
        """
        save_slices(self.open(name), members)

    # -- inside --------------------------------------------------------------------------------------------------

    def _whole(self, name: str) -> DatasetInfo:
        """Return what is known of a dataset, after taking back an addition that was cut off."""
        info = self.info(name)
        if info.pending is None:
            return info
        self._additions.take_back(info)
        return self.info(name)

    def _stored(self, name: str) -> tuple[DatasetInfo, StoredSamples]:
        """Return what is known of a dataset and where its samples are; FiftyOne isn't imported for it."""
        self._connection.ensure()
        return self._whole(name), find_samples(self._connection.samples, name)

    def _writer(self, dataset: fo.Dataset) -> Writer:
        """Return what writes to a dataset: in bulk, unless FiftyOne stores otherwise than we know."""
        if conforms(self._connection):
            return BulkWriter(find_samples(self._connection.samples, dataset.name))
        return PublicWriter(dataset)


def _words(units: pd.DataFrame, ids: str) -> dict[tuple[str, str], str]:
    """Outcome by key and id of the box; predicted boxes below the operating point have none."""
    there = units[units[ids].notna()]
    keys, box_ids, words = (there[c].astype(TEXT).tolist() for c in ("key", ids, "outcome"))
    return dict(zip(zip(keys, box_ids, strict=True), words, strict=True))


def _merged(table: SampleTable, labels: dict[str, str], boxes: dict[str, pd.DataFrame]) -> SampleTable:
    """Put new labels in the place of the old ones of their samples."""
    unknown = [key for key in (*labels, *boxes) if key not in table.samples.index]
    if unknown:
        raise NotFoundError(f"No sample has the key {unknown[0]!r}; {len(unknown)} of the new labels have no sample.")
    samples = table.samples.copy()
    if labels:
        samples.loc[list(labels), "label"] = list(labels.values())
    kept = table.boxes[~table.boxes["key"].isin(list(boxes))]
    return replace(table, samples=samples, boxes=pd.concat([kept, *boxes.values()], ignore_index=True))
