"""What an export learns from pictures: activation ranges, smoothing, quantization, layer sensitivity."""

from cgsam_edge.runtimes import telemetry

telemetry.silence()
