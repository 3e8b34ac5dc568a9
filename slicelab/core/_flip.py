"""What new labels do to a case: whether its verdict flips, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flip:
    """One case under one model, judged by the labels before and after a merge; the predictions are the same.

    Parameters
    ----------
    suite, case, model
        Names.
    verdict_before, verdict_after
        Verdicts.
    value_before, value_after
        The case's metric.
    n_before, n_after
        Units that were judged (a deleted box is none any more).
    failures_before, failures_after
        Failures among them.
    label_errors
        Failures that were none of the model's: their labels were changed, and they don't fail any more.
    new_failures
        Failures that the new labels brought to light.
    predictions_sha256
        Hash of the model's predictions, the same for both.
    """

    suite: str
    case: str
    model: str
    verdict_before: str
    verdict_after: str
    value_before: float
    value_after: float
    n_before: int
    n_after: int
    failures_before: int
    failures_after: int
    label_errors: int
    new_failures: int
    predictions_sha256: str = ""

    @property
    def flipped(self) -> bool:
        """True when the verdict changed."""
        return self.verdict_before != self.verdict_after

    def __str__(self) -> str:
        rates = [f / n if n else 0.0 for f, n in self._counts()]
        verdict = f"{self.verdict_before} → {self.verdict_after}" if self.flipped else f"still {self.verdict_after}"
        more = f", {self.new_failures} came to light" if self.new_failures else ""
        return (
            f"{self.case} under {self.model}: {self.label_errors} of {self.failures_before} failures were label "
            f"errors{more}; error {rates[0]:.0%} → {rates[1]:.0%}; verdict {verdict}; labels changed, model unchanged"
        )

    def _counts(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (self.failures_before, self.n_before), (self.failures_after, self.n_after)
