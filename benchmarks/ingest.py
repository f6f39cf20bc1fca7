"""How many vectors a second are on disk and acknowledged, how soon does a million answer, and in how much memory?

Vectors of 16 dimensions go over gRPC to a real `farnear serve`: in batches of 1,000 (one call after the other, and as a
stream), and one by one from 8 writers at a time; each time into a new collection, which is too young for a map to be
fitted beside. Baseline, in turns with it: SQLite alone, told to sync every commit as the service tells it (WAL,
synchronous=FULL), with the same rows in one table with the same primary key and unique ids.
Then a server is killed and started again with a million items; baseline: SQLite alone reads the same rows.
"""

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
from conditions import print_conditions
from farnear.v1 import collections_pb2, items_pb2, search_pb2, types_pb2
from serving import Calls, Server, write_bundle

DIM = 16
BATCH = 1_000
WRITERS = 8
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=50_000, help="vectors in each measurement of batches")
    parser.add_argument("--singles", type=int, default=4_000, help="vectors in each measurement of single writers")
    parser.add_argument("--items", type=int, default=1_000_000, help="items that the server is started with again")
    arguments = parser.parse_args()
    print_conditions("grpcio", "protobuf", "numpy")
    print(f"SQLite {sqlite3.sqlite_version}, {DIM}-d vectors, batches of {BATCH:,}, {ROUNDS} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        digest = write_bundle(Path(folder) / "bundle", DIM)
        server = Server(data, bundle=Path(folder) / "bundle")
        calls = server.wait()
        rows = Rows(digest)
        peer = Peer(Path(folder) / "peer.db")
        pid = server.process.pid
        _measure_batches(calls, peer, rows, arguments.vectors, pid)
        _measure_singles(calls, peer, rows, arguments.singles, pid)
        _fill(calls, rows, arguments.items)
        server.stop(signal.SIGKILL)
        _measure_start(data, rows)


class Rows:
    """Random vectors under ids that were never used before."""

    def __init__(self, digest: str) -> None:
        self.count = 0
        self._digest = digest
        self._random = np.random.default_rng(0)

    def take(self, count: int) -> tuple[list[str], np.ndarray]:
        """Ids, and vectors float32 (count, D) of unit length."""
        vectors = self._random.normal(size=(count, DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = [f"item/{number:08}" for number in range(self.count, self.count + count)]
        self.count += count
        return ids, vectors

    def items(self, count: int) -> list[items_pb2.NewItem]:
        """New items as messages."""
        return [
            items_pb2.NewItem(
                item_id=item_id,
                label="crack",
                vector=types_pb2.Vector(values=vector.tolist(), bundle_digest=self._digest),
            )
            for item_id, vector in zip(*self.take(count), strict=True)
        ]

    def requests(self, count: int) -> list[items_pb2.UpsertItemsRequest]:
        """Batches of new items as messages."""
        return [items_pb2.UpsertItemsRequest(collection="c", items=self.items(BATCH)) for _ in range(0, count, BATCH)]

    def query(self) -> types_pb2.Query:
        """A vector to search for."""
        return types_pb2.Query(vector=types_pb2.Vector(values=self.take(1)[1][0].tolist(), bundle_digest=self._digest))


class Peer:
    """SQLite alone."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(
            "CREATE TABLE items (key INTEGER PRIMARY KEY, item_id TEXT UNIQUE, label TEXT, vector BLOB, created REAL)"
        )

    def write(self, rows: Rows, count: int, batch: int) -> float:
        """Seconds to write so many rows in commits of `batch` each."""
        batches = []
        for _ in range(0, count, batch):
            ids, vectors = rows.take(batch)
            batches.append(
                [(item_id, "crack", vector.tobytes(), 0.0) for item_id, vector in zip(ids, vectors, strict=True)]
            )
        begun = time.perf_counter()
        for one in batches:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT INTO items (item_id, label, vector, created) VALUES (?, ?, ?, ?)", one)
            self._connection.execute("COMMIT")
        return time.perf_counter() - begun


def _measure_batches(calls: Calls, peer: Peer, rows: Rows, count: int, pid: int) -> None:
    def one_by_one() -> float:
        requests = rows.requests(count)
        _make_collection(calls)
        begun = time.perf_counter()
        for request in requests:
            _check(calls.items.UpsertItems(request))
        return time.perf_counter() - begun

    def stream() -> float:
        requests = [
            items_pb2.StreamUpsertItemsRequest(collection="c", items=request.items) for request in rows.requests(count)
        ]
        _make_collection(calls)
        begun = time.perf_counter()
        for answer in calls.items.StreamUpsertItems(iter(requests)):
            _check(answer)
        return time.perf_counter() - begun

    _in_turns(
        count,
        {
            f"SQLite alone, commits of {BATCH:,}": lambda: peer.write(rows, count, BATCH),
            f"gRPC, calls of {BATCH:,} one after the other": one_by_one,
            f"gRPC, a stream of batches of {BATCH:,}": stream,
        },
        "goal 20,000/s",
        pid,
    )


def _measure_singles(calls: Calls, peer: Peer, rows: Rows, count: int, pid: int) -> None:
    def singles(writers: int) -> float:
        requests = [items_pb2.UpsertItemsRequest(collection="c", items=[item]) for item in rows.items(count)]

        def write(part: list[items_pb2.UpsertItemsRequest]) -> None:
            for request in part:
                _check(calls.items.UpsertItems(request))

        _make_collection(calls)
        with ThreadPoolExecutor(writers) as pool:
            begun = time.perf_counter()
            list(pool.map(write, [requests[start::writers] for start in range(writers)]))
            return time.perf_counter() - begun

    _in_turns(
        count,
        {
            "SQLite alone, commits of 1": lambda: peer.write(rows, count, 1),
            f"SQLite alone, commits of {WRITERS}": lambda: peer.write(rows, count, WRITERS),
            "gRPC, 1 single writer": lambda: singles(1),
            f"gRPC, {WRITERS} single writers": lambda: singles(WRITERS),
        },
        "goal 1,500/s for 8 writers",
        pid,
    )


def _in_turns(count: int, ways: dict[str, Callable[[], float]], goal: str, pid: int) -> None:
    """Prints the rate of each way, best and median of the rounds, its share of the first one's best, and what it cost.

    The processor time of the server tells what one vector takes whatever else the machine does meanwhile.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            before = _processor_seconds(pid)
            seconds[name].append(way())
            costs[name].append(_processor_seconds(pid) - before)
    first = min(next(iter(seconds.values())))
    for name, times in seconds.items():
        print(
            f"{name:46} {count / min(times):9,.0f}/s  median {count / statistics.median(times):9,.0f}/s"
            f"  {first / min(times):5.2f} x the first  server {1e6 * min(costs[name]) / count:5.0f} us each"
        )
    print(f"{goal}\n", flush=True)


def _processor_seconds(pid: int) -> float:
    """What a process has had of the processors, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _make_collection(calls: Calls) -> None:
    """An empty collection in place of the one before."""
    with contextlib.suppress(grpc.RpcError):
        calls.collections.DeleteCollection(collections_pb2.DeleteCollectionRequest(name="c"))
    calls.collections.CreateCollection(collections_pb2.CreateCollectionRequest(name="c", bundle="tiny"))


def _fill(calls: Calls, rows: Rows, count: int) -> None:
    """A collection of `count` items."""
    _make_collection(calls)
    requests = (
        items_pb2.StreamUpsertItemsRequest(collection="c", items=rows.items(BATCH)) for _ in range(0, count, BATCH)
    )
    for answer in calls.items.StreamUpsertItems(requests):
        _check(answer)


def _measure_start(data: Path, rows: Rows) -> None:
    """Starts the server again, asks it at once, and prints how long that took and what memory it has."""
    query = search_pb2.SearchRequest(collection="c", queries=[rows.query()], direction=search_pb2.DIRECTION_BOTH, k=10)
    starts, costs, reads, empty = [], [], [], []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        with contextlib.closing(sqlite3.connect(data / "farnear.db")) as connection:
            found = connection.execute("SELECT key, item_id, label, created, vector FROM items ORDER BY key").fetchall()
        reads.append(time.perf_counter() - begun)
        count = len(found)
        del found

        begun = time.perf_counter()
        nothing = Server(data.with_name("empty"))
        nothing.wait()
        empty.append(time.perf_counter() - begun)
        empty_memory = _memory(nothing.process.pid)
        nothing.stop()

        begun = time.perf_counter()
        server = Server(data)
        answer = server.wait().search.Search(query)
        starts.append(time.perf_counter() - begun)
        costs.append(_processor_seconds(server.process.pid))
        assert len(answer.results[0].similar) == len(answer.results[0].divergent) == 10
        memory = _memory(server.process.pid)
        server.stop(signal.SIGKILL)
    print(f"start with {count:,} items, to the first answer, best of {ROUNDS}; goal 5 s")
    print(f"  {min(starts):5.2f} s, {min(costs):.2f} s of them processor time of the server")
    print(f"  {min(empty):5.2f} s without an item; SQLite alone reads the rows in {min(reads):.2f} s")
    print("memory of the server after the first answer; goal 400 MB for one million")
    print(f"  {json.dumps(memory)}")
    print(f"  {json.dumps(empty_memory)} without an item")
    print(f"  {count * 4 * DIM / 1e6:,.0f} MB are the bare vectors")


def _memory(pid: int) -> dict[str, str]:
    """Resident memory of a process in MB: all of it, what is its own, and the most that there was."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    names = {"VmRSS": "resident", "RssAnon": "of it anonymous", "VmHWM": "at most"}
    return {told: f"{int(lines[name].split()[0]) * 1024 / 1e6:,.0f} MB" for name, told in names.items()}


def _check(answer: items_pb2.UpsertItemsResponse | items_pb2.StreamUpsertItemsResponse) -> None:
    assert not any(result.HasField("error") for result in answer.results), answer


if __name__ == "__main__":
    main()
