import argparse
from pathlib import Path

import pytest
from farnear.command import RefusedError
from farnear_training.arguments import add_number, between, refuse_unwritable, whole


@pytest.mark.parametrize(("text", "value"), [("2", 2), ("10", 10), ("007", 7)])
def test_whole_numbers_within_bounds_are_read(text: str, value: int) -> None:
    assert whole(2, 10)(text) == value


@pytest.mark.parametrize("text", ["1", "11", "-3", "2.5", "many", "", "1" * 13])
def test_other_texts_are_no_such_whole_numbers(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}'; allowed is a whole number from 2 to 10"):
        whole(2, 10)(text)


def test_numbers_between_are_read() -> None:
    assert between(0, 1)("1e-3") == 0.001


@pytest.mark.parametrize("text", ["0", "1", "nan", "inf", "half"])
def test_other_texts_are_no_such_numbers(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}'; allowed is a number above 0 and below 1"):
        between(0, 1)(text)


def test_the_help_tells_the_default() -> None:
    parser = argparse.ArgumentParser()
    add_number(parser, "--count", 5, whole(1, 9), "how many")
    assert parser.parse_args([]).count == 5
    assert "how many (default: 5)" in parser.format_help()


def test_a_path_that_can_be_made_is_not_made_yet(tmp_path: Path) -> None:
    refuse_unwritable("--out", tmp_path / "new" / "deep" / "b")
    assert not list(tmp_path.iterdir())


def test_a_path_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match=r"--out: nothing can be written to .*/file \(Not a directory\)"):
        refuse_unwritable("--out", tmp_path / "file" / "b")


def test_a_folder_that_lets_nobody_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str, mode: int) -> None:  # as for all but root, for whom no folder is closed
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.mkdir", denied)
    with pytest.raises(RefusedError, match=r"--out: nothing can be written to .* \(Permission denied\)"):
        refuse_unwritable("--out", tmp_path / "b")
