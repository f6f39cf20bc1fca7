"""One SQLite file of one data directory: its lock, its connections, its transactions."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from farnear_service.errors import OverloadedError, PreconditionError
from farnear_service.store.migrations import MIGRATIONS
from farnear_service.store.reserve import Reserve

DATABASE_NAME = "farnear.db"
LOCK_NAME = "farnear.lock"
RESERVE_NAME = "farnear.reserve"
BUSY_SECONDS = 30
LOG_BYTES = 64 * 2**20

# What SQLite says where there is no room: for a page, or for the shared memory that indexes the log.
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}

T = TypeVar("T")


class Database:
    """The open store of one data directory, which nobody else may open meanwhile."""

    def __init__(self, data_dir: Path) -> None:
        """Opens or makes the store; raises PreconditionError where another server holds it or a newer one wrote it."""
        try:
            make_durably(data_dir)
            self._lock_file = lock(data_dir)
        except OSError as error:
            raise PreconditionError(f"data directory: {data_dir} cannot be used ({error.strerror})") from error
        self._path = data_dir / DATABASE_NAME
        self._reserve = Reserve(data_dir / RESERVE_NAME)
        self._connections: list[sqlite3.Connection] = []
        self._local = threading.local()
        self._writing = threading.RLock()
        is_reserved = self._reserve.is_there()
        try:
            if is_reserved:
                self._reserve.give_up()  # to open a store takes some room as well
            self._migrate()
            if is_reserved:
                self._reserve.hold()
        except (OSError, sqlite3.DatabaseError) as error:
            self.close()
            why = "the disk is full" if is_no_room(error) else error
            raise PreconditionError(f"data directory: {self._path} cannot be opened ({why})") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes every connection and gives up the data directory."""
        with self._writing:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        os.close(self._lock_file)

    def _connection(self) -> sqlite3.Connection:
        """The connection of this thread, for reading: each statement sees what was committed last."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, check_same_thread=False, isolation_level=None, timeout=BUSY_SECONDS
            )
            self._connections.append(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            # What is deleted is overwritten, except for whole pages that become free: with those, replacing images of
            # 50 kB took twice as long.
            connection.execute("PRAGMA secure_delete = FAST")
            # A log that one great transaction blew up would stay that large on disk.
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            self._local.connection = connection
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The one write transaction; on disk when the block has ended, and nothing of it is kept if it raises."""
        with self._writing:
            connection = self._connection()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if is_no_room(error):
                    raise OverloadedError("store: the disk is full, nothing of this write was kept") from error
                raise

    def _delete(self, delete: Callable[[], T]) -> T:
        """Runs a transaction that deletes; where the disk is full, in the room that is held back for it."""
        with self._writing:
            try:
                return delete()
            except OverloadedError:
                self._reserve.give_up()
            try:
                return delete()
            finally:
                self._empty_log()  # gives back what it grew by
                self._reserve.hold()

    def _empty_log(self) -> None:
        """Empties the write-ahead log, where former versions of pages lie.

        It stays as it is while somebody reads from it, and on a disk that has no room for the pages in it.
        """
        with self._writing:
            connection = self._connection()
            connection.execute("PRAGMA busy_timeout = 0")  # a backup may read for minutes
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                if not is_no_room(error):
                    raise
            finally:
                connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")

    def _migrate(self) -> None:
        connection = self._connection()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise PreconditionError(
                f"data directory: {self._path} has version {version}; this service reads up to {len(MIGRATIONS)}"
            )
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            with self._transaction():
                migration(connection)
                connection.execute(f"PRAGMA user_version = {number}")


def is_no_room(error: BaseException) -> bool:
    """Whether SQLite says that the disk is full."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in _NO_ROOM


def lock(data_dir: Path) -> int:
    """Takes a data directory for this process: a descriptor that holds it until it is closed.

    Raises PreconditionError, with the pid of the owner, where another process has it.
    """
    descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise PreconditionError(f"data directory: {data_dir} is served by process {owner} already") from error
    # Written over what was there: on a full disk, room that was given up might not come back.
    pid = f"{os.getpid()}\n".encode()
    os.pwrite(descriptor, pid, 0)
    os.truncate(descriptor, len(pid))
    return descriptor


def make_durably(folder: Path) -> None:
    """Makes a folder, and those above it, so that a loss of power leaves them there."""
    # SQLite syncs the entries of its files; those of new folders above them would not survive a loss of power.
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync(one.parent)


def sync(path: Path) -> None:
    """Puts a file, or the entries of a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
