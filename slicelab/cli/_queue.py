"""Commands on relabel queues."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from slicelab.cli._tables import show
from slicelab.core import InvalidInputError, Return, visible

if TYPE_CHECKING:
    from slicelab.lab import LabQueue

queues = typer.Typer(help="Queue units for relabelling, export, receive and merge.", no_args_is_help=True)

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
Name = Annotated[str, typer.Argument(help="Name of the queue.")]
Batch = Annotated[str | None, typer.Option(help="Id of one batch (`queue batches`); else all.")]
Format = Annotated[
    str, typer.Option(help="label-studio, cvat, coco, yolo, voc, labelbox, sagemaker, csv, jsonl or html.")
]
Images = Annotated[bool, typer.Option(help="Copy the pictures.")]
Blind = Annotated[bool, typer.Option(help="Send no present labels.")]
Probes = Annotated[str | None, typer.Option(help="A slice whose labels are right: some are mixed in as gold probes.")]
ProbeShare = Annotated[float, typer.Option(help="Probes per task.")]
MergeInto = Annotated[str | None, typer.Option(help="Merge the answers into this new label field.")]
Sampling = Annotated[
    Literal["all", "worst", "stratified", "diverse", "random"], typer.Option(help="How a limit is spent.")
]
By = Annotated[str, typer.Option(help="Column by which `stratified` spreads.")]
Server = Annotated[Literal["label-studio", "cvat"], typer.Option(help="What runs there.")]
Token = Annotated[str | None, typer.Option(help="Access token; else LABEL_STUDIO_API_KEY or CVAT_ACCESS_TOKEN.")]
Organization = Annotated[str | None, typer.Option(help="CVAT: short name of the organization.")]
_TOKENS = {"label-studio": "LABEL_STUDIO_API_KEY", "cvat": "CVAT_ACCESS_TOKEN"}


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
    limit: Annotated[int | None, typer.Option(help="At most this many.")] = None,
    sampling: Sampling = "worst",
    by: By = "label",
) -> None:
    """Queue a slice's units.

    Example: slicelab queue add bags round-7 "knives edge-on" --reason relabel --limit 500
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    n = wanted.add(slice_, reason=reason, instruction=instruction, limit=limit, sampling=sampling, by=by)
    typer.echo(visible(f"queued {n} units in {queue!r}"))


@queues.command()
def suggest(
    dataset: Dataset,
    queue: Name,
    budget: Annotated[int, typer.Option(help="At most this many.")] = 100,
    model: Annotated[
        list[str] | None, typer.Option(help="Whose predictions are asked; again for more; else the first model's.")
    ] = None,
    sampling: Sampling = "worst",
    by: By = "label",
    add: Annotated[bool, typer.Option(help="Queue them.")] = False,
) -> None:
    """Say which labels people should look at first.

    Example: slicelab queue suggest bags round-7 --budget 200 --add
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    found = wanted.suggest(budget, model=model, sampling=sampling, by=by)
    shown = ["label", "prediction", "suggestion", "kind", "likelihood", "gain", "priority"]
    show(found[[c for c in shown if c in found]], limit=20)
    if add:
        typer.echo(visible(f"queued {wanted.add_suggested(found)} units in {queue!r}"))


@queues.command()
def batches(dataset: Dataset, queue: Name) -> None:
    """List the batches that went out, oldest first.

    Example: slicelab queue batches bags round-7
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    back = [r.batch_id for r in wanted.returns()]
    for batch in wanted.batches():
        probes = sum(task.is_probe for task in batch.tasks)
        more = f", {probes} of them gold probes" if probes else ""
        blind = ", blind" if batch.blind else ""
        told = f"{batch.batch_id}  {batch.created_at}  {len(batch.tasks)} tasks{more}{blind}"
        typer.echo(visible(f"{told}, came back {back.count(batch.batch_id)} times"))


@queues.command()
def export(
    dataset: Dataset,
    queue: Name,
    folder: Annotated[str, typer.Argument(help="Below it the batch gets a folder of its own.")],
    format: Format = "label-studio",  # noqa: A002
    model: Annotated[str | None, typer.Option(help="Send this model's predictions along.")] = None,
    images: Images = True,
    limit: Annotated[int | None, typer.Option(help="At most this many items.")] = None,
    blind: Blind = False,
    archive: Annotated[bool, typer.Option(help="One zip instead of a folder.")] = False,
    probes: Probes = None,
    probe_share: ProbeShare = 0.1,
) -> None:
    """Write the queued items as a batch for the annotation team.

    Example: slicelab queue export bags round-7 out/ --format cvat --blind --probes "labels that are right"
    """
    import slicelab

    exported = (
        slicelab.open(dataset)
        .queue(queue)
        .export(
            format,
            folder,
            model=model,
            images="copy" if images else "none",
            limit=limit,
            blind=blind,
            archive=archive,
            probes=probes or (),
            probe_share=probe_share,
        )
    )
    typer.echo(visible(str(exported)))


@queues.command()
def push(
    dataset: Dataset,
    queue: Name,
    url: Annotated[str, typer.Option(help="The server.")],
    server: Server = "label-studio",
    token: Token = None,
    document_root: Annotated[str | None, typer.Option(help="Label Studio's LOCAL_FILES_DOCUMENT_ROOT.")] = None,
    media_url: Annotated[str | None, typer.Option(help="Instead: where Label Studio finds the images.")] = None,
    share_root: Annotated[str | None, typer.Option(help="CVAT's file share; else the images are uploaded.")] = None,
    organization: Organization = None,
    job_size: Annotated[int, typer.Option(help="CVAT: images per job.")] = 100,
    batch: Annotated[str | None, typer.Option(help="Push this batch again; else the queued items go out.")] = None,
    model: Annotated[str | None, typer.Option(help="Send this model's predictions along.")] = None,
    blind: Blind = False,
    limit: Annotated[int | None, typer.Option(help="At most this many items.")] = None,
    probes: Probes = None,
    probe_share: ProbeShare = 0.1,
) -> None:
    """Send a batch to a Label Studio or CVAT server; again: what is missing there.

    Example: slicelab queue push bags round-7 --server cvat --url https://cvat.site --share-root /data
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    pushed = wanted.push(
        batch,
        url=url,
        token=_token(token, server),
        server=server,
        document_root=document_root,
        media_url=media_url,
        share_root=share_root,
        organization=organization,
        job_size=job_size,
        model=model,
        blind=blind,
        limit=limit,
        probes=probes or (),
        probe_share=probe_share,
    )
    typer.echo(visible(str(pushed)))


@queues.command()
def pull(
    dataset: Dataset,
    queue: Name,
    url: Annotated[str, typer.Option(help="The server.")],
    server: Server = "label-studio",
    token: Token = None,
    organization: Organization = None,
    folder: Annotated[str, typer.Option(help="Where the fetched export is kept.")] = ".",
    batch: Annotated[str | None, typer.Option(help="Its id; else the last one.")] = None,
    merge_into: MergeInto = None,
) -> None:
    """Fetch what people submitted on a server and receive it; of CVAT the jobs that are completed.

    Example: slicelab queue pull bags round-7 --url http://127.0.0.1:8080 --merge-into ground_truth_v2
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    returned = wanted.pull(
        folder, url=url, token=_token(token, server), server=server, organization=organization, batch=batch
    )
    _report(wanted, returned, merge_into)


def _token(token: str | None, server: str) -> str:
    found = token or os.environ.get(_TOKENS[server])
    if not found:
        raise InvalidInputError(f"The server wants an access token: say --token, or set {_TOKENS[server]}.")
    return found


@queues.command()
def receive(
    dataset: Dataset,
    queue: Name,
    path: Annotated[str, typer.Argument(help="The returned file.")],
    all_reviewed: Annotated[bool, typer.Option(help="CVAT and COCO: every image in the file was looked at.")] = False,
    annotator: Annotated[str, typer.Option(help="Who answered, where the file doesn't say.")] = "",
    batch: Annotated[str | None, typer.Option(help="To which it answers; else found out.")] = None,
    format: Annotated[str | None, typer.Option(help="Its format; else found out.")] = None,  # noqa: A002
    merge_into: MergeInto = None,
) -> None:
    """Read what came back: every row is matched, unmatched, duplicated, unreviewed or rejected.

    Example: slicelab queue receive bags round-7 returned.json --annotator ann
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    _report(
        wanted,
        wanted.receive(path, batch=batch, format=format, all_reviewed=all_reviewed, annotator=annotator),
        merge_into,
    )


def _report(wanted: LabQueue, returned: Return, merge_into: str | None) -> None:
    typer.echo(visible(str(returned)))
    for row in returned.rows:
        if row.status not in ("matched", "unreviewed"):
            typer.echo(visible(f"  {row.status} {row.item}: {row.reason}"))
    if merge_into is not None:
        typer.echo(visible(str(wanted.merge(returned, into=merge_into))))
