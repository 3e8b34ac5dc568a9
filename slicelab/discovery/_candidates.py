"""What discovery returns: a ranked list of candidate slices that can place new units."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import Candidate, InvalidInputError, check_matrix, html_table, visible
from slicelab.discovery._project import FloatMatrix, project
from slicelab.discovery._reference import Reference

COLUMNS = (
    "name", "status", "kind", "size", "failures", "failure_rate", "low", "high", "base_rate", "lift", "held_out_n",
    "held_out_groups", "held_out_rate", "effect", "effect_low", "effect_high", "p_value", "q_value", "stability",
    "coherence", "rule", "rule_precision", "rule_recall", "description",
)  # fmt: skip
IntArray = npt.NDArray[np.int64]

KINDS = {
    "boundary": "no worse than others of the same confidence",
    "small": "too few units or groups to confirm",
    "lead": "nothing was tried to confirm it",
}
SHOWN = ["name", "status", "kind", "size", "failure_rate", "base_rate", "effect", "q_value", "stability", "description"]


class CandidateSlices(Sequence[Candidate]):
    """Candidate slices, best first.

    Parameters
    ----------
    candidates
        In order.
    embeddings
        float32 (n, d), as given; also an attribute.
    ids
        Ids of the rows; empty where none were given.
    projection
        float32 (n, 2), or None to make it when it is asked for.
    random_state
        Seed of that map.
    groups
        int64 (n,): rows of one group have one number; also an attribute. None: each is its own.
    leads
        Makes the leads when they are first asked for; None: there are none.
    """

    def __init__(
        self,
        candidates: tuple[Candidate, ...],
        *,
        embeddings: FloatMatrix,
        ids: tuple[str, ...] = (),
        projection: FloatMatrix | None = None,
        random_state: int = 0,
        groups: IntArray | None = None,
        leads: Callable[[], tuple[Candidate, ...]] | None = None,
    ) -> None:
        self._candidates = candidates
        self.embeddings = embeddings
        self._projection = projection
        self._random_state = random_state
        self.ids = ids
        self.groups = np.arange(len(embeddings)) if groups is None else groups
        self._leads = leads

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Candidate, ...]: ...
    def __getitem__(self, index: int | slice) -> Candidate | tuple[Candidate, ...]:
        return self._candidates[index]

    def __len__(self) -> int:
        return len(self._candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._candidates)

    @cached_property
    def leads(self) -> tuple[Candidate, ...]:
        """Up to ten groups that stand out most among the rest, most first: by likelihood ratio times stability.

        Groups that fail more than their class, yet maybe no more than chance makes the worst of so many, and regions of
        any form that the failures themselves drew, which may be a better cut of a slice: where to look next, nothing to
        rely on. Their `kind` is "lead"; nothing was tried to confirm them.
        """
        return () if self._leads is None else self._leads()

    @cached_property
    def projection(self) -> FloatMatrix:
        """The 2-D UMAP map, float32 (n, 2), rows as given."""
        if self._projection is not None:
            return self._projection
        return project(self.embeddings, random_state=self._random_state)

    def assign(self, new_embeddings: npt.ArrayLike, *, leads: bool = False) -> FloatMatrix:
        """Say how strongly unseen rows belong to each slice.

        Parameters
        ----------
        new_embeddings
            (m, d) finite numbers from the same embedder.
        leads
            Whether the leads have columns too, after those of the slices.

        Returns
        -------
        float32 (m, n_slices) in [0, 1]: mean membership of the 10 nearest rows that discovery saw (of equally near
        ones the first). A row's doesn't depend on the others.

        Raises
        ------
        InvalidInputError
            Another number of dimensions, or not finite.
        """
        rows = check_matrix(new_embeddings, "new embeddings")
        self._check_dimensions(rows, "new embeddings")
        return self.reference(leads=leads).assign(rows)

    def reference(self, *, leads: bool = False) -> Reference:
        """Return what `assign` compares new rows with, by itself."""
        asked = [*self, *self.leads] if leads else list(self)
        memberships = [c.membership for c in asked]
        return Reference(
            self.embeddings,
            np.stack(memberships, axis=1) if memberships else np.zeros((len(self.embeddings), 0), np.float32),
            tuple(c.name for c in asked),
        )

    def frame(self) -> pd.DataFrame:
        """Return one row per slice, best first.

        Returns
        -------
        DataFrame with name, status, kind, size, failures, failure_rate, low, high, base_rate (of its population), lift
        (failure_rate over base_rate); held_out_n, held_out_groups, held_out_rate, effect, effect_low, effect_high (on
        the units that did not choose; NaN where none did); p_value, q_value (never less than p_value), stability,
        coherence, rule, rule_precision, rule_recall, description.
        """
        return pd.DataFrame([_row(candidate) for candidate in self], columns=list(COLUMNS))

    def describe_with(self, texts: Sequence[str], vectors: npt.ArrayLike) -> list[str]:
        """Say in words what sets each slice apart, for embeddings of a model that places texts beside images.

        Parameters
        ----------
        texts
            Phrases to choose from.
        vectors
            (len(texts), d): their vectors, from the same model as the embeddings (such as a local CLIP).

        Returns
        -------
        For each slice the text whose vector points most from the mean of the others to the mean of the slice.

        Raises
        ------
        InvalidInputError
            Another number of rows or dimensions, or no text.

        Notes
        -----
        **Source:** the naming step of Domino, Eyuboglu et al. 2022.
        """
        if not len(texts):
            raise InvalidInputError("There must be at least one text to choose from; got none.")
        words = check_matrix(vectors, "text vectors", rows=len(texts))
        self._check_dimensions(words, "text vectors")
        words = words / np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12)
        chosen = []
        for candidate in self:
            outside = np.ones(len(self.embeddings), bool)
            outside[candidate.members] = False
            middle = self.embeddings[outside].mean(axis=0) if outside.any() else 0.0
            chosen.append(texts[int((words @ (self.embeddings[candidate.members].mean(axis=0) - middle)).argmax())])
        return chosen

    def _check_dimensions(self, rows: FloatMatrix, what: str) -> None:
        if rows.shape[1] != self.embeddings.shape[1]:
            raise InvalidInputError(f"The {what} must have {self.embeddings.shape[1]} dimensions; got {rows.shape[1]}.")

    def __repr__(self) -> str:
        confirmed = sum(c.status == "confirmed" for c in self)
        lines = [f"{len(self)} candidate slices, {confirmed} confirmed"]
        lines += [
            visible(
                f"  {c.name}: {c.failures} of {c.size} fail ({c.failure_rate:.0%}, class {c.base_rate:.0%}), {c.status}"
                + ("" if c.kind == "slice" else f", {KINDS[c.kind]}")
            )
            for c in self
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not len(self):
            return html.escape(
                "No slice stands out: the failures look spread evenly within each class. `leads` has the groups that "
                "fail most all the same."
            )
        return html_table(self.frame()[SHOWN], float_format="{:.3g}".format)


def _row(candidate: Candidate) -> dict[str, object]:
    held_out, rule, nan = candidate.held_out, candidate.rule, float("nan")
    low, high = candidate.interval
    effect_low, effect_high = (nan, nan) if held_out is None else held_out.effect_interval
    return {
        "name": candidate.name,
        "status": candidate.status,
        "kind": candidate.kind,
        "size": candidate.size,
        "failures": candidate.failures,
        "failure_rate": candidate.failure_rate,
        "low": low,
        "high": high,
        "base_rate": candidate.base_rate,
        "lift": candidate.lift,
        "held_out_n": 0 if held_out is None else held_out.n,
        "held_out_groups": 0 if held_out is None else held_out.n_groups,
        "held_out_rate": nan if held_out is None else held_out.rate,
        "effect": nan if held_out is None else held_out.effect,
        "effect_low": effect_low,
        "effect_high": effect_high,
        "p_value": candidate.p_value,
        "q_value": candidate.q_value,
        "stability": candidate.stability,
        "coherence": candidate.coherence,
        "rule": "" if rule is None else rule.expression,
        "rule_precision": nan if rule is None else rule.precision,
        "rule_recall": nan if rule is None else rule.recall,
        "description": candidate.description,
    }
