"""Writing a batch for an annotation team: a new folder that is there wholly or not at all."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from slicelab.annotation._coco import write_coco
from slicelab.annotation._contact_sheet import write_contact_sheet
from slicelab.annotation._csv_rows import write_csv
from slicelab.annotation._cvat import write_cvat
from slicelab.annotation._drafts import UNFINISHED, draft, sync
from slicelab.annotation._export import Export, check_batch, to_json
from slicelab.annotation._instructions import write_instructions
from slicelab.annotation._jsonl import write_jsonl
from slicelab.annotation._label_studio import write_label_studio
from slicelab.annotation._labelbox import write_labelbox
from slicelab.annotation._sagemaker import write_sagemaker
from slicelab.annotation._voc import write_voc
from slicelab.annotation._yolo import write_yolo
from slicelab.core import (
    Batch,
    ConflictError,
    InvalidInputError,
    MediaError,
    StateError,
    check_choice,
    hash_file,
    hash_value,
    listed,
)

_WRITERS: dict[str, Callable[[Export], dict[str, bytes]]] = {
    "label-studio": write_label_studio,
    "cvat": write_cvat,
    "coco": write_coco,
    "yolo": write_yolo,
    "voc": write_voc,
    "labelbox": write_labelbox,
    "sagemaker": write_sagemaker,
    "csv": write_csv,
    "jsonl": write_jsonl,
    "html": write_contact_sheet,
}
EXPORT_FORMATS = tuple(_WRITERS)
"""What a batch can be written as; "html" is a contact sheet to look at."""
RETURN_FORMATS = tuple(f for f in EXPORT_FORMATS if f != "html")
"""What can come back."""
_IMAGE_FOLDERS = {"yolo": "images/train", "voc": "JPEGImages"}
IMAGES = ("none", "copy")


def write_batch(
    batch: Batch,
    folder: str | Path,
    *,
    format: str,  # noqa: A002 - the word that users know
    images: Literal["none", "copy"] = "none",
    media_url: str | None = None,
    blind: bool = False,
    archive: bool = False,
    examples: Mapping[str, Sequence[bytes]] | None = None,
    commit: Callable[[], None] | None = None,
) -> list[Path]:
    """Write a batch into a new folder inside `folder`; its bytes depend on the batch alone.

    Parameters
    ----------
    batch
        What goes out.
    folder
        Where the new folder ``<queue>-<start of batch id>-<format>`` is made; made itself where it isn't there.
    format
        One of `EXPORT_FORMATS`.
    images
        "copy": the images go along, in ``images/`` under safe names (for CVAT in ``cvat.zip``), checked against their
        hashes. "none": labels only, images are called by their keys.
    media_url
        Label Studio: the address under which it finds the images, like "https://media.site/bags"; None: local files.
    blind
        True: the present labels don't go along.
    archive
        True: instead of the folder one zip of that name is written, with the same content.
    examples
        JPEGs of each class of the batch's label schema, for ``instructions.html`` and the contact sheet.
    commit
        Is called when everything is on the disk, before the folder has its name: notes that the batch is out. Where it
        raises, no batch appears; what is hidden there then is named or removed by `settle_drafts`.

    Returns
    -------
    list of Path
        Every file that was written, sorted. ``manifest.json`` says which file name is which sample.

    Raises
    ------
    InvalidInputError
        The batch holds something that the format can't carry, or an option is wrong.
    MediaError
        An image is missing or not the one that was loaded.
    StateError
        The folder is there already.
    """
    writer = _WRITERS[check_choice(format, EXPORT_FORMATS, "format")]
    check_choice(images, IMAGES, "option 'images'")
    _check_media_url(media_url)
    check_batch(batch)
    name = "-".join((_safe(batch.queue), _safe(batch.batch_id)[:12], format))
    export = Export(
        batch,
        name,
        copied=images == "copy",
        plain_names=format in _IMAGE_FOLDERS,
        media_url=media_url,
        blind=blind,
        examples=examples or {},
    )
    final = Path(folder) / (f"{name}.zip" if archive else name)
    if final.exists():
        raise StateError(f"{final} is there already. Move it away, or choose another folder.")
    with draft(Path(folder), batch.batch_id) as hidden:
        try:
            made = _make(hidden, final.name, export, writer(export) | _instructions(export, format), format)
        except BaseException as error:
            shutil.rmtree(hidden, ignore_errors=True)
            if isinstance(error, OSError) and not isinstance(error, MediaError):
                raise StateError(
                    f"The batch can't be written into {folder}: {error}. Nothing was left there."
                ) from error
            raise
        if commit is not None:
            _commit(commit, hidden)
        try:
            made.rename(final)
        except OSError as error:
            raise StateError(f"The batch is complete in {made}, but can't be moved to {final}: {error}.") from error
        shutil.rmtree(hidden, ignore_errors=True)
    sync(Path(folder))
    return [final] if archive else sorted(p for p in final.rglob("*") if p.is_file())


def _make(hidden: Path, name: str, export: Export, files: dict[str, bytes], kind: str) -> Path:
    """Write everything into the hidden folder; return what is complete there, under its name."""
    unfinished = hidden / UNFINISHED
    unfinished.mkdir()
    _fill(unfinished, export, files, kind)
    made = hidden / name
    if made.suffix == ".zip":
        packed = unfinished.with_suffix(".zip")
        _zip(unfinished, packed, made.stem)
        unfinished = packed
    unfinished.rename(made)
    sync(hidden)
    sync(hidden.parent)
    return made


def _commit(commit: Callable[[], None], hidden: Path) -> None:
    try:
        commit()
    except ConflictError:  # nothing was stored
        shutil.rmtree(hidden, ignore_errors=True)
        raise


def _instructions(export: Export, kind: str) -> dict[str, bytes]:
    """Return the page of instructions by name; the contact sheet holds them itself."""
    schema = export.batch.label_schema
    return (
        {} if schema is None or kind == "html" else {"instructions.html": write_instructions(schema, export.examples)}
    )


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:40] or "queue"


def _check_media_url(url: str | None) -> None:
    if url is not None and not re.fullmatch(r"(https?|s3|gs|azure-blob)://[^\s\x00-\x1f]+|/[^\s\x00-\x1f]*", url):
        raise InvalidInputError(
            f"media_url must be an address like 'https://media.site/bags' or a path that starts with '/'; got {url!r}."
        )


def _fill(root: Path, export: Export, files: dict[str, bytes], kind: str) -> None:
    for name, content in files.items():
        _write(root / name, content)
    if export.copied:
        copy_images(export, root / _IMAGE_FOLDERS.get(kind, "images"))
        if kind == "cvat":
            _pack(root, export.names().values())
    hashes = {p.relative_to(root).as_posix(): hash_file(p) for p in sorted(root.rglob("*")) if p.is_file()}
    _write(root / "manifest.json", to_json(_manifest(export, kind, hashes)))
    for each in (*(p for p in root.rglob("*") if p.is_dir()), root):
        sync(each)


def copy_images(export: Export, folder: Path) -> None:
    """Copy the images of a batch into a new folder, under their names there; each must be what was loaded."""
    folder.mkdir(parents=True)
    names = export.names()
    wrong: list[str] = []
    for task in export.batch.tasks:
        copy = folder / names[task.task_id]
        try:
            shutil.copyfile(task.filepath, copy)
        except (OSError, ValueError):
            wrong.append(f"{task.key}: not there")
            continue
        if task.sha256 and hash_file(copy) != task.sha256:
            wrong.append(f"{task.key}: changed since it was loaded")
    if wrong:
        raise MediaError(f"{len(wrong)} images can't go along: {listed(wrong)}. Nothing was written; load them again.")
    for copy in folder.iterdir():
        sync(copy)


def _pack(root: Path, names: Iterable[str]) -> None:
    """Move the images into ``cvat.zip``, with the annotations, as CVAT takes datasets."""
    inside = ("annotations.xml", *(f"images/{n}" for n in names))
    _write_zip(root / "cvat.zip", {name: root / name for name in inside})
    shutil.rmtree(root / "images")


def _zip(root: Path, archive: Path, name: str) -> None:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    _write_zip(archive, {f"{name}/{p.relative_to(root).as_posix()}": p for p in files})


def _write_zip(path: Path, files: Mapping[str, Path]) -> None:
    """Write a zip whose bytes depend on the files' names and content alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)
    sync(path)


def _manifest(export: Export, kind: str, hashes: dict[str, str]) -> dict[str, Any]:
    """Return what identifies every image of the batch when a tool has dropped our ids, and every file by its hash."""
    batch, names, schema = export.batch, export.names(), export.batch.label_schema
    content: dict[str, Any] = {
        "schema_version": batch.schema_version,
        "batch_id": batch.batch_id,
        "queue": batch.queue,
        "dataset": batch.dataset,
        "task": batch.task,
        "classes": list(batch.classes),
        "format": kind,
        "blind": export.is_blind,
        "label_schema": None if schema is None else {"version": schema.version, "sha256": schema.sha256},
        "created_at": batch.created_at,
        "tasks": [
            {
                "slicelab_id": t.task_id,
                "key": t.key,
                "file": names[t.task_id],
                "sha256": t.sha256,
                "width": t.width,
                "height": t.height,
                "units": list(t.units),
                "reasons": list(t.reasons),
                "label_ids": [b.label_id for b in export.boxes(t)],
            }
            for t in batch.tasks
        ],
        "files": hashes,
    }
    return content | {"content_hash": hash_value(content)}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
