"""A real `farnear serve` on the loopback, and a bundle small enough to write on the spot."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import onnx
from farnear.v1 import clusters_pb2_grpc, collections_pb2_grpc, items_pb2_grpc, recommend_pb2_grpc, search_pb2_grpc
from onnx import TensorProto, helper, numpy_helper

READY = "farnear: serving on "
METRICS = "farnear: metrics on "
_SIZE = 8


def write_bundle(path: Path, dim: int) -> str:
    """A bundle whose network is one linear layer over 8 x 8 pixels; returns its digest."""
    path.mkdir(parents=True)
    weights = np.random.default_rng(0).normal(size=(3 * _SIZE**2, dim)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["float"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["raw"]),
            helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", _SIZE, _SIZE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", dim])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path / "model.onnx")
    description = {
        "schema_version": 1,
        "name": "tiny",
        "created": "2026-01-01T00:00:00Z",
        "image": {"width": _SIZE, "height": _SIZE, "colour": "RGB", "resize": "pillow-bilinear"},
        "embedding": {"dim": dim, "metric": "cosine"},
        "explain": {"feature_layer": "none", "reduction_layer": "none"},
        "class_names": [],
        "training": {},
        "dataset": {},
        "evaluation": {},
        "files": {"model.onnx": hashlib.sha256((path / "model.onnx").read_bytes()).hexdigest()},
    }
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    (path / "bundle.json").write_text(json.dumps(description | {"digest": digest}))
    return digest


class Server:
    """A server process. `wait` for it before the first call; its stderr goes to DATA.log."""

    def __init__(self, data: Path, *, bundle: Path | None = None) -> None:
        command = [sys.executable, "-m", "farnear", "serve", "--data", str(data)]
        command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
        if bundle is not None:
            command += ["--bundle", f"tiny={bundle}"]
        self.metrics_url = ""
        self._log = data.with_suffix(".log")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)

    def wait(self) -> "Calls":
        """The calls of the server, once it answers."""
        return Calls(self.wait_for_address())

    def wait_for_address(self) -> str:
        """The address of the server, once it answers."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(METRICS):
                self.metrics_url = line.removeprefix(METRICS).strip()
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
        raise RuntimeError(f"the server ended before it was ready:\n{self._log.read_text()[-2000:]}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends a signal and waits for the end."""
        self.process.send_signal(number)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Calls:
    """The bare stubs of a server: no retries, and messages can be made before the clock starts."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        self.collections = collections_pb2_grpc.CollectionsServiceStub(self.channel)
        self.items = items_pb2_grpc.ItemsServiceStub(self.channel)
        self.search = search_pb2_grpc.SearchServiceStub(self.channel)
        self.recommend = recommend_pb2_grpc.RecommendServiceStub(self.channel)
        self.clusters = clusters_pb2_grpc.ClustersServiceStub(self.channel)
