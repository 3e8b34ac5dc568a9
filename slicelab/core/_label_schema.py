"""What the classes mean, in words and pictures, for the people who label."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicelab.core._hashing import hash_value
from slicelab.core._slice import actor, now


@dataclass(frozen=True)
class ClassDefinition:
    """One class: what belongs to it, and units that show it."""

    name: str
    definition: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelSchema:
    """Instructions for annotators; a version is never changed, only followed by the next.

    Parameters
    ----------
    dataset, version
        To what it belongs; 1 for the first.
    text
        What holds for all classes.
    classes
        In the order of the dataset's classes.
    """

    dataset: str
    version: int
    text: str = ""
    classes: tuple[ClassDefinition, ...] = ()
    created_at: str = field(default_factory=now)
    created_by: str = field(default_factory=actor)
    schema_version: int = 1

    @property
    def sha256(self) -> str:
        """Hash of what it says, whenever it was said."""
        return hash_value([self.text, [[c.name, c.definition, list(c.examples)] for c in self.classes]])

    def definition(self, name: str) -> str:
        """Return a class's definition ('' where there is none)."""
        return next((c.definition for c in self.classes if c.name == name), "")
