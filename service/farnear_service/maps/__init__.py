"""The t-SNE map of a collection: fitted in a process of its own, and then a place for every item, old and new.

`settings.py` says how maps are made, `fitting.py` makes one, `fitted.py` is what it leaves and places on it, `saved.py`
keeps it through a restart, `drift.py` tells when it is outgrown. `tsne.py` is all that knows openTSNE, which is
large: the first fit or placement imports it, and nothing else.
"""

from farnear_service.maps.drift import Drift
from farnear_service.maps.fitted import FittedMap
from farnear_service.maps.fitting import Fit, fit_map
from farnear_service.maps.quality import distances_to_nearest
from farnear_service.maps.saved import load_map, save_map
from farnear_service.maps.settings import MapSettings, check_enough

__all__ = [
    "Drift",
    "Fit",
    "FittedMap",
    "MapSettings",
    "check_enough",
    "distances_to_nearest",
    "fit_map",
    "load_map",
    "save_map",
]
