"""Completions -> answer keys, read in one way everywhere."""
