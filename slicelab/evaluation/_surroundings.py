"""What surrounds a box in its image: position, crowding, occlusion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

SURROUNDINGS = ("area_share", "aspect", "centre_x", "centre_y", "crowding", "occlusion")


def surroundings(units: pd.DataFrame, sizes: npt.ArrayLike) -> pd.DataFrame:
    """Describe every box by where it stands.

    Parameters
    ----------
    units
        A detection units frame: `key`, `label_id` (NaN for a predicted box), `x`, `y`, `width`, `height` in pixels.
    sizes
        (n, 2): width and height of every unit's image, in pixels.

    Returns
    -------
    DataFrame, index as `units`, float64; NaN for a unit without a box:

    - `area_share`: share of the image that the box covers
    - `aspect`: width / height
    - `centre_x`, `centre_y`: of the box, 0 (left, top) to 1 (right, bottom)
    - `crowding`: number of other labelled boxes in the image
    - `occlusion`: largest share of the box that one other labelled box covers, 0 to 1
    """
    extent = np.asarray(sizes, np.float64)
    boxes = units[["x", "y", "width", "height"]].to_numpy(np.float64)
    table = pd.DataFrame(index=units.index, columns=list(SURROUNDINGS), dtype=np.float64)
    table["area_share"] = boxes[:, 2] * boxes[:, 3] / extent.prod(axis=1)
    table["aspect"] = boxes[:, 2] / boxes[:, 3]
    table["centre_x"] = (boxes[:, 0] + boxes[:, 2] / 2) / extent[:, 0]
    table["centre_y"] = (boxes[:, 1] + boxes[:, 3] / 2) / extent[:, 1]
    labelled = units["label_id"].notna().to_numpy() & np.isfinite(boxes).all(axis=1)
    crowding, occlusion = np.full(len(units), np.nan), np.full(len(units), np.nan)
    for rows in units.groupby("key", sort=False).indices.values():
        covered, others = _among(boxes[rows], labelled[rows])
        crowding[rows], occlusion[rows] = others, covered
    without = ~np.isfinite(boxes).all(axis=1)
    table["crowding"], table["occlusion"] = np.where(without, np.nan, crowding), np.where(without, np.nan, occlusion)
    return table


def _among(
    boxes: npt.NDArray[np.float64], labelled: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the largest share of every box that a labelled other one covers, and how many of these there are."""
    corner = boxes[:, :2] + boxes[:, 2:]
    low = np.maximum(boxes[:, None, :2], boxes[None, labelled, :2])
    high = np.minimum(corner[:, None], corner[None, labelled])
    common = np.clip(high - low, 0, None).prod(axis=2)
    itself = np.arange(len(boxes))[:, None] == np.flatnonzero(labelled)[None, :]
    common[itself] = 0.0
    area = np.maximum(boxes[:, 2] * boxes[:, 3], 1e-12)
    return common.max(axis=1, initial=0.0) / area, (~itself).sum(axis=1).astype(np.float64)
