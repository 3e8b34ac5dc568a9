"""Options as most builds give them, `--name value`: read at once, as typer takes longer to read them than to run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_type_hints


def plain_options(command: Callable[..., None], arguments: Sequence[str]) -> dict[str, Any] | None:
    """Read a command's arguments when they leave nothing to check or to explain.

    Parameters
    ----------
    command
        As it is registered at typer: texts, flags and lists of texts, each `Annotated`.
    arguments
        What stands after the command's name.

    Returns
    -------
    The command's arguments by name, as typer would give them. None: there is something else, such as `--help`, an
    unknown name or a number; typer then reads all of it, and words what is wrong.
    """
    options, places = _known(command)
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, kind = options.get(word, ("", None)) if word.startswith("-") else _next(places, given)
        if kind is bool:
            value: Any = True
        elif kind is None or (word.startswith("-") and not rest):
            return None
        else:
            value = rest.pop(0) if word.startswith("-") else word
        if (name in given and kind is not list) or value == "" or str(value).startswith("-"):
            return None
        given[name] = [*given.get(name, ()), value] if kind is list else value
    defaults = {n: p.default for n, p in inspect.signature(command).parameters.items()}
    values = {**defaults, **given}
    return None if inspect.Parameter.empty in values.values() else values


def _known(command: Callable[..., None]) -> tuple[dict[str, tuple[str, type]], list[str]]:
    """Return name and kind of value by option, and the names of what is given by place."""
    from typer.models import ArgumentInfo, OptionInfo

    options: dict[str, tuple[str, type]] = {}
    places = []
    hints = get_type_hints(command, include_extras=True)
    for name in inspect.signature(command).parameters:
        annotation, info = get_args(hints[name])
        kind = _kind(annotation)
        if isinstance(info, OptionInfo) and kind is not None:
            options |= dict.fromkeys(info.param_decls or (f"--{name.replace('_', '-')}",), (name, kind))
        elif isinstance(info, ArgumentInfo) and annotation is str:
            places.append(name)
    return options, places


def _kind(annotation: Any) -> type | None:
    """Return str, bool or list; None: the value isn't one that is taken as it stands."""
    if annotation is bool or annotation is str:
        return annotation
    if annotation == str | None:
        return str
    return list if annotation == list[str] | None else None


def _next(places: Sequence[str], given: dict[str, Any]) -> tuple[str, type | None]:
    left = [name for name in places if name not in given]
    return (left[0], str) if left else ("", None)
