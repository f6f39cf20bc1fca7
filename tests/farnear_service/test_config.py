import argparse
from pathlib import Path

import pytest
from farnear_service.config import ServeConfig, add_arguments, is_loopback, read_config, split_address


def parsed(*argv: str) -> ServeConfig:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_config(parser.parse_args(["--data", "d", *argv]))


def test_defaults() -> None:
    config = parsed()
    assert config.data == Path("d")
    assert (config.address, config.metrics_address) == ("127.0.0.1:50051", "127.0.0.1:9464")
    assert config.bundles == {}
    assert config.threads >= 1


def test_every_argument_is_taken_over() -> None:
    config = parsed(
        *("--address", "[::1]:0", "--metrics-address", "0.0.0.0:1", "--bundle", "a=/x=y", "--bundle", "b=z"),
        *("--threads", "3", "--max-waiting", "7", "--grace", "0.5"),
    )
    assert (config.address, config.metrics_address) == ("[::1]:0", "0.0.0.0:1")
    assert config.bundles == {"a": Path("/x=y"), "b": Path("z")}
    assert (config.threads, config.max_waiting, config.grace_seconds) == (3, 7, 0.5)


@pytest.mark.parametrize(
    "argv",
    [
        ("--address", "50051"),
        ("--address", ":50051"),
        ("--address", "localhost:"),
        ("--address", "localhost:65536"),
        ("--address", "::1:50051"),
        ("--address", "localhost:-1"),
        ("--address", "local host:1"),
        ("--metrics-address", "x"),
        ("--bundle", "name"),
        ("--bundle", "=path"),
        ("--bundle", "name="),
        ("--threads", "0"),
        ("--threads", "two"),
        ("--max-waiting", "-1"),
        ("--grace", "soon"),
        ("--grace", "-1"),
        ("--grace", "nan"),
    ],
)
def test_bad_arguments_are_usage_errors(argv: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*argv)
    assert ended.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_a_bundle_name_given_twice_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two paths for one name neither may be dropped in silence."""
    with pytest.raises(SystemExit):
        parsed("--bundle", "a=x", "--bundle", "a=y")
    assert "--bundle" in capsys.readouterr().err


def test_addresses_are_split_at_their_last_colon() -> None:
    assert split_address("127.0.0.1:0") == ("127.0.0.1", 0)
    assert split_address("[fe80::1]:65535") == ("fe80::1", 65535)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.1.2.3:1", "localhost:1", "[::1]:1"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1", "127.example.org:1"])
def test_other_machines_can_reach_the_rest(address: str) -> None:
    assert not is_loopback(address)
