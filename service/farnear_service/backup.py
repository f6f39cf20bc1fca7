"""Backup and restore of a data directory.

A backup is a folder: the store as it was at one moment, the bundles that it uses, and `backup.json` with the SHA-256 of
every file. Index and maps are derived, and are not in it.
"""

import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from tqdm import tqdm

from farnear_service.bundle import load_bundle
from farnear_service.errors import PreconditionError
from farnear_service.store import Store
from farnear_service.store.database import BUSY_SECONDS, DATABASE_NAME, LOCK_NAME, is_no_room, lock, make_durably, sync
from farnear_service.types import Collection

MANIFEST_NAME = "backup.json"
SCHEMA_VERSION = 1

_STEP_PAGES = 4096
_BLOCK_BYTES = 1 << 20
_NO_CONTENT = {LOCK_NAME, "lost+found"}  # what an empty data directory may hold
_FILE_NAME = re.compile(rf"{re.escape(DATABASE_NAME)}|bundles/[0-9a-f]{{64}}/[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a backup holds: its collections, each with its count of items, and how many bytes all files have."""

    collections: tuple[tuple[Collection, int], ...]
    size: int


def take_backup(data_dir: Path, out: Path) -> Backup:
    """Writes a backup of `data_dir`, which a server may serve meanwhile, to the new folder `out`.

    It is the state at one moment, and holds up no writer. `out` is there whole or not at all. A store of an earlier
    version is brought to the present one in the backup. Raises PreconditionError where `data_dir` holds no store, a
    newer or a damaged one, or where `out` is there or would lie in `data_dir`.
    """
    _check_apart(out, data_dir)
    try:
        if not (data_dir / DATABASE_NAME).is_file():
            raise PreconditionError(f"data directory: {data_dir} holds no store")
        if out.exists():
            raise PreconditionError(f"backup: {out} exists; allowed is a path for a new folder")
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as staging:
            folder = Path(staging) / out.name
            folder.mkdir()
            _copy_store(data_dir / DATABASE_NAME, folder / DATABASE_NAME)
            with closing(Store(folder)) as store:
                digests = sorted(store.used_bundles())
                counts = _counts(store)
            (folder / LOCK_NAME).unlink()
            for digest in digests:
                bundle = load_bundle(data_dir / "bundles" / digest)
                (folder / "bundles" / digest).mkdir(parents=True)
                for name in ("bundle.json", *sorted(bundle.files)):
                    shutil.copyfile(bundle.path / name, folder / "bundles" / digest / name)
            size = _seal(folder)
            folder.rename(out)
        sync(out.absolute().parent)
    except OSError as error:
        raise PreconditionError(f"backup: {error.filename or out}: {error.strerror}") from error
    return Backup(collections=counts, size=size)


def restore_backup(backup: Path, data_dir: Path, *, expected: Sequence[tuple[str, str]] = ()) -> Backup:
    """Makes a data directory of a backup, in `data_dir`, which is empty or absent.

    `expected` are names of bundles, each with its digest or the beginning of it. Raises PreconditionError where
    `data_dir` holds anything, where one of the two lies in the other, where the backup is damaged, incomplete or of a
    newer version, and where a collection is not under the bundle that is in the backup, or that is expected; `data_dir`
    is left empty then.
    """
    _check_apart(backup, data_dir)
    files = _manifest(backup)
    try:
        make_durably(data_dir)
        with _staging(data_dir) as staging:
            _copy_checked(backup, files, staging)
            _check_integrity(staging / DATABASE_NAME)
            with closing(Store(staging)) as store:
                _check_bundles(store, staging / "bundles", expected)
                counts = _counts(store)
            size = sum((staging / name).stat().st_size for name in files)
            # With the store in its place the directory is whole; without it, it is none.
            if (staging / "bundles").exists():
                (staging / "bundles").rename(data_dir / "bundles")
                sync(data_dir)
            (staging / DATABASE_NAME).rename(data_dir / DATABASE_NAME)
            sync(data_dir)
    except OSError as error:
        raise PreconditionError(f"restore: {error.filename or data_dir}: {error.strerror}") from error
    return Backup(collections=counts, size=size)


def _check_apart(backup: Path, data_dir: Path) -> None:
    # A backup in the data directory is lost with it, and a data directory in a backup changes what was backed up.
    backup, data_dir = (Path(os.path.realpath(path)) for path in (backup, data_dir))
    if backup.is_relative_to(data_dir) or data_dir.is_relative_to(backup):
        raise PreconditionError(
            f"backup: {backup} and the data directory {data_dir} lie one in the other; allowed are separate folders"
        )


def _counts(store: Store) -> tuple[tuple[Collection, int], ...]:
    return tuple((collection, store.item_count(collection)) for collection in store.collections())


def _copy_store(source_path: Path, target_path: Path) -> None:
    try:
        uri = f"{source_path.absolute().as_uri()}?mode=rw"
        with (
            closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)) as source,
            closing(sqlite3.connect(target_path)) as target,
            tqdm(desc="copying the store", unit=" pages", disable=None) as bar,
        ):
            # Without a transaction of its own the copy would begin anew with every commit of the server.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()

            def show(_: int, remaining: int, total: int) -> None:
                bar.total = total
                bar.update(total - remaining - bar.n)

            source.backup(target, pages=_STEP_PAGES, progress=show)
    except sqlite3.DatabaseError as error:
        if is_no_room(error):
            raise PreconditionError(
                f"backup: the disk is full, there is no room for a copy of {source_path}"
            ) from error
        raise PreconditionError(f"data directory: {source_path} cannot be copied ({error})") from error


def _seal(folder: Path) -> int:
    """Writes the sums of all files, puts everything on disk, and returns how many bytes the files have."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {}
    for path in tqdm(paths, desc="summing", unit=" files", disable=None):
        with path.open("rb") as stream:
            sums[path.relative_to(folder).as_posix()] = file_digest(stream, "sha256").hexdigest()
    size = sum(path.stat().st_size for path in paths)
    manifest = {"schema_version": SCHEMA_VERSION, "created": datetime.now(UTC).isoformat(), "files": sums}
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n")
    _sync_all(folder)
    return size


def _sync_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        sync(path)


def _manifest(backup: Path) -> Mapping[str, str]:
    """The SHA-256 of every file of a backup, by name."""
    try:
        manifest: Any = json.loads((backup / MANIFEST_NAME).read_bytes())
        version, files = manifest["schema_version"], dict(manifest["files"])
    except OSError as error:
        raise PreconditionError(f"backup: {backup} has no readable {MANIFEST_NAME} ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PreconditionError(f"backup: {backup / MANIFEST_NAME} is damaged ({error!r})") from error
    if version != SCHEMA_VERSION:
        raise PreconditionError(f"backup: schema_version is {version!r}; this service reads {SCHEMA_VERSION}")
    for name in files:
        if not _FILE_NAME.fullmatch(name):
            raise PreconditionError(f"backup: {MANIFEST_NAME} lists {name!r}, which is no file of a backup")
    if DATABASE_NAME not in files:
        raise PreconditionError(f"backup: {MANIFEST_NAME} lists no {DATABASE_NAME}")
    return files


@contextmanager
def _staging(data_dir: Path) -> Iterator[Path]:
    """A folder inside an empty data directory, on its file system and held against servers; gone in the end."""
    descriptor = lock(data_dir)
    try:
        if found := sorted({path.name for path in data_dir.iterdir()} - _NO_CONTENT):
            raise PreconditionError(f"data directory: {data_dir} holds {', '.join(found)}; allowed is an empty one")
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".restoring-") as staging:
            yield Path(staging)
    finally:
        os.close(descriptor)


def _copy_checked(backup: Path, files: Mapping[str, str], staging: Path) -> None:
    """Copies the files of a backup and puts them on disk; raises PreconditionError where one is not what it was."""
    with tqdm(desc="restoring", unit="B", unit_scale=True, disable=None) as bar:
        for name, expected in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            found = sha256()
            try:
                source = (backup / name).open("rb")
            except OSError as error:
                raise PreconditionError(f"backup: {name} cannot be read ({error.strerror})") from error
            with source, (staging / name).open("wb") as target:
                while block := source.read(_BLOCK_BYTES):
                    found.update(block)
                    target.write(block)
                    bar.update(len(block))
            if found.hexdigest() != expected:
                raise PreconditionError(f"backup: {name} does not match its SHA-256: it was changed or damaged")
    _sync_all(staging)


def _check_integrity(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            ((found, *_), *_) = connection.execute("PRAGMA integrity_check(1)")
    except sqlite3.DatabaseError as error:
        found = error
    if found != "ok":
        raise PreconditionError(f"backup: {path.name} is damaged ({found})")


def _check_bundles(store: Store, bundles_dir: Path, expected: Sequence[tuple[str, str]]) -> None:
    bundles = {}
    for digest in store.used_bundles():
        bundles[digest] = load_bundle(bundles_dir / digest)
        if bundles[digest].digest != digest:
            raise PreconditionError(f"backup: in place of bundle {digest} there is {bundles[digest].digest}")
    for collection in store.collections():
        dim = bundles[collection.bundle_digest].dim
        if collection.dim != dim:
            raise PreconditionError(
                f"backup: collection {collection.name!r} has dimension {collection.dim}, its bundle has {dim}"
            )
    named = [*store.bundles().items(), *((one.bundle_name, one.bundle_digest) for one in store.collections())]
    for name, digest in expected:
        found = sorted({came for known, came in named if known == name})
        if not found:
            raise PreconditionError(f"bundle: the backup has none named {name!r}")
        if others := [came for came in found if not came.startswith(digest)]:
            raise PreconditionError(f"bundle: {name!r} is {', '.join(others)} in the backup; expected is {digest}")
