"""Vectors for a dataset's units, from whatever the user has."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from slicelab.core import InvalidInputError, SourceError, check_choice, hash_value, visible
from slicelab.lab._units import Units
from slicelab.store import Vectors

if TYPE_CHECKING:
    from slicelab.embeddings import Embedder, EmbedResult, ImageItem, Precision

log = logging.getLogger("slicelab")

Engine = Literal["local", "ray"]


def embed(
    units: Units,
    vectors: Vectors,
    source: npt.ArrayLike | str | Path | None,
    *,
    models: Sequence[str],
    module: Any,
    layer: str | None,
    size: int,
    precision: Precision,
    compiled: bool,
    units_of_array: Sequence[str] | None,
    name: str,
    batch_size: int,
    device: str,
    progress: bool,
    cache: Path,
    engine: Engine,
    address: str | None,
    output: str | Path | None,
    partition_size: int,
    media: Mapping[str, str] | None,
) -> npt.NDArray[np.float32]:
    """Give units a vector and store them; see `Lab.embed`."""
    from slicelab.embeddings import VectorCache, embed_images, from_array

    _check_engine(engine, address, output, media)
    if isinstance(source, (str, Path)) and Path(source).suffix == ".npy":
        source = _read_array(source)
    if source is not None and not isinstance(source, (str, Path)):
        ids = list(units_of_array) if units_of_array is not None else default_units(units)
        array = from_array(source, ids)
        vectors.save(name, ids, array, identity=f"array {hash_value(array.tobytes().hex())[:16]}")
        return array
    frame = units.known(models)
    if units_of_array is not None:
        unknown = pd.Index(units_of_array).difference(frame.index)
        if len(unknown):
            raise InvalidInputError(f"{len(unknown)} of the units aren't in the dataset, first {unknown[0]!r}.")
        frame = frame.loc[list(units_of_array)]
    embedder = _embedder(source, module, layer=layer, size=size, precision=precision, compiled=compiled)
    items, kept = units.items(frame), VectorCache(cache)
    if engine == "ray":
        result = _embed_with_ray(
            items,
            embedder=embedder,
            cache=kept,
            source=source,
            layer=layer,
            address=address,
            output=output if output is not None else cache.with_name("partitions"),
            partition_size=partition_size,
            media=media,
            batch_size=batch_size,
            device=device,
            progress=progress,
        )
    else:
        result = embed_images(
            items, embedder=embedder, cache=kept, batch_size=batch_size, device=device, progress=progress
        )
    if result.failed:
        log.warning("%d units have no vector; first: %s", len(result.failed), result.failed[0].reason)
    if not result.units:
        raise InvalidInputError("No unit has a picture that can be read, so there is nothing to embed.")
    vectors.save(name, result.units, result.vectors, identity=result.identity)
    return result.vectors


def _check_engine(
    engine: Engine, address: str | None, output: str | Path | None, media: Mapping[str, str] | None
) -> None:
    check_choice(engine, get_args(Engine), "engine")
    if engine == "local" and (address is not None or output is not None or media is not None):
        raise InvalidInputError('address=, output= and media= belong to Ray; pass engine="ray" with them.')
    if engine == "ray" and address is not None and output is None:
        raise InvalidInputError(
            f"The workers at {address!r} must write their vectors where this process can read them. "
            "Pass output=, a folder or URL that all of them share."
        )


def _embed_with_ray(
    items: Sequence[ImageItem], *, embedder: Embedder, source: str | Path | None, layer: str | None, **options: Any
) -> EmbedResult:
    """Let workers load weights from their path, and send them a module."""
    from slicelab.embeddings import embed_with_ray, load_embedder

    make = None if source is None else partial(load_embedder, Path(source).resolve(), layer=layer)
    return embed_with_ray(items, embedder=embedder, make=make, **options)


def default_units(units: Units) -> list[str]:
    """Return the units that an array's rows stand for: samples, or labelled boxes, in the dataset's order."""
    from slicelab.core import object_unit

    table = units.table()
    if table.task == "classification":
        return list(table.samples.index)
    boxes = table.boxes[~table.boxes["crowd"]]
    return [object_unit(key, label_id) for key, label_id in zip(boxes["key"], boxes["label_id"], strict=True)]


def _read_array(path: str | Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"The vectors {visible(str(path))} can't be read as an array: {error}.") from error
    return array


def _embedder(
    source: str | Path | None, module: Any, *, layer: str | None, size: int, precision: Precision, compiled: bool
) -> Embedder:
    from slicelab.embeddings import DescriptorEmbedder, ModuleEmbedder, load_embedder

    if source is not None and module is not None:
        raise InvalidInputError("Pass either weights (a path) or model=, not both.")
    if module is not None:
        return ModuleEmbedder(module, layer=layer, size=size, precision=precision, compiled=compiled)
    if compiled:
        raise InvalidInputError("compiled= belongs to a torch module; pass model= with it.")
    if precision != "float32":
        raise InvalidInputError(f"precision= belongs to a torch module; pass model= with it. Got {precision!r}.")
    if source is not None:
        return load_embedder(source, layer=layer)
    return DescriptorEmbedder()
