import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from farnear.command import RefusedError
from farnear.demo.server import serving

StandIn = Callable[[str], Path]

SERVES = """
import os, signal
def end(*_):
    pathlib.Path(sys.argv[0]).with_name("ended").write_text("by SIGTERM")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[0]).with_name("pid").write_text(str(os.getpid()))
sys.stderr.write("out of luck\\n")
sys.stderr.flush()
print("farnear: metrics on http://127.0.0.1:5/metrics")
print("farnear: serving on 127.0.0.1:6", flush=True)
"""
WAITS = "while True: signal.pause()\n"


def test_it_yields_the_address_and_ends_the_server_after(stand_in: StandIn, tmp_path: Path) -> None:
    argv = stand_in(SERVES + WAITS)
    with serving(data=tmp_path / "d", bundle=tmp_path / "b", name="elpv", log=tmp_path / "log") as address:
        assert address == "127.0.0.1:6"
        assert not (tmp_path / "ended").exists()
    assert (tmp_path / "ended").read_text() == "by SIGTERM"
    asked = json.loads(argv.read_text())[1:]
    assert asked[:3] == ["-m", "farnear", "serve"]
    assert asked[asked.index("--data") + 1] == str(tmp_path / "d")
    assert asked[asked.index("--bundle") + 1] == f"elpv={tmp_path / 'b'}"
    assert asked[asked.index("--address") + 1] == asked[asked.index("--metrics-address") + 1] == "127.0.0.1:0"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), ValueError("of the block")])
def test_it_ends_the_server_also_when_the_block_fails(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr("farnear.demo.server._EXIT_SECONDS", 0.05)
    stand_in(SERVES + WAITS)
    with (
        pytest.raises(type(error)),
        serving(data=tmp_path, bundle=tmp_path, name="elpv", log=tmp_path / "log"),
    ):
        raise error
    assert (tmp_path / "ended").read_text() == "by SIGTERM"


def test_a_server_that_does_not_start_is_refused_with_its_last_words(
    stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in("sys.stderr.write(''.join(f'line {n}\\n' for n in range(40)))\nsys.exit(3)\n")
    with (
        pytest.raises(RefusedError, match="by itself with exit code 3"),
        serving(data=tmp_path, bundle=tmp_path, name="elpv", log=tmp_path / "log"),
    ):
        pytest.fail("the block runs without a server")
    shown = capsys.readouterr().err
    assert "line 39\n" in shown
    assert "line 1\n" not in shown
    assert (tmp_path / "log").read_text().startswith("line 0\n")


def test_a_server_that_dies_is_what_is_told(
    stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(SERVES + WAITS)

    def ask() -> NoReturn:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        raise ConnectionError("no answer")

    with (
        pytest.raises(RefusedError, match="by itself with exit code -9") as caught,
        serving(data=tmp_path, bundle=tmp_path, name="elpv", log=tmp_path / "log"),
    ):
        ask()
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert "out of luck\n" in capsys.readouterr().err
