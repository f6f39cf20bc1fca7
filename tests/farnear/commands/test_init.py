import argparse
import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from farnear.commands import COMMANDS

from tests.farnear.fake import FakeService

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def json_of(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["similar", "--collection", "cells"], "required: IMAGE"),
        (["similar", "id:a"], "required: --collection"),
        (["similar", "id:a", "--collection", "cells", "-k", "many"], "argument -k: 'many' is not a whole number"),
        (["similar", "id:a", "--collection", "cells", "-k", "2147483648"], "argument -k: 2147483648 is out of range"),
        (["similar", "id:a", "--collection", "cells", "--timeout", "0"], "--timeout: '0' is not a number of seconds"),
        (["similar", "id:a", "--collection", "cells", "--timeout", "nan"], "--timeout: 'nan' is not a number"),
        (["similar", "id:\udcff", "--collection", "cells"], "argument IMAGE: not UTF-8"),
        (["similar", "id:a", "--collection", "\udcff"], "argument --collection: not UTF-8"),
        (["similar", "id:a", "--collection", "cells", "--pages", "0"], "argument --pages: 0 is not 1 or more"),
        (["similar", "id:a", "--collection", "cells", "--pages", "some"], "--pages: 'some' is not a whole number"),
        (
            ["similar", "id:a", "--collection", "cells", "--where", "severity >= high"],
            "argument --where: column 13: expected a value, such as 3, 'text', true or @2026-11-22, found 'high'",
        ),
        (["both", "id:a", "--collection", "cells", "--where", "label = '\udcff'"], "argument --where: not UTF-8"),
        (["items", "list", "--collection", "cells", "--limit", "-1"], "argument --limit: -1 is not 1 or more"),
        (["items", "delete", "--collection", "cells"], "required: ITEM"),
        (["items", "image", "a", "--collection", "cells"], "required: --out"),
        (["recommend", "--collection", "cells"], "one of the arguments --mode --novelty is required"),
        (
            ["recommend", "--collection", "cells", "--mode", "similar", "--novelty", "0.5"],
            "--novelty: not allowed with argument --mode",
        ),
        (["recommend", "--collection", "cells", "--mode", "new"], "--mode: invalid choice: 'new' (choose from"),
        (["recommend", "--collection", "cells", "--novelty", "much"], "argument --novelty: 'much' is not a number"),
        (["interactions", "record", "--collection", "cells", "--like", "a"], "required: --user"),
        (["activate", "cells"], "required: BUNDLE"),
        (
            ["collections", "create", "cells", "--bundle", "toy", "--attribute", "severity"],
            "argument --attribute: 'severity' is not NAME=TYPE with one of string, number, bool, timestamp",
        ),
        (
            ["collections", "create", "cells", "--bundle", "toy", "--attribute", "severity=int"],
            "argument --attribute: 'severity=int' is not NAME=TYPE",
        ),
        (["collections", "create", "cells", "--bundle", "toy", "--keep", "all"], "--keep: invalid choice: 'all'"),
        (["collections", "create", "cells", "--bundle", "toy", "--index", "fast"], "--index: invalid choice: 'fast'"),
        (
            ["collections", "create", "cells", "--bundle", "toy", "--target-recall", "1"],
            "argument --target-recall: 1 is not above 0 and below 1",
        ),
        (
            ["index", "photos", "--collection", "cells", "--source-base", "/archive"],
            "argument --source-base: '/archive' is no URI such as file:///archive/photos or https://host/photos",
        ),
        (["collections"], "required: ACTION"),
        (["collections", "create", "cells"], "required: --bundle"),
        (["explain", "id:a", "--collection", "cells"], "required: --out"),
    ],
)
def test_wrong_usage_is_code_2(farnear: Farnear, argv: list[str], complaint: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        farnear(*argv)
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert "<" not in err  # no object of ours shows


def helps() -> list[list[str]]:
    """Every command, and every action of those that have some."""
    words = []
    for command in COMMANDS:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        actions = [list(entry.choices) for entry in parser._subparsers._group_actions] if parser._subparsers else [[]]
        words += [[command.name], *([command.name, name] for name in actions[0])]
    return words


@pytest.mark.parametrize("words", helps(), ids=" ".join)
def test_help_teaches_with_examples(words: list[str], farnear: Farnear, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        farnear(*words, "--help")
    assert stop.value.code == 0
    out = capsys.readouterr().out
    examples = re.findall(r"^  farnear (.+)$", out.split("\nexample")[-1], re.MULTILINE)
    assert examples
    for example in examples:
        arguments = shlex.split(example)
        assert arguments[: len(words)] == words
        # What is taught can be typed: no place in it is unknown, or lacks what is required.
        parser = argparse.ArgumentParser()
        next(command for command in COMMANDS if command.name == words[0]).add_arguments(parser)
        parser.parse_args(arguments[1:])
    assert max(map(len, out.splitlines())) <= 120


def test_the_address_given_wins_over_the_environments(
    farnear: Farnear, service: FakeService, cells: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("FARNEAR_ADDRESS", "127.0.0.1:1")
    assert farnear("collections", "list", "--json", "--address", service.address) == 0
    assert [collection["name"] for collection in json_of(capsys)] == [cells]
    assert farnear("collections", "list", "--json") == 1
    assert capsys.readouterr().err.startswith("farnear: no service at 127.0.0.1:1: ")
