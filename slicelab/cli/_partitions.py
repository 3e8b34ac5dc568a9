"""Commands on partitions: data past one machine, on a Ray cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from slicelab.cli._tables import show

partitions = typer.Typer(help="Place and judge partitions of Parquet files on a Ray cluster.", no_args_is_help=True)

Output = Annotated[str, typer.Option(metavar="URL", help="Folder or URL that all machines share, for what is made.")]
Ray = Annotated[str, typer.Option(metavar="ADDRESS", help="Ray cluster: local, auto, HOST:PORT or ray://HOST:PORT.")]


def register(app: typer.Typer) -> None:
    """Put these commands below `slicelab partitions`."""
    app.add_typer(partitions, name="partitions")


@partitions.command()
def assign(
    name: Annotated[str, typer.Argument(help="Name of the dataset, a sample of the whole.")],
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    vectors: Annotated[str, typer.Argument(help="Folder or URL of the partitions that `slicelab embed --ray` wrote.")],
    output: Output,
    ray: Ray = "local",
    embeddings: Annotated[str, typer.Option(help="The dataset's vectors, of the same embedder.")] = "default",
    max_slices: Annotated[int, typer.Option(help="At most this many.")] = 20,
) -> None:
    """Find slices in a dataset and place all pictures in them whose vectors are in partitions.

    Example: slicelab partitions assign bags v3 s3://vectors/all --output s3://slices/all --ray head:6379
    """
    import slicelab
    from slicelab.discovery import assign_with_ray

    found = slicelab.open(name).discover(model, embeddings=embeddings, max_slices=max_slices)
    show(assign_with_ray(found, vectors, output=output, address=_address(ray)), empty="no slice stands out")


@partitions.command()
def evaluate(
    labels: Annotated[
        str, typer.Argument(help="Folder or URL of Parquet files: key, label, and group or boxes if any.")
    ],
    predictions: Annotated[str, typer.Argument(help="The same of predictions, in files of the same names.")],
    model: Annotated[str, typer.Option(help="Name of the model.")],
    output: Output,
    ray: Ray = "local",
    iou: Annotated[float, typer.Option(help="Boxes: least IoU of a match.")] = 0.5,
    confidence: Annotated[float | None, typer.Option(help="Boxes: predicted ones below it are left out.")] = None,
) -> None:
    """Write every unit's outcome, and count labels, predictions and outcomes.

    Example: slicelab partitions evaluate s3://labels s3://predictions/v3 --model v3 --output s3://units/v3 --ray auto
    """
    from slicelab.evaluation import evaluate_with_ray

    counts = evaluate_with_ray(
        labels, predictions, model=model, output=output, iou=iou, confidence=confidence, address=_address(ray)
    )
    show(counts)


def _address(ray: str) -> str | None:
    return None if ray == "local" else ray
