"""The only way to make HTML here: every value is escaped, unless it was made by this file itself."""

from __future__ import annotations

import html
from collections.abc import Iterable

from slicelab.core import visible


class Safe(str):
    """HTML that needs no escaping. Joining it with plain text gives plain text, which is escaped again."""

    __slots__ = ()


def safe_html(template: str, **values: object) -> Safe:
    """Fill a template; every value is escaped.

    Parameters
    ----------
    template
        HTML written in the code, never a user's text, with `{name}` where a value goes (`{{` and `}}` are braces).
    **values
        `Safe` goes in as it is; None gives nothing; lists, tuples and iterators are joined, item by item;
        everything else is turned into text and escaped, also for use inside a quoted attribute. Control and
        bidirectional-override characters are shown as U+FFFD; line breaks and tabs stay.

    Examples
    --------
    >>> safe_html("<b>{name}</b>", name="<script>")
    '<b>&lt;script&gt;</b>'
    """
    return Safe(template.format(**{name: _fragment(value) for name, value in values.items()}))


def _fragment(value: object) -> str:
    # An exact `str`: format() must not reach the value's own attributes or formatting.
    if isinstance(value, Safe):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, str):
        return html.escape("\n".join("\t".join(visible(p) for p in line.split("\t")) for line in value.split("\n")))
    if isinstance(value, Iterable) and not isinstance(value, (bytes, dict)):
        return "".join(_fragment(item) for item in value)
    return _fragment(str(value))
