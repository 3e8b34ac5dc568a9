"""The gate's report as a page, and the only way to make HTML."""

import base64
import math
import re
from html.parser import HTMLParser

import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import VERDICTS, Bar, Case, CaseResult, SuiteReport
from slicelab.views import Safe, report_html, safe_html

NAN = math.nan
HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "{0.__class__} {name} %s $x",
    "]]> --> <!-- &lt;",
    "null \x00 and \u202e override",
]


def result(verdict="fail", *, name="c", bar=None, failing=("u1", "u2"), value=0.5, interval=(0.4, 0.6), **more):
    case = Case(name, "s", bar or Bar("accuracy", at_least=0.9), ("a",), "0" * 64, note=more.pop("note", ""))
    if verdict == "invalid":
        value, interval, failing = NAN, (NAN, NAN), ()
    return CaseResult(case, verdict, more.pop("reason", "why"), value, interval, 10, 5, failing=failing, **more)


def report(*results, against=None):
    return SuiteReport("release", "v4", against, tuple(results))


def page(*args, **kwargs):
    return BeautifulSoup(report_html(*args, **kwargs), "html.parser")


class Tags(HTMLParser):
    """Every tag with the names of its attributes, in order, and whether every one is closed."""

    def __init__(self, text):
        super().__init__()
        self.seen, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, tuple(name for name, _ in attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("text", HOSTILE)
def test_values_are_escaped(text):
    """A value reads back as it was written (control characters shown) and makes no tag, in text or attribute."""
    soup = BeautifulSoup(safe_html('<b title="{text}">{text}</b>', text=text), "html.parser")
    shown = re.sub("[\x00\u202e]", "\ufffd", text)
    assert [tag.name for tag in soup.find_all()] == ["b"]
    assert soup.b.text == soup.b["title"] == shown


def test_fragments_nest_and_lists_are_joined():
    """`Safe` goes in once, lists are joined item by item, None gives nothing, numbers are text."""
    rows = [safe_html("<li>{x}</li>", x=x) for x in ("<", 2)]
    assert safe_html("<ul>{rows}{none}</ul>{more}", rows=rows, none=None, more=("&", Safe("<br>"))) == (
        "<ul><li>&lt;</li><li>2</li></ul>&amp;<br>"
    )


def test_safe_text_is_lost_by_joining():
    """What is put together outside `safe_html` is plain text again, and escaped."""
    assert safe_html("{x}", x=Safe("<b>") + "<i>") == "&lt;b&gt;&lt;i&gt;"


@given(text=st.text())
def test_no_text_breaks_out(text):
    """No text at all leaves a raw < > or quote."""
    assert not set("<>\"'") & set(safe_html("{x}", x=text))


def test_the_page_tells_every_verdict_in_words_and_signs():
    """Counts, names, verdicts, values and reasons are there as text, so that colour isn't needed."""
    results = [result(v, name=f"case {v}", reason=f"reason {v}") for v in VERDICTS]
    soup = page(report(*results))
    assert soup.h1.text == "v4 on release: 1 of 4 cases passed"
    assert [li.text for li in soup.select(".counts li")] == ["✓ 1pass", "✗ 1fail", "? 1inconclusive", "! 1invalid"]
    rows = [[td.text for td in tr.select("td")] for tr in soup.select("tbody tr")]
    assert [row[0] for row in rows] == [f"case {v}" for v in VERDICTS]
    assert [row[1] for row in rows] == ["✓ pass", "✗ fail", "? inconclusive", "! invalid"]
    assert [row[2] for row in rows] == ["0.500"] * 3 + ["\u2013"]
    assert [row[-1] for row in rows] == [f"reason {v}" for v in VERDICTS]


def test_the_page_needs_nothing_else():
    """No script, no handler, no address but data, and a policy that forbids them."""
    html = report_html(report(result()), pictures={"u1": b"\xff\xd8"}, captions={"u1": "cat → dog"})
    soup = BeautifulSoup(html, "html.parser")
    assert not soup.select("script, link, iframe, object, form, base, a")
    assert all(src.startswith("data:image/jpeg;base64,") for src in (img["src"] for img in soup.select("img")))
    assert not [a for tag in soup.find_all() for a in tag.attrs if a.startswith("on") or a in ("href", "srcset")]
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in soup.select_one("meta[http-equiv]")["content"]
    assert "prefers-color-scheme: dark" in soup.style.text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(text):
    """Names, notes, reasons, models, ids and captions can't add a tag or an attribute to the page."""

    def tags(text):
        one = result(name=text, reason=text, note=text, failing=(text, "other"), baseline=0.5, change=0.1, p_value=0.5)
        whole = SuiteReport(text, text, text, (one,), by=text, at="now")
        found = Tags(report_html(whole, pictures={text: b"jpeg"}, captions={text: text}))
        assert not found.open
        return found.seen

    assert tags(text) == tags("pl/ain" if "/" in text else "plain")


def test_the_interval_is_drawn_against_the_bar():
    """On one axis the interval ends before the bar for a fail, after it for a pass, and the dot is inside."""

    def places(r):
        svg = page(report(r)).svg
        span, bar = svg.select_one(".span"), svg.select_one(".bar")
        dot, good = svg.select_one(".dot"), svg.select_one(".good")
        values = (span["x1"], dot["cx"], span["x2"], bar["x1"], good["x"])
        return [float(v) for v in values], svg["aria-label"]

    (low, dot, high, bar, good), words = places(result("fail"))
    assert low < dot < high < bar == good
    assert words == "0.500, interval 0.400 to 0.600, bar accuracy ≥ 0.9"
    below = result("pass", bar=Bar("false_positives_per_image", at_most=3.0), value=1.0, interval=(0.5, 2.0))
    (low, dot, high, bar, good), _ = places(below)
    assert good < low < dot < high < bar
    assert (dot - low) / (high - dot) == pytest.approx(0.5, abs=0.05)


def test_an_invalid_case_draws_only_the_bar():
    """Without numbers there is no interval and no dot."""
    svg = page(report(result("invalid"))).svg
    assert svg.select_one(".bar") is not None
    assert svg.select(".span, .dot, .was") == []


def test_the_change_is_told_only_against_a_model():
    """With another model: its ring, the change, the word, the p-value; without: no column."""
    one = result(baseline=0.7, baseline_interval=(0.6, 0.8), change=-0.2, p_value=0.0021, comparison="regressed")
    soup = page(report(one, against="v3"))
    assert len(soup.select("thead th")) == len(page(report(one)).select("thead th")) + 1
    cell = soup.select("tbody td")[4].get_text(" ")
    assert all(word in cell for word in ("-0.200", "▼", "regressed", "p = 0.0021"))
    assert soup.svg.select_one(".was") is not None


def test_pictures_of_failing_units_are_inside():
    """Each picture is there byte for byte, worst first, with its caption or else its id."""
    pictures = {"u2": b"two", "u1": b"one", "elsewhere": b"no"}
    soup = page(report(result()), pictures=pictures, captions={"u1": "cat → dog"})
    figures = soup.select("details[open] figure")
    assert [f.figcaption.text for f in figures] == ["cat → dog", "u2"]
    assert [base64.b64decode(f.img["src"].split(",")[1]) for f in figures] == [b"one", b"two"]
    assert [f.img["alt"] for f in figures] == ["cat → dog", "u2"]


def test_a_long_list_is_cut_and_counted():
    """What isn't shown is counted: with pictures and with ids."""
    units = tuple(f"u{i:03}" for i in range(100))
    with_ids = page(report(result(failing=units)))
    shown = len(with_ids.select(".ids li"))
    assert 0 < shown < 100
    assert f"and {100 - shown} more" in with_ids.details.text
    with_pictures = page(report(result(failing=units)), pictures=dict.fromkeys(units, b"x"))
    assert f"and {100 - len(with_pictures.select('figure'))} more" in with_pictures.details.text


def test_passing_and_invalid_cases_show_no_failures():
    """Only what fails or is inconclusive gets a section."""
    soup = page(report(*(result(v, name=v) for v in VERDICTS)))
    assert [s.b.text for s in soup.select("details summary")] == ["fail", "inconclusive"]
    assert page(report()).h1.text == "v4 on release: the suite has no cases"


numbers = st.floats(0, 1) | st.just(NAN)


@settings(max_examples=60, deadline=None)
@given(
    value=numbers,
    ends=st.tuples(numbers, numbers),
    bar=st.sampled_from(["accuracy", "false_positives_per_image"]),
    target=st.floats(0, 1),
    baseline=st.none() | numbers,
    scale=st.sampled_from([1.0, 50.0]),
)
def test_any_numbers_are_drawn(value, ends, bar, target, baseline, scale):
    """Whatever the numbers, the page is well formed and everything is drawn inside its frame."""
    scale = scale if bar == "false_positives_per_image" else 1.0
    interval = (ends[0] * scale, ends[1] * scale)
    one = result(
        "fail", bar=Bar(bar, at_most=target * scale), value=value * scale, interval=interval, baseline=baseline
    )
    html = report_html(report(one, against="v3"))
    assert not Tags(html).open
    svg = BeautifulSoup(html, "html.parser").svg
    places = [float(tag[a]) for tag in svg.find_all() for a in ("x", "x1", "x2", "cx") if tag.has_attr(a)]
    assert all(0 <= p <= float(svg["width"]) for p in places)


def test_names_with_paths_are_grouped():
    """Cases of one path stand together under it, with how many passed; the rest of the name names the row."""
    names = ["a", "night/cars", "day/cars", "night/<b>people", "night/deep/x"]
    soup = page(report(*(result("pass" if "cars" in name else "fail", name=name) for name in names)))
    heads = [h.get_text(strip=True) for h in soup.select("th.group")]
    assert heads == ["night/1 of 2 passed", "day/1 of 1 passed", "night/deep/0 of 1 passed"]
    assert [cell.get_text() for cell in soup.select("td.name")] == ["a", "cars", "<b>people", "cars", "x"]
    assert soup.select("td.name")[2]["title"] == "night/<b>people"
    assert len(soup.select("tbody tr")) == len(names) + len(heads)
