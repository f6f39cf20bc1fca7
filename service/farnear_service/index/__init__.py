"""Search at both ends of the cosine scale: exact in one pass over all items, or approximate with a measured recall.

kernel, scan   float32 scores in one pass propose candidates for both ends
ranking        float64 and item ids decide their order
exact          both together, until nothing can be missing
approximate    inverted lists, probed as deep as each end needs
generation     one consistent state of the items, and its search
build          an approximate index of it, calibrated
index          generations one after the other, under one writer at a time
"""

from farnear_service.index.approximate import Approximate
from farnear_service.index.build import build
from farnear_service.index.generation import Generation
from farnear_service.index.index import Index, warm_up
from farnear_service.index.ranking import Position

__all__ = ["Approximate", "Generation", "Index", "Position", "build", "warm_up"]
