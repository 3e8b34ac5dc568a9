"""How soon the labels are found with which people disagree, by every ranking in one run.

    python tests/benchmarks/relabel/people.py CIFAR10 [--vectors other.npy ...] [--half even|odd]

The folder holds labels.csv, images, predictions_cnn.csv and predictions_cnn_small.csv (out of sample),
embeddings_cnn.npy and people.csv, with the answers of three people for each picture (CIFAR-10N: Wei et al., ICLR 2022;
CC BY-NC 4.0, for measurements only). `--vectors` are more vectors in the order of labels.csv.

Truths: all three disagree with the label; two or more do; all three name the same other class. Average precision,
precision among the first 100, 227 and 1,000, and the 95 % interval of the difference in average precision to plain
self-confidence of the first model (paired bootstrap over pictures). Rows that begin with "learned" saw people's
answers on other pictures (ten-fold): no ranking, but what is within reach. At the end the average precision of a judge
who knows how often people disagree with each picture, and can only not know who was asked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_ensemble_scores, get_label_quality_scores
from PIL import Image
from scipy.optimize import minimize
from scipy.special import betaln, comb, expit, xlogy
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import average_precision_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slicelab.embeddings import DescriptorEmbedder
from slicelab.evaluation import label_errors

ROUNDS = 500
FIRST = (100, 227, 1000)
PEER = "self-confidence, model 1"
RANKINGS = ("self-confidence", "normalized-margin", "confidence-weighted-entropy")
FOLDS = KFold(10, shuffle=True, random_state=0)


def read(folder):
    """Return codes of the labels, probabilities of both models, people's answers (n, 3), class names and paths."""
    labels = pd.read_csv(folder / "labels.csv")
    models = []
    for name in ("predictions_cnn.csv", "predictions_cnn_small.csv"):
        said = pd.read_csv(folder / name).set_index("filepath").loc[labels["filepath"]]
        columns = [c for c in said if c.startswith("p_")]
        p = said[columns].to_numpy(float)
        models.append(p / p.sum(1, keepdims=True))
    classes = [c[2:] for c in columns]
    answers = pd.read_csv(folder / "people.csv").set_index("filepath").loc[labels["filepath"]]
    coded = [pd.Index(classes).get_indexer(answers[c]) for c in ("person_1", "person_2", "person_3")]
    y = pd.Index(classes).get_indexer(labels["label"])
    return y, models, np.column_stack(coded), classes, [folder / "images" / f for f in labels["filepath"]]


def described(paths):
    """Return the vectors that `lab.embed` makes without weights."""
    embedder, found = DescriptorEmbedder(), []
    for start in range(0, len(paths), 64):
        pictures = [np.asarray(Image.open(p).convert("RGB")) for p in paths[start : start + 64]]
        found.append(embedder.embed(np.stack([embedder.prepare(p) for p in pictures])))
    return np.concatenate(found)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def reduced(vectors):
    return PCA(64, random_state=0).fit_transform(unit(vectors))


def of_models(y, sets, vectors, classes):
    """Return the rankings that need a model, for each set of models."""
    labels, rows, found = [classes[c] for c in y], np.arange(len(y)), {}
    for name, said in sets.items():
        together = np.mean(said, axis=0)
        for ranking in RANKINGS:
            method = ranking.replace("-", "_")
            if len(said) == 1:
                quality = get_label_quality_scores(y, said[0], method=method)
            else:
                quality = get_label_quality_ensemble_scores(y, list(said), method=method, verbose=False)
            found[f"{ranking}, {name}"] = 1 - quality
        if len(said) > 1:
            found[f"self-confidence of the mean, {name}"] = 1 - together[rows, y]
        found[f"entropy, {name}"] = -xlogy(together, together).sum(1)
        found[f"ours without vectors, {name}"] = label_errors(labels, said, classes)["score"].to_numpy()
        for which, values in vectors.items() if name != "model 2" else [("cnn", vectors["cnn"])]:
            found[f"ours, {name}, {which}"] = label_errors(labels, said, classes, values)["score"].to_numpy()
    return found


def of_neighbours(y, p, vectors):
    """Return the rankings by what lies near, and the shares of labels that agree."""
    found, rows = {}, np.arange(len(y))
    for name, values in vectors.items():
        nearest = NearestNeighbors(n_neighbors=51, algorithm="brute").fit(unit(values))
        far, near = nearest.kneighbors(unit(values))
        far, near = far[:, 1:], near[:, 1:]
        for k in (10, 50):
            found[f"labels of {k} neighbours, {name}"] = (y[near[:, :k]] != y[:, None]).mean(1)
        found[f"model 1 on 20 neighbours, {name}"] = 1 - p[near[:, :20]].mean(1)[rows, y]
        same = y[near] == y[:, None]
        own = np.where(same, far, far[:, -1:]).min(1)
        found[f"nearest of the class beside nearest other, {name}"] = own / np.where(same, far[:, -1:], far).min(1)
    return found


def logs(p):
    return np.log(np.maximum(p, 1e-4))


def stacked(y, models, vectors):
    """Return self-confidence of a regression on both models and all vectors, out of fold; people aren't asked."""
    seen = np.column_stack([*map(logs, models), *map(reduced, vectors)])
    fit = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=500))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(fit, seen, y, cv=folds, method="predict_proba")


def learned(y, answers, found, models, more, vectors):
    """Return rankings that were fitted to people's answers on other pictures."""
    wrong = answers != y[:, None]
    disagree, n, rng = wrong.sum(1).astype(float), len(y), np.random.default_rng(0)
    odds = np.column_stack([found["ours, model 1, cnn"], found["ours without vectors, model 2"]])
    kind = np.eye(y.max() + 1)[y]
    pairs = (kind[:, :, None] * logs(models[0])[:, None, :]).reshape(n, -1)
    few = np.column_stack([odds[:, :1], kind])
    neighbours = np.column_stack([v for k, v in found.items() if "neighbours" in k])
    everything = np.column_stack([odds, kind, *map(logs, [*models, more]), neighbours, pairs, *map(reduced, vectors)])
    result = {}
    for name, seen in (("ours and the class", few), ("everything", everything)):
        fit = make_pipeline(StandardScaler(), RidgeCV(np.geomspace(10, 1e5, 9)))
        result[f"learned from all answers: {name}"] = cross_val_predict(fit, seen, disagree, cv=FOLDS)
    one = wrong[np.arange(n), rng.integers(3, size=n)]
    for many in (300, 1000, 3000):
        score = np.zeros(n)
        for others, rows in FOLDS.split(few):
            asked = rng.choice(others, min(many, len(others)), replace=False)
            fit = LogisticRegression(C=0.1, max_iter=500).fit(few[asked], one[asked])
            score[rows] = fit.decision_function(few[rows])
        result[f"learned from {many} answers: ours and the class"] = score
    return result


def resampled(bad, score, weights):
    """Return average precision under each row of bootstrap weights; equal scores count as one step."""
    order = np.argsort(-score, kind="stable")
    ends = np.searchsorted(-score[order], -score[order], side="right") - 1
    drawn = weights[:, order]
    hits = drawn * bad[order]
    precision = (np.cumsum(hits, 1) / np.maximum(np.cumsum(drawn, 1), 1))[:, ends]
    return (hits * precision).sum(1) / hits.sum(1)


def within_reach(disagree, rng, slips):
    """Return average precision of knowing each picture's rate of disagreement, the share of slips, and what is fitted.

    The rates are a beta distribution, fitted by likelihood to how many pictures have 0 to 3 who disagree; with `slips`
    beside a share of labels that are wrong, with which people disagree nine times in ten. Three answers don't say which
    of the two it is.
    """
    n, k = len(disagree), np.arange(4)
    seen = np.bincount(disagree, minlength=4)

    def chances(values):
        a, b, share = np.exp(values[0]), np.exp(values[1]), expit(values[2]) if slips else 0.0
        people = comb(3, k) * np.exp(betaln(k + a, 3 - k + b) - betaln(a, b))
        return (1 - share) * people + share * comb(3, k) * 0.9**k * 0.1 ** (3 - k)

    best = minimize(lambda v: -(seen * np.log(chances(v))).sum(), [0.0, 1.5, -5.0], method="Nelder-Mead").x
    share = expit(best[2]) if slips else 0.0
    reached = []
    for _ in range(100):
        rate = np.where(rng.random(n) < share, 0.9, rng.beta(*np.exp(best[:2]), n))
        said = rng.binomial(3, rate)
        reached.append([average_precision_score(said >= least, rate) for least in (3, 2)])
    return np.mean(reached, axis=0), share, (chances(best) * n).round()


def report(found, truths, rows):
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), ROUNDS).astype(np.float32)
    for truth, bad in truths.items():
        bad = bad[rows]
        print(f"\n{truth}: {bad.sum()} of {len(rows)} pictures ({bad.mean():.3f})")
        peer = resampled(bad, found[PEER][rows], weights)
        for name, score in found.items():
            score = score[rows]
            low, high = np.percentile(resampled(bad, score, weights) - peer, [2.5, 97.5])
            order = np.argsort(-score, kind="stable")
            first = " ".join(f"{bad[order[:m]].mean():.3f}" for m in FIRST)
            value = average_precision_score(bad, score)
            print(f"{name:62} AP {value:.3f} [{low:+.3f}, {high:+.3f}] precision {first}", flush=True)


def main(folder, others, half):
    y, models, answers, classes, paths = read(folder)
    disagree = (answers != y[:, None]).sum(1)
    vectors = {"cnn": np.load(folder / "embeddings_cnn.npy").astype(np.float32)}
    vectors |= {"descriptor": described(paths)} | {p.stem: np.load(p).astype(np.float32) for p in others}
    each = list(vectors.values())
    vectors["PCA of cnn"] = PCA(16, random_state=0).fit_transform(vectors["cnn"])
    vectors["all"] = np.column_stack([unit(v) for v in each])
    sets = {"model 1": models[:1], "model 2": models[1:], "both": models}
    found = of_models(y, sets, vectors, classes) | of_neighbours(y, models[0], vectors)
    more = stacked(y, models, each)
    found["self-confidence, regression on both and all vectors"] = 1 - more[np.arange(len(y)), y]
    found[f"ours, {len(models) + 1} models, all"] = label_errors(
        [classes[c] for c in y], [*models, more], classes, vectors["all"]
    )["score"].to_numpy()
    found |= learned(y, answers, found, models, more, each)
    same = (disagree == 3) & (answers == answers[:, :1]).all(1)
    truths = {"all three disagree": disagree == 3, "two or more disagree": disagree >= 2, "all name one other": same}
    rows = np.arange(len(y))
    report(found, truths, rows if half is None else rows[rows % 2 == (half == "odd")])
    print(f"\n0 to 3 disagree on {np.bincount(disagree)} pictures")
    for slips in (False, True):
        (three, two), share, fitted = within_reach(disagree, np.random.default_rng(0), slips)
        print(f"knowing the rate of each picture: AP {three:.3f} (all three), {two:.3f} (two or more)", end="; ")
        print(f"fitted {fitted}, slips {share:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vectors", nargs="*", type=Path, default=[])
    parser.add_argument("--half", choices=("even", "odd"))
    given = parser.parse_args()
    main(given.folder, given.vectors, given.half)
