"""Work on many machines: Parquet files in, Parquet files out, dealt to workers by Ray Data."""

from slicelab.partitions._deal import Shared, cluster, deal, require_ray, share
from slicelab.partitions._folder import Folder, file_system
from slicelab.partitions._transform import transform
from slicelab.partitions._vectors import has_vector, partition_vectors, vector_partitions

__all__ = [
    "Folder",
    "Shared",
    "cluster",
    "deal",
    "file_system",
    "has_vector",
    "partition_vectors",
    "require_ray",
    "share",
    "transform",
    "vector_partitions",
]
