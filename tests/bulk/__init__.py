"""Tests of labelling runs."""
