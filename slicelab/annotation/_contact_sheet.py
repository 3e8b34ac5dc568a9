"""An HTML contact sheet of a batch: to look at, to print, to talk about; it isn't read back.

One file without scripts and without anything fetched; label text and keys are escaped.
"""

from __future__ import annotations

import base64
import html

from slicelab.annotation._export import Export
from slicelab.annotation._instructions import STYLE, section
from slicelab.core import AnnotationTask, MediaError, visible

SIDE = 192
_STYLE = """body{font:14px system-ui,sans-serif;margin:1rem;background:#fff;color:#222}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:.8rem}
figure{margin:0;border:1px solid #ccc;border-radius:4px;padding:.4rem;break-inside:avoid}
svg{width:100%;height:auto;background:#eee}
figcaption{overflow-wrap:anywhere}
small{color:#555}
rect{fill:none;stroke:#d55e00;stroke-width:2;vector-effect:non-scaling-stroke}"""


def _safe(text: str) -> str:
    return html.escape(visible(text))


def write_contact_sheet(export: Export) -> dict[str, bytes]:
    """Return the page of a batch by name."""
    batch = export.batch
    title = _safe(f"{batch.dataset}: {batch.queue} ({len(batch.tasks)} images)")
    figures = "\n".join(_figure(n, task, export) for n, task in enumerate(batch.tasks, start=1))
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{_STYLE}\n{STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        f"<p>Batch {_safe(batch.batch_id)}</p>\n{_instructions(export)}<main>\n{figures}\n</main></body></html>\n"
    )
    return {"contact_sheet.html": page.encode()}


def _instructions(export: Export) -> str:
    schema = export.batch.label_schema
    return "" if schema is None else f"<section>{section(schema, export.examples)}</section>\n"


def _figure(n: int, task: AnnotationTask, export: Export) -> str:
    picture = _picture(task)
    box = "".join(
        f'<rect x="{b.x:.2f}" y="{b.y:.2f}" width="{b.width:.2f}" height="{b.height:.2f}">'
        f"<title>{_safe(b.label)}</title></rect>"
        for b in export.boxes(task)
    )
    shown = (
        f'<image href="data:image/jpeg;base64,{picture}" width="{task.width}" height="{task.height}" '
        'preserveAspectRatio="none"/>'
        if picture
        else f'<text x="50%" y="50%" text-anchor="middle" font-size="{task.height / 8:.1f}">not there</text>'
    )
    label = export.label(task)
    words = [label] if label is not None else [b.label for b in export.boxes(task)]
    said = [task.predicted_label] if task.predicted_label is not None else [b.label for b in task.predicted_boxes]
    lines = [f"<b>{_safe(', '.join(words) or '–')}</b>"]  # noqa: RUF001
    if said:
        lines.append(f"model: {_safe(', '.join(said))}")
    lines.append(_safe(", ".join(task.reasons)))
    lines.append(f"<small>{n}. {_safe(task.key)}</small>")
    svg = f'<svg viewBox="0 0 {task.width} {task.height}" role="img">{shown}{box}</svg>'
    return f'<figure id="{_safe(task.task_id)}">{svg}<figcaption>{"<br>".join(lines)}</figcaption></figure>'


def _picture(task: AnnotationTask) -> str:
    """Return a small JPEG as base64, '' where the image can't be shown."""
    from slicelab.sources import make_thumbnail

    try:
        image, _ = make_thumbnail(task.filepath, size=SIDE)
    except (MediaError, ValueError):
        return ""
    return base64.b64encode(image).decode()
