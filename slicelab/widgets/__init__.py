"""Gestures to values and back, in the notebook."""

from slicelab.widgets._actions import Actions
from slicelab.widgets._case_review import CaseReview
from slicelab.widgets._explorer import Explorer
from slicelab.widgets._gallery import Gallery
from slicelab.widgets._inspector import Inspector
from slicelab.widgets._keys import Keys
from slicelab.widgets._map import Map
from slicelab.widgets._notice import Notice
from slicelab.widgets._review import Review
from slicelab.widgets._slice_table import SliceTable

__all__ = ["Actions", "CaseReview", "Explorer", "Gallery", "Inspector", "Keys", "Map", "Notice", "Review", "SliceTable"]
