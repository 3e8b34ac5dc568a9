"""The label schemas of a dataset: each version is kept for ever."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slicelab.core import ClassDefinition, LabelSchema, NotFoundError

if TYPE_CHECKING:
    from slicelab.store._records import Records


class LabelSchemas:
    """The label schemas of one dataset.

    Parameters
    ----------
    records, dataset
        SliceLab's collections and the dataset's name.
    """

    def __init__(self, records: Records, dataset: str) -> None:
        self._records = records
        self._dataset = dataset

    def all(self) -> list[LabelSchema]:
        """Return every version, oldest first."""
        found = self._records.find("label_schemas", dataset=self._dataset, sort="version")
        return [label_schema(record) for record in found]

    def get(self, version: int) -> LabelSchema:
        """Return one version, or raise `NotFoundError`."""
        there = self.all()
        for schema in there:
            if schema.version == version:
                return schema
        raise NotFoundError(f"Dataset {self._dataset!r} has {len(there)} versions of a label schema, not {version!r}.")

    def save(self, schema: LabelSchema) -> None:
        """Store a new version, or raise `ConflictError` where somebody has stored one of that number meanwhile."""
        self._records.insert("label_schemas", {"_id": f"{self._dataset}:{schema.version}", **asdict(schema)})


def label_schema(record: dict[str, Any]) -> LabelSchema:
    """Make the value of a stored one."""
    values = {k: record[k] for k in LabelSchema.__dataclass_fields__ if k in record}
    classes = tuple(ClassDefinition(c["name"], c["definition"], tuple(c["examples"])) for c in record["classes"])
    return LabelSchema(**values | {"classes": classes})
