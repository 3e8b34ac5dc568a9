"""Where workers on other machines find the pictures: under the same path, or another folder or URL in its place."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from slicelab.core import InvalidInputError, MediaError, visible
from slicelab.embeddings._decode import ChangedImageError, Size, read_local
from slicelab.embeddings._item import Image, ImageItem
from slicelab.partitions import file_system
from slicelab.sources import read_image


class Media:
    """The pictures as one machine sees them.

    Parameters
    ----------
    places
        By folder as the items have it: the folder or fsspec URL that takes its place. The longest that fits counts.

    Raises
    ------
    InvalidInputError
        A folder isn't absolute, or a URL is of no known kind.
    """

    def __init__(self, places: Mapping[str, str] | None = None) -> None:
        self._places: list[tuple[str, str]] = []
        for folder, place in (places or {}).items():
            if not os.path.isabs(folder):
                raise InvalidInputError(f"The folders of media= must be absolute paths; got {folder!r}.")
            file_system(place)
            self._places.append((folder.rstrip("/\\") or folder, place.rstrip("/")))
        self._places.sort(key=lambda pair: -len(pair[0]))

    def place_of(self, filepath: str) -> str:
        """Return the path or URL where a picture is found from here."""
        for folder, place in self._places:
            rest = filepath.removeprefix(folder)
            if rest != filepath and rest[:1] in ("/", "\\"):
                return place + rest.replace("\\", "/")
        return filepath

    def read(self, item: ImageItem, at_least: Size | None = None) -> Image:
        """Read an item's picture; errors as those of `read_local`."""
        place = self.place_of(str(item.filepath))
        if "://" in place:
            return _read_url(item, place, at_least)
        there = ImageItem(item.unit, place, item.sha256)
        try:
            return read_local(there, at_least)
        except FileNotFoundError as error:
            raise _absent(place) from error
        except MediaError as error:
            raise error if Path(place).exists() else _absent(place) from error


def _read_url(item: ImageItem, url: str, at_least: Size | None) -> Image:
    fs, path = file_system(url)
    try:
        content: bytes = fs.cat_file(path)
    except FileNotFoundError as error:
        raise _absent(url) from error
    except Exception as error:  # each file system has errors of its own
        raise MediaError(f"{visible(url)} can't be read: {error or type(error).__name__}.") from error
    if item.sha256 and hashlib.sha256(content).hexdigest() != item.sha256:
        raise ChangedImageError
    return read_image(url, content=content, at_least=at_least)


def _absent(place: str) -> MediaError:
    return MediaError(
        f"There is no file {visible(place)} on worker {socket.gethostname()}. Workers must see pictures under the path "
        "that the dataset has for them; else say where they find them: media={folder of the dataset: folder or URL}."
    )
