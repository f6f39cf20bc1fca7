"""The demo's work folder: made and marked by the demo, so that only what it made is ever deleted."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from farnear.command import RefusedError

MARK = ".farnear-demo.json"


class Workspace:
    """Where each thing of a demo run lies below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.bundle = folder / "bundle"
        self.training_record = folder / "training.json"
        self.data = folder / "data"
        self.server_log = folder / "server.log"

    def open(self, settings: Mapping[str, object], *, reuse: bool) -> bool:
        """Make the folder ready for a run and mark it with the settings of its training.

        With `reuse`, a folder whose training had the same settings and came to its end is kept as it is; in every other
        case what an earlier demo left is deleted.

        Returns:
            Whether the trained bundle was kept.

        Raises:
            RefusedError: The folder holds something and no demo made it.
        """
        mark = self.folder / MARK
        if self.folder.exists():
            if not self.folder.is_dir():
                raise RefusedError(f"--work: {self.folder} is not a folder")
            if any(self.folder.iterdir()) and not mark.is_file():
                raise RefusedError(
                    f"--work: {self.folder} holds files and was not made by farnear demo (no {MARK} in it): "
                    "name a new or an empty folder"
                )
        if reuse and self.training_record.is_file() and mark.is_file() and _read(mark) == settings:
            return True
        self._clear()
        self.folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return False

    def _clear(self) -> None:
        """Delete what lies in the folder, the mark last, so that what an interruption leaves can be cleared too."""
        if not self.folder.exists():
            return
        for entry in sorted(self.folder.iterdir(), key=lambda entry: entry.name == MARK):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _read(mark: Path) -> object:
    try:
        return json.loads(mark.read_text(encoding="utf-8"))
    except json.JSONDecodeError:  # a run that was cut off while it marked the folder
        return None
