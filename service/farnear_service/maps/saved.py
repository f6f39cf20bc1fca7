"""A map on disk, for the next start."""

import logging
import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from farnear_service.maps.fitted import FittedMap

log = logging.getLogger(__name__)


def save_map(fitted: FittedMap, path: Path) -> None:
    """Writes a map so that a restart finds the same one: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        np.savez(
            stream,
            version=np.array(fitted.version),
            perplexity=np.array(fitted.perplexity),
            item_count=np.array(fitted.item_count),
            newest_key=np.array(fitted.newest_key),
            reach=np.array(fitted.reach),
            keys=fitted.keys,
            vectors=fitted.vectors,
            positions=fitted.positions,
        )
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def load_map(path: Path, dim: int, version: int) -> FittedMap | None:
    """The map of `dim`-dimensional vectors that `save_map` wrote, if it is this version.

    None where there is none or it cannot be used: a map is derived, and a fresh one is fitted in its place.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            if int(saved["version"]) != version:
                return None
            fitted = FittedMap(
                version=version,
                perplexity=float(saved["perplexity"]),
                item_count=int(saved["item_count"]),
                newest_key=int(saved["newest_key"]),
                reach=float(saved["reach"]),
                keys=saved["keys"],
                vectors=saved["vectors"],
                positions=saved["positions"],
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError, BadZipFile) as error:
        log.warning("map %s cannot be read and is fitted anew (%s)", path, error)
        return None
    shapes = fitted.keys.shape, fitted.vectors.shape, fitted.positions.shape
    count = fitted.keys.size
    if shapes != ((count,), (count, dim), (count, 2)) or not np.isfinite(fitted.positions).all():
        log.warning("map %s is of another collection and is fitted anew", path)
        return None
    return fitted
