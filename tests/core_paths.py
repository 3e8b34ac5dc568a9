"""From files to verdicts, as pandas is set: `python core_paths.py FOLDER on|off` prints what comes out as JSON.

"off" is pandas 2's way of keeping texts (`future.infer_string` False), "on" is pandas 3's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

BOX = "x,y,width,height"
CUPS = [(image, n) for image in "abc" for n in (1, 2)]
LABELS = f"key,filepath,label,label_id,{BOX}\n" + "".join(f"{i},{i}.png,cup,{n},{20 * n},0,10,10\n" for i, n in CUPS)
SAID = [*CUPS, ("a", 3)]
PREDICTED = f"key,label,{BOX},confidence\n" + "".join(f"{i},cup,{20 * n},0,10,10,0.9\n" for i, n in SAID)
CLASSES = "key,filepath,label,site\na,a.png,cup,north\nb,b.png,bowl,\nc,c.png,cup,north\nd,d.png,,south\n"
ANSWERS = "key,prediction,confidence\na,cup,0.9\nb,cup,0.6\n"


def main(folder: Path) -> dict[str, Any]:
    from PIL import Image

    for name in "abcd":
        Image.fromarray(np.full((40, 80, 3), ord(name), np.uint8)).save(folder / f"{name}.png")
    for name, content in {"labels": LABELS, "predicted": PREDICTED, "classes": CLASSES, "answers": ANSWERS}.items():
        (folder / f"{name}.csv").write_text(content)
    return {"detection": detection(folder), "classification": classification(folder)}


def detection(folder: Path) -> dict[str, Any]:
    from slicelab.core import Bar
    from slicelab.evaluation import Background, box_label_errors, detection_units, metric_value
    from slicelab.gate import freeze_case, load_suite, make_suite, run_suite, save_suite
    from slicelab.sources import read_predictions, read_samples

    table, _, _ = read_samples(None, folder / "labels.csv", progress=False)
    said, _, _ = read_predictions(folder / "predicted.csv", model="v1", table=table)
    units = detection_units(table, said, confidence=0.5)
    members = [u for u in units.index if "#pred:" not in u]
    bar = Bar("recall", at_least=0.99)
    case = freeze_case("cups", suite="s", members=members, table=table, bar=bar)
    path = save_suite(make_suite("s", [case], table), folder / "suite.json")
    result = run_suite(load_suite(path), said, labels=table).results[0]
    compared = Background(units).compare([0, 1])
    return {
        "outcomes": units["outcome"].value_counts().to_dict(),
        "missing": units[["label", "prediction", "label_id", "box_id", "group_id"]].isna().sum().to_dict(),
        "recall": metric_value("recall", units).value,
        "precision": metric_value("precision", units).value,
        "case": [result.value, result.n_units, result.verdict == "invalid"],
        "suspects": box_label_errors(units)["kind"].tolist(),
        "failures": compared.failures,
    }


def classification(folder: Path) -> dict[str, Any]:
    from slicelab.core import sample_groups
    from slicelab.curation import evaluate_rule
    from slicelab.evaluation import classification_units, metric_value
    from slicelab.sources import read_predictions, read_samples

    table, _, _ = read_samples(None, folder / "classes.csv", task="classification", progress=False)
    said, _, _ = read_predictions(folder / "answers.csv", model="v1", table=table)
    units = classification_units(table, said)
    return {
        "outcomes": units["outcome"].to_dict(),
        "missing": units["prediction"].isna().to_dict(),
        "unlabelled": table.samples["label"].isna().to_dict(),
        "accuracy": metric_value("accuracy", units).value,
        "rule": units.index[evaluate_rule("isna(prediction)", units)].tolist(),
        "groups": sample_groups(table.samples, "site").to_dict(),
    }


if __name__ == "__main__":
    pd.set_option("future.infer_string", sys.argv[2] == "on")
    print(json.dumps(main(Path(sys.argv[1]))))
