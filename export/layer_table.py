"""The table of layers: the effect of quantising each one alone. It writes no bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cgsam_edge.calibration.ranking import Ranking
from cgsam_edge.errors import InputError
from cgsam_edge.export.concepts import read_concepts
from cgsam_edge.export.export_steps import ExportSteps
from cgsam_edge.export.manifests import new_manifest
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import planned_preparation
from cgsam_edge.export.progress import Progress, StepProgress, silent
from cgsam_edge.export.quality_options import QualityOptions, check_together
from cgsam_edge.export.torch_backend import open_in_torch
from cgsam_edge.quality.labels import Remarks


def rank_layers(
    options: ExportOptions,
    quality: QualityOptions,
    *,
    progress: Progress = silent,
    remarks: Remarks | None = None,
) -> Ranking:
    """Calibrate a model as in an export, and measure how sensitive its masks are to each layer.

    Args:
        options: options of the export, which must include INT8 or INT4.
        quality: options of quantisation and the gate.
        progress: receives lines of progress, and the table at the end.
        remarks: receives the pictures and labels that were left out.

    Raises:
        InputError: nothing is in INT8 or INT4, or the gate has no pictures.
        CgsamError: as `cgsam_edge.export.pipeline.export_bundle`.
    """
    if not options.quantised:
        raise InputError("--report-only shows the effect of INT8 or INT4 in each layer; add --precision int8 or int4.")
    if not quality.gate_count:
        raise InputError("layers are tried on the gate's pictures, so --gate-count must not be 0.")
    check_together(options, quality)
    planned = (*planned_preparation(options, quality), "try each layer alone")
    with tempfile.TemporaryDirectory(prefix="cgsam-") as work:
        steps = ExportSteps(options, quality, StepProgress(progress, planned), Path(work))
        concepts = read_concepts(options.concepts, progress)
        own = steps.read(concepts)
        vocabulary = steps.text_features(own, concepts)
        photos = steps.choose_photos(own)
        if remarks is not None:
            remarks.left_out += photos.left_out
        model, _ = steps.resize(own, vocabulary, photos)
        model, _ = steps.share(model, vocabulary, photos)
        graphs = steps.fuse(model)
        manifest = new_manifest(model.config, options, vocabulary, steps.count(model), own.config.sam.image_size)
        reference = open_in_torch(Path(work) / "reference", manifest, vocabulary, graphs)
        gate = steps.pytorch_masks(reference, photos)
        quantiser = steps.calibrate(graphs, reference, photos.calibration)
        ranking = steps.rank(quantiser, gate)
    progress("mask IoU with one layer quantised alone, the most sensitive first")
    for one in ranking.sensitivity:
        progress(f"  {one.mean_iou:.4f}  error {one.error:.4f}  {one.graph}: {one.layer}")
    return ranking
