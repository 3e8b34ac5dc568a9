"""Commands on the label schema: what the classes mean, for the people who label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from slicelab.core import InvalidInputError, LabelSchema, NotFoundError, visible

schemas = typer.Typer(help="Write down what the classes mean; every batch carries it.", no_args_is_help=True)

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]

_FORM = '{"text": "...", "classes": {"<class>": {"definition": "...", "examples": ["<unit>"]}}}'


def register(app: typer.Typer) -> None:
    """Put these commands below `slicelab schema`."""
    app.add_typer(schemas, name="schema")


@schemas.command()
def define(
    dataset: Dataset,
    file: Annotated[str | None, typer.Argument(help="JSON as `schema show --json` prints it.")] = None,
    definition: Annotated[list[str] | None, typer.Option("--class", help="CLASS=what belongs to it.")] = None,
    example: Annotated[list[str] | None, typer.Option(help="CLASS=UNIT that shows it; several times.")] = None,
    text: Annotated[str | None, typer.Option(help="What holds for all classes.")] = None,
) -> None:
    """Store the next version of the definitions. It says all: a class that isn't named has no definition in it.

    Example: slicelab schema define bags --class "knife=any blade" --text "Boxes are tight."
    """
    import slicelab

    read: dict[str, Any] = {"text": "", "classes": {}} if file is None else _read(Path(file))
    definitions = {name: each.get("definition", "") for name, each in read["classes"].items()}
    examples = {name: list(each.get("examples", ())) for name, each in read["classes"].items()}
    definitions |= dict(_named(definition or []))
    for name, unit in _named(example or []):
        examples.setdefault(name, []).append(unit)
    words = read["text"] if text is None else text
    if not definitions and not examples and not words:
        raise InvalidInputError("Say what the classes mean: a file, --class, --example or --text.")
    made = slicelab.open(dataset).define_classes(definitions, examples=examples, text=words)
    typer.echo(visible(f"version {made.version} of the label schema of {dataset!r}"))


@schemas.command("show")
def show_(
    dataset: Dataset,
    version: Annotated[int | None, typer.Option(help="Else the newest.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As `schema define` reads it.")] = False,
) -> None:
    """Show the definitions of the classes.

    Example: slicelab schema show bags --json > schema.json
    """
    import slicelab

    found = slicelab.open(dataset).label_schema(version)
    if found is None:
        raise NotFoundError(f"Nobody has defined the classes of {dataset!r}. Do it with `slicelab schema define`.")
    if as_json:
        typer.echo(json.dumps(_written(found), ensure_ascii=False, indent=1))
        return
    typer.echo(visible(f"version {found.version}, {found.created_at}, {found.created_by}"))
    for line in found.text.splitlines():
        typer.echo(visible(line))
    for each in found.classes:
        typer.echo(visible(f"{each.name}: {each.definition or 'no definition'}"))
        for unit in each.examples:
            typer.echo(visible(f"  example: {unit}"))


def _written(schema: LabelSchema) -> dict[str, Any]:
    return {
        "text": schema.text,
        "classes": {c.name: {"definition": c.definition, "examples": list(c.examples)} for c in schema.classes},
    }


def _read(path: Path) -> dict[str, Any]:
    """Return a file's text and classes, or say what is wrong with it."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} can't be read as JSON: {error}.") from error
    whole = isinstance(read, dict) and set(read) <= {"text", "classes"}
    classes = read.get("classes", {}) if whole else None
    text = read.get("text", "") if whole else None
    if not isinstance(text, str) or not isinstance(classes, dict) or not all(map(_is_class, classes.values())):
        raise InvalidInputError(f"{path} must read {_FORM}.")
    return {"text": text, "classes": classes}


def _is_class(value: Any) -> bool:
    if not isinstance(value, dict) or not set(value) <= {"definition", "examples"}:
        return False
    examples = value.get("examples", [])
    return isinstance(value.get("definition", ""), str) and isinstance(examples, list) and _texts(examples)


def _texts(values: list[Any]) -> bool:
    return all(isinstance(v, str) for v in values)


def _named(values: list[str]) -> list[tuple[str, str]]:
    """Read CLASS=WORDS options."""
    split = [value.partition("=") for value in values]
    wrong = [value for value, (name, sign, words) in zip(values, split, strict=True) if not (name and sign and words)]
    if wrong:
        raise typer.BadParameter(f"it must read CLASS=WORDS; got {wrong[0]!r}.")
    return [(name, words) for name, _, words in split]
