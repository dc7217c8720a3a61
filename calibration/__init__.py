"""What an export learns from pictures: activation ranges, smoothing, quantization, layer sensitivity."""
