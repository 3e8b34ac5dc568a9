"""A live Label Studio: a batch as a project there, and what people submitted as a file here.

The project's title carries the batch's id and every task our task id, so the server itself says what it has: a push
that was cut off goes on where it stopped, and nothing is sent twice. A pull writes the same bytes for the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from slicelab.annotation._export import Export, check_batch, to_json
from slicelab.annotation._instructions import section
from slicelab.annotation._label_studio import write_label_studio
from slicelab.annotation._servers import Pushed, keep_file
from slicelab.core import Batch, InvalidInputError, MissingExtraError, NotFoundError, StateError

T = TypeVar("T")
_AT_ONCE = 100
_KEPT = ("id", "result", "was_cancelled", "completed_by", "created_at", "updated_at", "lead_time")


def push_label_studio(
    batch: Batch,
    *,
    url: str,
    token: str,
    document_root: str | Path | None = None,
    media_url: str | None = None,
    blind: bool = False,
) -> Pushed:
    """Send a batch to a Label Studio server, present labels as pre-annotations; doing so again sends what is missing.

    The definitions of the batch's label schema become the project's instructions.

    Parameters
    ----------
    batch
        What was exported.
    url, token
        The server, and a personal access token or a legacy token.
    document_root
        The server's LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT: the images must lie in folders below it; they are served
        from there, without any upload.
    media_url
        Instead: the address under which the server finds the images by their keys.
    blind
        True: the present labels don't go along.

    Raises
    ------
    InvalidInputError
        Neither or both of `document_root` and `media_url`; an image that isn't below the root.
    StateError
        The server doesn't answer, or refuses.
    MissingExtraError
        The SDK isn't installed.
    """
    check_batch(batch)
    if (document_root is None) == (media_url is None):
        raise InvalidInputError("Say where the server finds the images: document_root= or media_url=, one of them.")
    files = write_label_studio(Export(batch, "", media_url=media_url, blind=blind))
    tasks = _tasks(batch, files["tasks.json"], None if document_root is None else Path(document_root))
    client = _client(url, token)
    project = _said(url, partial(_find_project, client, batch))
    if project is None:
        config = files["label_config.xml"].decode()
        told = _instructions(batch)
        made = _said(url, partial(client.projects.create, title=_title(batch), label_config=config, **told))
        project = int(made.id)
    there = {t["data"].get("slicelab_id") for t in _said(url, partial(_exported, client, project))}
    if document_root is not None:
        _said(url, partial(_serve, client, project, {Path(t.filepath).resolve().parent for t in batch.tasks}))
    missing = [t for t in tasks if t["data"]["slicelab_id"] not in there]
    for start in range(0, len(missing), _AT_ONCE):
        part = missing[start : start + _AT_ONCE]
        sent = _said(url, partial(client.projects.import_tasks, id=project, request=part, return_task_ids=True))
        if len(sent.task_ids or ()) != len(part):
            raise StateError(
                f"{url} took {len(sent.task_ids or ())} of {len(part)} tasks. Push again to send the rest."
            )
    return Pushed(project, len(missing), len(tasks) - len(missing))


def _instructions(batch: Batch) -> dict[str, Any]:
    """Return the project's instructions; the server takes embedded pictures out, so the words go alone."""
    if batch.label_schema is None:
        return {}
    return {"expert_instruction": section(batch.label_schema, {}), "show_instruction": True}


def pull_label_studio(batch: Batch, folder: str | Path, *, url: str, token: str) -> Path:
    """Fetch what people submitted to the batch's project as a JSON export; return its path.

    Parameters
    ----------
    batch
        What was pushed.
    folder
        Where ``label-studio-<batch id>.json`` is written; an older one is replaced.
    url, token
        As in `push_label_studio`.

    Raises
    ------
    NotFoundError
        The server has no project of this batch.
    StateError
        The server doesn't answer, or refuses.
    """
    client = _client(url, token)
    project = _said(url, partial(_find_project, client, batch))
    if project is None:
        raise NotFoundError(f"{url} has no project of the batch {batch.batch_id!r}. Push it first.")
    tasks = [
        {
            "id": task["id"],
            "data": task["data"],
            "annotations": [{k: a.get(k) for k in _KEPT} for a in sorted(task["annotations"], key=lambda a: a["id"])],
        }
        for task in sorted(_said(url, partial(_exported, client, project)), key=lambda t: int(t["id"]))
    ]
    return keep_file(Path(folder) / f"label-studio-{batch.batch_id}.json", to_json(tasks))


def _client(url: str, token: str) -> Any:
    try:
        from label_studio_sdk import LabelStudio
    except ImportError as error:
        raise MissingExtraError(
            "Label Studio's SDK isn't installed: pip install 'slicelab[labelstudio]', or exchange files instead."
        ) from error
    return LabelStudio(base_url=url.rstrip("/"), api_key=token)


def _said(url: str, call: Callable[[], T]) -> T:
    """Call the server; what goes wrong there is one error of ours."""
    import httpx
    from label_studio_sdk.core.api_error import ApiError

    try:
        return call()
    except ApiError as error:
        raise StateError(f"{url} refused ({error.status_code}): {str(error.body)[:300]}") from error
    except httpx.HTTPError as error:
        raise StateError(f"{url} doesn't answer: {error}. Nothing is lost; try again when it does.") from error


def _title(batch: Batch) -> str:
    """Return the project's title; at most 50 characters, and the id wholly."""
    return f"{batch.queue[:16]} {batch.batch_id}"


def _find_project(client: Any, batch: Batch) -> int | None:
    found = [p.id for p in client.projects.list() if (p.title or "").endswith(f" {batch.batch_id}")]
    return int(min(found)) if found else None


def _exported(client: Any, project: int) -> list[dict[str, Any]]:
    """Return every task of the project with the annotations that were submitted."""
    found = client.projects.exports.as_json(project_id=project)
    return [task for task in found if isinstance(task, dict) and isinstance(task.get("data"), dict)]


def _tasks(batch: Batch, content: bytes, root: Path | None) -> list[dict[str, Any]]:
    import json

    tasks: list[dict[str, Any]] = json.loads(content)
    if root is None:
        return tasks
    paths = {t.task_id: Path(t.filepath).resolve() for t in batch.tasks}
    outside = [p for p in paths.values() if not p.is_relative_to(root.resolve()) or p.parent == root.resolve()]
    if outside:
        raise InvalidInputError(
            f"{len(outside)} images don't lie in a folder below {root}, first {outside[0]}. Label Studio serves "
            "only what does."
        )
    for task in tasks:
        path = paths[task["data"]["slicelab_id"]].relative_to(root.resolve()).as_posix()
        task["data"]["image"] = f"/data/local-files/?d={quote(path)}"
    return tasks


def _serve(client: Any, project: int, folders: set[Path]) -> None:
    """Let the server show the images of these folders: it wants a storage row that covers them."""
    known = {storage.path for storage in client.import_storage.local.list(project=project)}
    for folder in sorted(folders - {Path(p) for p in known if p}):
        client.import_storage.local.create(project=project, path=str(folder), title="slicelab", use_blob_urls=False)
