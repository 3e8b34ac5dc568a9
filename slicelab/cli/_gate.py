"""Commands on suites, and the gate, which needs neither a database nor images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from slicelab.core import Suite, SuiteReport, unit_key, visible

MAX_PICTURES = 12

suites = typer.Typer(help="Run suites on a dataset and save them for the gate.", no_args_is_help=True)

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
Name = Annotated[str, typer.Argument(help="Name of the suite.")]
Junit = Annotated[str | None, typer.Option(help="Write JUnit XML to this file.")]
Html = Annotated[str | None, typer.Option(help="Write an HTML report to this file.")]
Markdown = Annotated[str | None, typer.Option(help="Write Markdown to this file.")]
Json = Annotated[str | None, typer.Option("--json", help="Write JSON to this file.")]
Strict = Annotated[
    bool, typer.Option(help="An inconclusive verdict fails too, and a suite file that was edited by hand exits with 2.")
]
ConfidenceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--confidence",
        help="Detection: boxes below it don't count; a number, or CLASS=NUMBER (repeatable). Goes before the suite's.",
    ),
]


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
    labels: Annotated[
        str | None, typer.Option(help="Labels as they are now: a changed one makes its case invalid.")
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Folder of the images: a changed one makes its case invalid; HTML shows them.")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="Python file that registers metrics of your own. It is run.")
    ] = None,
    confidence: ConfidenceOption = None,
) -> None:
    """Judge predictions by a suite file. Exit code 0: no case fails; 1: one does; 2: can't run.

    In detection a model is judged at the confidence that the suite file has for it; the report says which one it was.

    Example: slicelab gate suites/release.json --predictions v4.json --against v3.json --junit report.xml
    """
    from slicelab.core import read_confidence
    from slicelab.gate import load_suite, read_labels, read_predictions, run_metrics, run_suite

    for path in metrics or []:
        run_metrics(path)
    loaded = load_suite(suite)
    model = read_predictions(loaded, predictions)
    other = None if against is None else read_predictions(loaded, against)
    media = None
    if images is not None:
        from slicelab.sources import hash_images

        media = hash_images(list(loaded.samples.index), images)
    report = run_suite(
        loaded,
        model,
        against=other,
        media=media,
        labels=None if labels is None else read_labels(loaded, labels),
        confidence=read_confidence(confidence or []),
    )
    pictures = None if images is None or html is None else _pictures(report, loaded, images)
    finish(report, junit=junit, html=html, markdown=markdown, json=json, strict=strict, pictures=pictures)


def _pictures(report: SuiteReport, suite: Suite, folder: str) -> dict[str, bytes]:
    """Return thumbnails of the worst units of each case that doesn't pass."""
    from slicelab.core import MediaError
    from slicelab.sources import UnusableImageError, locate_keys, make_thumbnail

    units = (suite.boxes["key"] + "#" + suite.boxes["label_id"]).tolist()
    boxes = dict(zip(units, suite.boxes[["x", "y", "width", "height"]].to_numpy(float).tolist(), strict=True))
    wanted = [u for r in report.results if r.verdict != "pass" for u in r.failing[:MAX_PICTURES]]
    keys = {u: u if u in suite.samples.index else unit_key(u) for u in wanted}
    paths = locate_keys(sorted(set(keys.values())), folder)
    found = {}
    for unit in [u for u in keys if keys[u] in paths]:
        box = (boxes[unit][0], boxes[unit][1], boxes[unit][2], boxes[unit][3]) if unit in boxes else None
        try:
            found[unit] = make_thumbnail(paths[keys[unit]], box=box, size=160)[0]
        except (UnusableImageError, MediaError):
            continue
    return found


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
    from slicelab.core import SuiteError

    try:
        _write(report, junit=junit, html=html, markdown=markdown, json=json, strict=strict, pictures=pictures)
    except OSError as error:
        raise SuiteError(f"The report {error.filename!r} can't be written: {error.strerror or error}.") from error
    typer.echo(str(report))
    raise typer.Exit(report.exit_code(strict=strict))


def _write(
    report: SuiteReport,
    *,
    junit: str | None,
    html: str | None,
    markdown: str | None,
    json: str | None,
    strict: bool,
    pictures: Mapping[str, bytes] | None,
) -> None:
    from slicelab.gate import write_json, write_junit, write_markdown, write_text

    if junit is not None:
        write_junit(report, junit, strict=strict)
    if json is not None:
        write_json(report, json)
    if markdown is not None:
        write_markdown(report, markdown)
    if html is not None:
        from slicelab.views import report_html

        write_text(html, report_html(report, pictures=pictures))


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
def save(
    dataset: Dataset,
    suite: Name,
    path: Annotated[str, typer.Argument(help="File to write.")],
    others: Annotated[
        list[str] | None,
        typer.Option(
            help="Detection: confidence of models that the dataset doesn't know: a number, or CLASS=NUMBER "
            "(repeatable). None: each case at the model's best F1 on the case's own images."
        ),
    ] = None,
) -> None:
    """Write a suite as a file for git and the gate, with the operating points of the dataset's models.

    Example: slicelab suite save bags release suites/release.json --others 0.4
    """
    import slicelab
    from slicelab.core import read_confidence

    typer.echo(str(slicelab.open(dataset).suite(suite).save(path, others=read_confidence(others or []))))


@suites.command()
def diff(
    before: Annotated[str, typer.Argument(help="Suite file.")],
    after: Annotated[str, typer.Argument(help="Suite file.")],
) -> None:
    """Tell how two suite files differ: cases, bars, members, labels, media. Exit code 1: they do.

    Example: slicelab suite diff suites/release.json suites/next.json
    """
    from slicelab.gate import diff_suites, load_suite

    lines = diff_suites(load_suite(before), load_suite(after))
    for line in lines or ["no difference"]:
        typer.echo(visible(line))
    raise typer.Exit(1 if lines else 0)


@suites.command()
def explain(
    before: Annotated[str, typer.Argument(help="Suite file of the first run.")],
    after: Annotated[str, typer.Argument(help="Suite file of the second run.")],
    predictions: Annotated[str, typer.Option(help="The second run's predictions: [NAME=]PATH.")],
    before_predictions: Annotated[str, typer.Option(help="The first run's predictions: [NAME=]PATH.")],
    case: Annotated[str | None, typer.Option(help="A case's name; none: every case that both have.")] = None,
    confidence: ConfidenceOption = None,
) -> None:
    """Tell what changed between two runs of a case, and how much of its change each explains.

    Example: slicelab suite explain old.json new.json --before-predictions v3.json --predictions v4.json
    """
    from slicelab.core import read_confidence
    from slicelab.gate import explain_change, load_suite, read_predictions

    first, second = load_suite(before), load_suite(after)
    runs = (first, read_predictions(first, before_predictions)), (second, read_predictions(second, predictions))
    names = [case] if case is not None else [c.name for c in first.cases if c.name in {d.name for d in second.cases}]
    for name in names:
        told = explain_change(name, before=runs[0], after=runs[1], confidence=read_confidence(confidence or []))
        typer.echo(visible(str(told)))
