import dataclasses
import random
import shutil
from pathlib import Path

import numpy as np
from farnear_service.maps import FittedMap, load_map, save_map
from farnear_service.types import FloatArray

DIM = 4


def test_a_saved_map_places_as_before(fitted: FittedMap, newcomers: FloatArray, tmp_path: Path) -> None:
    path = tmp_path / "maps" / "1.npz"
    save_map(fitted, path)
    loaded = load_map(path, DIM, 1)
    assert loaded is not None
    for field in dataclasses.fields(FittedMap):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(fitted, field.name))
    np.testing.assert_array_equal(loaded.place(newcomers), fitted.place(newcomers))
    assert [entry.name for entry in path.parent.iterdir()] == ["1.npz"]


def test_a_map_is_saved_over_the_one_before(fitted: FittedMap, tmp_path: Path) -> None:
    path = tmp_path / "1.npz"
    save_map(fitted, path)
    save_map(dataclasses.replace(fitted, version=2), path)
    assert load_map(path, DIM, 1) is None
    loaded = load_map(path, DIM, 2)
    assert loaded is not None
    assert loaded.version == 2


def test_what_is_no_map_is_none(fitted: FittedMap, tmp_path: Path) -> None:
    assert load_map(tmp_path / "nothing.npz", DIM, 1) is None
    assert load_map(tmp_path, DIM, 1) is None
    path = tmp_path / "1.npz"
    for content in (b"", b"text", b"PK\x03\x04", bytes(1000), b"\x80\x04N.", b"\x93NUMPY"):
        path.write_bytes(content)
        assert load_map(path, DIM, 1) is None
    np.savez(path, other=np.zeros(3))
    assert load_map(path, DIM, 1) is None


def test_a_plain_array_is_no_map(tmp_path: Path) -> None:
    with (tmp_path / "1.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert load_map(tmp_path / "1.npz", DIM, 1) is None


def test_a_truncated_map_is_none(fitted: FittedMap, tmp_path: Path) -> None:
    path, cut = tmp_path / "1.npz", tmp_path / "cut.npz"
    save_map(fitted, path)
    data = path.read_bytes()
    for size in range(0, len(data), 97):
        cut.write_bytes(data[:size])
        assert load_map(cut, DIM, 1) is None


def test_a_damaged_map_is_none_or_the_same(fitted: FittedMap, tmp_path: Path) -> None:
    path, damaged = tmp_path / "1.npz", tmp_path / "damaged.npz"
    save_map(fitted, path)
    data = path.read_bytes()
    chance = random.Random(0)
    # One byte of every other one at the end, where the directory of the file is, and some in what is before.
    places = [*range(len(data) - 700, len(data), 2), *chance.sample(range(len(data) - 700), 300)]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        damaged.write_bytes(changed)
        loaded = load_map(damaged, DIM, 1)
        if loaded is not None:
            for field in dataclasses.fields(FittedMap):
                np.testing.assert_array_equal(getattr(loaded, field.name), getattr(fitted, field.name))


def test_a_write_that_was_cut_off_leaves_the_map_before(fitted: FittedMap, tmp_path: Path) -> None:
    path = tmp_path / "1.npz"
    save_map(fitted, path)
    shutil.copy(path, tmp_path / "whole")
    (tmp_path / "1.tmp").write_bytes(path.read_bytes()[:100])
    assert load_map(path, DIM, 1) is not None
    save_map(dataclasses.replace(fitted, version=5), path)
    assert load_map(path, DIM, 5) is not None


def test_a_map_of_vectors_of_another_length_is_none(fitted: FittedMap, tmp_path: Path) -> None:
    save_map(fitted, tmp_path / "1.npz")
    assert load_map(tmp_path / "1.npz", 3, 1) is None
