"""The files around the packages say what the packages do."""

import argparse
import json
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from farnear_service.config import add_arguments, read_config
from farnear_service.metrics import Metrics
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"

SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["", "_bucket", "_count", "_sum"]}


@pytest.mark.parametrize("file", ["README.md", "prometheus/rules.yaml", "prometheus/rules.test.yaml"])
def test_every_metric_that_deploy_names_is_exported(file: str) -> None:
    families = list(Metrics().registry.collect())
    exported = {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}
    named = set(re.findall(r"\bfarnear_\w+", (DEPLOY / file).read_text()))
    assert len(named) >= 4
    assert named <= exported


def image_arguments() -> list[str]:
    found = re.search(r"^CMD (\[.*\])$", (DEPLOY / "service.Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


def test_the_image_starts_serve_with_arguments_that_it_has() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    config = read_config(parser.parse_args(image_arguments()))
    exposed = re.search(r"^EXPOSE (.*)$", (DEPLOY / "service.Dockerfile").read_text(), re.MULTILINE)
    assert exposed is not None
    assert config.data == Path("/data")
    assert [config.address, config.metrics_address] == [f"0.0.0.0:{port}" for port in exposed[1].split()]


def test_compose_starts_the_image_with_its_own_arguments_and_more() -> None:
    found = re.search(r"^    command: (--.*) \$\{FARNEAR_SERVE_ARGS:-\}$", (DEPLOY / "compose.yaml").read_text(), re.M)
    assert found is not None
    assert found[1].split() == image_arguments()


def healthcheck(address: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEPLOY / "healthcheck.py"), address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def answering(status: health_pb2.HealthCheckResponse.ServingStatus) -> Iterator[str]:
    """The address of a server of that health."""
    with ThreadPoolExecutor(1) as workers:
        server = grpc.server(workers)
        servicer = health.HealthServicer()
        servicer.set("", status)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_healthcheck_passes_a_server_that_serves() -> None:
    with answering(health_pb2.HealthCheckResponse.SERVING) as address:
        done = healthcheck(address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_healthcheck_fails_a_server_that_drains() -> None:
    with answering(health_pb2.HealthCheckResponse.NOT_SERVING) as address:
        done = healthcheck(address)
    assert (done.returncode, done.stderr) == (1, f"{address}: NOT_SERVING\n")


def test_healthcheck_fails_where_nobody_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens, so that nobody else can either
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        done = healthcheck(address)
    assert (done.returncode, done.stderr) == (1, f"{address}: UNAVAILABLE\n")


def test_the_changelog_opens_with_the_version_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == project["version"]
