"""The inspector's lines."""

import json

import numpy as np

from slicelab.core import Contrast, Inspection, Rule, Share
from slicelab.views import inspection_lines


def test_lines_say_the_figures():
    """Every figure is there in words, bars are fractions, texts are made visible, and it is JSON."""
    found = Inspection(
        20, 5, (0.11, 0.47), 0.1,
        confusions=(Share("knife → fork\u202e", 5, 0.25, 0.01),),
        agreement=(Share("both", 2, 0.1, np.nan),),
        contrasts=(Contrast("site", "north", 0.8, 0.2, 1.3), Contrast("brightness", "", 0.12, 0.55, -1.9)),
    )  # fmt: skip
    groups = {g["title"]: g["lines"] for g in inspection_lines(found, Rule("brightness < 0.2", 0.9, 0.5, 40))}
    assert list(groups) == ["Failures", "Confusions", "Which models fail", "What sets it apart", "Rule"]
    assert groups["Failures"][0] == {
        "words": "5 of 20", "value": "25.0% (11.0% to 47.0%), the rest 10.0%", "inside": 0.25, "outside": 0.1
    }  # fmt: skip
    assert groups["Confusions"][0]["words"] == "knife → fork\ufffd"
    assert groups["Which models fail"][0]["outside"] is None
    assert groups["What sets it apart"][0]["value"] == "80.0%, the rest 20.0%"
    assert groups["What sets it apart"][1]["value"] == "0.12, the rest 0.55 (1.9 deviations lower)"
    assert groups["Rule"][0]["value"] == "precision 90%, recall 50% on held-out units"
    json.dumps(inspection_lines(found), allow_nan=False)


def test_nothing_selected_is_no_line():
    """No inspection and an empty group have nothing to say."""
    assert inspection_lines(None) == inspection_lines(Inspection(0, 0, (np.nan, np.nan), 0.1)) == []
