"""How many searches a second does one server answer, and what does serving cost over the bare computation?

Baselines, in the same run: the same decode, embedding and exact search at both ends, in one process without a server;
and for ready vectors the exact search alone. The callers with images are coroutines of one process beside the server,
those with vectors its threads, which wait for one answer after the other. The items are `--items` random 16-d vectors;
the network is the paper's CNN at 160 px with random weights. The first fit of their map takes a core for minutes: its
process is stopped meanwhile, so that searches are measured and nothing else.
"""

import argparse
import asyncio
import io
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import grpc
import numpy as np
from conditions import print_conditions
from farnear import AsyncClient, Direction, NewItem, Vector
from farnear.v1 import search_pb2, types_pb2
from farnear.v1.search_pb2_grpc import SearchServiceStub
from farnear_service.bundle import Bundle, load_bundle
from farnear_service.embedder import Embedder
from farnear_service.image import ImageLimits, decode
from farnear_service.index import Index, warm_up
from farnear_service.types import Direction as End
from farnear_service.types import IndexSettings
from farnear_training.export import Provenance, export
from farnear_training.models import MnPairCnn
from PIL import Image

K = 10
VECTOR_ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=600, help="requests at each concurrency")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--vector-requests", type=int, default=5000, help="requests with ready vectors at each")
    arguments = parser.parse_args()
    print_conditions("onnxruntime", "faiss-cpu", "grpcio", "numpy")

    random = np.random.default_rng(0)
    vectors = random.normal(size=(arguments.items, 16)).astype(np.float32)
    pictures = [_picture(random) for _ in range(64)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        provenance = Provenance(name="bench", class_names=[], training={}, dataset={}, evaluation={}, split={})
        parity = random.integers(0, 256, (32, 160, 160, 3), dtype=np.uint8)
        export(MnPairCnn(image_size=160, embedding_dim=16), path / "bundle", provenance, parity_images=parity)
        bundle = load_bundle(path / "bundle")
        bare, bare_vectors = _bare(bundle, vectors, pictures, arguments.requests)
        print(f"bare, one call after the other   {bare:6.0f}/s with images, {bare_vectors:6.0f}/s with vectors")
        command = [
            sys.executable,
            "-m",
            "farnear",
            "serve",
            "--data",
            path / "data",
            "--bundle",
            f"b={path / 'bundle'}",
        ]
        command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert server.stdout is not None
            address = next(line.split()[-1] for line in server.stdout if "serving on" in line)
            asyncio.run(_fill(address, bundle, vectors))
            fit = _fit_of_the_map(server.pid)
            os.kill(fit, signal.SIGSTOP)
            asyncio.run(_load(address, pictures, arguments.requests, arguments.concurrency, bare))
            _load_vectors(address, bundle, vectors, arguments, bare_vectors)
            os.kill(fit, signal.SIGCONT)
        finally:
            server.terminate()
            server.wait(30)


def _bare(bundle: Bundle, vectors: np.ndarray, pictures: list[bytes], requests: int) -> tuple[float, float]:
    embedder = Embedder(bundle, threads=os.cpu_count() or 1)
    warm_up()
    index = Index(16, IndexSettings())
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    count = len(unit)
    index.add(np.arange(count), [str(n) for n in range(count)], [""] * count, [0.0] * count, [{}] * count, unit)
    start = time.perf_counter()
    for number in range(requests):
        pixels = decode(pictures[number % len(pictures)], bundle.width, bundle.height, ImageLimits())
        (vector,) = embedder.embed([pixels])
        index.now().search(vector[None], K, End.BOTH)
    image_rate = requests / (time.perf_counter() - start)
    start = time.perf_counter()
    for number in range(requests):
        index.now().search(unit[None, number], K, End.BOTH)
    return image_rate, requests / (time.perf_counter() - start)


async def _fill(address: str, bundle: Bundle, vectors: np.ndarray) -> None:
    async with AsyncClient(address, timeout=120) as client:
        await client.create_collection("bench", bundle="b")
        items = [
            NewItem(item_id=str(number), content=Vector(values=vector.tolist(), bundle_digest=bundle.digest))
            for number, vector in enumerate(vectors)
        ]
        start = time.perf_counter()
        outcomes = await client.upsert("bench", items)
        seconds = time.perf_counter() - start
        assert all(outcome.error is None for outcome in outcomes)
        print(f"ready vectors stored over gRPC    {len(vectors) / seconds:6.0f}/s")


def _fit_of_the_map(server: int) -> int:
    """The process that fits the map of a server's collection, once it has begun."""
    while True:
        for children in Path(f"/proc/{server}/task").glob("*/children"):  # by the thread that began them
            for pid in children.read_text().split():
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        time.sleep(0.1)


async def _load(address: str, pictures: list[bytes], requests: int, concurrencies: list[int], bare: float) -> None:
    async with AsyncClient(address, timeout=120) as client:
        for concurrency in concurrencies:
            start = time.perf_counter()
            latencies = await _callers(client, pictures, requests, concurrency)
            rate = requests / (time.perf_counter() - start)
            spread = statistics.quantiles(latencies, n=100)
            print(
                f"served, {concurrency:3} callers              {rate:6.0f}/s  {rate / bare:4.2f} x bare"
                f"  p50 {1e3 * spread[49]:.1f} ms  p99 {1e3 * spread[98]:.1f} ms"
            )


def _load_vectors(
    address: str, bundle: Bundle, vectors: np.ndarray, arguments: argparse.Namespace, bare: float
) -> None:
    queries = [
        search_pb2.SearchRequest(
            collection="bench",
            queries=[types_pb2.Query(vector=types_pb2.Vector(values=vector.tolist(), bundle_digest=bundle.digest))],
            direction=search_pb2.DIRECTION_BOTH,
            k=K,
        )
        for vector in vectors[:1000]
    ]
    with grpc.insecure_channel(address) as channel:
        search = SearchServiceStub(channel).Search

        def one_caller(numbers: range) -> None:
            for number in numbers:
                search(queries[number % len(queries)])

        for concurrency in arguments.concurrency:
            rates = []
            for _ in range(VECTOR_ROUNDS):
                parts = [range(caller, arguments.vector_requests, concurrency) for caller in range(concurrency)]
                with ThreadPoolExecutor(concurrency) as callers:
                    start = time.perf_counter()
                    list(callers.map(one_caller, parts))
                    rates.append(arguments.vector_requests / (time.perf_counter() - start))
            print(
                f"vectors, {concurrency:3} callers             {max(rates):6.0f}/s  {max(rates) / bare:4.2f} x bare"
                f"  median {statistics.median(rates):.0f}/s of {VECTOR_ROUNDS} rounds",
                flush=True,
            )
    print("goal 700/s for 1 caller with vectors, 1,300/s for 8")


async def _callers(client: AsyncClient, pictures: list[bytes], requests: int, concurrency: int) -> list[float]:
    latencies: list[float] = []
    numbers = iter(range(requests))

    async def one_caller() -> None:
        for number in numbers:
            begun = time.perf_counter()
            await client.search("bench", [pictures[number % len(pictures)]], direction=Direction.BOTH, k=K)
            latencies.append(time.perf_counter() - begun)

    await asyncio.gather(*(one_caller() for _ in range(concurrency)))
    return latencies


def _picture(random: np.random.Generator) -> bytes:
    out = io.BytesIO()
    blocks = random.integers(0, 256, (25, 25, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    Image.fromarray(blocks).save(out, "JPEG", quality=90)
    return out.getvalue()


if __name__ == "__main__":
    main()
