"""Which predicted box belongs to which labelled one: overlaps and COCO's greedy matching, for all images at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError, listed

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_PAIRS_AT_ONCE = 2_000_000


@dataclass(frozen=True, eq=False)
class BoxArrays:
    """Boxes as arrays, in an order that doesn't depend on the order of the frame they came from.

    Parameters
    ----------
    row
        int64 (n,), position in that frame.
    image, label
        int64 (n,), position of the box's key and label in the given keys and classes.
    xywh
        float64 (n, 4), pixels, top-left corner.
    crowd
        bool (n,); False for predicted boxes.
    confidence
        float64 (n,); NaN for labelled boxes.
    """

    row: Ints
    image: Ints
    label: Ints
    xywh: Floats
    crowd: Bools
    confidence: Floats

    def __len__(self) -> int:
        return len(self.row)

    def take(self, positions: npt.NDArray[np.integer] | Bools) -> BoxArrays:
        """Return the boxes at these positions."""
        return BoxArrays(
            self.row[positions],
            self.image[positions],
            self.label[positions],
            self.xywh[positions],
            self.crowd[positions],
            self.confidence[positions],
        )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Overlapping boxes: positions among the predicted and the labelled ones, int64 (p,), and their IoU, float64."""

    predicted: Ints
    labelled: Ints
    iou: Floats

    def where(self, mask: Bools) -> Pairs:
        """Return the pairs for which `mask` holds."""
        return Pairs(self.predicted[mask], self.labelled[mask], self.iou[mask])


def labelled_arrays(frame: pd.DataFrame, *, keys: pd.Index, classes: pd.Index) -> BoxArrays:
    """Return the labelled boxes (`BOX_COLUMNS`) of these images and classes, by image and label id."""
    boxes = _arrays(frame, "label_id", keys, classes)
    return boxes.take(np.lexsort((_id_order(frame["label_id"])[boxes.row], boxes.image)))


def predicted_arrays(frame: pd.DataFrame, *, keys: pd.Index, classes: pd.Index) -> BoxArrays:
    """Return the predicted boxes (`PREDICTED_BOX_COLUMNS`) of these images and classes, by falling confidence."""
    boxes = _arrays(frame, "box_id", keys, classes)
    bad = np.isnan(boxes.confidence)
    if bad.any():
        ids = frame["key"].iloc[boxes.row[bad]].tolist()
        raise InvalidInputError(
            f"Every predicted box needs a confidence; {len(ids)} have none, they are on {listed(ids)}. "
            "Give them one, or leave these boxes out."
        )
    return boxes.take(np.lexsort((_id_order(frame["box_id"])[boxes.row], boxes.image, -boxes.confidence)))


def find_pairs(predicted: BoxArrays, labelled: BoxArrays) -> Pairs:
    """Return every (predicted, labelled) pair on one image that overlaps, whatever the classes.

    IoU is intersection over union; over the predicted box's area where the labelled box is a crowd, as in COCO.
    """
    order = np.argsort(labelled.image, kind="stable")
    image = labelled.image[order]
    first = np.searchsorted(image, predicted.image, "left")
    count = np.searchsorted(image, predicted.image, "right") - first
    found: list[Pairs] = []
    for start, stop in _chunks(count):
        n = count[start:stop]
        offset = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        p = np.repeat(np.arange(start, stop), n)
        g = order[np.repeat(first[start:stop], n) + offset]
        pairs = Pairs(p, g, _iou(predicted.xywh[p], labelled.xywh[g], labelled.crowd[g]))
        found.append(pairs.where(pairs.iou > 0))
    return Pairs(
        np.concatenate([f.predicted for f in found]) if found else np.zeros(0, np.int64),
        np.concatenate([f.labelled for f in found]) if found else np.zeros(0, np.int64),
        np.concatenate([f.iou for f in found]) if found else np.zeros(0),
    )


def match_greedily(
    pairs: Pairs,
    *,
    group: Ints,
    n_labelled: int,
    thresholds: npt.ArrayLike,
    ignored: Bools | None = None,
    crowd: Bools | None = None,
) -> Ints:
    """Give each predicted box the labelled box that it overlaps most among those still free.

    Within a group the predicted boxes choose in turn, in their order (falling confidence). A box that isn't ignored
    is preferred to an ignored one; equal IoUs go to the later labelled box; a crowd stays free for all.

    Parameters
    ----------
    pairs
        Who may match; predicted and labelled box of a pair are always of one group.
    group
        int64 (n_predicted,). Groups are independent and handled at once.
    n_labelled
        Number of labelled boxes.
    thresholds
        (t,) least IoU of a match.
    ignored, crowd
        bool (n_labelled,); None: none is.

    Returns
    -------
    int64 (t, n_predicted): position of the labelled box, -1 for none.

    Notes
    -----
    Source: COCOeval.evaluateImg of pycocotools, whose loops over images, boxes and thresholds become one loop over
    turns: as many as the fullest group has predicted boxes.
    """
    levels = np.minimum(np.asarray(thresholds, dtype=np.float64), 1 - 1e-10)[:, None]
    none = np.zeros(n_labelled, dtype=bool)
    ignored = none if ignored is None else ignored
    crowd = none if crowd is None else crowd
    matched = np.full((len(levels), len(group)), -1, dtype=np.int64)
    taken = np.zeros((len(levels), n_labelled), dtype=bool)
    for turn in _turns(pairs, group, ignored):
        starts = np.flatnonzero(np.diff(turn.predicted, prepend=-1))
        free = (turn.iou >= levels) & ~taken[:, turn.labelled]
        position = np.where(free, np.arange(len(turn.iou)), len(turn.iou))
        best = np.minimum.reduceat(position, starts, axis=1)
        level, box = np.nonzero(best < len(turn.iou))
        chosen = best[level, box]
        matched[level, turn.predicted[chosen]] = turn.labelled[chosen]
        taken[level, turn.labelled[chosen]] = ~crowd[turn.labelled[chosen]]
    return matched


def _turns(pairs: Pairs, group: Ints, ignored: Bools) -> Iterator[Pairs]:
    """Yield the pairs turn by turn; in a turn by predicted box, and for each box the best pair first."""
    best_first = np.lexsort((-pairs.labelled, -pairs.iou, ignored[pairs.labelled], pairs.predicted))
    ordered = Pairs(pairs.predicted[best_first], pairs.labelled[best_first], pairs.iou[best_first])
    boxes, box_of_pair = np.unique(ordered.predicted, return_inverse=True)
    by_group = np.argsort(group[boxes], kind="stable")
    first_of_group = np.diff(group[boxes][by_group], prepend=-1) != 0
    starts = np.flatnonzero(first_of_group)
    turn = np.empty(len(boxes), dtype=np.int64)
    turn[by_group] = np.arange(len(boxes)) - starts[np.cumsum(first_of_group) - 1]
    turn_of_pair = turn[box_of_pair]
    order = np.argsort(turn_of_pair, kind="stable")
    ends = np.cumsum(np.bincount(turn_of_pair)) if len(order) else np.zeros(0, np.int64)
    for start, stop in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=False):
        part = order[start:stop]
        yield Pairs(ordered.predicted[part], ordered.labelled[part], ordered.iou[part])


def _arrays(frame: pd.DataFrame, id_column: str, keys: pd.Index, classes: pd.Index) -> BoxArrays:
    missing = [c for c in ("key", id_column, "label", "x", "y", "width", "height") if c not in frame.columns]
    if missing:
        raise InvalidInputError(f"The frame of boxes lacks the columns {listed(missing)}; it has {list(frame)}.")
    image = keys.get_indexer(pd.Index(frame["key"])).astype(np.int64)
    label = classes.get_indexer(pd.Index(frame["label"])).astype(np.int64)
    row = np.flatnonzero((image >= 0) & (label >= 0)).astype(np.int64)
    n = len(frame)
    crowd = frame["crowd"].to_numpy(bool) if "crowd" in frame else np.zeros(n, dtype=bool)
    confidence = frame["confidence"].to_numpy(np.float64) if "confidence" in frame else np.full(n, np.nan)
    xywh = frame[["x", "y", "width", "height"]].to_numpy(np.float64)
    return BoxArrays(np.arange(n), image, label, xywh, crowd, confidence).take(row)


def _id_order(ids: pd.Series) -> Ints:
    """Return a rank for each id: short before long, so that '9' comes before '10'."""
    codes, values = pd.factorize(ids.to_numpy(object), sort=False)
    text = np.array([str(v) for v in values], dtype=object)
    length = np.array([len(t) for t in text], dtype=np.int64)
    order = sorted(range(len(text)), key=lambda i: (length[i], text[i]))
    rank = np.empty(len(text), dtype=np.int64)
    rank[order] = np.arange(len(text))
    return rank[codes] if len(rank) else np.zeros(0, dtype=np.int64)


def _chunks(count: npt.NDArray[np.integer]) -> Iterator[tuple[int, int]]:
    """Yield ranges of predicted boxes with about `_PAIRS_AT_ONCE` pairs each."""
    total = np.cumsum(count)
    edges = np.arange(_PAIRS_AT_ONCE, total[-1] if len(total) else 0, _PAIRS_AT_ONCE)
    cuts = np.unique([0, *np.searchsorted(total, edges).tolist(), len(count)]).tolist()
    yield from pairwise(cuts)


def _iou(predicted: Floats, labelled: Floats, crowd: Bools) -> Floats:
    """IoU of boxes pair by pair, (n, 4) each, in the order of operations of pycocotools."""
    low = np.maximum(predicted[:, :2], labelled[:, :2])
    high = np.minimum(predicted[:, :2] + predicted[:, 2:], labelled[:, :2] + labelled[:, 2:])
    size = np.maximum(high - low, 0)
    inner = size[:, 0] * size[:, 1]
    area = predicted[:, 2] * predicted[:, 3]
    union = np.where(crowd, area, area + labelled[:, 2] * labelled[:, 3] - inner)
    iou: Floats = np.divide(inner, union, out=np.zeros_like(inner), where=inner > 0)
    return iou
