"""The settings of `farnear serve`, read from its arguments."""

import argparse
import ipaddress
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How one server runs. `bundles` are paths by name; `threads` are ONNX Runtime's and Torch's, each."""

    data: Path
    address: str
    metrics_address: str
    bundles: dict[str, Path]
    threads: int
    max_waiting: int
    explain_with_torch: bool
    grace_seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `farnear serve`."""
    parser.description = (
        "Serves collections of images over gRPC. Everything it knows lies in the data directory, bundles too,\n"
        "so a restart needs no --bundle. It ends on SIGTERM or Ctrl-C after the calls under way."
    )
    parser.epilog = (
        "example: farnear serve --data ./data --bundle bridges=./bridges-bundle\n"
        "then:    farnear collections create spans --bundle bridges"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data directory; made where absent")
    parser.add_argument(
        "--address",
        type=_address,
        default="127.0.0.1:50051",
        metavar="HOST:PORT",
        help="where to listen; port 0 takes any free one and prints it (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics-address",
        type=_address,
        default="127.0.0.1:9464",
        metavar="HOST:PORT",
        help="where Prometheus reads metrics, at /metrics (default: %(default)s)",
    )
    parser.add_argument(
        "--bundle",
        type=_bundle,
        action=_Bundles,
        default={},
        metavar="NAME=PATH",
        help="a model bundle to copy into the data directory and serve as NAME; may be given again",
    )
    parser.add_argument(
        "--threads",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="threads of the embedder (default: the number of cores, %(default)s here)",
    )
    parser.add_argument(
        "--max-waiting",
        type=_positive,
        default=256,
        metavar="N",
        help="images that may wait to be embedded before searches are refused (default: %(default)s)",
    )
    parser.add_argument(
        "--explain-with",
        choices=("graph", "torch"),
        default="graph",
        help="graph: heat maps from the bundle's graph where it gives them, else from Torch; torch: always from Torch",
    )
    parser.add_argument(
        "--grace",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long calls under way may take to end on SIGTERM (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the ready line as JSON")


def read_config(arguments: argparse.Namespace) -> ServeConfig:
    """The settings that parsed arguments stand for."""
    return ServeConfig(
        data=arguments.data,
        address=arguments.address,
        metrics_address=arguments.metrics_address,
        bundles=arguments.bundle,
        threads=arguments.threads,
        max_waiting=arguments.max_waiting,
        explain_with_torch=arguments.explain_with == "torch",
        grace_seconds=arguments.grace,
    )


def split_address(address: str) -> tuple[str, int]:
    """Host, without the brackets of IPv6, and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT with a port of 0 to 65535")
    return text


class _Bundles(argparse.Action):
    """Gathers NAME=PATH into one dict and refuses a name that was given before."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(values, tuple)
        name, path = values
        bundles = dict(getattr(namespace, self.dest))
        if name in bundles:
            raise argparse.ArgumentError(self, f"the name {name!r} is given twice")
        setattr(namespace, self.dest, bundles | {name: path})


def _bundle(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=PATH")
    return name, Path(path)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds of 0 or more")
    return value


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return value
