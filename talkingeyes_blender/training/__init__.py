"""Data, losses, loop and the stages that train the networks of ``inference``."""
