"""Writing the label schema of a dataset, and the pictures that go with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slicelab.core import (
    ClassDefinition,
    InvalidInputError,
    LabelSchema,
    NotFoundError,
    check_unique,
    did_you_mean,
    listed,
)
from slicelab.lab._pictures import Pictures
from slicelab.lab._units import Units
from slicelab.store import LabelSchemas

MAX_TEXT = 10_000
MAX_EXAMPLES = 12
SIDE = 128


def define_classes(
    schemas: LabelSchemas,
    units: Units,
    definitions: Mapping[str, str],
    examples: Mapping[str, Sequence[str]],
    text: str,
) -> LabelSchema:
    """Store the next version; see `Lab.define_classes`."""
    info = units.info()
    for name in (*definitions, *examples):
        if name not in info.classes:
            hint = did_you_mean(name, info.classes)
            raise NotFoundError(f"Dataset {info.name!r} has no class {name!r}.{hint}")
    for words in (text, *definitions.values()):
        if not isinstance(words, str) or len(words) > MAX_TEXT:
            raise InvalidInputError(
                f"A definition is a text of at most {MAX_TEXT} characters; got {str(words)[:40]!r}."
            )
    known = units.known(list(info.models)).index
    for name, shown in examples.items():
        check_unique(list(shown), f"example of {name!r}")
        missing = [unit for unit in shown if unit not in known]
        if missing:
            raise NotFoundError(f"These examples of {name!r} aren't in the dataset: {listed(missing)}.")
        if len(shown) > MAX_EXAMPLES:
            raise InvalidInputError(f"A class has at most {MAX_EXAMPLES} examples; {name!r} got {len(shown)}.")
    classes = tuple(
        ClassDefinition(name, definitions.get(name, ""), tuple(examples.get(name, ()))) for name in info.classes
    )
    there = schemas.all()
    new = LabelSchema(info.name, len(there) + 1, text, classes)
    if there and there[-1].sha256 == new.sha256:
        return there[-1]
    schemas.save(new)
    return new


def example_pictures(schema: LabelSchema | None, pictures: Pictures, models: Sequence[str]) -> dict[str, list[bytes]]:
    """Return the JPEGs of each class's examples; units that left the dataset, and broken pictures, are left out."""
    found: dict[str, list[bytes]] = {}
    for each in schema.classes if schema is not None else ():
        for unit in each.examples:
            try:
                (picture,) = pictures.thumbnails([unit], models=models, size=SIDE)
            except NotFoundError:
                continue
            if picture.image:
                found.setdefault(each.name, []).append(picture.image)
    return found
