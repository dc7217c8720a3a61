"""Engines that run a bundle's graphs: one file each, behind one small protocol."""
