"""Labelling many pictures: on one machine with a process for each engine instance, or on a cluster with Ray Data.

    import cgsam_edge.bulk

    labels = cgsam_edge.bulk.label(ray.data.read_binary_files("s3://bucket/photos", include_paths=True), workers=16)
    labels.write_parquet("s3://bucket/labels")

``cgsam label`` is built on the same function; `cgsam_edge.bulk.job.run` is what the command calls.
"""

from __future__ import annotations

from cgsam_edge.bulk.labelling import label
from cgsam_edge.bulk.recipe import Recipe

__all__ = ["Recipe", "label"]
