"""A suite of 1,000 cases edited at random keeps every untouched verdict: `python -m tests.benchmarks.gate.edits`.

Cases are added, removed, split, renamed and reordered; whatever wasn't touched must say the same, byte for byte. As a
peer the same cases stand in a suite that is judged as older versions did, where F1 over all images is highest.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

import numpy as np

from slicelab.gate import _compare_parts, make_suite, run_suite
from tests.gate.conftest import small as small_makers
from tests.gate.test_operating_point import edited, random_case, said_of, world

POLICIES = {
    "each case's own F1": {},
    "a number for others": {"others": 0.4},
    "numbers by model and class": {"operating_points": {"v4": {"cat": 0.6, "*": 0.3}, "v3": 0.2}},
    "older versions: the suite's F1": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--edits", type=int, default=1)
    chosen = parser.parse_args()
    makers = small_makers.__wrapped__()
    # How small a p-value can get doesn't matter here; thousands of resamples for each of 1,000 comparisons cost hours.
    _compare_parts.RESAMPLES_PER_CASE = 1
    for name, policy in POLICIES.items():
        changed = same = 0
        start = os.times().user
        for seed in range(chosen.edits):
            table, predictions, other = world(makers, seed, chosen.images)
            random = np.random.default_rng(seed)
            before = [random_case(f"{i}", table, random) for i in range(chosen.cases)]
            after, untouched = edited(before, table, random)
            suites = [make_suite("s", cases, table, **(policy or {})) for cases in (before, after)]
            if policy is None:
                suites = [replace(suite, schema_version=2, others="suite") for suite in suites]
            first, second = (
                {r.case.name: r for r in run_suite(suite, predictions, against=other).results} for suite in suites
            )
            for case in untouched:
                equal = said_of(first[case]) == said_of(second[case])
                same, changed = same + equal, changed + (not equal)
        spent = os.times().user - start
        print(f"{name:32} untouched {same + changed:5}, of these changed {changed:5}  ({spent:.0f} CPU s)", flush=True)


if __name__ == "__main__":
    main()
