import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from farnear.demo import COMMANDS


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    COMMANDS[0].add_arguments(parser)
    return parser


def test_the_defaults_need_no_argument(parser: argparse.ArgumentParser) -> None:
    arguments = parser.parse_args([])
    assert (arguments.work, arguments.report) == (Path("demo-work"), Path("demo-report"))
    assert not arguments.reuse
    assert not arguments.json


@pytest.mark.parametrize(
    "wrong",
    [["--iterations", "0"], ["--iterations", "many"], ["--image-size", "60"], ["--seed", "-1"], ["--seed", "²"]],
)
def test_wrong_numbers_are_wrong_usage(
    parser: argparse.ArgumentParser, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(wrong)
    assert f"argument {wrong[0]}: {wrong[1]!r}; allowed is a whole number" in capsys.readouterr().err


def test_declaring_the_command_loads_nothing_heavy() -> None:
    heavy = ("grpc", "jinja2", "matplotlib", "numpy", "PIL", "tqdm")
    code = f"import sys, farnear.demo; sys.exit(' '.join(set({heavy}) & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True).stderr.strip() == ""
    )
