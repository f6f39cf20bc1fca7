import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from farnear.command import RefusedError
from farnear.demo.training import train
from farnear_training.__main__ import COMMANDS

StandIn = Callable[[str], Path]


def test_its_record_is_what_was_printed_and_the_time(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in('print(json.dumps({"digest": "ab"}))\n')
    record = train(tmp_path / "cells", tmp_path / "bundle", iterations=3, image_size=16, seed=5)
    assert record.pop("seconds") > 0
    assert record == {"digest": "ab"}


def test_farnear_train_understands_what_it_is_asked(stand_in: StandIn, tmp_path: Path) -> None:
    argv = stand_in("print('{}')\n")
    train(tmp_path / "cells", tmp_path / "bundle", iterations=3, image_size=16, seed=5)
    _, *module, name = json.loads(argv.read_text())[:4]
    assert (module, name) == (["-m", "farnear"], "train")
    parser = argparse.ArgumentParser()
    COMMANDS[0].add_arguments(parser)
    arguments = parser.parse_args(json.loads(argv.read_text())[4:])
    assert (arguments.data, arguments.out) == (tmp_path / "cells", tmp_path / "bundle")
    assert (arguments.iterations, arguments.image_size, arguments.seed) == (3, 16, 5)
    assert (arguments.test_fraction, arguments.json) == (0.3, True)


def test_a_training_that_fails_is_refused(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in("sys.exit(4)\n")
    with pytest.raises(RefusedError, match="exit code 4"):
        train(tmp_path / "cells", tmp_path / "bundle", iterations=3, image_size=16, seed=5)
