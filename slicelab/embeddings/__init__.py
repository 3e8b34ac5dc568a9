"""Images to vectors: torch, batching, cache, image statistics."""

from slicelab.embeddings._cache import VectorCache
from slicelab.embeddings._descriptor import DescriptorEmbedder
from slicelab.embeddings._embed import EmbedResult, embed_images, from_array
from slicelab.embeddings._embedder import Embedder
from slicelab.embeddings._fingerprints import fingerprints
from slicelab.embeddings._item import ImageItem
from slicelab.embeddings._load import load_embedder
from slicelab.embeddings._module import ModuleEmbedder, Precision
from slicelab.embeddings._ray import embed_with_ray
from slicelab.embeddings._statistics import STATISTICS, image_statistics

__all__ = [
    "STATISTICS",
    "DescriptorEmbedder",
    "EmbedResult",
    "Embedder",
    "ImageItem",
    "ModuleEmbedder",
    "Precision",
    "VectorCache",
    "embed_images",
    "embed_with_ray",
    "fingerprints",
    "from_array",
    "image_statistics",
    "load_embedder",
]
