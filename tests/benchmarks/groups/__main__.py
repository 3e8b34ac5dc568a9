"""What is found of groups in three real data sets, by names and pictures alone.

    python -m tests.benchmarks.groups CAMVID BCCD CIFAR10 [--out FOLDER]

CAMVID holds `images/` and `frames.csv` (`image`, `split`, `sequence`; the sequence is only used to judge), BCCD and
CIFAR10 hold `images/`. With --out the pairs are drawn there as contact sheets, most similar first, to be looked at.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw

_SIDE, _COLUMNS, _PER_SHEET = 128, 6, 60


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.groups")
    for name in ("camvid", "bccd", "cifar10"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["SLICELAB_HOME"] = home
        os.environ.pop("FIFTYONE_DATABASE_URI", None)
        show_leaks(asked.camvid)
        for folder in (asked.bccd, asked.cifar10, asked.camvid):
            show_pairs(folder, Path(home) / "cache", asked.out)
        from slicelab.store import connect

        connect().close()


def show_leaks(folder: Path) -> None:
    """Load the frames with their split and without their sequence, and list what leaks."""
    import slicelab as sl

    frames = pd.read_csv(folder / "frames.csv")
    labels = pd.DataFrame({"filepath": frames["image"], "label": "street", "split": frames["split"]})
    lab = sl.load("camvid", folder / "images", labels, progress=False)
    started = time.perf_counter()
    leaks = lab.groups.leaks("split", progress=False)
    print(f"## {folder.name}: leaks between values of `split`, {time.perf_counter() - started:.1f} s\n")
    sequence = frames.set_index("image")["sequence"]
    leaks["sequences, as published"] = [", ".join(sorted(set(sequence.loc[list(keys)]))) for keys in leaks["keys"]]
    print(leaks.drop(columns=["keys", "evidence"]).to_string(index=False))
    both = frames.groupby("sequence")["split"].nunique()
    print(f"\npublished sequences on both sides: {', '.join(both.index[both > 1])}\n")
    for proposal in lab.groups.suggest(progress=False):
        print(repr(proposal))
    print()


def show_pairs(folder: Path, cache: Path, out: Path | None) -> None:
    """List near-duplicates, and draw them."""
    from slicelab.discovery import duplicate_groups, near_duplicates
    from slicelab.embeddings import ImageItem, fingerprints

    images = folder / "images"
    keys = sorted(path.relative_to(images).as_posix() for path in images.rglob("*") if path.is_file())
    started = time.perf_counter()
    prints = fingerprints([ImageItem(k, str(images / k), "") for k in keys], cache_folder=cache, progress=False)
    between = time.perf_counter()
    pairs = near_duplicates(prints)
    done = time.perf_counter()
    sizes = duplicate_groups(pairs, prints.units).value_counts()
    print(
        f"## {folder.name}: {len(keys)} pictures, {len(pairs)} pairs in {len(sizes)} groups of {sizes.sum()} pictures"
    )
    print(f"fingerprints {between - started:.1f} s, pairs {done - between:.1f} s")
    print(f"{pairs['evidence'].value_counts().to_dict()}; largest groups {sizes.head(5).tolist()}\n")
    print(pairs.head(100).to_string(float_format="{:.3f}".format), "\n")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for start in range(0, min(len(pairs), 3 * _PER_SHEET), _PER_SHEET):
            sheet(images, pairs.iloc[start : start + _PER_SHEET]).save(out / f"{folder.name}_{start:03d}.png")


def sheet(images: Path, pairs: pd.DataFrame) -> Image.Image:
    """Draw pairs side by side, with their similarity and their row."""
    width, height = 2 * _SIDE + 12, _SIDE + 16
    picture = Image.new("RGB", (_COLUMNS * width, -(-len(pairs) // _COLUMNS) * height), "white")
    for i, row in enumerate(pairs.itertuples()):
        x, y = i % _COLUMNS * width, i // _COLUMNS * height
        ImageDraw.Draw(picture).text((x, y), f"{row.Index}: {row.similarity:.3f} {row.evidence}", fill="black")
        for j, key in enumerate((row.left, row.right)):
            with Image.open(images / key) as one:
                picture.paste(one.convert("RGB").resize((_SIDE, _SIDE)), (x + j * (_SIDE + 2), y + 14))
    return picture


if __name__ == "__main__":
    main()
