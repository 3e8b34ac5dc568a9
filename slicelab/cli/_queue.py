"""Commands on relabel queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slicelab.core import Return, visible

if TYPE_CHECKING:
    from slicelab.lab import LabQueue

queues = typer.Typer(help="Queue units for relabelling, export, receive and merge.", no_args_is_help=True)

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
Name = Annotated[str, typer.Argument(help="Name of the queue.")]


def register(app: typer.Typer) -> None:
    """Put these commands below `slicelab queue`."""
    app.add_typer(queues, name="queue")


@queues.command("list")
def list_(dataset: Dataset) -> None:
    """List the queues of a dataset with the number of items in each state.

    Example: slicelab queue list bags
    """
    import slicelab

    lab = slicelab.open(dataset)
    for name in lab.queues():
        counts = ", ".join(f"{n} {state}" for state, n in lab.queue(name).counts().items())
        typer.echo(visible(f"{name}: {counts}"))


@queues.command()
def add(
    dataset: Dataset,
    queue: Name,
    slice_: Annotated[str, typer.Argument(metavar="SLICE", help="Name of the slice.")],
    reason: Annotated[
        str, typer.Option(help="relabel, augment, define_new_class, merge_classes, remove, investigate.")
    ],
    instruction: Annotated[str, typer.Option(help="Words for the annotators.")] = "",
    limit: Annotated[int | None, typer.Option(help="At most this many, the worst first.")] = None,
) -> None:
    """Queue a slice's units.

    Example: slicelab queue add bags round-7 "knives edge-on" --reason relabel --limit 500
    """
    import slicelab

    n = slicelab.open(dataset).queue(queue).add(slice_, reason=reason, instruction=instruction, limit=limit)
    typer.echo(visible(f"queued {n} units in {queue!r}"))


@queues.command()
def export(
    dataset: Dataset,
    queue: Name,
    folder: Annotated[str, typer.Argument(help="Below it the batch gets a folder of its own.")],
    format: Annotated[  # noqa: A002
        str, typer.Option(help="label-studio, cvat, coco, yolo, voc, labelbox, sagemaker, csv, jsonl or html.")
    ] = "label-studio",
    model: Annotated[str | None, typer.Option(help="Send this model's predictions along.")] = None,
    images: Annotated[bool, typer.Option(help="Copy the pictures.")] = True,
    limit: Annotated[int | None, typer.Option(help="At most this many items.")] = None,
) -> None:
    """Write the queued items as a batch for the annotation team.

    Example: slicelab queue export bags round-7 out/ --format cvat
    """
    import slicelab

    exported = (
        slicelab.open(dataset)
        .queue(queue)
        .export(format, folder, model=model, images="copy" if images else "none", limit=limit)
    )
    typer.echo(visible(str(exported)))


Token = Annotated[str, typer.Option(envvar="LABEL_STUDIO_API_KEY", help="Access token of the server.")]


@queues.command()
def push(
    dataset: Dataset,
    queue: Name,
    url: Annotated[str, typer.Option(help="The Label Studio server.")],
    token: Token,
    document_root: Annotated[str | None, typer.Option(help="The server's LOCAL_FILES_DOCUMENT_ROOT.")] = None,
    media_url: Annotated[str | None, typer.Option(help="Instead: where the server finds the images.")] = None,
    batch: Annotated[str | None, typer.Option(help="Push this batch again; else the queued items go out.")] = None,
    blind: Annotated[bool, typer.Option(help="Send no present labels.")] = False,
    limit: Annotated[int | None, typer.Option(help="At most this many items.")] = None,
) -> None:
    """Send a batch to a Label Studio server; again: what is missing there.

    Example: slicelab queue push bags round-7 --url http://127.0.0.1:8080 --document-root /data
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    pushed = wanted.push(
        batch, url=url, token=token, document_root=document_root, media_url=media_url, blind=blind, limit=limit
    )
    typer.echo(visible(str(pushed)))


@queues.command()
def pull(
    dataset: Dataset,
    queue: Name,
    url: Annotated[str, typer.Option(help="The Label Studio server.")],
    token: Token,
    folder: Annotated[str, typer.Option(help="Where the fetched export is kept.")] = ".",
    batch: Annotated[str | None, typer.Option(help="Its id; else the last one.")] = None,
    merge_into: Annotated[str | None, typer.Option(help="Merge the answers into this new label field.")] = None,
) -> None:
    """Fetch what people submitted on a Label Studio server and receive it.

    Example: slicelab queue pull bags round-7 --url http://127.0.0.1:8080 --merge-into ground_truth_v2
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    _report(wanted, wanted.pull(folder, url=url, token=token, batch=batch), merge_into)


@queues.command()
def receive(
    dataset: Dataset,
    queue: Name,
    path: Annotated[str, typer.Argument(help="The returned file.")],
    all_reviewed: Annotated[bool, typer.Option(help="CVAT and COCO: every image in the file was looked at.")] = False,
    merge_into: Annotated[str | None, typer.Option(help="Merge the answers into this new label field.")] = None,
) -> None:
    """Read what came back: every row is matched, unmatched, duplicated, unreviewed or rejected.

    Example: slicelab queue receive bags round-7 returned.json --merge-into ground_truth_v2
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    _report(wanted, wanted.receive(path, all_reviewed=all_reviewed), merge_into)


def _report(wanted: LabQueue, returned: Return, merge_into: str | None) -> None:
    typer.echo(visible(str(returned)))
    for row in returned.rows:
        if row.status not in ("matched", "unreviewed"):
            typer.echo(visible(f"  {row.status} {row.item}: {row.reason}"))
    if merge_into is not None:
        typer.echo(visible(str(wanted.merge(returned, into=merge_into))))
