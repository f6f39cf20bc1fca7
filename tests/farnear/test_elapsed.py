import io
from threading import Thread
from threading import enumerate as threads

import pytest
from farnear.elapsed import elapsed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tickers() -> set[Thread]:
    """The threads that keep a line current, among all that other tests may have left to end."""
    return {thread for thread in threads() if "tick" in thread.name}


def test_a_terminal_sees_the_text_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    before = tickers()
    with elapsed("fitting a map"):
        assert "fitting a map: 00:00" in terminal.getvalue()
        assert tickers() - before
    assert not tickers() - before


def test_elsewhere_it_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with elapsed("fitting a map"):
        pass
    assert capsys.readouterr() == ("", "")


def test_what_the_body_raises_comes_through() -> None:
    before = tickers()
    with pytest.raises(KeyError), elapsed("fitting a map"):
        raise KeyError
    assert not tickers() - before
