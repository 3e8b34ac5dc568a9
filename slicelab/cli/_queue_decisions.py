"""Commands on what came back to a relabel queue: agreement, consensus, review, accepting and rejecting, merging."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from slicelab.cli._queue import Batch, Dataset, Format, Images, MergeInto, Name, Probes, ProbeShare, queues
from slicelab.cli._tables import show
from slicelab.core import InvalidInputError, visible

Iou = Annotated[float, typer.Option(help="Boxes that overlap this much are the same object.")]
Model = Annotated[str | None, typer.Option(help="Whose predictions stand beside; else the first model's.")]
Csv = Annotated[str | None, typer.Option(help="Write all of it to this CSV file.")]
Rule = Annotated[str | None, typer.Option(help='Over the columns of `queue review`: "agree and annotators >= 2".')]
Items = Annotated[list[str] | None, typer.Option("--item", help="Instead: an item's id, once per item.")]
SHOWN = ["key", "state", "old", "new", "changed", "prediction", "confidence", "annotators", "agree", "answers"]


@queues.command()
def agreement(dataset: Dataset, queue: Name, batch: Batch = None, iou: Iou = 0.5) -> None:
    """Say how far the annotators agree, and how good each is: on gold probes, and beside the others.

    Example: slicelab queue agreement bags round-7
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    found = wanted.agreement(batch=batch, iou=iou)
    typer.echo(visible(str(found)))
    if len(found.pairs):
        show(found.pairs.set_index("first"))
    show(wanted.annotators(batch=batch, iou=iou), empty="nobody answered yet")


@queues.command()
def decide(
    dataset: Dataset,
    queue: Name,
    batch: Annotated[str | None, typer.Option(help="Its id; else the last one in which items wait.")] = None,
    method: Annotated[Literal["majority", "dawid-skene"], typer.Option(help="How answers are joined.")] = "majority",
    min_share: Annotated[float, typer.Option(help="More than this share of the answers must agree.")] = 0.5,
    min_answers: Annotated[int, typer.Option(help="Tasks with fewer answers stay as they are.")] = 2,
    iou: Iou = 0.5,
    csv: Csv = None,
    merge_into: MergeInto = None,
) -> None:
    """Join what several annotators answered: agreed items are accepted, the others need a second opinion.

    Example: slicelab queue decide bags round-7 --method dawid-skene --min-share 0.8
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    found = wanted.decide(batch=batch, method=method, min_share=min_share, min_answers=min_answers, iou=iou)
    decided = int(found.frame["decided"].sum())
    typer.echo(f"{decided} of {len(found.frame)} tasks are decided; {len(found.frame) - decided} need a second opinion")
    show(found.frame[~found.frame["decided"]], limit=20, empty="all agree")
    if csv is not None:
        from slicelab.annotation import write_table

        write_table(found.frame.reset_index(), csv)
    if merge_into is not None:
        typer.echo(visible(str(wanted.merge(found, into=merge_into, only_accepted=True))))


@queues.command()
def review(
    dataset: Dataset,
    queue: Name,
    rule: Rule = None,
    batch: Batch = None,
    model: Model = None,
    limit: Annotated[int, typer.Option(help="Show at most this many; 0: all.")] = 50,
    csv: Csv = None,
) -> None:
    """List what came back and isn't merged: old label, returned label, prediction; most urgent first.

    Example: slicelab queue review bags round-7 --rule "changed and state == 'returned'"
    """
    import slicelab

    frame = slicelab.open(dataset).queue(queue).review(batch=batch, model=model)
    if rule is not None and len(frame):
        from slicelab.curation import evaluate_rule

        frame = frame[evaluate_rule(rule, frame)]
    show(frame[[c for c in SHOWN if c in frame]], limit=limit, empty="nothing waits")
    if csv is not None:
        from slicelab.annotation import write_table

        write_table(frame.reset_index(), csv)


@queues.command()
def accept(
    dataset: Dataset, queue: Name, rule: Rule = None, item: Items = None, batch: Batch = None, model: Model = None
) -> None:
    """Accept returned answers, by a rule or one by one.

    Example: slicelab queue accept bags round-7 --rule "new == prediction and confidence > 0.9"
    """
    import slicelab

    n = slicelab.open(dataset).queue(queue).accept(rule, items=item, batch=batch, model=model)
    typer.echo(f"accepted {n} items")


@queues.command()
def reject(
    dataset: Dataset, queue: Name, rule: Rule = None, item: Items = None, batch: Batch = None, model: Model = None
) -> None:
    """Reject returned answers: the old labels stay.

    Example: slicelab queue reject bags round-7 --rule "not changed"
    """
    import slicelab

    n = slicelab.open(dataset).queue(queue).reject(rule, items=item, batch=batch, model=model)
    typer.echo(f"rejected {n} items")


@queues.command("ask-again")
def ask_again(
    dataset: Dataset, queue: Name, rule: Rule = None, item: Items = None, batch: Batch = None, model: Model = None
) -> None:
    """Say that returned answers need a second opinion; export-again sends them out.

    Example: slicelab queue ask-again bags round-7 --rule "confidence > 0.9 and new != prediction"
    """
    import slicelab

    n = slicelab.open(dataset).queue(queue).ask_again(rule, items=item, batch=batch, model=model)
    typer.echo(f"{n} items need a second opinion")


@queues.command("export-again")
def export_again(
    dataset: Dataset,
    queue: Name,
    folder: Annotated[str, typer.Argument(help="Below it the batch gets a folder of its own.")],
    format: Format = "label-studio",  # noqa: A002
    images: Images = True,
    blind: Annotated[bool, typer.Option(help="Show no present labels.")] = True,
    probes: Probes = None,
    probe_share: ProbeShare = 0.1,
) -> None:
    """Send exactly what needs a second opinion out once more, as a batch of its own.

    Example: slicelab queue export-again bags round-7 out/ --format jsonl
    """
    import slicelab

    exported = (
        slicelab.open(dataset)
        .queue(queue)
        .export_again(
            format,
            folder,
            images="copy" if images else "none",
            blind=blind,
            probes=probes or (),
            probe_share=probe_share,
        )
    )
    typer.echo(visible(str(exported)))


@queues.command()
def merge(
    dataset: Dataset,
    queue: Name,
    into: Annotated[str, typer.Option(help="The new label field; it is the truth from then on.")],
    batch: Annotated[str | None, typer.Option(help="Only what came back for it; else for all batches.")] = None,
    all_returned: Annotated[bool, typer.Option(help="Also take answers that nobody judged.")] = False,
) -> None:
    """Write the accepted answers as a new version of the labels; the old ones stay. step-back takes it back.

    Example: slicelab queue merge bags round-7 --into ground_truth_v2
    """
    import slicelab

    wanted = slicelab.open(dataset).queue(queue)
    returned = [r for r in wanted.returns(merged=False) if batch in (None, r.batch_id)]
    if not returned:
        raise InvalidInputError(f"Nothing came back to queue {queue!r} that isn't merged. See `slicelab queue list`.")
    typer.echo(visible(str(wanted.merge(returned, into=into, only_accepted=not all_returned))))


@queues.command("step-back")
def step_back(dataset: Dataset, queue: Name) -> None:
    """Take the labels before the last merge as the truth again; nothing is deleted.

    Example: slicelab queue step-back bags round-7
    """
    import slicelab

    typer.echo(visible(f"the labels are {slicelab.open(dataset).queue(queue).step_back()!r} again"))


@queues.command()
def explain(
    dataset: Dataset, queue: Name, into: Annotated[str, typer.Argument(help="Label field of a merge.")]
) -> None:
    """Say what a merge did to every affected case under every model, and why.

    Example: slicelab queue explain bags round-7 ground_truth_v2
    """
    import slicelab

    flips = slicelab.open(dataset).queue(queue).explain(into)
    for flip in flips:
        typer.echo(visible(str(flip)))
    if not flips:
        typer.echo("no case was affected")
