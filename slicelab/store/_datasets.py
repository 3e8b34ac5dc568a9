"""FiftyOne datasets: writing samples, predictions and outcomes, and reading them back as tables.

A new dataset is filled under a temporary name and renamed when it is complete. Additions to a dataset that is there
are first announced in its record and taken back at the next opening if they were cut off. So a reader sees a load
wholly, or not at all.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import pandas as pd

from slicelab.core import (
    ConflictError,
    NotFoundError,
    Predictions,
    SampleTable,
    StateError,
    Task,
    check_name,
    did_you_mean,
    hash_rows,
    new_id,
    now,
)
from slicelab.store._fields import (
    LOAD,
    declare,
    declare_labels,
    declare_metadata,
    declare_text,
    empty_boxes,
    field_name,
    label_values,
    ordered,
    prediction_values,
    read_boxes,
    save_view,
    write_box_outcomes,
    write_samples,
)
from slicelab.store._fiftyone import prepare_fiftyone
from slicelab.store._processes import Process, is_alive, this_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    import fiftyone as fo

    from slicelab.store._connection import Connection

log = logging.getLogger("slicelab")

P = ParamSpec("P")
T = TypeVar("T")

TRUTH = "ground_truth"
RESERVED = {"id", "filepath", "metadata", "tags", "created_at", "last_modified_at", "key", "sha256", TRUTH, LOAD}
_VIEW_MARK = "SliceLab slice "


@dataclass(frozen=True)
class DatasetInfo:
    """What SliceLab knows of a dataset beside its samples.

    Parameters
    ----------
    name, task, classes
        As loaded.
    label_field
        The field that holds the truth now ("ground_truth", or a merged version of it).
    models
        Field of the predictions by model name, in the order of loading.
    media_roots
        Folders below which its images lie; nothing else is ever read for it.
    categories
        Class names by COCO category id (as text); empty where the labels weren't COCO.
    pending
        An addition that isn't finished (None: none).
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    label_field: str = TRUTH
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    media_roots: tuple[str, ...] = ()
    metadata_columns: tuple[str, ...] = ()
    label_fields: tuple[str, ...] = (TRUTH,)
    categories: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Any] | None = None
    rev: int = 1
    created_at: str = field(default_factory=now)
    schema_version: int = 1

    @property
    def coco_categories(self) -> dict[int, str]:
        """Class names by COCO category id."""
        return {int(k): v for k, v in self.categories.items()}

    def prediction_field(self, model: str) -> str:
        """Return the field of a model's predictions, or raise `NotFoundError`."""
        if model not in self.models:
            hint = did_you_mean(model, self.models)
            raise NotFoundError(f"Dataset {self.name!r} has no predictions of a model {model!r}.{hint}")
        return str(self.models[model]["field"])


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

    # -- what is there -------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all datasets, sorted."""
        return sorted(record["_id"] for record in self._records.find("datasets"))

    def info(self, name: str) -> DatasetInfo:
        """Return what is known of a dataset, or raise `NotFoundError`."""
        record = self._records.get("datasets", name)
        if record is None:
            raise NotFoundError(f"There is no dataset {name!r}.{did_you_mean(name, self.names())}")
        return _info(record)

    @_repeatable
    def open(self, name: str) -> fo.Dataset:
        """Return the FiftyOne dataset itself, after taking back an addition that was cut off."""
        info = self.info(name)
        if info.pending is not None:
            self._take_back(info)
        return self._load(name)

    def delete(self, name: str) -> None:
        """Delete a dataset with its samples. Its slices, cases and queues stay."""
        rev = self.info(name).rev
        fiftyone = self._fiftyone()
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
            Replace a dataset of that name; the old one stays until the new one is complete.

        Raises
        ------
        ConflictError
            A dataset of that name is there.
        InvalidInputError
            The name isn't usable.
        """
        check_name(name, "dataset name")
        fiftyone = self._fiftyone()
        if not overwrite and (self._records.get("datasets", name) or fiftyone.dataset_exists(name)):
            raise ConflictError(f"A dataset {name!r} is there already. Choose another name, or pass overwrite=True.")
        info = DatasetInfo(
            name,
            table.task,
            table.classes,
            models=_model_entries({}, predictions),
            media_roots=tuple(media_roots),
            metadata_columns=tuple(table.metadata_columns),
            categories={str(k): v for k, v in (categories or {}).items()},
        )
        # Done again from the start when the database is killed meanwhile.
        self._connection.run(lambda: self._build(info, table, predictions, progress=progress))
        return self.info(name)

    def _build(
        self, info: DatasetInfo, table: SampleTable, predictions: Sequence[Predictions], *, progress: bool
    ) -> None:
        """Fill a dataset under a temporary name and put it in its place."""
        self._sweep()
        fiftyone = self._fiftyone()
        building = f"{info.name} (loading {new_id()[:8]})"
        build = self._records.insert("builds", {"_id": building, "process": _me(), "complete": None})
        dataset = fiftyone.Dataset(building, persistent=True)
        _running.add(building)
        try:
            declare_metadata(dataset, table.samples, table.metadata_columns)
            fields = {info.prediction_field(p.model): p for p in predictions}
            declare(dataset, info.task, label_field=TRUTH, prediction_fields=list(fields))
            write_samples(dataset, table, label_field=TRUTH, predictions=fields, load_id="", progress=progress)
            self._records.update("builds", building, rev=build["rev"], changes={"complete": _record(info)})
        except BaseException:
            _running.discard(building)
            with suppress(Exception):  # else the next creation cleans up what is left
                fiftyone.delete_dataset(building)
                self._drop_build(building)
            raise
        _running.discard(building)
        self._finish(building)

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
        models = _model_entries(info.models, predictions)
        load_id = new_id()
        with self._announced(name, load_id, [models[p.model]["field"] for p in predictions]):
            fields = {str(models[p.model]["field"]): p for p in predictions}
            declare(dataset, info.task, label_field=info.label_field, prediction_fields=list(fields))
            old = pd.DataFrame(
                dict(zip(["key", "width", "height"], dataset.values(["key", *_SIZE]), strict=True))
            ).set_index("key")
            if table is not None and len(table.samples):
                write_samples(
                    dataset, table, label_field=info.label_field, predictions=fields, load_id=load_id, progress=progress
                )
            for at, p in fields.items():
                dataset.set_values(at, prediction_values(p, old), key_field="key", progress=False)
            self._commit(name, models=models)
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
        info = self.info(name)
        dataset = self.open(name)
        outcome = f"outcome_{info.prediction_field(model)}"
        if info.task == "classification":
            declare_text(dataset, outcome)
            values = units["outcome"].astype(str).to_dict()
            dataset.set_values(outcome, values, key_field="key")
            return
        at = info.prediction_field(model)
        write_box_outcomes(dataset, units, label_field=info.label_field, prediction_field=at, outcome=outcome)

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
        with self._announced(name, load_id, [new_field]):
            declare_labels(dataset, new_field, info.task, ids="label_id")
            dataset.set_values(new_field, label_values(merged), key_field="key", progress=False)
            versions = [*info.label_fields, new_field]
            record = {"_id": load_id, "dataset": name, "field": new_field, "from": info.label_field, "at": now()}

            def write(session: Any) -> None:
                self._records.append("label_versions", record | provenance, session=session)
                if also is not None:
                    also(session)

            self._commit(name, also=write, label_field=new_field, label_fields=versions, classes=classes)
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
        self._commit(name, label_field=before)
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
        info = self.info(name)
        dataset = self.open(name)
        truth = label_field or info.label_field
        if not dataset.has_field(truth):
            raise NotFoundError(
                f"Dataset {name!r} has no label field {truth!r}.{did_you_mean(truth, info.label_fields)}"
            )
        columns = ["key", "filepath", "sha256", "metadata.width", "metadata.height", *info.metadata_columns]
        view = ordered(dataset)
        values = dict(zip(columns, view.values(columns), strict=True))
        samples = pd.DataFrame({c.removeprefix("metadata."): v for c, v in values.items()}).set_index("key")
        boxes = empty_boxes()
        if info.task == "classification":
            samples.insert(4, "label", pd.array(view.values(f"{truth}.label"), dtype="str"))
        else:
            boxes = read_boxes(view, truth, samples, ids="label_id")
        return SampleTable(info.task, samples, boxes, info.classes)

    @_repeatable
    def read_predictions(self, name: str, model: str) -> Predictions:
        """Read a model's predictions, rows in the order of the dataset."""
        info = self.info(name)
        at = info.prediction_field(model)
        view = ordered(self.open(name))
        entry = info.models[model]
        if info.task == "detection":
            sizes = ["key", "metadata.width", "metadata.height"]
            samples = pd.DataFrame(dict(zip(["key", "width", "height"], view.values(sizes), strict=True)))
            frame = read_boxes(view, at, samples.set_index("key"), ids="box_id")
            return Predictions(model, "detection", frame, info.classes, sha256=entry["sha256"], source=entry["source"])
        keys, labels, confidences, logits = view.values(["key", f"{at}.label", f"{at}.confidence", f"{at}.logits"])
        frame = pd.DataFrame(
            {"label": pd.array(labels, dtype="str"), "confidence": np.array(confidences, dtype=np.float64)},
            index=pd.Index(keys, name="key"),
        )
        there = frame["label"].notna().to_numpy()
        probabilities = None
        if there.any() and logits[int(there.argmax())] is not None:
            rows = [v for v, ok in zip(logits, there, strict=True) if ok]
            probabilities = np.exp(np.stack(rows)).astype(np.float32)
        return Predictions(
            model,
            "classification",
            frame[there],
            tuple(entry["classes"]),
            probabilities,
            entry["sha256"],
            entry["source"],
        )

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
        dataset = self.open(name)
        present: dict[str, str] = {}
        for entry in dataset.list_saved_views(info=True):
            mark = str(entry.get("description") or "")
            if mark.startswith(_VIEW_MARK):
                present[mark] = entry["name"]
        wanted = {
            f"{_VIEW_MARK}{slice_id} {hash_rows([title, *keys])[:12]}": (title, keys)
            for slice_id, (title, keys) in members.items()
        }
        for mark, title in present.items():
            if mark not in wanted:
                dataset.delete_saved_view(title)
        missing = {mark: value for mark, value in wanted.items() if mark not in present}
        if not missing:
            return
        ids = dict(zip(*dataset.values(["key", "id"]), strict=True))
        for mark, (title, keys) in missing.items():
            view = dataset.select([ids[k] for k in keys if k in ids], ordered=True)
            save_view(dataset, title, view, mark)

    # -- inside --------------------------------------------------------------------------------------------------

    def _fiftyone(self) -> Any:
        self._connection.ensure()
        prepare_fiftyone(self._connection)
        import fiftyone

        return fiftyone

    def _load(self, name: str) -> fo.Dataset:
        fiftyone = self._fiftyone()
        if not fiftyone.dataset_exists(name):
            raise NotFoundError(
                f"Dataset {name!r} is known here, but FiftyOne's samples of it are gone: they were deleted outside "
                "SliceLab. Load it again with overwrite=True; its slices, cases and queues are kept."
            )
        dataset = fiftyone.load_dataset(name)
        dataset.reload()
        return dataset

    @contextmanager
    def _announced(self, name: str, load_id: str, fields: Sequence[str]) -> Iterator[None]:
        """Announce an addition, and take it back if it fails."""
        info = self.info(name)
        pending = {"load_id": load_id, "fields": list(fields), "process": _me()}
        self._records.update("datasets", name, rev=info.rev, changes={"pending": pending})
        _running.add(load_id)
        try:
            yield
        except BaseException:
            _running.discard(load_id)
            with suppress(Exception):  # else the next opening takes it back
                self._take_back(self.info(name))
            raise
        finally:
            _running.discard(load_id)

    def _commit(self, name: str, *, also: Callable[[Any], None] | None = None, **changes: Any) -> None:
        """End an addition; `also` happens in the same transaction."""
        info = self.info(name)

        def write(session: Any) -> None:
            new = {"pending": None, **changes}
            self._records.update("datasets", name, rev=info.rev, changes=new, session=session)
            if also is not None:
                also(session)

        self._records.transact(write)

    def _take_back(self, info: DatasetInfo) -> None:
        """Delete what an addition that was cut off has written."""
        if info.pending is None:
            return
        owner = Process(*info.pending["process"])
        if _is_at_work(owner, info.pending["load_id"]):
            raise StateError(
                f"Process {owner.pid} is adding to dataset {info.name!r} at this moment. Wait until it is done."
            )
        log.warning("Dataset %s: an addition was cut off; taking it back.", info.name)
        self._connection.end_abandoned()  # its open transaction would keep the record locked for a minute
        dataset = self._load(info.name)
        from fiftyone import ViewField

        if dataset.has_field(LOAD):
            dataset.delete_samples(dataset.match(ViewField(LOAD) == info.pending["load_id"]))
        for added in info.pending["fields"]:
            if dataset.has_field(added):
                dataset.delete_sample_field(added)
        self._records.update("datasets", info.name, rev=info.rev, changes={"pending": None})

    def _sweep(self) -> None:
        """Finish, or delete, what creations that were cut off have left."""
        for build in self._records.find("builds"):
            if _is_at_work(Process(*build["process"]), build["_id"]):
                continue
            log.warning("Dataset %s was cut off; cleaning up.", build["_id"])
            if build["complete"] is not None:
                self._finish(build["_id"])
                continue
            fiftyone = self._fiftyone()
            if fiftyone.dataset_exists(build["_id"]):
                fiftyone.delete_dataset(build["_id"])
            self._drop_build(build["_id"])

    def _finish(self, building: str) -> None:
        """Put a complete build in its place. Every step can be repeated."""
        build = self._records.get("builds", building)
        if build is None or build["complete"] is None:
            raise StateError(f"Build {building!r} isn't complete.")
        record = build["complete"]
        name = record["_id"]
        fiftyone = self._fiftyone()
        if fiftyone.dataset_exists(building):
            if fiftyone.dataset_exists(name):
                fiftyone.delete_dataset(name)
            fiftyone.load_dataset(building).name = name
        old = self._records.get("datasets", name)
        if old is None:
            self._records.insert("datasets", record)
        else:
            changes = {k: v for k, v in record.items() if k not in ("_id", "rev")}
            self._records.update("datasets", name, rev=old["rev"], changes=changes)
        self._drop_build(building)

    def _drop_build(self, building: str) -> None:
        build = self._records.get("builds", building)
        if build is not None:
            self._records.delete("builds", building, rev=build["rev"])


def _info(record: dict[str, Any]) -> DatasetInfo:
    values = {k: v for k, v in record.items() if k in DatasetInfo.__dataclass_fields__}
    for name in ("classes", "media_roots", "metadata_columns", "label_fields"):
        values[name] = tuple(values[name])
    return DatasetInfo(name=record["_id"], **{k: v for k, v in values.items() if k != "name"})


def _record(info: DatasetInfo) -> dict[str, Any]:
    record = {k: getattr(info, k) for k in DatasetInfo.__dataclass_fields__ if k not in ("name", "rev")}
    record = {k: list(v) if isinstance(v, tuple) else v for k, v in record.items()}
    return {"_id": info.name, **record}


_SIZE = ["metadata.width", "metadata.height"]


_running: set[str] = set()
"""Builds and additions of this process that haven't ended."""


def _is_at_work(owner: Process, name: str) -> bool:
    """Tell whether a build or an addition goes on; one of this process may have ended by an error."""
    return name in _running if owner.pid == this_process().pid and is_alive(owner) else is_alive(owner)


def _me() -> list[float]:
    me = this_process()
    return [me.pid, me.started]


def _model_entries(models: dict[str, dict[str, Any]], predictions: Sequence[Predictions]) -> dict[str, dict[str, Any]]:
    """Add an entry per new model, with a field name of its own."""
    entries = dict(models)
    for p in predictions:
        taken = {str(e["field"]) for e in entries.values()} | RESERVED
        entries[p.model] = {
            "field": field_name(p.model, taken),
            "classes": list(p.classes),
            "sha256": p.sha256,
            "source": p.source,
            "loaded_at": now(),
        }
    return entries


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
