"""Slices and nearest neighbours over partitions of vectors, on the machines of a Ray cluster."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError, SourceError, check_matrix, hash_value
from slicelab.discovery._candidates import CandidateSlices
from slicelab.discovery._nearest_rows import FloatMatrix, nearest_rows
from slicelab.discovery._reference import Reference
from slicelab.partitions import Folder, partition_vectors, transform, vector_partitions

if TYPE_CHECKING:
    import pyarrow as pa


def assign_with_ray(
    found: CandidateSlices,
    vectors: str | Path,
    *,
    output: str | Path,
    address: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Place pictures in slices: `CandidateSlices.assign` for every partition of vectors.

    Parameters
    ----------
    found
        What discovery returned, such as on a sample.
    vectors
        Folder or fsspec URL of the partitions that `embed_with_ray` wrote with the same embedder: its `output`, or the
        folder of one embedder in it.
    output
        Folder or fsspec URL that the driver and every worker see, for one Parquet file for each of vectors, of the
        same name. Columns: `key`, `unit`, `slice`, `membership` (float32): one row for each slice to which a picture
        belongs at all, and one without a slice (null, 0) for a picture that belongs to none. What is there and was
        made of the same vectors and slices is kept.
    address
        None: a cluster of this machine alone, which ends with the call; "auto", "host:port" or "ray://host:port": that
        one.
    workers
        How many at most; None: as many as the cluster has processors.

    Returns
    -------
    DataFrame, one row per slice in their order: `name`, `size` (pictures whose membership is at least 0.5), `of`
    (pictures with a vector), `share`.

    Raises
    ------
    InvalidInputError
        The vectors have another number of dimensions than those of the slices, or a place or address is none.
    MissingExtraError
        Ray isn't installed.
    SourceError
        There are no partitions of vectors, one can't be read, or the output holds those of another job or can't be
        written.
    StateError
        No cluster answers there, or its workers failed.

    Notes
    -----
    Memberships are those of `found.assign` on all the vectors, bit for bit. A worker holds the vectors that discovery
    saw and one partition; the driver one partition.
    """
    reference = found.reference()
    source = vector_partitions(vectors)
    _check_first(source, reference.embeddings.shape[1])
    sizes, of = dict.fromkeys(reference.names, 0), 0
    made = transform(
        [source],
        output,
        _placed,
        reference,
        job=hash_value(["assign", 1, reference.hash()]),
        address=address,
        workers=workers,
        what="Assigning",
        progress=progress,
    )
    for _, table in made:
        of += len(table.column("key").unique())
        frame = table.select(["slice", "membership"]).to_pandas()
        for name, size in frame.loc[frame["membership"] >= 0.5, "slice"].value_counts().items():
            sizes[str(name)] += int(size)
    frame = pd.DataFrame({"name": list(sizes), "size": list(sizes.values()), "of": of})
    return frame.assign(share=frame["size"] / max(of, 1))


def nearest_with_ray(
    queries: npt.ArrayLike,
    k: int,
    vectors: str | Path,
    *,
    output: str | Path,
    address: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Find the pictures nearest to some vectors among all partitions.

    Parameters
    ----------
    queries
        (m, d) finite numbers from the same embedder.
    k
        Pictures per query, at least 1.
    vectors, address, workers
        As in `assign_with_ray`.
    output
        As there; each file holds the nearest of one partition, columns as returned.

    Returns
    -------
    DataFrame, sorted by query, then the nearest first, equally near ones by key: `query` (row of `queries`, int64),
    `key`, `unit`, `distance` (Euclidean, float64); at most k rows per query.

    Raises
    ------
    InvalidInputError
        The queries are no finite matrix, or have another number of dimensions; k is below 1; a place or address is
        none.
    MissingExtraError, SourceError, StateError
        As `assign_with_ray`.

    Notes
    -----
    Exact: the k nearest of each partition, merged, are the k nearest of all.
    """
    rows = check_matrix(queries, "queries")
    if k < 1:
        raise InvalidInputError(f"There must be at least one neighbour; got k={k}.")
    source = vector_partitions(vectors)
    _check_first(source, rows.shape[1])
    digest = hashlib.sha256(rows.astype("<f4").data).hexdigest()
    best = pd.DataFrame(columns=["query", "key", "unit", "distance"])
    made = transform(
        [source],
        output,
        _neighbours,
        _Asked(rows, k),
        job=hash_value(["nearest", 1, digest, list(rows.shape), k]),
        address=address,
        workers=workers,
        what="Searching",
        progress=progress,
    )
    for _, table in made:
        both = pd.concat([best, table.to_pandas()]) if len(best) else table.to_pandas()
        both = both.sort_values(["query", "distance", "key"]).drop_duplicates(["query", "key"])
        best = both.groupby("query").head(k)
    return best.reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class _Asked:
    queries: FloatMatrix
    k: int


def _placed(reference: Reference, table: pa.Table) -> pa.Table:
    """Return who belongs to what, of one partition."""
    import pyarrow as pa

    keys, units, rows = partition_vectors(table)
    _check_dimensions(rows, reference.embeddings.shape[1])
    membership = reference.assign(rows)
    who, which = np.nonzero(membership > 0)
    none = np.flatnonzero(~(membership > 0).any(axis=1))
    order = np.argsort(np.concatenate([who, none]), kind="stable")
    who, which = np.concatenate([who, none])[order], np.concatenate([which, np.full(len(none), -1)])[order]
    names = pa.array([*reference.names, None], pa.string())
    values = np.append(membership, np.zeros((len(membership), 1), np.float32), axis=1)[who, which]
    return pa.table(
        {
            "key": pa.array(keys, pa.string()).take(who),
            "unit": pa.array(units, pa.string()).take(who),
            "slice": names.take(which % len(names)),
            "membership": pa.array(values, pa.float32()),
        }
    )


def _neighbours(asked: _Asked, table: pa.Table) -> pa.Table:
    """Return the nearest of one partition; equally near ones by key."""
    import pyarrow as pa

    keys, units, rows = partition_vectors(table)
    _check_dimensions(rows, asked.queries.shape[1])
    by_key = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    found, distances = np.zeros((len(asked.queries), 0), np.int64), np.zeros((len(asked.queries), 0))
    if len(rows):
        found, distances = nearest_rows(rows[by_key], asked.k, asked.queries)
    places = by_key[found.ravel()]
    return pa.table(
        {
            "query": pa.array(np.arange(len(found)).repeat(found.shape[1]), pa.int64()),
            "key": pa.array(keys, pa.string()).take(places),
            "unit": pa.array(units, pa.string()).take(places),
            "distance": pa.array(distances.ravel(), pa.float64()),
        }
    )


def _check_first(source: Folder, dimensions: int) -> None:
    """Look at one partition before a cluster is started."""
    table = source.read(source.names()[0])
    if table is None:
        return
    try:
        rows = partition_vectors(table)[2]
    except SourceError as error:
        raise SourceError(f"The partitions in {source.place!r} can't be used: {error}") from error
    if rows.shape[1] != dimensions:
        raise InvalidInputError(
            f"The vectors in {source.place!r} must have {dimensions} dimensions; they have {rows.shape[1]}. "
            "Give those of the same embedder."
        )


def _check_dimensions(rows: FloatMatrix, dimensions: int) -> None:
    if rows.shape[1] != dimensions:
        raise SourceError(f"its vectors have {rows.shape[1]} dimensions, wanted are {dimensions}.")
