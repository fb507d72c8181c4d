"""Rows of a long measurement, a line of JSON each, so that an interruption costs one row."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kolab.checkpoint import writing
from kolab.errors import ConfigError


class Ledger:
    """What was measured already, and what is being measured.

    path: the file; None keeps the rows in memory alone. about: what every row depends on besides its own key (the
    settings, the weights' digest): a row that was made with another `about` is not found, and stays in the file for
    when those settings come back. new: refuse a file that holds rows already.

    `rows` are those asked for in this run, in order. A line torn by a kill is skipped, and its row measured again.

    >>> ledger = Ledger(None, {"epochs": 3})
    >>> ledger.get({"seed": 0}, lambda: {"f1": 0.8}), ledger.rows
    ({'f1': 0.8}, [{'f1': 0.8}])
    """

    def __init__(self, path: str | Path | None, about: Mapping[str, Any], *, new: bool = False):
        self.path = None if path is None else Path(path)
        self.about, self.rows = dict(about), []
        self._known: dict[str, dict] = {}
        if self.path is None or not self.path.is_file():
            return
        # Not splitlines(): a text may hold U+2028 and its like.
        for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                entry = json.loads(line)
                self._known[_text(entry["key"])] = entry["row"]
            except (ValueError, KeyError, TypeError):
                continue
        if new and self._known:
            raise ConfigError(
                f"{self.path.parent} already holds measured rows. Go on with it by --resume, or give another --folder."
            )

    def has(self, key: Mapping[str, Any]) -> bool:
        """Whether the row of this key is there already."""
        return _text(self.about | key) in self._known

    def get(self, key: Mapping[str, Any], work: Callable[[], dict]) -> dict:
        """The row of a key: the one that was kept, or the result of `work()`, which is then kept."""
        whole = self.about | key
        row = self._known.get(_text(whole))
        if row is None:
            row = json.loads(json.dumps(work()))  # as it will be read again
            self._keep({"key": whole, "row": row})
            self._known[_text(whole)] = row
        self.rows.append(row)
        return row

    def close(self) -> None:
        """All is measured and recorded elsewhere: the file goes, and the next run begins anew."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _keep(self, entry: dict) -> None:
        if self.path is None:
            return
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        with writing(str(self.path)):  # what a full disk leaves of a line is skipped like any other torn one
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                torn = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
                file.write((b"\n" if torn else b"") + line)
                file.flush()
                os.fsync(file.fileno())


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)
