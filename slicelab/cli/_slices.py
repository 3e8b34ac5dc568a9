"""Commands on slices."""

from __future__ import annotations

from typing import Annotated

import typer

from slicelab.core import visible

slices = typer.Typer(help="Make and change slices.", no_args_is_help=True)

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
Name = Annotated[str, typer.Argument(help="Name of the slice.")]


def register(app: typer.Typer) -> None:
    """Put these commands below `slicelab slice`."""
    app.add_typer(slices, name="slice")


@slices.command("list")
def list_(dataset: Dataset) -> None:
    """List the slices of a dataset.

    Example: slicelab slice list bags
    """
    import slicelab

    for found in slicelab.open(dataset).slices():
        rule = f"  {found.rule}" if found.rule else ""
        typer.echo(visible(f"{found.name}  {len(found)} units  version {found.version}{rule}"))


@slices.command()
def create(
    dataset: Dataset,
    name: Name,
    rule: Annotated[str, typer.Option(help="Expression over the columns of the units.")],
    model: Annotated[str | None, typer.Option(help="Under which the rule is read.")] = None,
    note: Annotated[str, typer.Option(help="Your words.")] = "",
) -> None:
    """Make a slice from a rule.

    Example: slicelab slice create bags dark-knives --rule 'label == "knife" and brightness < 0.2'
    """
    import slicelab

    made = slicelab.open(dataset).create_slice(name, rule=rule, model=model, note=note)
    typer.echo(visible(f"saved {made.name!r}, {len(made)} units, version {made.version}"))


@slices.command()
def rename(dataset: Dataset, name: Name, new_name: Annotated[str, typer.Argument(help="Its new name.")]) -> None:
    """Give a slice another name.

    Example: slicelab slice rename bags "knife missed" "knives edge-on"
    """
    import slicelab

    made = slicelab.open(dataset).rename_slice(name, new_name)
    typer.echo(visible(f"saved {made.name!r}, version {made.version}"))


@slices.command()
def merge(
    dataset: Dataset,
    names: Annotated[list[str], typer.Argument(help="Names of the slices.")],
    into: Annotated[str, typer.Option(help="Name of the one that takes their place.")],
) -> None:
    """Make one slice of several.

    Example: slicelab slice merge bags "knife missed" "knife missed 2" --into knives
    """
    import slicelab

    made = slicelab.open(dataset).merge_slices(names, into=into)
    typer.echo(visible(f"saved {made.name!r}, {len(made)} units, version {made.version}"))


@slices.command()
def delete(dataset: Dataset, name: Name) -> None:
    """Delete a slice; undo brings it back.

    Example: slicelab slice delete bags "knife missed 2"
    """
    import slicelab

    slicelab.open(dataset).delete_slice(name)
    typer.echo(visible(f"deleted {name!r}"))


@slices.command()
def undo(dataset: Dataset) -> None:
    """Take the last change back.

    Example: slicelab slice undo bags
    """
    import slicelab

    typer.echo(visible(slicelab.open(dataset).undo()))


@slices.command()
def redo(dataset: Dataset) -> None:
    """Do again what was undone.

    Example: slicelab slice redo bags
    """
    import slicelab

    typer.echo(visible(slicelab.open(dataset).redo()))


@slices.command()
def promote(
    dataset: Dataset,
    name: Name,
    bar: Annotated[str, typer.Option(help='Like "recall >= 0.95".')],
    suite: Annotated[str, typer.Option(help="Name of the suite.")],
) -> None:
    """Make a slice a test case.

    Example: slicelab slice promote bags "knives edge-on" --bar "recall >= 0.9" --suite release
    """
    import slicelab

    case = slicelab.open(dataset).promote(name, bar=slicelab.Bar.parse(bar), suite=suite)
    typer.echo(visible(f"saved case {case.name!r} of suite {case.suite!r}, {case.bar}, version {case.version}"))
