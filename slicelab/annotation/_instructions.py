"""The label schema for people to read: a page of definitions and example pictures, and parts of it for other files."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence

from slicelab.annotation._file_names import safe_names
from slicelab.core import Batch, LabelSchema, visible

Examples = Mapping[str, Sequence[bytes]]
"""JPEGs of each class."""
STYLE = """.class{border-top:1px solid #ccc;padding:.6rem 0;break-inside:avoid}
.class h3{margin:0 0 .2rem}
.class p,.text{margin:0 0 .4rem;white-space:pre-wrap;overflow-wrap:anywhere;max-width:60rem}
.class img{max-height:128px;margin:0 .4rem .4rem 0;border:1px solid #ccc}"""

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def _safe(text: str) -> str:
    return "\n".join(html.escape(visible(line)) for line in text.splitlines())


def section(schema: LabelSchema, examples: Examples) -> str:
    """Return the schema as HTML without a page around it; everything that people wrote is escaped."""
    parts = [f"<h2>Instructions, version {schema.version}</h2>"]
    if schema.text:
        parts.append(f'<p class="text">{_safe(schema.text)}</p>')
    for each in schema.classes:
        shown = "".join(
            f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(picture).decode()}">'
            for picture in examples.get(each.name, ())
        )
        words = f"<p>{_safe(each.definition)}</p>" if each.definition else ""
        parts.append(f'<div class="class"><h3>{_safe(each.name)}</h3>{words}{shown}</div>')
    return "\n".join(parts)


def write_instructions(schema: LabelSchema, examples: Examples) -> bytes:
    """Return the page ``instructions.html``: one file, without scripts and without anything fetched."""
    title = _safe(f"{schema.dataset}: instructions, version {schema.version}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>body{{font:14px system-ui,sans-serif;margin:1rem}}\n{STYLE}</style></head>\n"
        f"<body><h1>{_safe(schema.dataset)}</h1>\n{section(schema, examples)}\n</body></html>\n"
    ).encode()


def write_guide(batch: Batch) -> str:
    """Return definitions and the items' instructions as Markdown, in which all that people wrote is plain text.

    It has no pictures; '' where nobody wrote anything.
    """
    parts = []
    if (schema := batch.label_schema) is not None:
        parts += [f"# Instructions, version {schema.version}", *_plain(schema.text)]
        for each in schema.classes:
            parts += [f"## {' '.join(_plain(each.name))}", *_plain(each.definition)]
    names = safe_names(batch)
    told = [(names[t.task_id], t.instruction) for t in batch.tasks if t.instruction.strip()]
    if told:
        parts.append("# Images with words of their own")
        parts += [f"**{' '.join(_plain(name))}**: {' '.join(_plain(words))}" for name, words in told]
    return "\n\n".join(parts)


def _plain(text: str) -> list[str]:
    """Return the lines of a text with every sign of Markdown and HTML escaped."""
    return [_MARKDOWN.sub(r"\\\1", visible(line.strip())) for line in text.splitlines() if line.strip()]
