"""The commands `farnear serve`, `farnear backup` and `farnear restore`.

`serve` wires settings, metrics, pipeline and server together, and runs them until told to end. Only light modules are
imported before a command runs.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from farnear.command import Command, RefusedError

from farnear_service.config import ServeConfig, add_arguments, is_loopback, read_config, split_address

if TYPE_CHECKING:
    from farnear_service.backup import Backup

# One owner of the threads: FAISS, BLAS and OpenMP get one each, the embedder's own pool has the rest. Left alone, two
# servers on two cores were measured at 11 requests/s in place of 226. Must stand before NumPy is imported.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT; returns 0 after a clean end."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = "1"
    import asyncio
    import logging

    from farnear_service.errors import ServiceError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells which of its builds it tried
    try:
        asyncio.run(_serve(read_config(arguments), as_json=arguments.json))
    except ServiceError as error:
        raise RefusedError(str(error)) from error
    return 0


async def _serve(config: ServeConfig, *, as_json: bool) -> None:
    import asyncio
    import signal

    from prometheus_client import start_http_server

    from farnear_service.metrics import Metrics
    from farnear_service.pipeline import Catalog, CatalogSettings, ModelSettings, Pipeline
    from farnear_service.rpc import RpcServer

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    metrics = Metrics()
    settings = CatalogSettings(
        model=ModelSettings(
            max_waiting=config.max_waiting, threads=config.threads, explain_with_torch=config.explain_with_torch
        )
    )
    catalog = await Catalog.open(config.data, config.bundles, settings, metrics)
    try:
        server = RpcServer(Pipeline(catalog, metrics), metrics)
        host, _ = split_address(config.address)
        port = await server.start(config.address)
        metrics_host, metrics_port = split_address(config.metrics_address)
        try:
            exposition, _ = start_http_server(metrics_port, metrics_host, registry=metrics.registry)
        except OSError as error:
            await server.drain(0)
            raise RefusedError(f"--metrics-address: cannot listen on {config.metrics_address} ({error})") from error
        bundles = {name: bundle.digest for name, bundle in catalog.bundles().items()}
        _announce(config, f"{host}:{port}", f"{metrics_host}:{exposition.server_port}", bundles, as_json=as_json)
        await stop.wait()
        print("farnear: draining", file=sys.stderr, flush=True)
        await server.drain(config.grace_seconds)
        exposition.shutdown()
        exposition.server_close()
    finally:
        await catalog.close()


def _announce(
    config: ServeConfig, address: str, metrics_address: str, bundles: dict[str, str], *, as_json: bool
) -> None:
    if not is_loopback(config.address):
        print(
            f"farnear: warning: {address} can be reached from other machines, without encryption or a password",
            file=sys.stderr,
        )
    if as_json:
        line = json.dumps({"address": address, "metrics_address": metrics_address, "bundles": bundles})
        print(line, flush=True)
        return
    for name, digest in bundles.items():
        print(f"farnear: bundle {name} = {digest[:12]}")
    print(f"farnear: metrics on http://{metrics_address}/metrics")
    print(f"farnear: serving on {address}", flush=True)


def _add_backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes the state of a data directory at one moment to a new folder: the store and the bundles that it uses,\n"
        "with their SHA-256 sums. A server may serve the directory meanwhile and goes on taking writes."
    )
    parser.epilog = "example: farnear backup --data ./data ./backup-monday"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data directory")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to make; refused where it exists")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def _add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Makes a data directory of a backup, once every sum, the store and its bundles were checked. A backup that\n"
        "is damaged, incomplete, of a newer version, or under another bundle than it should be is refused."
    )
    parser.epilog = "example: farnear restore ./backup-monday --data ./data --bundle bridges=eade46b10b81"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("backup", type=Path, metavar="BACKUP", help="a folder that farnear backup wrote")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data directory; empty or absent")
    parser.add_argument(
        "--bundle",
        type=_named_digest,
        action="append",
        default=[],
        metavar="NAME=DIGEST",
        help="refuse unless NAME, and every collection under it, is the bundle whose digest begins like this;"
        " may be given again",
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def _named_digest(text: str) -> tuple[str, str]:
    name, _, digest = text.partition("=")
    if not (name and re.fullmatch("[0-9a-f]{12,64}", digest)):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=DIGEST with 12 to 64 hex digits")
    return name, digest


def _backup(arguments: argparse.Namespace) -> int:
    from farnear_service.backup import take_backup
    from farnear_service.errors import ServiceError

    try:
        backup = take_backup(arguments.data, arguments.out)
    except ServiceError as error:
        raise RefusedError(str(error)) from error
    _tell("backed up", backup, arguments.out, as_json=arguments.json)
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from farnear_service.backup import restore_backup
    from farnear_service.errors import ServiceError

    try:
        backup = restore_backup(arguments.backup, arguments.data, expected=arguments.bundle)
    except ServiceError as error:
        raise RefusedError(str(error)) from error
    _tell("restored", backup, arguments.data, as_json=arguments.json)
    return 0


def _tell(done: str, backup: "Backup", path: Path, *, as_json: bool) -> None:
    if as_json:
        collections = [
            {"name": one.name, "items": count, "bundle": one.bundle_name, "bundle_digest": one.bundle_digest}
            for one, count in backup.collections
        ]
        print(json.dumps({"path": str(path), "bytes": backup.size, "collections": collections}))
        return
    for one, count in backup.collections:
        print(f"farnear: collection {one.name}: {count:,} items under {one.bundle_name} = {one.bundle_digest[:12]}")
    print(f"farnear: {done} {backup.size / 1e6:,.1f} MB to {path}")


COMMANDS = (
    Command(
        name="serve", help="serve collections over gRPC", add_arguments=add_arguments, run=run, extra="service,cpu"
    ),
    Command(
        name="backup",
        help="copy a data directory, also while it is served",
        add_arguments=_add_backup_arguments,
        run=_backup,
        extra="service",
    ),
    Command(
        name="restore",
        help="make a data directory of a backup",
        add_arguments=_add_restore_arguments,
        run=_restore,
        extra="service",
    ),
)
