"""How soon planted label errors are found, beside cleanlab's ranking in the same run.

    python tests/benchmarks/relabel/label_errors.py data_samples/digits [CIFAR10] [--boxes BCCD]

A folder holds labels.csv, predictions_cnn.csv (out-of-fold) and embeddings_cnn.npy; a folder of boxes labels_coco.json
and predictions_coco.json. Average precision, and recall among as many as were planted; the last column is the 95 %
bootstrap interval of the difference in average precision over repetitions. Where predictions_cnn_small.csv is there,
lines with "+2" ask both models: beside ours with the first alone, and beside cleanlab's ensemble of both.

Errors that people make, instead of planted ones: people.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.object_detection.rank import get_label_quality_scores as image_quality
from cleanlab.rank import get_label_quality_ensemble_scores, get_label_quality_scores
from sklearn.metrics import average_precision_score

from slicelab.core import Predictions, SampleTable
from slicelab.evaluation import box_label_errors, detection_units, label_errors

REPETITIONS = 20
RATES = (0.01, 0.02, 0.03, 0.05)


def read(folder, predictions="predictions_cnn.csv"):
    labels = pd.read_csv(folder / "labels.csv")
    name = labels.columns[0]
    said = pd.read_csv(folder / predictions)
    said = said.set_index(said.columns[0]).loc[labels[name]]
    columns = [c for c in said if c.startswith("p_")]
    classes = [c[2:] for c in columns]
    p = said[columns].to_numpy(float)
    y = pd.Index(classes).get_indexer(labels["label"].astype(str))
    return y, p / p.sum(1, keepdims=True), np.load(folder / "embeddings_cnn.npy").astype(np.float32), classes


def plant(y, p, vectors, kind, rate, rng):
    """Return labels with errors: to any class, the class most confused with, one drawn by confusion, or of a group."""
    wrong, n_classes, m = y.copy(), p.shape[1], int(rate * len(y))
    confused = np.array([p[y == c].mean(0) for c in range(n_classes)])
    np.fill_diagonal(confused, 0)
    if kind == "slice":
        rows = np.flatnonzero(y == rng.integers(n_classes))
        seed = rng.choice(rows)
        near = np.argsort(((vectors[rows] - vectors[seed]) ** 2).sum(1))
        chosen = rows[near[: min(m, len(rows) // 2)]]
    else:
        chosen = rng.choice(len(y), m, replace=False)
    shift = rng.integers(1, n_classes, len(chosen))
    if kind == "random":
        wrong[chosen] = (y[chosen] + shift) % n_classes
    elif kind == "drawn":
        share = confused / confused.sum(1, keepdims=True)
        wrong[chosen] = [rng.choice(n_classes, p=share[c]) for c in y[chosen]]
    else:
        wrong[chosen] = confused[y[chosen]].argmax(1)
    return wrong, wrong != y


def measured(bad, score):
    first = np.argsort(-score, kind="stable")[: bad.sum()]
    return average_precision_score(bad, score), bad[first].mean()


def interval(difference, rng):
    means = rng.choice(difference, (5000, len(difference))).mean(1)
    return np.percentile(means, [2.5, 97.5])


def report(name, kind, ours, peers):
    rng = np.random.default_rng(0)
    ours = np.array(ours)
    for peer, values in peers.items():
        values = np.array(values)
        low, high = interval(ours[:, 0] - values[:, 0], rng)
        print(
            f"{name:9} {kind:12} AP {ours[:, 0].mean():.3f} recall {ours[:, 1].mean():.3f} | {peer} "
            f"AP {values[:, 0].mean():.3f} recall {values[:, 1].mean():.3f} | difference [{low:+.3f}, {high:+.3f}]",
            flush=True,
        )


def images(folder):
    y, p, vectors, classes = read(folder)
    second = read(folder, "predictions_cnn_small.csv")[1] if (folder / "predictions_cnn_small.csv").exists() else None
    for kind in ("random", "confusable", "drawn", "slice"):
        ours, peers = [], {"self-confidence": [], "normalized-margin": [], "confidence-weighted-entropy": []}
        both, ensemble = [], []
        for repetition in range(REPETITIONS):
            rng = np.random.default_rng(repetition)
            wrong, bad = plant(y, p, vectors, kind, RATES[repetition % len(RATES)], rng)
            found = label_errors([classes[c] for c in wrong], p, classes, vectors)
            ours.append(measured(bad, found["score"].to_numpy()))
            for peer, values in peers.items():
                values.append(measured(bad, 1 - get_label_quality_scores(wrong, p, method=peer.replace("-", "_"))))
            if second is not None:
                found = label_errors([classes[c] for c in wrong], [p, second], classes, vectors)
                both.append(measured(bad, found["score"].to_numpy()))
                ensemble.append(measured(bad, 1 - get_label_quality_ensemble_scores(wrong, [p, second], verbose=False)))
        report(folder.name, kind, ours, peers)
        if both:
            report(folder.name, f"{kind}+2", both, {"ours of the first": ours, "ensemble of both": ensemble})


def damaged(boxes, frame, classes, kind, rate, rng):
    """Return the boxes with errors of one kind, and the keys of the damaged images."""
    chosen = rng.choice(len(boxes), int(rate * len(boxes)), replace=False)
    keys, new = set(boxes["key"].iloc[chosen]), boxes.copy()
    if kind == "dropped":
        return boxes.drop(boxes.index[chosen]).reset_index(drop=True), keys
    if kind == "moved":
        angle = rng.uniform(0, 2 * np.pi, len(chosen))
        for axis, side, move in (("x", "width", np.cos(angle)), ("y", "height", np.sin(angle))):
            new.loc[new.index[chosen], axis] += 0.6 * move * new[side].iloc[chosen].to_numpy()
    else:
        codes = pd.Index(classes).get_indexer(new["label"].iloc[chosen])
        other = (codes + rng.integers(1, len(classes), len(chosen))) % len(classes)
        new.loc[new.index[chosen], "label"] = [classes[c] for c in other]
    return new, keys


def boxes_of(folder):
    coco, results = (json.loads((folder / n).read_text()) for n in ("labels_coco.json", "predictions_coco.json"))
    names = {c["id"]: c["name"] for c in coco["categories"]}
    classes = tuple(names.values())
    samples = pd.DataFrame(
        [(str(i["id"]), "", "", i["width"], i["height"]) for i in coco["images"]],
        columns=["key", "filepath", "sha256", "width", "height"],
    ).set_index("key")

    def frame(rows, ids, last):
        columns = ["key", ids, "label", "x", "y", "width", "height", last]
        values = [
            (str(r["image_id"]), str(n), names[r["category_id"]], *map(float, r["bbox"]), r.get("score", False))
            for n, r in enumerate(rows)
        ]
        return pd.DataFrame(values, columns=columns)

    boxes, predicted = frame(coco["annotations"], "label_id", "crowd"), frame(results, "box_id", "confidence")
    boxes["crowd"] = False
    for kind in ("dropped", "moved", "swapped"):
        ours, peers = [], {"cleanlab": []}
        for repetition in range(REPETITIONS // 2):
            rng = np.random.default_rng(repetition)
            new, keys = damaged(boxes, samples, classes, kind, RATES[repetition % len(RATES)], rng)
            table = SampleTable("detection", samples, new, classes)
            units = detection_units(table, Predictions("m", "detection", predicted, classes))
            score = box_label_errors(units)["score"].groupby(units["key"]).max().reindex(samples.index, fill_value=0)
            bad = samples.index.isin(keys)
            ours.append(measured(bad, score.to_numpy()))
            peers["cleanlab"].append(measured(bad, 1 - peer_scores(samples, new, predicted, classes)))
        report(folder.name, kind, ours, peers)


def peer_scores(samples, boxes, predicted, classes):
    """Return cleanlab's quality of each image."""
    corners = [np.column_stack([f["x"], f["y"], f["x"] + f["width"], f["y"] + f["height"]]) for f in (boxes, predicted)]
    codes = [pd.Index(classes).get_indexer(f["label"]) for f in (boxes, predicted)]
    rows = [f.groupby("key").indices for f in (boxes, predicted)]
    none = np.zeros(0, int)
    labels, said = [], []
    for key in samples.index:
        mine, theirs = (r.get(key, none) for r in rows)
        labels.append({"bboxes": corners[0][mine], "labels": codes[0][mine]})
        scored = np.column_stack([corners[1][theirs], predicted["confidence"].to_numpy()[theirs]])
        said.append(np.array([scored[codes[1][theirs] == c] for c in range(len(classes))], dtype=object))
    return np.asarray(image_quality(labels, said, verbose=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--boxes", type=Path)
    given = parser.parse_args()
    for each in given.folders:
        images(each)
    if given.boxes is not None:
        boxes_of(given.boxes)
