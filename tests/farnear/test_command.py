import argparse

import pytest
from farnear.command import Command, group


def action(name: str, code: int) -> Command:
    def declare(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--size", type=int, default=code)
        parser.epilog = f"example:\n  act {name}"

    return Command(name=name, help=f"does {name}", add_arguments=declare, run=lambda arguments: arguments.size)


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog="act")


ACT = group(name="act", help="acts", actions=(action("one", 1), action("two", 2)), examples="examples:\n  act one")


def test_the_action_that_is_named_runs(parser: argparse.ArgumentParser) -> None:
    ACT.add_arguments(parser)
    assert [ACT.run(parser.parse_args(argv)) for argv in (["one"], ["two"], ["two", "--size", "7"])] == [1, 2, 7]


@pytest.mark.parametrize("argv", [[], ["three"], ["one", "--colour"]])
def test_an_action_must_be_named_as_it_is(argv: list[str], parser: argparse.ArgumentParser) -> None:
    ACT.add_arguments(parser)
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(argv)
    assert stop.value.code == 2


def test_help_lists_the_actions_and_their_examples_as_written(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    ACT.add_arguments(parser)
    for argv, lines in ((["-h"], ["one", "does one"]), (["two", "-h"], ["does two", "example:\n  act two\n"])):
        with pytest.raises(SystemExit):
            parser.parse_args(argv)
        out = capsys.readouterr().out
        assert all(line in out for line in lines)
