"""Images in class folders -> uint8 arrays in memory, and their split into a train and a test part."""

from farnear_training.data.decoding import FORMATS, MAX_PIXELS, decode
from farnear_training.data.errors import DataError
from farnear_training.data.loading import Dataset, load
from farnear_training.data.sources import SUFFIXES
from farnear_training.data.splits import groups_of, split

__all__ = ["FORMATS", "MAX_PIXELS", "SUFFIXES", "DataError", "Dataset", "decode", "groups_of", "load", "split"]
