"""`slicelab embed`: vectors for a dataset's units, here or on a Ray cluster."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from slicelab.core import InvalidInputError

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("embed")(embed)


def embed(
    name: Dataset,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "--weights",
            help="Array (.npy), TorchScript, torch.export, ONNX file, or a local model folder.",
        ),
    ] = None,
    model_layer: Annotated[str | None, typer.Option(help="Output to take; none: the model's own.")] = None,
    vectors: Annotated[str, typer.Option("--name", help="Under which the vectors are kept.")] = "default",
    batch_size: Annotated[int, typer.Option(help="Pictures at once.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Ray cluster: local, auto, HOST:PORT or ray://HOST:PORT."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="URL", help="Folder or URL that all machines share, for partitions.")
    ] = None,
    partition_size: Annotated[int, typer.Option(help="Pictures per partition.")] = 1024,
    media: Annotated[
        list[str] | None, typer.Option(help="FOLDER=URL: where workers find the pictures of a folder.")
    ] = None,
) -> None:
    """Give every unit a vector; without --source by a descriptor that needs no weights.

    Example: slicelab embed bags --source backbone.onnx

    Example: slicelab embed bags --ray head:6379 --output s3://vectors/bags --media /data/bags=s3://images/bags
    """
    import slicelab

    more: dict[str, Any] = {}
    if ray is not None:
        more = {"engine": "ray", "address": None if ray == "local" else ray, "partition_size": partition_size}
    if output is not None:
        more["output"] = output
    if media:
        more["media"] = dict(_folder_and_place(value) for value in media)
    lab = slicelab.open(name)
    found = lab.embed(source, layer=model_layer, name=vectors, batch_size=batch_size, device=device, **more)
    typer.echo(f"{found.shape[0]} units, {found.shape[1]} dimensions")


def _folder_and_place(value: str) -> tuple[str, str]:
    folder, sign, place = value.partition("=")
    if not sign or not folder or not place:
        raise InvalidInputError(f"--media must read FOLDER=URL; got {value!r}.")
    return folder, place
