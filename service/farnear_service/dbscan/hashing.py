"""A hash map from int64 keys to rows: open addressing with linear probing (Knuth, TAOCP vol. 3, section 6.4).

The keys stay where they are, in an array of the caller's. The map is a table int32 of rows, -1 where nothing is; its
length is a power of two and at least twice the number of entries, so that a probe ends after a few places.
"""

import numpy as np
from numpy.typing import NDArray

from farnear_service.compiled import compiled

EMPTY = -1

Table = NDArray[np.int32]
Keys = NDArray[np.int64]
Key = int | np.int64


def new_table(capacity: int) -> Table:
    """A table for up to `capacity` entries."""
    return np.full(1 << max(4, (2 * capacity - 1).bit_length()), EMPTY, np.int32)


@compiled
def find(table: Table, keys: Keys, key: Key) -> np.int32:
    """The row with that key, or -1."""
    place = _home(table, key)
    row: np.int32 = table[place]
    while row != EMPTY and keys[row] != key:
        place = (place + 1) & (table.size - 1)
        row = table[place]
    return row


@compiled
def put(table: Table, keys: Keys, row: np.int32) -> None:
    """Enters a row by its key, which no entry has."""
    place = _home(table, keys[row])
    while table[place] != EMPTY:
        place = (place + 1) & (table.size - 1)
    table[place] = row


@compiled
def drop(table: Table, keys: Keys, row: np.int32) -> None:
    """Removes the entry of a row, and closes the hole so that no later entry is cut off (Knuth's algorithm R)."""
    mask = table.size - 1
    hole = _home(table, keys[row])
    while table[hole] != row:
        hole = (hole + 1) & mask
    place = (hole + 1) & mask
    while table[place] != EMPTY:
        # An entry may move into the hole if its home does not lie behind the hole.
        if (place - _home(table, keys[table[place]])) & mask >= (place - hole) & mask:
            table[hole] = table[place]
            hole = place
        place = (place + 1) & mask
    table[hole] = EMPTY


@compiled
def _home(table: Table, key: Key) -> np.int64:
    mixed = np.uint64(key)  # MurmurHash3's finaliser: every bit of the key moves every bit
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return np.int64(mixed & np.uint64(table.size - 1))
