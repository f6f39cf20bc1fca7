import subprocess
import sys

import farnear
import pytest

HEAVY = ["numpy", "PIL", "torch", "onnxruntime", "faiss", "sklearn"]


def imported(statement: str, names: list[str]) -> list[str]:
    code = f"import sys\n{statement}\nprint(*[name for name in {names!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def test_the_client_needs_no_array_library() -> None:
    assert imported("import farnear; farnear.Client; farnear.AsyncClient; import farnear.indexing", HEAVY) == []


def test_the_command_line_declares_itself_without_grpc() -> None:
    statement = (
        "from farnear.__main__ import run\nfrom farnear.commands import COMMANDS\n"
        "try:\n    run({'client': COMMANDS}, ['--version'])\nexcept SystemExit:\n    pass"
    )
    assert imported(statement, [*HEAVY, "grpc", "google.protobuf", "tqdm"]) == ["farnear", farnear_version()]


def farnear_version() -> str:
    from importlib.metadata import version

    return version("farnear")


def test_every_name_that_is_promised_is_there() -> None:
    assert [name for name in farnear.__all__ if getattr(farnear, name, None) is None] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Clinet'"):
        farnear.Clinet  # noqa: B018 - the access is what is tested
