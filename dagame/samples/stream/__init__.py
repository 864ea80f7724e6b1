"""Samples that do not fit in memory: read in parts, reduced to counts, solved by groups of classes."""
