"""What SliceLab knows of a dataset beside its samples."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slicelab.core import InvalidInputError, NotFoundError, Predictions, Task, did_you_mean, now

if TYPE_CHECKING:
    from slicelab.store._records import Records

LOAD = "slicelab_load"
"""Field of a sample that names the addition it came with."""

TRUTH = "ground_truth"
RESERVED = {"id", "filepath", "metadata", "tags", "created_at", "last_modified_at", "key", "sha256", TRUTH, LOAD}


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
        By model name, in the order of loading: "field" of its predictions, and in detection the operating point:
        "confidence", a number or one per class, and "confidence_by", "given" or "f1" (found where F1 was highest).
    media_roots
        Folders below which its images lie; nothing else is ever read for it.
    categories
        Class names by COCO category id (as text); empty where the labels weren't COCO.
    pending
        An addition that isn't finished (None: none).
    group
        Metadata column whose equal values mark images that aren't independent; None: each image is by itself.
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
    group: str | None = None
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

    def confidence(self, model: str) -> float | dict[str, float] | None:
        """Return from which confidence on a model's boxes count; None: nobody has set it, and it wasn't needed yet.

        Raises
        ------
        NotFoundError
            No predictions of that model.
        """
        self.prediction_field(model)
        found: float | dict[str, float] | None = self.models[model].get("confidence")
        return found


def find_info(records: Records, name: str) -> DatasetInfo:
    """Return what is known of a dataset, or raise `NotFoundError`."""
    record = records.get("datasets", name)
    if record is None:
        names = sorted(r["_id"] for r in records.find("datasets"))
        raise NotFoundError(f"There is no dataset {name!r}.{did_you_mean(name, names)}")
    return _info_of(record)


def _info_of(record: dict[str, Any]) -> DatasetInfo:
    values = {k: v for k, v in record.items() if k in DatasetInfo.__dataclass_fields__}
    for name in ("classes", "media_roots", "metadata_columns", "label_fields"):
        values[name] = tuple(values[name])
    return DatasetInfo(name=record["_id"], **{k: v for k, v in values.items() if k != "name"})


def check_group(group: str | None, columns: Sequence[str], *, what: str = "group") -> str | None:
    """Return the name of a column (None: none), or raise `InvalidInputError` where there is none of that name."""
    if group is None or group in columns:
        return group
    hint = did_you_mean(group, columns) or " There is none: give the samples one, or its values as a Series by key."
    raise InvalidInputError(f"The {what} must be a metadata column of the samples; got {group!r}.{hint}")


def record_of(info: DatasetInfo) -> dict[str, Any]:
    """Return the record that is kept of a dataset."""
    record = {k: getattr(info, k) for k in DatasetInfo.__dataclass_fields__ if k not in ("name", "rev")}
    record = {k: list(v) if isinstance(v, tuple) else v for k, v in record.items()}
    return {"_id": info.name, **record}


def model_entries(
    models: Mapping[str, dict[str, Any]], predictions: Sequence[Predictions]
) -> dict[str, dict[str, Any]]:
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


def keep_confidences(models: dict[str, dict[str, Any]], before: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Give models that replace others of their name the operating points that people set; a found one is found anew.

    `before` is the record of the dataset that is replaced, None where there is none.
    """
    given = {m: e for m, e in (before or {}).get("models", {}).items() if e.get("confidence_by") == "given"}
    kept = ("confidence", "confidence_by")
    return {m: entry | {k: given[m][k] for k in kept if m in given} for m, entry in models.items()}


def field_name(model: str, taken: set[str]) -> str:
    """Make a FiftyOne field name from a model's name: letters, digits and '_', not taken yet."""
    base = re.sub(r"\W+", "_", model, flags=re.ASCII).strip("_").lower() or "model"
    base = base if not base[0].isdigit() else f"m_{base}"
    names = itertools.chain([base], (f"{base}_{i}" for i in itertools.count(2)))
    return next(name for name in names if name not in taken)
