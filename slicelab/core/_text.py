"""The dtype of text columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

TEXT = pd.StringDtype(na_value=np.nan)
"""Texts where a missing one is NaN: what pandas 3 calls "str".

Written out, as "str" and `str` are something else under pandas 2, and under pandas 3 with `future.infer_string` off:
Python objects, and a missing value turned into the text "nan".
"""
