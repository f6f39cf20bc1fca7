"""Farnear training: images -> a model bundle."""
