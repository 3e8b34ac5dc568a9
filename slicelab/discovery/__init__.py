"""Vectors and outcomes to candidate slices."""

from slicelab.discovery._candidates import CandidateSlices
from slicelab.discovery._describe import describe
from slicelab.discovery._discover import discover
from slicelab.discovery._discover_rules import discover_rules
from slicelab.discovery._match import drift, match
from slicelab.discovery._project import first_map, project
from slicelab.discovery._with_ray import assign_with_ray, nearest_with_ray

__all__ = [
    "CandidateSlices",
    "assign_with_ray",
    "describe",
    "discover",
    "discover_rules",
    "drift",
    "first_map",
    "match",
    "nearest_with_ray",
    "project",
]
