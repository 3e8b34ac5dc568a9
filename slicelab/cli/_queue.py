"""Commands on relabel queues."""

from __future__ import annotations

from typing import Annotated

import typer

from slicelab.core import visible

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
    format: Annotated[str, typer.Option(help="label-studio, cvat, coco or csv.")] = "label-studio",  # noqa: A002
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
    returned = wanted.receive(path, all_reviewed=all_reviewed)
    typer.echo(visible(str(returned)))
    for row in returned.rows:
        if row.status not in ("matched", "unreviewed"):
            typer.echo(visible(f"  {row.status} {row.item}: {row.reason}"))
    if merge_into is not None:
        typer.echo(visible(str(wanted.merge(returned, into=merge_into))))
