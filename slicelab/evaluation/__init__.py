"""Predictions and labels to outcomes, metrics and intervals."""

from slicelab.evaluation._classification_units import classification_units
from slicelab.evaluation._compare_models import PairedDifference, holm, mcnemar, paired_bootstrap
from slicelab.evaluation._detection_units import detection_units
from slicelab.evaluation._intervals import MetricValue, bootstrap_interval, wilson_interval
from slicelab.evaluation._mean_average_precision import MapResult, mean_average_precision
from slicelab.evaluation._metric_value import metric_value
from slicelab.evaluation._overall import confusion, overall

__all__ = [
    "MapResult",
    "MetricValue",
    "PairedDifference",
    "bootstrap_interval",
    "classification_units",
    "confusion",
    "detection_units",
    "holm",
    "mcnemar",
    "mean_average_precision",
    "metric_value",
    "overall",
    "paired_bootstrap",
    "wilson_interval",
]
