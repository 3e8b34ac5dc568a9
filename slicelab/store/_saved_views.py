"""FiftyOne's saved views of slices: derived from the records, they can be made again at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slicelab.core import InvalidInputError, hash_rows

if TYPE_CHECKING:
    import fiftyone as fo

_MARK = "SliceLab slice "


def save_slices(dataset: fo.Dataset, members: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    """Make a dataset's saved views say what the slices say.

    Parameters
    ----------
    dataset
        Its views that no slice made stay as they are.
    members
        By slice id: the slice's name and the keys of its samples. Views of other slices are deleted.
    """
    present: dict[str, str] = {}
    for entry in dataset.list_saved_views(info=True):
        mark = str(entry.get("description") or "")
        if mark.startswith(_MARK):
            present[mark] = entry["name"]
    wanted = {
        f"{_MARK}{slice_id} {hash_rows([title, *keys])[:12]}": (title, keys)
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
        _save(dataset, title, view, mark)


def _save(dataset: fo.Dataset, title: str, view: Any, description: str) -> None:
    """Save a view under a title; where FiftyOne can't take the title, under the slice's id."""
    names = [title, f"{title} ({description.split()[2][:8]})", f"slice {description.split()[2][:8]}"]
    for name in names:
        try:
            dataset.save_view(name, view, description=description)
        except ValueError:  # a title without letters or digits, or one that reads like another's
            continue
        return
    raise InvalidInputError(f"FiftyOne takes no view of the name {title!r}.")
