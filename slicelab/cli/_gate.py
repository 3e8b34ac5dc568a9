"""Commands on suites, and the gate, which needs neither a database nor images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from slicelab.core import Predictions, Suite, SuiteReport, visible

suites = typer.Typer(help="Run suites on a dataset and save them for the gate.", no_args_is_help=True)

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
Name = Annotated[str, typer.Argument(help="Name of the suite.")]
Junit = Annotated[str | None, typer.Option(help="Write JUnit XML to this file.")]
Html = Annotated[str | None, typer.Option(help="Write an HTML report to this file.")]
Markdown = Annotated[str | None, typer.Option(help="Write Markdown to this file.")]
Json = Annotated[str | None, typer.Option("--json", help="Write JSON to this file.")]
Strict = Annotated[bool, typer.Option(help="An inconclusive verdict fails too.")]


def register(app: typer.Typer) -> None:
    """Put `gate` beside the other commands and the rest below `slicelab suite`."""
    app.command()(gate)
    app.add_typer(suites, name="suite")


def gate(
    suite: Annotated[str, typer.Argument(help="Suite file.")],
    predictions: Annotated[str, typer.Option(help="The model's predictions: [NAME=]PATH.")],
    against: Annotated[str | None, typer.Option(help="Another model's, to compare with: [NAME=]PATH.")] = None,
    junit: Junit = None,
    html: Html = None,
    markdown: Markdown = None,
    json: Json = None,
    strict: Strict = False,
    confidence: Annotated[
        float | None, typer.Option(help="Detection: boxes below it don't count; none: where F1 on the suite is best.")
    ] = None,
) -> None:
    """Judge predictions by a suite file. Exit code 0: no case fails; 1: one does; 2: can't run.

    Example: slicelab gate suites/release.json --predictions v4.json --against v3.json --junit report.xml
    """
    from slicelab.gate import load_suite, run_suite

    loaded = load_suite(suite)
    model = _read(loaded, predictions)
    other = None if against is None else _read(loaded, against)
    report = run_suite(loaded, model, against=other, confidence=confidence)
    finish(report, junit=junit, html=html, markdown=markdown, json=json, strict=strict)


def _read(suite: Suite, option: str) -> Predictions:
    """Read a prediction file for a suite; a refused row is a reason not to run."""
    from slicelab.core import SuiteError
    from slicelab.sources import read_predictions_for_suite

    name, sign, path = option.partition("=")
    if not sign:
        name, path = Path(option).stem, option
    ids = suite.samples.get("coco_image_id")
    read, findings, _ = read_predictions_for_suite(
        path,
        model=name,
        task=suite.task,
        classes=suite.classes,
        samples=suite.samples,
        image_ids=None if ids is None else dict(zip(ids.tolist(), ids.index, strict=True)),
        categories=suite.categories or None,
    )
    # Rows on other samples are no fault: a suite holds a part of the data.
    refused = [f for f in findings if f.refused and f.kind not in ("unknown-sample", "unknown-image")]
    if refused:
        first = refused[0]
        raise SuiteError(
            f"{len(refused)} rows of {path!r} can't be taken, so the gate can't run. "
            f"First: {first.file}:{first.line}: {first.reason}"
        )
    return read


def finish(
    report: SuiteReport,
    *,
    junit: str | None,
    html: str | None,
    markdown: str | None,
    json: str | None,
    strict: bool,
    pictures: Mapping[str, bytes] | None = None,
) -> None:
    """Show a report, write the files that were asked for, and leave with its exit code."""
    from slicelab.gate import write_json, write_junit, write_markdown, write_text

    show(report)
    if junit is not None:
        write_junit(report, junit, strict=strict)
    if json is not None:
        write_json(report, json)
    if markdown is not None:
        write_markdown(report, markdown)
    if html is not None:
        from slicelab.views import report_html

        write_text(html, report_html(report, pictures=pictures))
    raise typer.Exit(report.exit_code(strict=strict))


def show(report: SuiteReport) -> None:
    """Print a line per case and one for the whole."""
    for result in report.results:
        value = f"{result.value:.3f} [{result.interval[0]:.3f}, {result.interval[1]:.3f}]"
        change = "" if not result.comparison else f"  {result.comparison}"
        typer.echo(
            visible(f"{result.verdict:<12} {result.case.name}: {result.case.bar}, {value}, n={result.n_units}{change}")
        )
        if result.verdict != "pass":
            typer.echo(visible(f"{'':<12}   {result.reason}"))
    counts = ", ".join(f"{n} {verdict}" for verdict, n in report.counts().items() if n)
    against = f" against {report.against}" if report.against else ""
    typer.echo(visible(f"suite {report.suite}, model {report.model}{against}: {counts or 'no cases'}"))


@suites.command("list")
def list_(dataset: Dataset) -> None:
    """List the suites of a dataset with their cases.

    Example: slicelab suite list bags
    """
    import slicelab

    lab = slicelab.open(dataset)
    for name in lab.suites():
        typer.echo(visible(repr(lab.suite(name))))


@suites.command()
def run(
    dataset: Dataset,
    suite: Name,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    against: Annotated[str | None, typer.Option(help="Another model's name.")] = None,
    junit: Junit = None,
    html: Html = None,
    markdown: Markdown = None,
    json: Json = None,
    strict: Strict = False,
) -> None:
    """Judge a model of a dataset; the HTML report has pictures.

    Example: slicelab suite run bags release v4 --against v3 --html report.html
    """
    import slicelab

    lab = slicelab.open(dataset)
    wanted = lab.suite(suite)
    report = wanted.run(model, against=against)
    if html is not None:
        wanted.write_html(report, html, models=lab.models)
    finish(report, junit=junit, html=None, markdown=markdown, json=json, strict=strict)


@suites.command()
def save(dataset: Dataset, suite: Name, path: Annotated[str, typer.Argument(help="File to write.")]) -> None:
    """Write a suite as a file for git and the gate.

    Example: slicelab suite save bags release suites/release.json
    """
    import slicelab

    typer.echo(str(slicelab.open(dataset).suite(suite).save(path)))
