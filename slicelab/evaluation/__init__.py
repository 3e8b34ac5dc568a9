"""Predictions and labels to outcomes, metrics and intervals."""

from slicelab.evaluation._agreement import NOTHING, Agreement, agreement, annotator_quality, box_answers
from slicelab.evaluation._background import Background, who_fails
from slicelab.evaluation._classification_units import classification_units
from slicelab.evaluation._compare_models import (
    PairedDifference,
    difference_of_draws,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_shares,
)
from slicelab.evaluation._compare_own import compare_own
from slicelab.evaluation._confidence_metrics import CONFIDENCE_METRICS, confidence_sums, label_ranks
from slicelab.evaluation._consensus import METHODS, BoxConsensus, Method, box_consensus, consensus
from slicelab.evaluation._detection_units import detection_units
from slicelab.evaluation._group_boxes import SAME_OBJECT, group_boxes, pair_boxes, same_boxes
from slicelab.evaluation._intervals import (
    MetricValue,
    bootstrap_interval,
    proportion_interval,
    resampled_weights,
    wilson_interval,
)
from slicelab.evaluation._intraclass_correlation import intraclass_correlation
from slicelab.evaluation._label_errors import box_label_errors, label_errors
from slicelab.evaluation._mean_average_precision import (
    IOU_THRESHOLDS,
    MapResult,
    RankedPredictions,
    mean_average_precision,
    nan_mean,
    rank_predictions,
    swap_ranked,
)
from slicelab.evaluation._measure_detection import MACRO_METRICS, Selection, f1_of, macro_of
from slicelab.evaluation._metric_value import metric_value
from slicelab.evaluation._overall import confusion, overall
from slicelab.evaluation._surroundings import SURROUNDINGS, surroundings
from slicelab.evaluation._swap_models import swap_test
from slicelab.evaluation._unit_share import unit_share
from slicelab.evaluation._with_ray import evaluate_with_ray

__all__ = [
    "CONFIDENCE_METRICS",
    "IOU_THRESHOLDS",
    "MACRO_METRICS",
    "METHODS",
    "NOTHING",
    "SAME_OBJECT",
    "SURROUNDINGS",
    "Agreement",
    "Background",
    "BoxConsensus",
    "MapResult",
    "Method",
    "MetricValue",
    "PairedDifference",
    "RankedPredictions",
    "Selection",
    "agreement",
    "annotator_quality",
    "bootstrap_interval",
    "box_answers",
    "box_consensus",
    "box_label_errors",
    "classification_units",
    "compare_own",
    "confidence_sums",
    "confusion",
    "consensus",
    "detection_units",
    "difference_of_draws",
    "evaluate_with_ray",
    "f1_of",
    "group_boxes",
    "holm",
    "intraclass_correlation",
    "label_errors",
    "label_ranks",
    "macro_of",
    "mcnemar",
    "mean_average_precision",
    "metric_value",
    "nan_mean",
    "overall",
    "pair_boxes",
    "paired_bootstrap",
    "paired_shares",
    "proportion_interval",
    "rank_predictions",
    "resampled_weights",
    "same_boxes",
    "surroundings",
    "swap_ranked",
    "swap_test",
    "unit_share",
    "who_fails",
    "wilson_interval",
]
