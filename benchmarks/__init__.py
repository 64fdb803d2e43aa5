"""Measurements: each module is a command that prints a table, with its ratios from one run."""
