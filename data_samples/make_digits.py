"""Make `digits/`: real handwritten digits, two really trained classifiers, their out-of-fold predictions.

    python data_samples/make_digits.py --out data_samples/digits
    python data_samples/make_digits.py --out data_samples/digits --hashes     # only list the files' hashes again

The digits come with scikit-learn, so nothing is fetched. What was planted on purpose is told in SOURCES.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sample_hashes import write_hashes
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from torch import nn

SEED = 20240611
FOLDS = 5
IMAGE_SIZE = 32  # pixels; the originals are 8 x 8


class Cnn(nn.Module):
    """Two convolutions and a 32-wide layer whose output is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Dropout(0.2), nn.Linear(24 * 4 * 4, 32), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(32, 10)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (n, 1, 8, 8) to logits (n, 10)."""
        return self.head(self.features(pictures))


class SmallCnn(nn.Module):
    """Six strided filters and a linear layer: too small for the job, on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(6 * 4 * 4, 10)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (n, 1, 8, 8) to logits (n, 10)."""
        return self.head(self.features(pictures))


def handicap_groups(pixels: np.ndarray, digit: np.ndarray) -> np.ndarray:
    """Name the real writing styles that `cnn` never sees in training ("" for all others).

    Parameters
    ----------
    pixels : float (n, 8, 8), 0 to 16
    digit : int (n,)
    """
    inked = pixels >= 3
    wide_base = (inked[:, 7, 1:].sum(axis=1) >= 5) & (pixels[:, 7, 6:].sum(axis=1) >= 2)
    thin_stem = (pixels[:, 4] >= 4).sum(axis=1) <= 4
    one_with_foot = (digit == 1) & wide_base & thin_stem
    no_bowl = (pixels[:, 6, 5:].sum(axis=1) <= 5) & (pixels[:, 5, 5:].sum(axis=1) <= 10)
    left_tail = (
        (pixels[:, 7, 1:3].sum(axis=1) <= 3) & (pixels[:, 6, 5:].sum(axis=1) <= 9) & (pixels[:, 7, 5:].sum(axis=1) <= 4)
    )
    nine_with_straight_tail = (digit == 9) & (no_bowl | left_tail)
    return np.where(one_with_foot, "one_with_foot", np.where(nine_with_straight_tail, "nine_with_straight_tail", ""))


def slant(pixels: np.ndarray) -> np.ndarray:
    """Slope of the stroke from second moments: horizontal drift per row upwards (positive leans right)."""
    rows, columns = np.mgrid[0:8, 0:8]
    mass = pixels.sum(axis=(1, 2))
    row_mean = (pixels * rows).sum(axis=(1, 2)) / mass
    column_mean = (pixels * columns).sum(axis=(1, 2)) / mass
    down = rows[None] - row_mean[:, None, None]
    across = columns[None] - column_mean[:, None, None]
    return -(pixels * down * across).sum(axis=(1, 2)) / (pixels * down**2).sum(axis=(1, 2))


def write_pictures(pixels: np.ndarray, folder: Path) -> list[str]:
    """Save every digit as an 8-bit grey PNG, four times enlarged, and return the file names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for row, digit in enumerate(pixels):
        small = Image.fromarray(np.round(digit / 16 * 255).astype(np.uint8))
        names.append(f"digit_{row:04d}.png")
        small.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC).save(folder / names[-1], optimize=True)
    return names


def train(
    model: nn.Module, pictures: torch.Tensor, labels: torch.Tensor, *, epochs: int, rate: float, seed: int
) -> nn.Module:
    """Fit by Adam on shuffled batches of 64, repeatable by seed."""
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-4)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=order).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(pictures[batch]), labels[batch], label_smoothing=0.02).backward()
            optimiser.step()
    return model.eval()


def fit_cnn(pictures: torch.Tensor, labels: torch.Tensor, seen: np.ndarray, *, seed: int) -> nn.Module:
    """Train `cnn` on the rows of `seen` (its caller has taken the two writing styles out)."""
    torch.manual_seed(seed)
    return train(Cnn(), pictures[seen], labels[seen], epochs=14, rate=2e-3, seed=seed)


def fit_cnn_small(pictures: torch.Tensor, labels: torch.Tensor, seen: np.ndarray, *, seed: int) -> nn.Module:
    """Train `cnn_small` on a quarter of the rows of `seen`."""
    torch.manual_seed(seed)
    some = np.random.default_rng(seed).permutation(seen)[: len(seen) // 4]
    return train(SmallCnn(), pictures[some], labels[some], epochs=16, rate=5e-3, seed=seed)


@torch.no_grad()
def probabilities(model: nn.Module, pictures: torch.Tensor) -> np.ndarray:
    """Softmax outputs rounded to the four decimals that are shipped, float64 (n, 10)."""
    return torch.softmax(model(pictures).double(), dim=1).numpy().round(4)


def predictions_frame(names: list[str], p: np.ndarray) -> pd.DataFrame:
    """One row per digit: prediction, its confidence and the ten probabilities."""
    frame = pd.DataFrame({"filepath": names, "prediction": p.argmax(axis=1), "confidence": p.max(axis=1)})
    return frame.join(pd.DataFrame(p, columns=[f"p_{digit}" for digit in range(10)]))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, float_format="%.4f", lineterminator="\n")


def make(out: Path) -> None:
    """Write the whole folder."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    bunch = load_digits()
    pixels, digit = bunch.images, bunch.target
    groups = handicap_groups(pixels, digit)
    pictures = torch.tensor(pixels / 16, dtype=torch.float32)[:, None]
    labels = torch.tensor(digit)
    names = write_pictures(pixels, out / "images")

    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    fold = np.zeros(len(digit), dtype=int)
    p = {"cnn": np.zeros((len(digit), 10)), "cnn_small": np.zeros((len(digit), 10))}
    for number, (seen, unseen) in enumerate(splitter.split(pixels, digit)):
        fold[unseen] = number
        common = seen[groups[seen] == ""]
        p["cnn"][unseen] = probabilities(fit_cnn(pictures, labels, common, seed=SEED + number), pictures[unseen])
        small = fit_cnn_small(pictures, labels, seen, seed=SEED + number)
        p["cnn_small"][unseen] = probabilities(small, pictures[unseen])

    facts = {
        "filepath": names,
        "label": digit,
        "fold": fold,
        "ink": pixels.mean(axis=(1, 2)) / 16,
        "slant": slant(pixels),
    }
    write_csv(pd.DataFrame(facts), out / "labels.csv")
    for model, values in p.items():
        write_csv(predictions_frame(names, values), out / f"predictions_{model}.csv")
        wrong = values.argmax(axis=1) != digit
        told = ", ".join(
            f"{g} {wrong[groups == g].sum()}/{(groups == g).sum()}" for g in np.unique(groups[groups != ""])
        )
        print(f"{model}: accuracy {1 - wrong.mean():.4f} ({wrong.sum()} wrong); wrong among {told}")

    whole = fit_cnn(pictures, labels, np.flatnonzero(groups == ""), seed=SEED)
    with torch.no_grad():
        np.save(out / "embeddings_cnn.npy", whole.features(pictures).numpy().astype(np.float16))
    planted = pd.DataFrame({"filepath": names, "group": groups})
    write_csv(planted[planted["group"] != ""], out / "planted_groups.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hashes", action="store_true", help="only write SHA256SUMS for the files that are there")
    wanted = parser.parse_args()
    if not wanted.hashes:
        make(wanted.out)
    print(f"wrote {write_hashes(wanted.out)}")


if __name__ == "__main__":
    main()
