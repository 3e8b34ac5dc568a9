"""Which images aren't independent: what the dataset says of it, and what can be found out."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import GROUP_ID, GroupProposal, InvalidInputError, StateError
from slicelab.lab._units import Units
from slicelab.store import Datasets, Vectors, check_group

log = logging.getLogger("slicelab")

SUGGESTED = "group_suggested"
FEW_GROUPS = 10
"""Of fewer a person is told, as little can be claimed of them."""


class Groups:
    """The groups of one dataset; intervals and tests count them.

    Parameters
    ----------
    datasets, name
        Where the samples are.
    units, vectors
        The dataset's.
    """

    def __init__(self, datasets: Datasets, name: str, units: Units, vectors: Vectors) -> None:
        self._datasets = datasets
        self._name = name
        self._units = units
        self._vectors = vectors

    @property
    def column(self) -> str | None:
        """The metadata column of the groups; None: each image is by itself."""
        return self._units.info().group

    def set(self, group: str | GroupProposal | pd.Series[str] | None, *, name: str = SUGGESTED) -> str | None:
        """Say which images aren't independent; it is kept with the dataset.

        Cases are frozen with their groups: where these change a case is invalid until `Lab.suite(...).refreeze()`.

        Parameters
        ----------
        group
            A metadata column; a proposal of `suggest`, or the group of each image (Series, index `key`, missing: by
            itself), which become a new metadata column; or None: each image is by itself.
        name
            Of a new column; where there is one of that name, it gets a number.

        Returns
        -------
        The column.

        Raises
        ------
        InvalidInputError
            There is no such column, or nothing of these types was given.
        NotFoundError
            A key of an image that isn't in the dataset.
        """
        if isinstance(group, GroupProposal):
            group = group.groups if group.column is None else group.column
        if isinstance(group, pd.Series):
            return self._datasets.add_group(self._name, group, column=name).group
        if group is not None and not isinstance(group, str):
            raise InvalidInputError(
                f"Groups are a metadata column, a proposal or a Series by key; got {type(group).__name__}."
            )
        kept = self._datasets.set_group(self._name, group).group
        if kept is not None and len(self) < FEW_GROUPS:
            log.warning(
                "%r has %d groups: intervals of so few are very wide. Leave it out by set(None).", kept, len(self)
            )
        return kept

    def frame(self, model: str | None = None) -> pd.DataFrame:
        """Count what each group holds.

        Parameters
        ----------
        model
            Its units and failures are counted too.

        Returns
        -------
        DataFrame, index `group`, the largest first: `images`, and with a model `units` and `failures` (int64).
        """
        groups = self._units.table().groups
        counts = groups.value_counts(sort=False).rename("images").to_frame()
        if model is not None:
            failures = self._units.frame(model).groupby(GROUP_ID)["failure"]
            counts["units"] = failures.size().reindex(counts.index, fill_value=0).astype(np.int64)
            counts["failures"] = failures.sum().reindex(counts.index, fill_value=0).astype(np.int64)
        return counts.rename_axis("group").sort_values("images", ascending=False, kind="stable")

    def near_duplicates(self, *, embeddings: str | None = None, progress: bool = True) -> pd.DataFrame:
        """Find pictures that show nearly the same.

        From now on units have the columns `near_duplicates` (with how many pictures theirs is paired) and `uniqueness`
        (0 to 1), for rules, the map and queues.

        Parameters
        ----------
        embeddings
            Name of vectors of whole images that help to find pairs and tell what is unique; None: thumbnails alone.
        progress
            Show progress bars.

        Returns
        -------
        DataFrame as `slicelab.discovery.near_duplicates` describes it, `left` and `right` being keys.

        Raises
        ------
        NotFoundError
            No vectors of that name.
        """
        vectors = None if embeddings is None else self._vectors_of_images(embeddings)
        return self._units.alike(vectors=vectors, progress=progress)

    def suggest(
        self, model: str | None = None, *, embeddings: str | None = None, progress: bool = True
    ) -> list[GroupProposal]:
        """Propose groups: from near-duplicates, names of files, capture times, and columns that explain failures.

        Parameters
        ----------
        model
            Whose failures are explained by columns; None: the first, where there is one.
        embeddings, progress
            As `near_duplicates`.

        Returns
        -------
        Proposals, each with its evidence in words; `set` takes one of them.
        """
        from slicelab.discovery import groups_by_column

        found = self._seen(embeddings=embeddings, progress=progress)
        models = list(self._units.info().models)
        if model is not None or models:
            units = self._units.frame(model or models[0])
            failures = units.groupby("key")["failure"].mean()
            table = self._units.table()
            found += groups_by_column(table.samples, table.metadata_columns, failures)
        return found

    def leaks(self, split: str, *, embeddings: str | None = None, progress: bool = True) -> pd.DataFrame:
        """Find what stands on more than one side of a split: groups, sequences, bursts and near-duplicates.

        Parameters
        ----------
        split
            Metadata column with the side of each image, such as "train" and "test".
        embeddings, progress
            As `near_duplicates`.

        Returns
        -------
        DataFrame as `slicelab.discovery.split_leaks` describes it, the largest leak first.

        Raises
        ------
        InvalidInputError
            There is no such column.
        """
        from slicelab.discovery import split_leaks

        table = self._units.table()
        if not isinstance(split, str):
            raise InvalidInputError(f"The split is the name of a metadata column; got {type(split).__name__}.")
        check_group(split, table.metadata_columns, what="split")
        proposals = self._seen(embeddings=embeddings, progress=progress)
        if table.group is not None and table.group != split:
            groups = table.groups.where(table.samples[table.group].notna())
            declared = GroupProposal("declared groups", f"the column {table.group!r}", groups, table.group)
            proposals = [declared, *proposals]
        return split_leaks(table.samples[split], proposals)

    def __len__(self) -> int:
        return self._units.table().groups.nunique()

    def __repr__(self) -> str:
        groups = self._units.table().groups
        images = f"{len(groups)} images"
        if self.column is None:
            return f"<each of {images} is by itself; groups.suggest() looks for more>"
        return (
            f"<{groups.nunique()} groups of {images} by {self.column!r}, the largest of {groups.value_counts().max()}>"
        )

    def _seen(self, *, embeddings: str | None, progress: bool) -> list[GroupProposal]:
        """Propose from pictures, names and times."""
        from slicelab.discovery import groups_by_name, groups_by_picture, groups_by_time
        from slicelab.sources import capture_times

        pairs = self.near_duplicates(embeddings=embeddings, progress=progress)
        prints = self._units.fingerprints(progress=progress)
        samples = self._units.table().samples
        captures = capture_times(samples["filepath"].tolist(), progress=progress)
        strata = None
        if "label" in samples:
            strata = samples["label"].fillna("").tolist()
        proposals = [
            groups_by_picture(prints, pairs),
            groups_by_name(prints, strata),
            groups_by_time(list(samples.index), captures),
        ]
        return [proposal for proposal in proposals if proposal is not None]

    def _vectors_of_images(self, name: str) -> npt.NDArray[np.float32]:
        """Return the vectors in the order of the images, NaN where one has none."""
        units, vectors = self._vectors.load(name)
        keys = self._units.table().samples.index
        rows = pd.Index(units).get_indexer(keys)
        if (rows < 0).all():
            raise StateError(
                f"The vectors {name!r} are of objects, and near-duplicates are images. Leave embeddings out."
            )
        return np.where((rows >= 0)[:, None], vectors[rows], np.float32(np.nan)).astype(np.float32)
