"""A live CVAT: a batch as a task there, and what people submitted as a file here.

The task's name carries the batch's id and, until everything is there, the word `UNFINISHED`: a push that was cut off
goes on where it stopped, and nothing is made twice or written over people's work. A pull writes the same bytes for the
same answers.

This speaks the REST API of CVAT 2.80 through cvat-sdk. It was tested against that documented API, not against a live
CVAT yet.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slicelab.annotation._cvat import ATTRIBUTES, labels_of
from slicelab.annotation._cvat_answers import frames_of, tasks_of, write_answers
from slicelab.annotation._export import Export, check_batch
from slicelab.annotation._instructions import write_guide
from slicelab.annotation._servers import Pushed, keep_file
from slicelab.annotation._write_batch import copy_images
from slicelab.core import (
    AnnotationTask,
    Batch,
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    StateError,
    check_unique,
    listed,
)

UNFINISHED = " (not complete)"
MAX_LABEL = 64
_SECONDS = 30


def push_cvat(
    batch: Batch,
    *,
    url: str,
    token: str,
    share_root: str | Path | None = None,
    organization: str | None = None,
    job_size: int = 100,
    blind: bool = False,
) -> Pushed:
    """Send a batch to a CVAT server as one task, present labels as pre-annotations; again: what is missing.

    Labels carry the text attributes slicelab_id, label_id and sha256. The definitions of the batch's label schema, and
    the items' instructions, become the task's guide.

    Parameters
    ----------
    batch
        What was exported.
    url, token
        The server, and a personal access token.
    share_root
        The folder that the server has as its connected file share: the images must lie below it and are shown from
        there. None: they are uploaded, after a check against their hashes.
    organization
        Short name of the organization to which the task belongs; None: the personal workspace.
    job_size
        Images per job. A job is what one person gets and finishes.
    blind
        True: the present labels don't go along.

    Raises
    ------
    InvalidInputError
        An image isn't below the share; CVAT can't hold a class's name; the address or the token can't be one.
    MediaError
        An image is missing or not the one that was loaded.
    StateError
        The server doesn't answer, refuses, couldn't read the images, or is of a version that the SDK doesn't know.
    MissingExtraError
        The SDK isn't installed.

    Notes
    -----
    CVAT takes images once per task. Where an upload was cut off the unfinished task, which holds no image yet, is
    deleted and made anew: CVAT appends what is sent again to the file that is there. Labels go out job by job, each
    wholly or not at all, and only to jobs that nobody has touched.
    """
    check_batch(batch)
    names = [name.strip() for name in batch.classes]
    check_unique(names, "class (CVAT cuts spaces off)")
    if long := [name for name in names if len(name) > MAX_LABEL]:
        raise InvalidInputError(f"CVAT's labels have at most {MAX_LABEL} characters; these have more: {listed(long)}.")
    if isinstance(job_size, bool) or not isinstance(job_size, int) or job_size < 1:
        raise InvalidInputError(f"A job holds one image or more; got job_size={job_size!r}.")
    shared = None if share_root is None else _below(batch, Path(share_root).resolve())
    with _connected(url, token, organization) as client:
        task = _find(client, batch)
        if task is not None and not task.name.endswith(UNFINISHED):
            return Pushed(task.id, 0, len(batch.tasks), "task")
        if task is not None and not _has_images(client, task):
            task.remove()
            task = None
        sent = 0 if task is not None else len(batch.tasks)
        if task is None:
            task = client.tasks.create(_spec(batch, job_size))
            _send_images(task, batch, shared)
        if task.guide_id is None and (guide := write_guide(batch)):
            client.api_client.guides_api.create(annotation_guide_write_request={"task_id": task.id, "markdown": guide})
        labels, images = _contents(task, batch)
        if not (blind or batch.blind):
            _send_labels(task, labels, images)
        task.update({"name": _name(batch)})
    return Pushed(task.id, sent, len(batch.tasks) - sent, "task")


def pull_cvat(batch: Batch, folder: str | Path, *, url: str, token: str, organization: str | None = None) -> Path:
    """Fetch what people submitted to the batch's task as "CVAT for images" XML; return its path.

    Only finished jobs count: of type "annotation" and in the state "completed", in whatever stage. That is what "Finish
    the job" sets, and what a reviewer sets when done. A job that is moved on to the next stage is "new" again: it
    counts when that stage is completed. A rejected job, ground truth, and consensus replicas don't count. All images
    of a finished job were looked at; those of others, and those that people removed from their job, are unreviewed.

    Parameters
    ----------
    batch
        What was pushed.
    folder
        Where ``cvat-<batch id>.xml`` is written; an older one is replaced.
    url, token, organization
        As in `push_cvat`.

    Raises
    ------
    NotFoundError
        The server has no task of this batch.
    StateError
        The push was cut off; the server doesn't answer, refuses, or is of a version that the SDK doesn't know.

    Notes
    -----
    The file says nothing about annotators: in CVAT a job is one document, on which several people work in turn.
    """
    with _connected(url, token, organization) as client:
        task = _find(client, batch)
        if task is None:
            raise NotFoundError(f"{url} has no task of the batch {batch.batch_id!r}. Push it first.")
        if task.name.endswith(UNFINISHED):
            raise StateError(
                f"The push of the batch {batch.batch_id!r} to {url} was cut off. Push it again, then pull."
            )
        meta = task.get_meta()
        ours = tasks_of(batch, [frame.name for frame in meta.frames])
        frames = frames_of(meta, task.get_jobs(), task.get_labels(), ours, batch.classes)
    return keep_file(Path(folder) / f"cvat-{batch.batch_id}.xml", write_answers(frames))


# -- talking to the server ------------------------------------------------------------------------------------------


@contextmanager
def _connected(url: str, token: str, organization: str | None) -> Iterator[Any]:
    """Yield the SDK's client; what goes wrong on the way is one error of ours."""
    try:
        from cvat_sdk import Client, Config, exceptions
        from cvat_sdk.core.client import AccessTokenCredentials
        from cvat_sdk.core.exceptions import BackgroundRequestException, CvatSdkException, InvalidHostException
        from cvat_sdk.version import VERSION
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        raise MissingExtraError(
            "CVAT's SDK isn't installed: pip install 'slicelab[cvat]', or exchange files instead."
        ) from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInputError("The token isn't one: it must be letters, digits and signs without spaces.")
    version = ""
    try:
        client = Client(url, config=Config(status_check_period=1), check_server_version=False)
        client.login(AccessTokenCredentials(token))
        client.organization_slug = organization
        version = client.api_client.server_api.retrieve_about(_request_timeout=_SECONDS)[0].version
        if version.split(".")[0] != VERSION.split(".")[0]:
            raise StateError(f"{url} is CVAT {version}, and cvat-sdk {VERSION} speaks another one. Exchange files.")
        yield client
    except exceptions.ApiException as error:
        body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
        hint = " Look at the token and at what it may do." if error.status in (401, 403) else ""
        raise StateError(f"{url} refused ({error.status}): {str(body or error.reason)[:300]}.{hint}") from error
    except InvalidHostException as error:
        raise InvalidInputError(f"{url!r} can't be a server's address: {error}.") from error
    except BackgroundRequestException as error:
        raise StateError(
            f"{url} couldn't take the images: {str(error)[:300]}. Push again when that is repaired."
        ) from error
    except HTTPError as error:
        raise StateError(f"{url} doesn't answer: {error}. Nothing is lost; try again when it does.") from error
    except (exceptions.OpenApiException, CvatSdkException, json.JSONDecodeError, AssertionError) as error:
        what = f"CVAT {version}" if version else "no CVAT, it seems, or one"
        raise StateError(
            f"{url} is {what} that cvat-sdk {VERSION} doesn't understand: {str(error)[:200]}. Look at the address, and "
            "install the SDK of the server's version."
        ) from error


def _name(batch: Batch) -> str:
    return f"{batch.queue[:64].strip()} {batch.batch_id}"


def _find(client: Any, batch: Batch) -> Any:
    """Return the batch's task, a complete one before others and the oldest of several; None where there is none."""
    ends = (batch.batch_id, batch.batch_id + UNFINISHED)
    found = [t for t in client.tasks.list(search=batch.batch_id) if t.name.endswith(ends)]
    return min(found, key=lambda t: (t.name.endswith(UNFINISHED), t.id), default=None)


def _spec(batch: Batch, job_size: int) -> dict[str, Any]:
    return {
        "name": _name(batch) + UNFINISHED,
        "labels": [{**label, "name": label["name"].strip()} for label in labels_of(batch)],
        "segment_size": job_size,
        "overlap": 0,
    }


# -- images ---------------------------------------------------------------------------------------------------------


def _below(batch: Batch, root: Path) -> list[str]:
    """Return the images' paths below the share, as the server calls them."""
    paths = [Path(task.filepath).resolve() for task in batch.tasks]
    outside = [str(path) for path in paths if not path.is_relative_to(root)]
    if outside:
        raise InvalidInputError(f"{len(outside)} images don't lie below the share {root}: {listed(outside)}.")
    return [path.relative_to(root).as_posix() for path in paths]


def _has_images(client: Any, task: Any) -> bool:
    """Tell whether the task has its images; what the server is still reading is waited for."""
    from cvat_sdk.core.helpers import get_paginated_collection

    requests = client.api_client.requests_api.list_endpoint
    for request in get_paginated_collection(requests, task_id=task.id, action="create"):
        if str(request.status) in ("queued", "started"):
            client.wait_for_completion(request.id)
    task.fetch()
    return bool(task.size and task.jobs.count)


def _send_images(task: Any, batch: Batch, shared: Sequence[str] | None) -> None:
    from cvat_sdk.core.proxies.tasks import ResourceType

    how = {"sorting_method": "predefined", "image_quality": 95}
    if shared is not None:
        task.upload_data(shared, resource_type=ResourceType.SHARE, params=how)
        return
    with tempfile.TemporaryDirectory(prefix="slicelab-cvat-") as folder:
        export = Export(batch, "", copied=True)
        copy_images(export, Path(folder) / "images")
        files = [Path(folder) / "images" / name for name in export.names().values()]
        task.upload_data(files, resource_type=ResourceType.LOCAL, params=how)


# -- labels ---------------------------------------------------------------------------------------------------------


def _contents(task: Any, batch: Batch) -> tuple[dict[str, Any], list[AnnotationTask | None]]:
    """Return the task's labels by name, and our task of every image; all of the batch must be there."""
    labels = {label.name: label for label in task.get_labels()}
    gone = [name for name in batch.classes if name.strip() not in labels]
    images = tasks_of(batch, [frame.name for frame in task.get_frames_info()])
    missing = len(batch.tasks) - len({t.task_id for t in images if t is not None})
    if gone or missing:
        raise StateError(
            f"Task {task.id} there lacks {missing} images and {len(gone)} classes of the batch. Delete it there, and "
            "push again."
        )
    return labels, images


def _send_labels(task: Any, labels: dict[str, Any], images: Sequence[AnnotationTask | None]) -> None:
    from cvat_sdk import models

    for job in task.get_jobs():
        if str(job.type) != "annotation" or str(job.state) != "new":
            continue
        frames = range(job.start_frame, job.stop_frame + 1)
        drawn = [_drawn(n, mine, labels) for n in frames if (mine := images[n]) is not None]
        tags, shapes = ([each for pair in drawn for each in pair[which]] for which in (0, 1))
        held = job.get_annotations() if tags or shapes else None
        if held is not None and not (held.tags or held.shapes or held.tracks):
            job.set_annotations(models.LabeledDataRequest(tags=tags, shapes=shapes, tracks=[]))


def _drawn(frame: int, task: AnnotationTask, labels: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the tags and shapes of the present labels of one image."""
    from cvat_sdk import models

    def common(name: str, label_id: str) -> dict[str, Any]:
        label = labels[name.strip()]
        marks = dict(zip(ATTRIBUTES, (task.task_id, label_id, task.sha256), strict=True))
        values = [
            models.AttributeValRequest(spec_id=a.id, value=marks[a.name]) for a in label.attributes if a.name in marks
        ]
        return {"frame": frame, "label_id": label.id, "source": "file", "attributes": values}

    tags = [] if task.label is None else [models.LabeledImageRequest(**common(task.label, ""))]
    shapes = [
        models.LabeledShapeRequest(
            type=models.ShapeType("rectangle"),
            points=[float(b.x), float(b.y), float(b.x + b.width), float(b.y + b.height)],
            **common(b.label, b.label_id),
        )
        for b in task.boxes
    ]
    return tags, shapes
