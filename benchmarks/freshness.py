"""How soon is a new item part of the clusters, and what does keeping them current cost a search?

A server on the loopback holds 16-d vectors in twenty groups on a fitted map. First searches alone, one caller, at a
steady pace; then the same searches while items are written one by one at `--rate`. Of every tenth item the time from
its acknowledgement until it has a cluster is taken, by asking every 20 ms for the oldest that has none: items get their
clusters in order. The collection grows all the while, so new maps are fitted in between. Writers, searches and server
share the processors of this machine.

The metric farnear_cluster_lag_seconds is read beside, once a second. At full size:

    python benchmarks/freshness.py --items 20000 --seconds 300
"""

import argparse
import asyncio
import contextlib
import re
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
from conditions import print_conditions
from farnear import AsyncClient, NewItem, Vector
from serving import Server, write_bundle

DIM = 16
POLL_SECONDS = 0.02
FOLLOWED = 10  # of so many items one
PACE_SECONDS = 0.05  # from one search to the next


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=5_000, help="items on the map when the clock starts")
    parser.add_argument("--rate", type=float, default=200.0, help="items written a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="for so long")
    arguments = parser.parse_args()
    print_conditions("grpcio", "opentsne", "numba", "numpy")
    with tempfile.TemporaryDirectory() as folder:
        digest = write_bundle(Path(folder) / "bundle", DIM)
        server = Server(Path(folder) / "data", bundle=Path(folder) / "bundle")
        try:
            address = server.wait_for_address()
            asyncio.run(_measure(address, server.metrics_url, Vectors(digest), arguments))
        finally:
            server.stop()


class Vectors:
    """Random unit vectors around twenty directions."""

    def __init__(self, digest: str) -> None:
        self.count = 0
        self._digest = digest
        self._random = np.random.default_rng(0)
        self._middles = self._random.normal(size=(20, DIM)) / DIM**0.5

    def item(self) -> NewItem:
        """A new item under an id that was never used before."""
        self.count += 1
        return NewItem(item_id=f"item/{self.count:08}", content=self.query())

    def query(self) -> Vector:
        """A vector of the kind that is stored."""
        vector = self._middles[self._random.integers(20)] + 0.12 * self._random.normal(size=DIM)
        return Vector(values=(vector / np.linalg.norm(vector)).tolist(), bundle_digest=self._digest)


async def _measure(address: str, metrics: str, vectors: Vectors, arguments: argparse.Namespace) -> None:
    async with AsyncClient(address) as client:
        await client.create_collection("c", bundle="tiny")
        for start in range(0, arguments.items, 1000):
            await client.upsert("c", [vectors.item() for _ in range(start, min(start + 1000, arguments.items))])
        begun = time.perf_counter()
        fit = await client.recluster("c")
        seconds = time.perf_counter() - begun
        print(f"a map of {fit.map.item_count:,} items: {seconds:.0f} s, {fit.cluster_count} clusters\n")

        async def search() -> None:
            await client.both("c", vectors.query(), k=10)

        for _ in range(50):
            await search()
        idle = await _timed(search, 20.0)
        lags: list[float] = []
        followed = asyncio.Queue[tuple[str, float] | None]()
        told: list[float] = []
        watching = asyncio.create_task(_watch(metrics, told))
        following = asyncio.create_task(_follow(client, followed, lags))
        writing = asyncio.create_task(_write(client, vectors, arguments, followed))
        busy = await _timed(search, arguments.seconds)
        late = await writing
        await following
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        info = (await client.clusters("c")).map
        print(
            f"{arguments.rate:.0f} items a second for {arguments.seconds:.0f} s; at most {late:.2f} s behind the plan"
        )
        print(f"{info.item_count:,} items at the end, {info.version - fit.map.version} new maps meanwhile\n")
        print("seconds from acknowledgement to cluster           p50      p99      max   goal 1 s at p99")
        print(f"  {len(lags):,} items followed               {_quantiles(lags, 1)}")
        print(f"  farnear_cluster_lag_seconds, read {len(told):3}     {_quantiles(told, 1)}\n")
        print("search at both ends, ms                           p50      p99      max   goal 1.2 x idle")
        print(f"  idle                               {_quantiles(idle, 1000)}")
        print(f"  beside the writes                  {_quantiles(busy, 1000)}")
        ratios = [np.quantile(busy, q) / np.quantile(idle, q) for q in (0.5, 0.99)]
        print(f"  ratio                             {ratios[0]:9.2f}{ratios[1]:9.2f}")


async def _timed(call: Callable[[], Awaitable[None]], seconds: float) -> list[float]:
    times, begun = [], time.perf_counter()
    while (start := time.perf_counter()) - begun < seconds:
        await call()
        times.append(time.perf_counter() - start)
        await asyncio.sleep(max(0.0, PACE_SECONDS - times[-1]))
    return times


async def _write(
    client: AsyncClient,
    vectors: Vectors,
    arguments: argparse.Namespace,
    followed: asyncio.Queue[tuple[str, float] | None],
) -> float:
    """Writes at a steady rate and returns by how much it fell behind its plan at most."""
    begun, late = time.perf_counter(), 0.0
    under_way: set[asyncio.Task[None]] = set()
    for number in range(int(arguments.rate * arguments.seconds)):
        due = begun + number / arguments.rate
        now = time.perf_counter()
        late = max(late, now - due)
        await asyncio.sleep(max(0.0, due - now))
        item = vectors.item()

        async def write(item: NewItem = item, follow: bool = number % FOLLOWED == 0) -> None:
            await client.upsert("c", [item])
            if follow:
                followed.put_nowait((item.item_id, time.perf_counter()))

        task = asyncio.create_task(write())
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    followed.put_nowait(None)
    return late


async def _follow(client: AsyncClient, followed: asyncio.Queue[tuple[str, float] | None], lags: list[float]) -> None:
    while (one := await followed.get()) is not None:
        item_id, acknowledged = one
        while (await client.get_item("c", item_id)).cluster is None:  # noqa: ASYNC110 - it happens in the server
            await asyncio.sleep(POLL_SECONDS)
        lags.append(time.perf_counter() - acknowledged)


async def _watch(metrics: str, told: list[float]) -> None:
    while True:
        await asyncio.sleep(1)
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(metrics).read().decode())
        found = re.search(r'farnear_cluster_lag_seconds\{collection="c"\} (\S+)', page)
        assert found is not None
        told.append(float(found[1]))


def _quantiles(values: list[float], unit: float) -> str:
    return "".join(f"{unit * np.quantile(values, q):9.3f}" for q in (0.5, 0.99, 1.0))


if __name__ == "__main__":
    main()
