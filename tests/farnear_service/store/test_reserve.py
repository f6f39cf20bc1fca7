import errno
import os
from pathlib import Path

import pytest
from farnear_service.store.reserve import RESERVE_BYTES, Reserve


def room(path: Path) -> int:
    """The bytes on disk that a file takes."""
    return path.stat().st_blocks * 512


def test_room_is_held_and_given_up(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    reserve.give_up()
    for _ in range(2):
        assert not reserve.is_there()
        reserve.hold()
        reserve.hold()
        assert reserve.is_there()
        assert room(tmp_path / "reserve") >= RESERVE_BYTES
        reserve.give_up()
        assert room(tmp_path / "reserve") == 0


def test_what_a_process_before_held_is_held(tmp_path: Path) -> None:
    Reserve(tmp_path / "reserve").hold()
    again = Reserve(tmp_path / "reserve")
    assert again.is_there()
    again.hold()
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES
    again.give_up()
    assert room(tmp_path / "reserve") == 0


def test_of_less_room_all_is_held_until_there_is_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve, allocate = Reserve(tmp_path / "reserve"), os.posix_fallocate

    def nearly_full(descriptor: int, offset: int, length: int) -> None:
        if offset + length > RESERVE_BYTES // 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(descriptor, offset, length)

    with monkeypatch.context() as on_a_small_disk:
        on_a_small_disk.setattr(os, "posix_fallocate", nearly_full)
        reserve.hold()
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES // 2
    reserve.hold()
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES


def test_where_the_system_has_no_call_for_it_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    reserve = Reserve(tmp_path / "reserve")
    reserve.hold()
    assert not reserve.is_there()


def test_where_nothing_can_be_written_nothing_is_held(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "missing" / "reserve")
    reserve.hold()
    assert not reserve.is_there()
