"""From a checkpoint to a bundle: reading, the reference model, fusion, the graphs and one converter per target."""

from cgsam_edge.runtimes import telemetry

telemetry.silence()  # before PyTorch is imported, whose exporters may import an engine
