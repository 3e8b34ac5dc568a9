"""The `slicelab` command with all that it can do; here the commands that make and look."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from slicelab.cli._root import new_app
from slicelab.core import Confidence, visible

app = new_app()

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
Model = Annotated[str, typer.Argument(help="Name of the model.")]


def pairs(values: list[str], what: str) -> dict[str, str]:
    """Read NAME=PATH options; a path alone is named by its stem."""
    read = {}
    for value in values:
        name, sign, path = value.partition("=")
        if not sign:
            name, path = Path(value).stem, value
        if not name or not path or name in read:
            raise typer.BadParameter(f"{what} must read NAME=PATH, each name once; got {value!r}.")
        read[name] = path
    return read


@app.command()
def load(
    name: Dataset,
    images: Annotated[str | None, typer.Option(help="Folder of images.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="CSV, Parquet, JSONL, COCO JSON, VOC folder, data.yaml; none: folder per class.")
    ] = None,
    predictions: Annotated[list[str] | None, typer.Option(help="NAME=PATH, once per model.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Instead of files: a FiftyOne dataset's name.")] = None,
    label_field: Annotated[str, typer.Option(help="Its field of labels.")] = "ground_truth",
    prediction_field: Annotated[list[str] | None, typer.Option(help="MODEL=FIELD, once per model.")] = None,
    strict: Annotated[bool, typer.Option(help="Refuse everything when one row is refused.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace the dataset of that name.")] = False,
    clip_boxes: Annotated[bool, typer.Option(help="Cut boxes that stick out of their image.")] = False,
    group: Annotated[
        str | None, typer.Option(help="Metadata column of what isn't independent, like the video of a frame.")
    ] = None,
    report: Annotated[str | None, typer.Option(help="Write every finding to this CSV file.")] = None,
) -> None:
    """Load images, labels and predictions.

    Example: slicelab load bags --images images/ --labels labels.json --predictions v3=v3.json --predictions v4=v4.json
    """
    import slicelab

    lab = slicelab.load(
        name,
        images,
        labels,
        pairs(predictions or [], "--predictions"),
        dataset=dataset,
        label_field=label_field,
        prediction_fields=pairs(prediction_field or [], "--prediction-field"),
        strict=strict,
        overwrite=overwrite,
        clip_boxes=clip_boxes,
        group=group,
    )
    typer.echo(str(lab.load_report))
    if report is not None and lab.load_report is not None:
        from slicelab.annotation import write_table

        write_table(lab.load_report.frame(), report)
    typer.echo(repr(lab))


@app.command()
def datasets() -> None:
    """List the datasets.

    Example: slicelab datasets
    """
    import slicelab

    for name in slicelab.datasets():
        typer.echo(visible(name))


@app.command()
def evaluate(
    name: Dataset,
    model: Model,
    confidence: Annotated[
        list[str] | None,
        typer.Option(
            help="Detection: from which on boxes count, kept with the model: a number, CLASS=NUMBER (repeatable), or "
            "f1 for the best F1 as it is now. None: as it is kept."
        ),
    ] = None,
) -> None:
    """Store outcomes on the dataset and show the model's metrics.

    Example: slicelab evaluate bags v3
    """
    import slicelab
    from slicelab.core import confidence_words, read_confidence

    given: Confidence | Literal["f1"] | None = "f1"
    if confidence != ["f1"]:
        given = read_confidence(confidence or [])
    found = slicelab.open(name).evaluate(model, confidence=given)
    typer.echo(found.to_string(float_format="{:.3f}".format))
    if "confidence" in found.attrs:
        typer.echo(visible(f"boxes count from confidence {confidence_words(found.attrs['confidence'])} on"))


@app.command()
def discover(
    name: Dataset,
    model: Model,
    max_slices: Annotated[int, typer.Option(help="At most this many.")] = 20,
    promote: Annotated[int, typer.Option(help="Make slices of the first N.")] = 0,
    csv: Annotated[str | None, typer.Option(help="Write the table to this file.")] = None,
    spurious: Annotated[bool, typer.Option(help="Search predicted boxes that no label explains.")] = False,
    rules: Annotated[bool, typer.Option(help="Also propose slices from metadata and image statistics alone.")] = False,
    leads: Annotated[
        bool, typer.Option(help="Also list what fails most beside them, which nothing was tried to confirm.")
    ] = False,
) -> None:
    """Propose slices on which the model fails.

    Example: slicelab discover bags v3 --promote 3
    """
    import slicelab

    lab = slicelab.open(name)
    if not lab.has_embeddings():
        lab.embed()
    population: Literal["labelled", "spurious"] = "spurious" if spurious else "labelled"
    found = lab.discover(model, max_slices=max_slices, population=population)
    typer.echo(repr(found))
    for lead in found.leads if leads else ():
        typer.echo(visible(f"  lead: {lead.failures} of {lead.size} fail: {lead.description}"))
    for rule in lab.discover_rules(model, max_slices=max_slices, population=population) if rules else ():
        typer.echo(visible(f"  {rule.failures} of {rule.size} fail, {rule.status}: {rule.description}"))
    if csv is not None:
        from slicelab.annotation import write_table

        write_table(found.frame(), csv)
    for candidate in found[:promote]:
        slice_ = lab.promote_slice(candidate)
        typer.echo(visible(f"saved slice {slice_.name!r}, version {slice_.version}"))


@app.command()
def demo(
    out: Annotated[str, typer.Option(help="Folder for what is written.")] = "out",
    samples: Annotated[str | None, typer.Option(help="Folder of data_samples.")] = None,
) -> None:
    """Walk the whole loop on both samples.

    Example: slicelab demo --out out
    """
    from slicelab.demo import run_demo

    run_demo(Path(out), samples=None if samples is None else Path(samples), say=typer.echo)


@app.command()
def doctor(fix: Annotated[bool, typer.Option("--fix", help="Put a mongod in place that runs here.")] = False) -> None:
    """Check everything that SliceLab needs; one line each, with the remedy.

    Example: slicelab doctor
    """
    from slicelab.store import diagnose, install_mongod

    if fix:
        typer.echo(f"mongod: {install_mongod()}")
    checks = diagnose()
    for check in checks:
        remedy = "" if check.ok or not check.remedy else f" — {check.remedy}"
        typer.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.message}{remedy}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def lab(
    folder: Annotated[str, typer.Argument(help="Folder to open.")] = ".",
    port: Annotated[int, typer.Option(help="Port.")] = 8888,
) -> None:
    """Open JupyterLab, on this machine only.

    Example: slicelab lab notebooks
    """
    command = [sys.executable, "-m", "jupyter", "lab", "--ip=127.0.0.1", f"--port={port}", folder]
    os.execv(sys.executable, command)  # noqa: S606


def _register() -> None:
    """Add the commands of the other files."""
    from slicelab.cli import _app, _audit, _embed, _gate, _partitions, _queue, _queue_decisions, _schema, _slices  # noqa: F401

    _embed.register(app)
    _slices.register(app)
    _gate.register(app)
    _queue.register(app)
    _schema.register(app)
    _audit.register(app)
    _app.register(app)
    _partitions.register(app)


_register()
