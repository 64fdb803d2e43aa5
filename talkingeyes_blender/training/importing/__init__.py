"""Tracked faces from elsewhere into the one dataset layout: a reader for each source, one way in for all of them."""
