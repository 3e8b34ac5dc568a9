"""Pictures ahead of the computing: read, cut and prepared in threads, never more than a few batches in advance."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy.typing as npt

from slicelab.core import Finding, MediaError, hash_file
from slicelab.embeddings._item import Image, ImageItem
from slicelab.sources import read_image

Prepared = npt.NDArray[Any]
Size = tuple[int, int]
Read = Callable[[ImageItem, Size | None], Image]


@dataclass(frozen=True)
class Broken:
    """Why there is no picture: a finding's kind and reason."""

    kind: str
    reason: str

    def finding(self, item: ImageItem) -> Finding:
        """Word it for one unit."""
        return Finding(kind=self.kind, file=str(item.filepath), line=None, item=item.unit, reason=self.reason)


def decoded(
    items: Sequence[ImageItem],
    prepare: Callable[[Image], Prepared],
    *,
    ahead: int,
    workers: int | None = None,
    read: Read | None = None,
    at_least: Size | None = None,
) -> Generator[tuple[str, Prepared | Broken], None, None]:
    """Yield (key, prepared picture or what is wrong) of every distinct item; a file is read once for its boxes.

    Parameters
    ----------
    items
        In any order; items of one file are taken together.
    prepare
        Called in the threads.
    ahead
        How many pictures may wait, about.
    workers
        Number of threads; None: as many as there are processors, at most 8.
    read
        From an item to its whole picture, called in the threads; None: `read_local`.
    at_least
        (height, width) in pixels that are enough of a whole picture; None: all of them. For boxes it is read in full.
    """
    workers = workers or min(8, os.cpu_count() or 1)
    groups = iter(by_file(items, most=max(1, ahead)))
    read = read or read_local
    waiting: deque[tuple[int, Future[list[tuple[str, Prepared | Broken]]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="slicelab-decode")
    try:
        while True:
            while sum(n for n, _ in waiting) < ahead + workers:
                group = next(groups, None)
                if group is None:
                    break
                waiting.append((len(group), pool.submit(_read_group, group, prepare, read, at_least)))
            if not waiting:
                return
            yield from waiting.popleft()[1].result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def by_file(items: Iterable[ImageItem], *, most: int) -> Iterator[list[ImageItem]]:
    """Group the distinct items by file, boxes apart from whole pictures, at most so many; in order of first sight."""
    files: dict[tuple[str, str, bool], dict[str, ImageItem]] = {}
    seen: set[str] = set()
    for item in items:
        key = item.key
        if key not in seen:
            seen.add(key)
            files.setdefault((str(item.filepath), item.sha256, item.box is None), {})[key] = item
    for group in files.values():
        rest = iter(group.values())
        while part := list(islice(rest, most)):
            yield part


def read_local(item: ImageItem, at_least: Size | None = None) -> Image:
    """Read an item's picture from its file; with `at_least` maybe smaller than it is, as `read_image` says.

    Raises
    ------
    ChangedImageError
        The file has other bytes than those that were loaded.
    OSError
        It can't be read (`MediaError` is one).
    """
    if item.sha256 and hash_file(item.filepath) != item.sha256:
        raise ChangedImageError
    return read_image(item.filepath, at_least=at_least)


class ChangedImageError(MediaError):
    """A picture has other bytes than those that were loaded."""

    def __init__(self) -> None:
        super().__init__("The file's bytes are not those that were loaded. Load the samples again.")


def _read_group(
    group: list[ImageItem], prepare: Callable[[Image], Prepared], read: Read, at_least: Size | None
) -> list[tuple[str, Prepared | Broken]]:
    try:
        image = read(group[0], at_least if group[0].box is None else None)
    except OSError as error:
        kind = "changed-image" if isinstance(error, ChangedImageError) else "unreadable-image"
        return [(item.key, Broken(kind, str(error))) for item in group]
    result: list[tuple[str, Prepared | Broken]] = []
    for item in group:
        try:
            result.append((item.key, prepare(item.crop(image))))
        except MediaError as error:
            result.append((item.key, Broken("unusable-box", str(error))))
    return result
