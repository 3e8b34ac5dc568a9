"""A table without any flaw is read by column; what comes out is what reading row by row gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicelab.core import TEXT, SampleTable, SourceError
from slicelab.sources import _read_predictions, _read_table, find_texts, read_predictions
from slicelab.sources._read_plain_csv import read_plain_csv
from slicelab.sources._read_samples import empty_boxes

CLASSES = ("cat", "class 0", "NA", "grün")
KEYS = [f"a/{i}.png" for i in range(8)] + ["my file.png", "ü.png"]
CELLS = st.sampled_from(
    [
        "",
        "0.5",
        "1",
        "1e-3",
        "nan",
        "NA",
        "None",
        "x",
        " ",
        " 0.25",
        "0.8444218515250481",
        "ü",
        '"q"',
        "a,b",
        "inf",
        "1_0",
    ]
)
NAMES = st.sampled_from(["key", "label", "confidence", "p_cat", "x", "note", "score"])
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n", "\r"])


@st.composite
def csv_files(draw):
    """Bytes of a table that is plain, or almost."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    width = st.integers(len(names) - 1, len(names) + 1) if draw(st.booleans()) else st.just(len(names))
    rows = draw(st.lists(width.flatmap(lambda n: st.lists(CELLS, min_size=n, max_size=n)), max_size=6))
    separator = draw(st.sampled_from([",", ",", "\t", ";"]))
    text = "".join(separator.join(row) + draw(ENDS) for row in [names, *rows])
    text = text if draw(st.booleans()) else text.rstrip("\n")
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + text.encode()


def csv_table(data):
    try:
        return _read_table._read_csv(data, "t.csv")
    except SourceError as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(csv_files())
def test_arrow_reads_what_pandas_reads(data):
    """A CSV file gives the same cells, types, lines and errors whether or not the reader for plain files has it."""
    found = csv_table(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_read_table, "read_plain_csv", lambda *_, **__: None)
        expected = csv_table(data)
    if isinstance(expected, str):
        assert found == expected
    else:
        pd.testing.assert_frame_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"key,confidence\na,0.5\nb,\n", True),
        (b"key,note\na,x\nb,\n", True),
        (b"key,confidence\na,0.5\n,\n", False),
        (b"key,note\n,\n", False),
        (b'key,confidence\n"a",0.5\n', False),
        (b"key,confidence\r\na,0.5\r\n", False),
        (b"key,confidence\na,0.5\n\nb,1\n", False),
        (b"key,confidence\na\n", False),
        (b"key,confidence\na,1,2\n", False),
        (b"key,confidence\n", False),
    ],
)
def test_only_plain_files_are_read_by_column(data, plain):
    """Quotes, blank and empty rows, other line ends, missing or surplus cells are left to pandas."""
    names = data.split(b"\n")[0].strip().decode().split(",")
    found = read_plain_csv(data, separator=",", names=names, numbers=[n for n in names if n == "confidence"])
    pandas_has_texts = isinstance(pd.api.types.pandas_dtype("str"), pd.StringDtype)
    assert (found is not None) == (plain and pandas_has_texts)


LABELS = st.sampled_from([*CLASSES, *CLASSES, *CLASSES, "dog", " cat", "", "gru\u0308n"])
SCORES = st.one_of(st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, 1.5, -0.1]))


@st.composite
def predicted(draw):
    """A table of predictions that is plain, or almost."""
    keys = draw(st.permutations(KEYS))[: draw(st.integers(1, len(KEYS)))]
    if draw(st.booleans()):
        keys = [*keys[:-1], draw(st.sampled_from([keys[0], "other.png", "", "my  file.png"]))]
    frame = pd.DataFrame({draw(st.sampled_from(["key", "filepath"])): keys})
    odd = draw(st.booleans())
    frame["label"] = [draw(LABELS if odd else st.sampled_from(CLASSES)) for _ in keys]
    if draw(st.booleans()):
        frame["confidence"] = [draw(SCORES if odd else st.floats(0, 1)) for _ in keys]
    return frame


@settings(max_examples=200, deadline=None)
@given(predicted())
def test_plain_predictions_are_what_their_rows_are(tmp_path_factory, frame):
    """Predictions, findings and number of rows are the same whether columns or rows are checked."""
    path = tmp_path_factory.mktemp("plain") / "p.csv"
    frame.to_csv(path, index=False)
    samples = pd.DataFrame(
        {"filepath": [f"/data/{k}" for k in KEYS], "sha256": "0", "width": 20, "height": 10, "label": "cat"},
        index=pd.Index(KEYS, name="key", dtype=TEXT),
    )
    table = SampleTable("classification", samples, empty_boxes(), CLASSES)
    found = read_predictions(path, model="v1", table=table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_read_predictions, "plain_classes", lambda *_: None)
        expected = read_predictions(path, model="v1", table=table)
    pd.testing.assert_frame_equal(found[0].frame, expected[0].frame)
    assert found[1:] == expected[1:]
    assert (found[0].classes, found[0].sha256, found[0].source, found[0].probabilities) == (
        expected[0].classes,
        expected[0].sha256,
        expected[0].source,
        None,
    )


@pytest.mark.parametrize("dtype", ["str", object])
def test_texts_are_found_by_value(dtype):
    """Positions are those of the equal text, -1 where there is none, whatever pandas keeps texts as."""
    wanted = pd.Index(["b", "z", "b", "ü"], dtype=dtype)
    known = pd.Index(["ü", "a", "b"], dtype=dtype)
    assert find_texts(wanted, known).tolist() == [2, -1, 2, 0]
    assert find_texts(wanted[:0], known).tolist() == []
    assert find_texts(wanted, known[:0]).tolist() == [-1] * 4
