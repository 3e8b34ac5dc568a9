"""Settings are made once and kept as npz files without pickles, below out/bench (or SLICELAB_BENCH)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.discovery.setting import Setting

ARRAYS = ("embeddings", "failures", "labels", "predictions", "probabilities")


def folder() -> Path:
    """Where settings are kept."""
    return Path(os.environ.get("SLICELAB_BENCH", "out/bench")) / "settings"


def cached(make: Callable[[int], Setting | None], name: str, seed: int) -> Setting | None:
    """Return the setting of that name and seed, made by `make(seed)` on the first call.

    None stands for a seed that the suite rejects (recorded too, so that it is rejected at once the next time).
    """
    path = folder() / name / f"{seed}.npz"
    if path.exists():
        return _read(path)
    made = make(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(part, **_arrays(made, ""))
    part.replace(path)
    return made


def _arrays(setting: Setting | None, prefix: str) -> dict[str, Any]:
    if setting is None:
        return {f"{prefix}rejected": np.array(True)}
    arrays: dict[str, Any] = {f"{prefix}{key}": getattr(setting, key) for key in ARRAYS}
    arrays[f"{prefix}slices"] = np.array(setting.slices, bool).reshape(len(setting.slices), len(setting))
    if setting.fail_probability is not None:
        arrays[f"{prefix}fail_probability"] = setting.fail_probability
    plain = {key: value for key, value in setting.details.items() if not isinstance(value, np.ndarray)}
    arrays |= {f"{prefix}detail.{k}": v for k, v in setting.details.items() if isinstance(v, np.ndarray)}
    arrays[f"{prefix}head"] = np.array(json.dumps({"name": setting.name, "seed": setting.seed, "details": plain}))
    if setting.new is not None:
        arrays |= _arrays(setting.new, f"{prefix}new.")
    return arrays


def _read(path: Path) -> Setting | None:
    with np.load(path, allow_pickle=False) as file:
        return _setting(dict(file), "")


def _setting(arrays: dict[str, Any], prefix: str) -> Setting | None:
    if f"{prefix}rejected" in arrays:
        return None
    head = json.loads(str(arrays[f"{prefix}head"]))
    start = f"{prefix}detail."
    details = head["details"] | {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
    return Setting(
        name=head["name"],
        seed=head["seed"],
        **{key: arrays[f"{prefix}{key}"] for key in ARRAYS},
        slices=tuple(arrays[f"{prefix}slices"]),
        fail_probability=arrays.get(f"{prefix}fail_probability"),
        new=_setting(arrays, f"{prefix}new.") if f"{prefix}new.head" in arrays else None,
        details=details,
    )
