"""Pictures that show nearly the same: copies, crops, other compressions, shifted views, neighbouring frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import TEXT, Fingerprints, InvalidInputError, check_fraction
from slicelab.discovery._hash_pairs import hash_pairs
from slicelab.discovery._neighbours import nearest_all

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
FloatMatrix = npt.NDArray[np.float32]

SIMILARITY = 0.72
"""Least correlation of two pictures' details after they were laid upon each other."""

_AGREED = 0.9
"""A pair whose hashes agree needs only this share of it: two ways speak for it."""

_WHOLE = 0.85
"""Least correlation of the pictures with their coarse brightness."""

_RICH = 60
"""Independent details that a picture needs for its shifted views to be known: a blob fits upon any other blob."""

_EQUAL = 0.98
"""Least correlation of details, as they lie, of pictures that have fewer."""

_HASH_BITS = 11
_NEAREST = 4
_FLAT = 2.0
_WORTH = 0.25
_SHIFT = 8
_PADDED = 48
_BATCH = 512
_ZOOMS = ((1.0, 1.0), (0.9, 1.0), (1.0, 0.9), (0.8, 1.0), (1.0, 0.8))


def near_duplicates(
    prints: Fingerprints,
    *,
    vectors: npt.ArrayLike | None = None,
    similarity: float = SIMILARITY,
    progress: bool = False,
) -> pd.DataFrame:
    """Find the pictures that show nearly the same.

    Parameters
    ----------
    prints
        Of whole pictures, from `slicelab.embeddings.fingerprints`.
    vectors
        float (n, d), rows as in `prints` (NaN for none): each picture's nearest ones there are compared as well.
    similarity
        Least correlation of the details, in (0, 1]; where the hashes agree too, 0.9 of it is enough.
    progress
        Show a progress bar.

    Returns
    -------
    DataFrame, a row per pair, the most similar first: `left`, `right` (units, in the order of `prints`), `similarity`
    (float64 in (0, 1], 1 for equal files), `evidence` ("same file", "hash and pixels", "pixels"). Of more than two
    equal files each is paired with the first, and only the first with others.

    Raises
    ------
    InvalidInputError
        Vectors of another number of rows, or a similarity out of range.

    Notes
    -----
    Candidates are pairs whose perceptual or difference hashes differ in at most 11 of 64 bits, all of which are found,
    and each picture's three nearest by the amplitude spectrum of its thumbnail, which doesn't change when the view
    shifts (and by `vectors`). Each pair is then laid upon each other by its cross-correlation, zoomed by up to 1.25 and
    shifted by up to a quarter, and must correlate where it overlaps: in its details (brightness less its blurred self),
    and by at least 0.85 in brightness. Pictures with few independent details, such as a single thing on plain ground or
    enlarged icons, fit upon each other too easily: they must correlate by 0.98 as they lie. How many a picture has is
    the participation ratio of its details' energy over places, or over frequencies where that is less; 60 are enough.
    Pictures without any detail are only compared as files. A thumbnail has 32 x 32
    pixels: what differs in less than a few of them isn't seen, and neither are mirrored or turned copies.

    Examples
    --------
    >>> pairs = near_duplicates(fingerprints(items, cache_folder="cache"))  # doctest: +SKIP
    """
    check_fraction(similarity, "similarity")
    first, copies = _same_files(prints)
    rows = np.flatnonzero((first == np.arange(len(prints))) & prints.readable & _has_detail(prints.luma))
    left, right, agreed = _candidates(prints, rows, _checked(vectors, len(prints)))
    details, whole, rich = _similarities(prints.luma, left, right, progress=progress)
    least = np.where(rich, similarity * np.where(agreed, _AGREED, 1), max(similarity, _EQUAL))
    found = (details >= least) & (whole >= _WHOLE)
    units = np.array(prints.units, dtype=object)
    pairs = pd.DataFrame(
        {
            "left": units[np.concatenate([first[copies], left[found]])],
            "right": units[np.concatenate([copies, right[found]])],
            "similarity": np.concatenate([np.ones(len(copies)), np.minimum(details[found], 1.0)]),
            "evidence": ["same file"] * len(copies)
            + np.where(agreed[found], "hash and pixels", "pixels").astype(object).tolist(),
        }
    )
    return pairs.sort_values("similarity", ascending=False, kind="stable", ignore_index=True)


def duplicate_groups(pairs: pd.DataFrame, units: Sequence[str]) -> pd.Series[str]:
    """Put what is paired, directly or by others between, into one group.

    Parameters
    ----------
    pairs
        Columns `left` and `right`, units.
    units
        All units.

    Returns
    -------
    Series of str, index the units: the first unit of its group, missing where a unit is in no pair.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    index = pd.Index(units)
    ends = [index.get_indexer(pd.Index(pairs[side])) for side in ("left", "right")]
    links = coo_array((np.ones(len(pairs), dtype=bool), tuple(ends)), shape=(len(index), len(index)))
    part = connected_components(links, directed=False)[1]
    _, first = np.unique(part, return_index=True)
    names = index.to_numpy(object)[first[part]]
    names[np.bincount(part)[part] == 1] = None
    return pd.Series(names, index=index, dtype=TEXT)


def duplicate_counts(pairs: pd.DataFrame, units: Sequence[str]) -> pd.Series[int]:
    """Return with how many others each unit is paired; equal files count for each other. Index the units, int64."""
    index = pd.Index(list(units), dtype=object)
    same = pairs["evidence"] == "same file"
    names = index.to_numpy(object).copy()
    names[index.get_indexer(pd.Index(pairs.loc[same, "right"], dtype=object))] = pairs.loc[same, "left"].to_numpy(
        object
    )
    first = pd.Series(names, index=index, dtype=object)
    copies = first.value_counts()
    other = pairs[~same]
    both = pd.concat([other, other.rename(columns={"left": "right", "right": "left"})])
    near = both.groupby("left")["right"].agg(lambda found: sum(copies.loc[list(found)].tolist()))
    counts = first.map(near).fillna(0).astype(np.int64) + first.map(copies).astype(np.int64) - 1
    return counts.rename("near_duplicates")


def uniqueness(prints: Fingerprints, *, vectors: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
    """Tell how little each picture has of others.

    Parameters
    ----------
    prints
        Of whole pictures.
    vectors
        float (n, d), rows as in `prints`; None: their thumbnails.

    Returns
    -------
    float64 (n,) in [0, 1]: distance to the three nearest others, weighted 0.6, 0.3 and 0.1, as 1 less the cosine of
    the centred vectors: 0 where there are three equal ones, 1 where nothing is alike. NaN for an unreadable picture.

    Notes
    -----
    FiftyOne's Brain weights the three nearest in the same way, but scales by the largest distance, so that its numbers
    change when an outlier is added; these don't.
    """
    features = _checked(vectors, len(prints))
    features = _thumbnail_vectors(prints) if features is None else features
    there = np.flatnonzero(prints.readable & np.isfinite(features).all(axis=1))
    result = np.full(len(prints), np.nan)
    if len(there) < 2:
        result[there] = 1.0
        return result
    unit = _directions(features[there])
    distances = nearest_all(unit, _NEAREST)[1][:, 1:].astype(np.float64)
    weights = np.array([0.6, 0.3, 0.1])[: distances.shape[1]]
    cosine_distances = np.clip(np.square(distances) / 2, 0, 1)  # of unit vectors
    result[there] = cosine_distances @ weights / weights.sum()
    return result


def thumbnail_similarity(prints: Fingerprints, left: Ints, right: Ints) -> Floats:
    """Return the correlation of pairs of thumbnails as they lie, brightness and colour together; float64 in [-1, 1]."""
    unit = _directions(_thumbnail_vectors(prints))
    result: Floats = np.einsum("ij,ij->i", unit[left], unit[right], dtype=np.float64)
    return result


def _checked(vectors: npt.ArrayLike | None, n: int) -> FloatMatrix | None:
    if vectors is None:
        return None
    rows = np.asarray(vectors, np.float32)
    if rows.ndim != 2 or len(rows) != n:
        raise InvalidInputError(f"There must be one vector per picture, (n, d) with n = {n}; got {rows.shape}.")
    return rows


def _same_files(prints: Fingerprints) -> tuple[Ints, Ints]:
    """Return the first row of each row's content, and the rows that aren't the first."""
    codes, _ = pd.factorize(np.array(prints.contents, dtype=object))
    _, firsts = np.unique(codes, return_index=True)
    first = firsts[codes].astype(np.int64)
    return first, np.flatnonzero((first != np.arange(len(first))) & prints.readable)


def _has_detail(luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    flat: npt.NDArray[np.bool_] = luma.std(axis=(1, 2)) >= _FLAT
    return flat


def _candidates(
    prints: Fingerprints, rows: Ints, vectors: FloatMatrix | None
) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """Return pairs of rows worth a look, and whether their hashes agree."""
    if len(rows) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool)
    n = len(prints)
    by_hash = [a * n + b for a, b, _ in (_of_rows(rows, hash_pairs(h, _HASH_BITS)) for h in prints.hashes[rows].T)]
    agreed = np.unique(np.concatenate(by_hash))
    near = [_nearest_pairs(rows, _spectra(prints.luma[rows]), n)]
    if vectors is not None:
        known = rows[np.isfinite(vectors[rows]).all(axis=1)]
        near.append(_nearest_pairs(known, _directions(vectors[known]), n))
    codes = np.unique(np.concatenate([agreed, *near]))
    return codes // n, codes % n, np.isin(codes, agreed)


def _of_rows(rows: Ints, found: tuple[Ints, Ints, Ints]) -> tuple[Ints, Ints, Ints]:
    return rows[found[0]], rows[found[1]], found[2]


def _nearest_pairs(rows: Ints, features: FloatMatrix, n: int) -> Ints:
    """Return the pairs of each row and its nearest, as one number each."""
    if len(rows) < 2:
        return np.zeros(0, np.int64)
    nearest = nearest_all(features, _NEAREST)[0][:, 1:]
    a, b = np.repeat(rows, nearest.shape[1]), rows[nearest.ravel()]
    return np.minimum(a, b) * n + np.maximum(a, b)


def _spectra(luma: npt.NDArray[np.uint8]) -> FloatMatrix:
    """Return the low part of the amplitude spectrum, which doesn't know where things lie; float32 (n, 153)."""
    side = luma.shape[1]
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    centred = luma - luma.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    amplitudes = np.abs(np.fft.rfft2(centred * np.outer(window, window)))
    low = np.concatenate([amplitudes[:, :9, :9], amplitudes[:, -8:, :9]], axis=1)
    return _directions(np.sqrt(low).reshape(len(luma), -1).astype(np.float32))


def _thumbnail_vectors(prints: Fingerprints) -> FloatMatrix:
    luma = prints.luma.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4), dtype=np.float32).reshape(-1, 256)
    colour = prints.colour.reshape(-1, 128).astype(np.float32) - 128
    return np.hstack([luma - luma.mean(axis=1, keepdims=True), 2 * colour])


def _directions(rows: FloatMatrix) -> FloatMatrix:
    """Centre rows and give each the length 1."""
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.ascontiguousarray(centred / np.maximum(length, 1e-9), dtype=np.float32)


def _similarities(
    luma: npt.NDArray[np.uint8], left: Ints, right: Ints, *, progress: bool
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return the correlation of details and of brightness of each pair, and whether both have many details.

    Those with many are laid upon each other, the others compared as they lie.
    """
    from tqdm.auto import tqdm

    details, whole, rich = np.zeros(len(left)), np.zeros(len(left)), np.zeros(len(left), dtype=bool)
    with tqdm(total=len(left), desc="Comparing", unit="pair", disable=not progress or not len(left)) as bar:
        for start in range(0, len(left), _BATCH):
            part = slice(start, start + _BATCH)
            a, b = luma[left[part]].astype(np.float32), luma[right[part]].astype(np.float32)
            many = rich[part] = np.minimum(_independent_details(a), _independent_details(b)) >= _RICH
            details[part], whole[part] = _correlations(_detail(a), _detail(b)), _correlations(a, b)
            details[part][many], whole[part][many] = _laid_upon(a[many], b[many])
            bar.update(len(a))
    return details, whole, rich


def _independent_details(pictures: FloatMatrix) -> Floats:
    """Return over how many places, or frequencies if those are fewer, the energy of each picture's details spreads."""
    details = _detail(pictures).astype(np.float64)
    over_places, over_waves = (_spread(energy) for energy in (details**2, np.abs(np.fft.fft2(details)) ** 2))
    return np.minimum(over_places, over_waves)


def _spread(energy: Floats) -> Floats:
    """Return the participation ratio of each picture."""
    ratio: Floats = np.square(energy.sum(axis=(1, 2))) / np.maximum(np.square(energy).sum(axis=(1, 2)), 1e-12)
    return ratio


def _laid_upon(a: FloatMatrix, b: FloatMatrix) -> tuple[Floats, Floats]:
    """Find for each pair the zoom and shift with the greatest cross-correlation, and correlate what overlaps."""
    best, zoom = np.full(len(a), -np.inf), np.zeros(len(a), np.int64)
    shift = np.zeros((len(a), 2), np.int64)
    rows = np.arange(len(a))
    for number, (of_a, of_b) in enumerate(_ZOOMS):
        if not len(rows):
            break
        height, place = _peaks(_zoomed(a[rows], of_a), _zoomed(b[rows], of_b))
        better = height > best[rows]
        best[rows[better]], zoom[rows[better]], shift[rows[better]] = height[better], number, place[better]
        if not number:
            rows = np.flatnonzero(height >= _WORTH)
    return _overlapping(a, b, zoom=zoom, shift=shift, worth=best >= _WORTH)


def _overlapping(
    a: FloatMatrix, b: FloatMatrix, *, zoom: Ints, shift: Ints, worth: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Correlate details and brightness of what overlaps; 0 for pairs that aren't worth it."""
    details, whole = np.zeros(len(a)), np.zeros(len(a))
    for number, dy, dx in {(int(z), int(y), int(x)) for z, (y, x) in zip(zoom, shift, strict=True)}:
        some = np.flatnonzero(worth & (zoom == number) & (shift == (dy, dx)).all(axis=1))
        left, right = (_zoomed(side[some], by) for side, by in zip((a, b), _ZOOMS[number], strict=True))
        whole[some] = _correlations(_window(left, dy, dx), _window(right, -dy, -dx))
        details[some] = _correlations(_window(_detail(left), dy, dx), _window(_detail(right), -dy, -dx))
    return details, whole


def _peaks(a: FloatMatrix, b: FloatMatrix) -> tuple[Floats, Ints]:
    """Return the highest cross-correlation of details over all shifts, by the overlap it stands for, and where."""
    from scipy.fft import irfft2, rfft2

    a, b = _detail(a), _detail(b)
    shape = (_PADDED, _PADDED)
    crossed = irfft2(rfft2(a, shape) * np.conj(rfft2(b, shape)), shape)
    shifts = np.concatenate([np.arange(_SHIFT + 1), np.arange(-_SHIFT, 0)])
    overlap = 1 - np.abs(shifts) / a.shape[1]
    norms = np.sqrt(np.square(a).sum(axis=(1, 2)) * np.square(b).sum(axis=(1, 2))) + 1e-6
    heights = crossed[:, shifts][:, :, shifts] / norms[:, None, None] / np.sqrt(np.outer(overlap, overlap))
    flat = heights.reshape(len(a), -1)
    at = flat.argmax(axis=1)
    place = np.stack([shifts[at // len(shifts)], shifts[at % len(shifts)]], axis=1)
    return flat[np.arange(len(a)), at].astype(np.float64), place


def _zoomed(pictures: FloatMatrix, share: float) -> FloatMatrix:
    """Stretch the middle part of each picture to its whole size, bilinearly."""
    if share == 1:
        return pictures
    side = pictures.shape[1]
    at = (np.arange(side) + 0.5) * share + (1 - share) * side / 2 - 0.5
    low = np.floor(at).astype(np.int64)
    weights = np.zeros((side, side), np.float32)
    weights[np.arange(side), low] = 1 - (at - low)
    weights[np.arange(side), low + 1] += at - low
    result: FloatMatrix = (weights @ pictures @ weights.T).astype(np.float32)
    return result


def _detail(pictures: FloatMatrix) -> FloatMatrix:
    """Take the blurred picture away from each."""
    from scipy.ndimage import gaussian_filter

    result: FloatMatrix = pictures - gaussian_filter(pictures, (0, 1.5, 1.5), mode="nearest")
    return result


def _window(pictures: FloatMatrix, dy: int, dx: int) -> FloatMatrix:
    side = pictures.shape[1]
    return pictures[:, max(0, dy) : side + min(0, dy), max(0, dx) : side + min(0, dx)]


def _correlations(a: FloatMatrix, b: FloatMatrix) -> Floats:
    a, b = (side - side.mean(axis=(1, 2), keepdims=True) for side in (a, b))
    norms = np.sqrt(np.square(a).sum(axis=(1, 2)) * np.square(b).sum(axis=(1, 2))) + 1e-6
    result: Floats = (a * b).sum(axis=(1, 2)).astype(np.float64) / norms
    return result
