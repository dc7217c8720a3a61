"""Judging masks: labels, metrics, agreement, the gate, comparison, and their report. Nothing here needs PyTorch."""
