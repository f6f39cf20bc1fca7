import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from farnear.__main__ import load_commands, run
from farnear.command import Command, RefusedError
from farnear.errors import DeadlineExceededError, UnavailableError

Capture = pytest.CaptureFixture[str]


def command(action: Callable[[argparse.Namespace], int], extra: str | None = None) -> dict[str, tuple[Command, ...]]:
    def declare(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--size", type=int, default=3)

    return {"group": (Command(name="act", help="acts", add_arguments=declare, run=action, extra=extra),)}


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def action(arguments: argparse.Namespace) -> int:
        raise error

    return action


def test_a_command_gets_its_arguments_and_gives_its_code() -> None:
    assert run(command(lambda arguments: arguments.size), ["act"]) == 3
    assert run(command(lambda arguments: arguments.size), ["act", "--size", "7"]) == 7


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RefusedError("DATA holds\nno images"), "farnear: DATA holds no images"),
        (DeadlineExceededError("host:1: no answer within 60 s"), "farnear: host:1: no answer within 60 s"),
        (
            UnavailableError("host:1: refused"),
            "farnear: no service at host:1: refused; start one with 'farnear serve --data DIR --bundle NAME=PATH', "
            "or name another with --address",
        ),
    ],
)
def test_a_refusal_is_one_line_and_code_1(error: Exception, line: str, capsys: Capture) -> None:
    assert run(command(raising(error)), ["act"]) == 1
    assert capsys.readouterr() == ("", f"{line}\n")


def test_a_missing_extra_names_what_to_install(capsys: Capture) -> None:
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert run(command(raising(error), extra="training"), ["act"]) == 1
    assert capsys.readouterr().err == "farnear: act needs torch, missing here: pip install 'farnear[training]'\n"


@pytest.mark.parametrize(("name", "extra"), [("torch", None), ("farnear_training.models", "training")])
def test_a_module_that_no_extra_brings_is_a_fault(name: str, extra: str | None) -> None:
    with pytest.raises(ModuleNotFoundError):
        run(command(raising(ModuleNotFoundError(name=name)), extra=extra), ["act"])


def test_ctrl_c_is_code_130_without_a_word(capsys: Capture) -> None:
    assert run(command(raising(KeyboardInterrupt())), ["act"]) == 130
    assert capsys.readouterr() == ("", "")


def test_any_other_error_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(command(raising(ZeroDivisionError())), ["act"])


@pytest.mark.parametrize("argv", [[], ["unknown"], ["act", "--size", "large"], ["act", "surplus"]])
def test_wrong_usage_is_code_2(argv: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        run(command(raising(AssertionError())), argv)
    assert stop.value.code == 2
    assert "usage: farnear" in capsys.readouterr().err


def test_help_lists_the_commands_by_group(capsys: Capture) -> None:
    (act,) = command(raising(AssertionError()))["group"]
    with pytest.raises(SystemExit) as stop:
        run({"client": (act,), "plugin": (Command(**{**vars(act), "name": "other"}),)}, ["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "ask a service:\n  act           acts\n\nplugin:\n  other         acts\n" in out


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        run({}, ["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("farnear 0.")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes modules `farnear_toy_...` and offers entry points `name=module` of them."""
    monkeypatch.syspath_prepend(tmp_path)

    def offer(sources: dict[str, str], **entries: str) -> None:
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
        points = [
            EntryPoint(name=name, value=f"{module}:COMMANDS", group="farnear.commands")
            for name, module in entries.items()
        ]
        monkeypatch.setattr("farnear.__main__.entry_points", lambda *, group: points)

    yield offer
    for name in [name for name in sys.modules if name.startswith("farnear_toy")]:
        del sys.modules[name]


def test_commands_come_in_the_order_of_a_first_visit(modules: Callable[..., None]) -> None:
    modules(
        {"farnear_toy_a": "COMMANDS = ('a command',)"},
        **dict.fromkeys(["zoo", "client", "art", "demo"], "farnear_toy_a"),
    )
    assert list(load_commands()) == ["demo", "client", "art", "zoo"]


def test_a_module_that_is_not_installed_offers_nothing(modules: Callable[..., None]) -> None:
    modules(
        {"farnear_toy_b": "COMMANDS = ('a command',)"}, client="farnear_toy_b", service="farnear_toy_absent.__main__"
    )
    assert list(load_commands()) == ["client"]


def test_a_module_without_commands_is_no_group(modules: Callable[..., None]) -> None:
    modules({"farnear_toy_d": "COMMANDS = ()"}, client="farnear_toy_d")
    assert load_commands() == {}


def test_a_module_that_fails_to_import_another_is_a_fault(modules: Callable[..., None]) -> None:
    modules({"farnear_toy_c": "import farnear_toy_absent"}, client="farnear_toy_c")
    with pytest.raises(ModuleNotFoundError, match="farnear_toy_absent"):
        load_commands()


def test_the_client_commands_are_found() -> None:
    names = {entry.name: entry.value for entry in entry_points_of_the_distribution()}
    assert names["client"] == "farnear.commands:COMMANDS"


def entry_points_of_the_distribution() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group="farnear.commands")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    source = (
        "import sys\n"
        "from farnear.__main__ import run\n"
        "from farnear.command import Command\n"
        "def act(arguments):\n"
        "    for _ in range(100_000): sys.stdout.write('line\\n')\n"
        "    return 0\n"
        "command = Command(name='act', help='acts', add_arguments=lambda parser: None, run=act)\n"
        "sys.exit(run({'group': (command,)}, ['act']))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as closed_pipe:
        result = subprocess.run(
            [sys.executable, "-c", source], stdout=closed_pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (result.returncode, result.stderr) == (141, "")
