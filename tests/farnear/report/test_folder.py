from pathlib import Path

import pytest
from farnear.command import RefusedError
from farnear.report import folder


def test_a_page_of_the_same_program_may_be_replaced(tmp_path: Path) -> None:
    place = tmp_path / "new" / "report"
    folder.check(place, "farnear test")
    page = folder.write(place, {"index.html": folder.generator("farnear test").encode(), "a.png": b"png"})
    assert page == place / "index.html"
    assert (place / "a.png").read_bytes() == b"png"
    folder.check(place, "farnear test")


def test_a_page_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(folder.generator("farnear demo"))
    with pytest.raises(RefusedError, match=r"--report: .*index\.html was not written by farnear test: name another"):
        folder.check(tmp_path, "farnear test", option="--report")
    with pytest.raises(RefusedError, match=r"--out: .*index\.html is not a folder"):
        folder.check(tmp_path / "index.html", "farnear test")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match=r"cannot make .*file/report: Not a directory"):
        folder.write(tmp_path / "file" / "report", {"index.html": b""})
