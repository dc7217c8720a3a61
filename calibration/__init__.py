"""Measuring a bundle against labelled images."""
