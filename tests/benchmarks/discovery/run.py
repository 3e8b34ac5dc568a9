"""Runs methods on settings; every result is kept on disk, so a run can be stopped and taken up again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import slicelab.discovery
from tests.benchmarks.discovery import cache, metrics
from tests.benchmarks.discovery.peers import PEERS, oracle
from tests.benchmarks.discovery.setting import Floats, Mask, Proposed, Setting
from tests.benchmarks.discovery.suites import digits, null, spotcheck_vectors, synthetic

Result = dict[str, Any]
Parameters = dict[str, Any]

SLICELAB, LEADS, ORACLE = "slicelab", "slicelab+leads", "oracle"
"""SliceLab's slices, and the same filled up to ten with its leads, as peers always name ten."""
METHODS = (SLICELAB, LEADS, *PEERS, ORACLE)
SUITES = (
    "spotcheck-vectors",
    "spotcheck-images",
    "digits",
    "synthetic",
    "null",
    "effects",
    "digits-penultimate",
    "synthetic-large",
)

TOP = 10
"""Slices that are judged, of every method."""

REDUCED: dict[str, list[Parameters]] = {
    "planespot": [
        *({"weight": weight, "method": "umap"} for weight in (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)),
        *({"weight": weight, "method": "pca"} for weight in (0.025, 0.1)),
    ],
    "spotlight": [{"size": size, "learning_rate": 0.03} for size in (0.01, 0.02, 0.05)]
    + [{"size": 0.02, "learning_rate": 0.1}],
}
"""Grids that stand in for those of methods that take too long."""

DIGITS = {"rare": 100, "noisy": 300, "correlation": 100}
"""Settings of each kind. The success of one is 0 or 1: 20 can't tell methods apart that differ by a seventh."""
PENULTIMATE = 20
"""Settings of each kind on that embedding."""
TUNING_SETTINGS = {"spotcheck": 5, "digits": 5, "synthetic": 2}
"""Settings that peers are tuned on: per suite, per kind, per shape."""
NULLS_OF_PEERS = 20


@dataclass(frozen=True, eq=False)
class Case:
    """One setting of a suite, made when it is needed.

    Parameters
    ----------
    group
        Settings that are drawn alike; names the folder of the results.
    seed
        Of the setting.
    tuning
        Which tuned parameters the peers have here.
    make
        Makes it.
    peers
        Whether peers and oracle run on it, or SliceLab alone.
    """

    group: str
    seed: int
    tuning: str
    make: Callable[[], Setting]
    peers: bool = True


# --- What there is to run ---


@lru_cache(maxsize=32)
def cases(suite: str, dev: bool = False) -> tuple[Case, ...]:
    """Return the settings of a suite: those that methods are judged on, or those for development."""
    return tuple(_MAKERS[suite](dev))


def _spotcheck(name: str, dev: bool) -> list[Case]:
    # Images take a minute each: only those are used that were made before.
    make = {"spotcheck-vectors": spotcheck_vectors.make, "spotcheck-images": None}[name]
    seeds = {"spotcheck-vectors": (range(40), range(1000, 1140)), "spotcheck-images": (range(31), range(1000, 1091))}
    count = 20 if dev else {"spotcheck-vectors": 100, "spotcheck-images": 60}[name]
    return [_kept(name, seed, name) for seed in _valid(name, seeds[name][not dev], count, make)]


def _digits(embedding: digits.Embedding, dev: bool) -> list[Case]:
    found = []
    for kind in digits.KINDS:
        name = f"digits-{kind}-{embedding}"
        first, count = (0, 10) if dev else (1000, DIGITS[kind] if embedding == "encoder" else PENULTIMATE)
        seeds = range(first, first + (10 if dev else 4 * count))
        valid = _valid(name, seeds, count, partial(_make_digits, kind, embedding))
        found += [_kept(name, seed, f"digits-{kind}") for seed in valid]
    return found


def _make_digits(kind: digits.Kind, embedding: digits.Embedding, seed: int) -> Setting | None:
    return digits.make(kind, seed, embedding)


def _synthetic(sizes: Sequence[tuple[int, int, int]], dev: bool) -> list[Case]:
    start = 0 if dev else 1000
    return [
        Case(f"synthetic-{shape}-{n}-{d}", seed, "synthetic", partial(synthetic.make, shape, seed, n, d))
        for n, d, count in sizes
        for shape in synthetic.SHAPES
        for seed in range(start, start + count)
    ]


def _null(dev: bool) -> list[Case]:
    first, count = (0, 40) if dev else (1000, 200)
    return [
        Case(f"null-{kind}", seed, "synthetic", partial(null.make, kind, seed), peers=seed - first < NULLS_OF_PEERS)
        for kind in null.KINDS
        for seed in range(first, first + count)
    ]


def _effects(dev: bool) -> list[Case]:
    seeds = range(100, 115) if dev else range(2000, 2070)
    return [
        Case(f"synthetic-{shape}-2000-64", seed, "synthetic", partial(synthetic.make, shape, seed), peers=False)
        for shape in synthetic.SHAPES
        for seed in seeds
    ]


_MAKERS: dict[str, Callable[[bool], list[Case]]] = {
    "spotcheck-vectors": partial(_spotcheck, "spotcheck-vectors"),
    "spotcheck-images": partial(_spotcheck, "spotcheck-images"),
    "digits": partial(_digits, "encoder"),
    "synthetic": partial(_synthetic, [(2000, 64, 12)]),
    "null": _null,
    "effects": _effects,
    "digits-penultimate": partial(_digits, "penultimate"),
    "synthetic-large": partial(_synthetic, [(2000, 512, 6), (20_000, 64, 6), (20_000, 512, 3)]),
}


def _valid(name: str, seeds: Iterable[int], count: int, make: Callable[[int], Setting | None] | None) -> list[int]:
    """Return the first accepted seeds; without `make` only those that are kept already."""
    found: list[int] = []
    for seed in seeds:
        if len(found) == count:
            break
        path = cache.folder() / name / f"{seed}.npz"
        if not path.exists():
            if make is None:
                continue
            cache.cached(make, name, seed)
        with np.load(path) as file:
            if "rejected" not in file.files:
                found.append(seed)
    return found


def _kept(name: str, seed: int, tuning: str) -> Case:
    return Case(name, seed, tuning, partial(_load, name, seed))


def _load(name: str, seed: int) -> Setting:
    setting = cache.cached(_never, name, seed)
    if setting is None:
        raise ValueError(f"{name} {seed} is a rejected seed.")
    return setting


def _never(seed: int) -> Setting | None:
    raise ValueError(f"The setting of seed {seed} is no longer kept.")


# --- Methods ---


def propose(method: str, parameters: Parameters, setting: Setting) -> tuple[Proposed, list[Result]]:
    """Run a method; the second part is what SliceLab says of held-out units, a row per slice that has it."""
    if method in (SLICELAB, LEADS):
        return _slicelab(setting, leads=method == LEADS)
    run = oracle.propose if method == ORACLE else PEERS[method][0]
    return run(setting, **parameters), []


def _slicelab(setting: Setting, *, leads: bool) -> tuple[Proposed, list[Result]]:
    found = slicelab.discovery.discover(
        setting.embeddings,
        setting.failures,
        labels=setting.labels,
        predictions=setting.predictions,
        confidences=setting.confidences,
    )
    n = len(setting)
    named = [*found, *found.leads][: max(TOP, len(found))] if leads else list(found)
    new_scores = None if setting.new is None else found.assign(setting.new.embeddings, leads=leads)[:, : len(named)]
    proposed = Proposed(
        members=tuple(_mask(candidate.members, n) for candidate in named),
        scores=_matrix([candidate.membership for candidate in named], n),
        new_scores=None if new_scores is None else np.asarray(new_scores, np.float32),
        confirmed=tuple(candidate.status == "confirmed" for candidate in named),
    )
    return proposed, [row for candidate in found if (row := _held_out(candidate, setting)) is not None]


def _mask(rows: Any, n: int) -> Mask:
    mask = np.zeros(n, bool)
    mask[np.asarray(rows)] = True
    return mask


def _matrix(columns: Sequence[Any], n: int) -> Floats:
    return np.array(columns, np.float32).reshape(len(columns), n).T


def _held_out(candidate: Any, setting: Setting) -> Result | None:
    """Compare a slice's held-out rate and effect with the probabilities that failures were drawn from."""
    held_out, truth = getattr(candidate, "held_out", None), setting.fail_probability
    if held_out is None or truth is None:
        return None
    rate = float(truth[held_out.rows].mean())
    outside = held_out.outside_rows
    return {
        "confirmed": candidate.status == "confirmed",
        "n": int(held_out.n),
        "rate": _number(held_out.rate),
        "rate_interval": _numbers(held_out.interval),
        "true_rate": rate,
        "effect": _number(held_out.effect),
        "effect_interval": _numbers(held_out.effect_interval),
        "true_effect": rate - float(truth[outside].mean()) if len(outside) else None,
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _numbers(values: Any) -> list[float] | None:
    return None if values is None else [float(value) for value in values]


# --- Results ---


def measure(setting: Setting, proposed: Proposed) -> Result:
    """Compute everything that the tables need from one method's slices; at most the first `TOP` are judged."""
    claims = metrics.confirmed_slices(proposed)
    result: Result = {"found": len(proposed.members), "claimed": len(claims)}
    if setting.slices:
        result |= _discovered(proposed.members[:TOP], claims[:TOP], setting) | _precisions(setting, proposed)
    if setting.fail_probability is not None:
        result["false_proportion"] = metrics.false_discovery_proportion(claims, setting)
    return result


def _discovered(first: Sequence[Mask], claims: Sequence[Mask], setting: Setting) -> Result:
    true = setting.slices
    return {
        "true": len(true),
        "dr": metrics.discovery_rate(first, true),
        "fdr": metrics.false_discovery_rate(first, true),
        "fdr_u": metrics.false_discovery_rate_at_plateau(first, true),
        "dr_claimed": metrics.discovery_rate(claims, true),
        "fdr_claimed": metrics.false_discovery_rate(claims, true),
        "f1": metrics.mean_best_f1(first, true),
        "f1_claimed": metrics.mean_best_f1(claims, true),
    }


def _precisions(setting: Setting, proposed: Proposed) -> Result:
    scores = proposed.scores if proposed.scores is not None else _matrix(proposed.members, len(setting))
    result: Result = {"transductive": metrics.best_precisions_at_k(scores, setting.slices).tolist()}
    if setting.new is not None and proposed.new_scores is not None:
        result["inductive"] = metrics.best_precisions_at_k(proposed.new_scores, setting.new.slices).tolist()
    return result


def score(method: str, parameters: Parameters, case: Case, setting: Setting | None = None) -> Result:
    """Return a method's result on a case, from disk or computed now (with its wall and CPU seconds)."""
    kept = stored(method, parameters, case)
    if kept is not None:
        return kept
    setting = setting or case.make()
    wall, cpu = time.perf_counter(), time.process_time()
    proposed, held_out = propose(method, parameters, setting)
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    result = {"method": method, "parameters": parameters, "group": case.group, "seed": case.seed}
    result |= measure(setting, proposed) | {"held_out": held_out} | spent
    _write(_path(method, parameters, case), result)
    return result


def stored(method: str, parameters: Parameters, case: Case) -> Result | None:
    """Return a result that is on disk."""
    path = _path(method, parameters, case)
    return json.loads(path.read_text()) if path.exists() else None


def results_folder() -> Path:
    """Where results are kept, a folder per group and method."""
    return cache.folder().parent / "results"


@lru_cache(maxsize=1)
def source_version() -> str:
    """Tell versions of SliceLab's discovery apart, by a hash over its source files as they were at the start."""
    paths = sorted(Path(str(slicelab.discovery.__file__)).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def _path(method: str, parameters: Parameters, case: Case) -> Path:
    key = source_version() if method in (SLICELAB, LEADS) else _key(parameters)
    return results_folder() / case.group / method / f"{case.seed}-{key}.json"


def _key(parameters: Parameters) -> str:
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:12]


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(content))
    part.replace(path)


# --- Tuning ---


def grid(method: str) -> list[Parameters]:
    """Return the parameter sets that a peer is tuned over."""
    return REDUCED.get(method, PEERS[method][1])


def tuning_cases(tuning: str) -> list[Case]:
    """Return the development settings that decide the parameters of that name."""
    kind = tuning.split("-")[0]
    suite = kind if kind != "spotcheck" else tuning
    found: dict[str, list[Case]] = {}
    for case in cases(suite, dev=True) if kind != "synthetic" else _synthetic([(2000, 64, 2)], dev=True):
        if case.tuning == tuning:
            found.setdefault(case.group, []).append(case)
    return [case for group in found.values() for case in group[: TUNING_SETTINGS[kind]]]


def tune(method: str, tuning: str) -> Parameters:
    """Return a peer's best parameters on the development settings, and keep them."""
    path = _tuned_path(method, tuning)
    sets = grid(method)
    if path.exists():
        return json.loads(path.read_text())["parameters"]
    results: list[list[Result]] = [[] for _ in sets]
    chosen_on = tuning_cases(tuning) if len(sets) > 1 else []
    for case in chosen_on:
        setting = case.make()
        for parameters, own in zip(sets, results, strict=True):
            own.append(score(method, parameters, case, setting))
    values = [_objective(tuning, own) if own else (0.0,) for own in results]
    best = max(range(len(sets)), key=lambda i: values[i])
    _write(path, {"parameters": sets[best], "value": values[best], "sets": len(sets), "settings": len(chosen_on)})
    return sets[best]


def tuned(method: str, tuning: str) -> Result | None:
    """Return what tuning decided: parameters, value, numbers of sets and settings; None before it was done."""
    path = _tuned_path(method, tuning)
    return json.loads(path.read_text()) if path.exists() else None


def _tuned_path(method: str, tuning: str) -> Path:
    return results_folder() / "tuned" / tuning / f"{method}.json"


def _objective(tuning: str, results: Sequence[Result]) -> tuple[float, ...]:
    """What tuning maximises; later numbers decide ties."""
    means = {key: float(np.mean([result[key] for result in results])) for key in ("dr", "fdr_u", "f1")}
    if tuning.startswith("spotcheck"):
        return (means["dr"] - means["fdr_u"] / 10,)
    if tuning.startswith("digits"):
        return float(np.mean([metrics.success_rate(result["inductive"]) for result in results])), means["f1"]
    return (means["f1"],)


# --- Whole suites ---


def parameters_of(method: str, case: Case) -> Parameters | None:
    """Return the parameters a method has on a case; None if it isn't tuned yet."""
    if method not in PEERS:
        return {}
    decided = tuned(method, case.tuning)
    return None if decided is None else decided["parameters"]


def runs_on(method: str, case: Case) -> bool:
    """Return whether a method is asked on a case."""
    if method == SLICELAB:
        return True
    if method == LEADS:  # what it claims is SliceLab's
        return case.group.startswith(("digits", "synthetic")) and case.peers
    if method == ORACLE and case.group.startswith("null"):
        return False
    return case.peers


def run_suite(suite: str, methods: Sequence[str], dev: bool = False) -> None:
    """Compute what is missing of a suite, and say how it goes."""
    todo = cases(suite, dev)
    print(f"{suite}: {len(todo)} settings, {', '.join(methods)}", flush=True)
    for method in methods:
        for tuning in dict.fromkeys(case.tuning for case in todo if runs_on(method, case)):
            if method in PEERS:
                print(f"  {time.strftime('%H:%M:%S')} {method} for {tuning}: {tune(method, tuning)}", flush=True)
    spent = dict.fromkeys(methods, 0.0)
    for turn, case in enumerate(todo, start=1):
        _run_case(case, methods, spent)
        if turn % 10 == 0 or turn == len(todo):
            seconds = ", ".join(f"{method} {value:.0f}" for method, value in spent.items())
            print(f"  {time.strftime('%H:%M:%S')} {turn} of {len(todo)}; CPU seconds: {seconds}", flush=True)


def _run_case(case: Case, methods: Sequence[str], spent: dict[str, float]) -> None:
    setting = None
    for method in methods:
        parameters = parameters_of(method, case)
        if parameters is None or not runs_on(method, case) or stored(method, parameters, case) is not None:
            continue
        setting = setting or case.make()
        spent[method] += score(method, parameters, case, setting)["cpu"]
