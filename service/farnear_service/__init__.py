"""Farnear service: a model bundle -> answers."""
