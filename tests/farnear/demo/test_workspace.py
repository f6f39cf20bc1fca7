from pathlib import Path

import pytest
from farnear.command import RefusedError
from farnear.demo.workspace import MARK, Workspace

SETTINGS = {"iterations": 10, "seed": 0}


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def finished(folder: Path) -> Workspace:
    """A work folder whose training came to its end."""
    workspace = Workspace(folder)
    workspace.open(SETTINGS, reuse=False)
    workspace.training_record.write_text("{}")
    workspace.bundle.mkdir()
    return workspace


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_is_taken(folder: Path, exists: bool) -> None:
    if exists:
        folder.mkdir()
    assert not Workspace(folder).open(SETTINGS, reuse=False)
    assert names(folder) == [MARK]


def test_a_folder_of_someone_else_is_refused_and_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    with pytest.raises(RefusedError, match="was not made by farnear demo"):
        Workspace(folder).open(SETTINGS, reuse=False)
    assert names(folder) == ["thesis.txt"]


def test_a_file_is_refused(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(RefusedError, match="is not a folder"):
        Workspace(folder).open(SETTINGS, reuse=False)


def test_a_run_starts_afresh(finished: Workspace) -> None:
    assert not finished.open(SETTINGS, reuse=False)
    assert names(finished.folder) == [MARK]


def test_what_links_point_to_is_not_deleted(finished: Workspace, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "photo.png").write_text("")
    (finished.folder / "link").symlink_to(tmp_path / "elsewhere")
    finished.open(SETTINGS, reuse=False)
    assert names(finished.folder) == [MARK]
    assert (tmp_path / "elsewhere" / "photo.png").exists()


def test_reuse_keeps_a_run_of_the_same_settings(finished: Workspace) -> None:
    assert finished.open(SETTINGS, reuse=True)
    assert finished.bundle.exists()


def test_reuse_starts_afresh_with_other_settings(finished: Workspace) -> None:
    assert not finished.open({**SETTINGS, "seed": 1}, reuse=True)
    assert not finished.bundle.exists()


def test_reuse_starts_afresh_where_training_was_interrupted(finished: Workspace) -> None:
    finished.training_record.unlink()
    assert not finished.open(SETTINGS, reuse=True)


def test_reuse_starts_afresh_where_the_mark_is_cut_off(finished: Workspace) -> None:
    (finished.folder / MARK).write_text('{"iterations"')
    assert not finished.open(SETTINGS, reuse=True)
