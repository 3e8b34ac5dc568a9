"""Reports for CI, programs and reviewers, with hostile names in them."""

import json
import math
import re
from dataclasses import replace

import pytest
from defusedxml import ElementTree
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from slicelab.core import Bar, Case, CaseResult, SuiteReport
from slicelab.gate import run_suite, write_json, write_junit, write_markdown

NAN = math.nan
HOSTILE = [
    "<script>alert(1)</script>",
    "]]> <!-- & &amp; \"'",
    "null \x00 bell \x07 \x1b[31m \ufffe \ud800",
    "=HYPERLINK(1)",
    "| a | b |\n|---|---|\n# head",
    "[x](javascript:alert(1)) ![i](http://evil.example/i.png) `code` **bold** _it_ ~~s~~",
    "<img src=x onerror=alert(1)> www.evil.example https://evil.example <https://evil.example>",
    "\\| \\\\| `|`",
    "right \u202e to left",
]


def result(verdict="fail", *, name="c", reason="why", failing=(), **more):
    case = Case(name, "s", Bar("accuracy", at_least=0.9), ("a",), "0" * 64)
    invalid = verdict == "invalid"
    value, interval = (NAN, (NAN, NAN)) if invalid else (0.5, (0.4, 0.6))
    return CaseResult(case, verdict, reason, value, interval, 10, 5, failing=failing, **more)


def report(*results, **more):
    return SuiteReport("s", "v4", None, tuple(results), **more)


@pytest.fixture
def mixed():
    verdicts = ("pass", "fail", "inconclusive", "invalid")
    return report(*(result(v, name=f"case {v}", failing=("a", "b")) for v in verdicts), seconds=1.5)


def test_junit_has_one_testcase_per_case(mixed, tmp_path):
    """Fail is a failure, invalid an error, inconclusive is skipped; counts and properties agree."""
    root = ElementTree.parse(write_junit(mixed, tmp_path / "r.xml")).getroot()
    suite = root.find("testsuite")
    counts = {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert root.tag == "testsuites"
    assert counts.items() <= suite.attrib.items()
    assert root.attrib.items() >= {"tests": "4", "failures": "1", "errors": "1"}.items()
    kinds = {c.get("name"): [e.tag for e in c if e.tag != "system-out"] for c in suite.findall("testcase")}
    assert kinds == {
        "case pass": [],
        "case fail": ["failure"],
        "case inconclusive": ["skipped"],
        "case invalid": ["error"],
    }
    told = dict(line.split(": ", 1) for line in suite.findall("testcase")[1].findtext("system-out").splitlines())
    assert (told["value"], told["low"], told["high"], told["bar"]) == ("0.5", "0.4", "0.6", "accuracy >= 0.9")
    failure = suite.find("testcase/failure")
    assert failure.get("message") == "why"
    assert failure.text.splitlines()[-2:] == ["a", "b"]


JUNIT_10 = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id", "package"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "time", "classname", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    **dict.fromkeys(("skipped", "error", "failure"), ({"type", "message"}, set())),
    "system-out": (set(), set()),
}
"""Attributes and children that the schema of Jenkins' xUnit plugin allows, which is pytest's too."""


def test_junit_fits_the_schema_of_ci_readers(mixed, tmp_path):
    """Nothing in the file that strict readers refuse."""
    root = ElementTree.parse(write_junit(mixed, tmp_path / "r.xml")).getroot()
    for element in root.iter():
        attributes, children = JUNIT_10[element.tag]
        assert set(element.attrib) <= attributes, element.tag
        assert {child.tag for child in element} <= children, element.tag
    times = [e.get("time") for e in root.iter() if e.get("time") is not None]
    assert all(re.fullmatch(r"[0-9]{1,3}\.[0-9]{0,3}", time) for time in times)


def test_strict_junit_fails_the_inconclusive(mixed, tmp_path):
    """As in the exit code, a strict reader takes inconclusive for failed."""
    suite = ElementTree.parse(write_junit(mixed, tmp_path / "r.xml", strict=True)).getroot().find("testsuite")
    assert (suite.get("failures"), suite.get("skipped")) == ("2", "0")


def xml_chars(text):
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_junit(tmp_path, text):
    """The file parses, the name reads back as it was, less the characters that XML doesn't allow."""
    hostile = report(result(name=text, reason=text, failing=(text,)), result("invalid", name=text))
    root = ElementTree.parse(write_junit(replace(hostile, suite=text, model=text), tmp_path / "r.xml")).getroot()
    cases = root.findall("testsuite/testcase")
    assert [c.get("name") for c in cases] == [xml_chars(text)] * 2
    assert root.find("testsuite/testcase/failure").text.endswith(xml_chars(text))
    assert {e.tag for e in root.iter()} <= JUNIT_10.keys()


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=())))
def test_any_text_makes_a_file_that_parses(tmp_path_factory, text):
    """Whatever the name, JUnit parses, JSON keeps it, Markdown is UTF-8."""
    folder = tmp_path_factory.mktemp("any")
    one = report(result(name=text, reason=text))
    assert ElementTree.parse(write_junit(one, folder / "r.xml")).getroot().find("testsuite/testcase") is not None
    document = json.loads(write_json(one, folder / "r.json").read_text("utf-8"))
    assert document["results"][0]["case"]["name"] == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert write_markdown(one, folder / "r.md").read_text("utf-8")


def test_json_holds_everything(small, tmp_path):
    """Numbers, words and failing ids are those of the report; NaN is null."""
    suite = small.one_case(small.cats, Bar("accuracy", at_least=0.99))
    ran = run_suite(suite, small.right(small.cats, 30), against=small.right(small.cats, 38, model="v3"))
    ran = replace(ran, results=(*ran.results, result("invalid")))
    document = json.loads(write_json(ran, tmp_path / "r.json").read_text("utf-8"), parse_constant=pytest.fail)
    first, invalid = document["results"]
    told = ran.results[0]
    assert (document["model"], document["against"], document["passed"]) == ("v4", "v3", False)
    assert document["counts"] == {"pass": 0, "fail": 1, "inconclusive": 0, "invalid": 1}
    assert (first["value"], tuple(first["interval"]), first["p_value"]) == (told.value, told.interval, told.p_value)
    assert (first["comparison"], tuple(first["failing"])) == (told.comparison, told.failing)
    assert first["case"]["bar"]["at_least"] == 0.99
    assert (invalid["value"], invalid["interval"]) == (None, [None, None])


def cells(path):
    """Texts of the table's cells, as a Markdown reader sees them, and every tag there is."""
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(path.read_text("utf-8"))
    return re.findall(r"<td[^>]*>(.*?)</td>", html, re.DOTALL), set(re.findall(r"<([a-z0-9]+)", html))


def test_markdown_tells_each_case_in_a_row(mixed, tmp_path):
    """A row holds name, sign and word of the verdict, bar and numbers; what doesn't pass has its reason below."""
    path = write_markdown(mixed, tmp_path / "r.md")
    found, _ = cells(path)
    numbers = ["accuracy &gt;= 0.9", "0.5", "0.4 to 0.6", "10", "5"]
    assert found[:7] == ["case pass", "✓ pass", *numbers]
    assert found[7:14] == ["case fail", "✗ fail", *numbers]
    assert found[15] == "? inconclusive"
    assert found[21:26] == ["case invalid", "! invalid", "accuracy &gt;= 0.9", "", ""]
    text = path.read_text("utf-8")
    assert "**1 pass, 1 fail, 1 inconclusive, 1 invalid**" in text
    assert text.count("): why") == 3


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_in_their_cell(tmp_path, text):
    """Rendered, the table keeps one row of seven cells, and no tag comes out of a name."""
    plain, tags = cells(write_markdown(report(result()), tmp_path / "plain.md"))
    hostile = replace(report(result(name=text, reason=text)), model=text)
    found, found_tags = cells(write_markdown(hostile, tmp_path / "r.md"))
    assert len(found) == len(plain) == 7
    assert found[1:] == plain[1:]
    assert found_tags == tags


def test_markdown_links_nothing(tmp_path):
    """Addresses in names don't become links, even for a reader that links bare ones."""
    text = write_markdown(report(result(name=HOSTILE[6], reason=HOSTILE[6])), tmp_path / "r.md").read_text("utf-8")
    assert "://" not in text
    assert "www." not in text.lower()
    assert "<" not in text


def test_markdown_compares_only_against_a_model(small, tmp_path):
    """The columns of the comparison are there when there is another model."""
    suite = small.one_case(small.cats, Bar("accuracy", at_least=0.5))
    alone = run_suite(suite, small.right(small.cats, 30))
    both = run_suite(suite, small.right(small.cats, 30), against=small.right(small.cats, 38, model="v3"))
    assert "comparison" not in write_markdown(alone, tmp_path / "a.md").read_text("utf-8")
    text = write_markdown(both, tmp_path / "b.md").read_text("utf-8")
    assert "| -0.2 |" in text
    assert "regressed" in text


def test_in_words_a_case_has_its_line(mixed):
    """As on the command line: a line each, a reason where it doesn't pass, the counts; no control characters."""
    assert str(mixed).splitlines() == [
        "pass         case pass: accuracy >= 0.9, 0.500 [0.400, 0.600], n=10",
        "fail         case fail: accuracy >= 0.9, 0.500 [0.400, 0.600], n=10",
        "               why",
        "inconclusive case inconclusive: accuracy >= 0.9, 0.500 [0.400, 0.600], n=10",
        "               why",
        "invalid      case invalid: accuracy >= 0.9, nan [nan, nan], n=10",
        "               why",
        "suite s, model v4: 1 pass, 1 fail, 1 inconclusive, 1 invalid",
    ]
    assert repr(mixed) == str(mixed)
    hostile = str(report(result(name="a\x1b[31m\nb", reason="\x07")))
    assert "\x1b" not in hostile
    assert "\x07" not in hostile
    assert len(hostile.splitlines()) == 3
