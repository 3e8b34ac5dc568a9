"""Files to sample tables: readers, image decoding, thumbnails."""

from slicelab.sources._capture_times import capture_times
from slicelab.sources._formats import SOURCE_FORMATS, detect_format
from slicelab.sources._open_image import UnusableImageError
from slicelab.sources._probe_images import ImageInfo, probe_image
from slicelab.sources._read_coco import read_categories
from slicelab.sources._read_for_suite import hash_images, locate_keys, read_labels_for_suite
from slicelab.sources._read_image import read_image
from slicelab.sources._read_predictions import read_predictions, read_predictions_for_suite
from slicelab.sources._read_samples import read_samples
from slicelab.sources._text_columns import are_plain, arrow_texts, find_texts, text_bytes, text_column
from slicelab.sources._thumbnails import ThumbnailCache, make_thumbnail

__all__ = [
    "SOURCE_FORMATS",
    "ImageInfo",
    "ThumbnailCache",
    "UnusableImageError",
    "are_plain",
    "arrow_texts",
    "capture_times",
    "detect_format",
    "find_texts",
    "hash_images",
    "locate_keys",
    "make_thumbnail",
    "probe_image",
    "read_categories",
    "read_image",
    "read_labels_for_suite",
    "read_predictions",
    "read_predictions_for_suite",
    "read_samples",
    "text_bytes",
    "text_column",
]
