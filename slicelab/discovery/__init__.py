"""Vectors and outcomes to candidate slices."""

from slicelab.discovery._candidates import CandidateSlices
from slicelab.discovery._describe import describe
from slicelab.discovery._discover import discover
from slicelab.discovery._discover_rules import discover_rules
from slicelab.discovery._hash_pairs import hash_pairs
from slicelab.discovery._match import drift, match
from slicelab.discovery._name_sequences import name_sequences
from slicelab.discovery._near_duplicates import (
    duplicate_counts,
    duplicate_groups,
    near_duplicates,
    thumbnail_similarity,
    uniqueness,
)
from slicelab.discovery._project import first_map, project
from slicelab.discovery._propose_groups import (
    groups_by_column,
    groups_by_name,
    groups_by_picture,
    groups_by_time,
    split_leaks,
)
from slicelab.discovery._with_ray import assign_with_ray, nearest_with_ray

__all__ = [
    "CandidateSlices",
    "assign_with_ray",
    "describe",
    "discover",
    "discover_rules",
    "drift",
    "duplicate_counts",
    "duplicate_groups",
    "first_map",
    "groups_by_column",
    "groups_by_name",
    "groups_by_picture",
    "groups_by_time",
    "hash_pairs",
    "match",
    "name_sequences",
    "near_duplicates",
    "nearest_with_ray",
    "project",
    "split_leaks",
    "thumbnail_similarity",
    "uniqueness",
]
