"""The command `farnear serve`: wires settings, metrics, pipeline and server together, and runs them until told to end.

Only light modules are imported before the command runs.
"""

import argparse
import json
import os
import sys

from farnear.command import Command, RefusedError

from farnear_service.config import ServeConfig, add_arguments, is_loopback, read_config, split_address

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


COMMANDS = (
    Command(
        name="serve", help="serve collections over gRPC", add_arguments=add_arguments, run=run, extra="service,cpu"
    ),
)
