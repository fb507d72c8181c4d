"""Studies: a recipe whose `study.kind` is set is not one training but a question that needs many.

Each kind is a module here, with

- `check(recipe)`: raises ConfigError for what cannot be, before anything is loaded;
- `trimmed(recipe)`: the same study on bundled data, small enough for two minutes on two cores (`--quick`);
- `run(recipe, folder, resume) -> (table, about)`: one row a training. Every row is kept in the folder's rows.jsonl as
  soon as it is there; `resume` goes on with them. A Ctrl-C ends the study early, and what is whole counts:
  `about` then has `stopped`, the signal's number;
- `report(table, about)`: the same as Markdown.
"""

import dataclasses
import importlib
import pkgutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from kolab.errors import ConfigError
from kolab.ledger import Ledger

ROWS = "rows.jsonl"
_HELPERS = ("encoders", "plans")


def kinds() -> list[str]:
    """The names that `study.kind` can have."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _HELPERS)


def load(kind: str) -> ModuleType:
    """The module of a kind. Raises ConfigError, with the nearest right name, where there is none."""
    if kind not in kinds():
        from kolab.recipe_file import nearest

        raise ConfigError(f"study.kind is {kind!r}.{nearest(kind, kinds())} There are: {', '.join(kinds())}.")
    return importlib.import_module(f"{__name__}.{kind}")


def ledger(recipe: Any, folder: str | Path | None, resume: bool) -> Ledger:
    """The kept rows of a study's folder. Another recipe's rows are not found again, nor lost.

    Raises ConfigError for a folder that holds rows already, unless `resume`.
    """
    about = dataclasses.asdict(recipe)
    for name in ("folder", "resume"):
        about["train"].pop(name, None)
    about["data"].pop("workers", None)  # who makes the batches changes nothing in them
    for name in ("seeds", "encoders", "variants", "batches", "rules", "folds"):
        about["study"].pop(
            name, None
        )  # they say which rows there are, and a row's own key says which one it is
    return Ledger(None if folder is None else Path(folder) / ROWS, about, new=not resume)


def get(book: Ledger, key: Mapping[str, Any], work: Callable[[], dict]) -> dict:
    """The row of a training, key and results in one; measured if need be, and then printed."""
    new = not book.has(key)
    row = book.get(key, lambda: dict(key) | work())
    if new:
        plain = {k: v for k, v in row.items() if v is not None and not isinstance(v, list | dict)}
        words = (f"{k} {v:.4g}" if isinstance(v, float) else str(v) for k, v in plain.items())
        print("  ".join(words), flush=True)
    return row


def stopped(book: Ledger, stop: KeyboardInterrupt) -> dict[str, int]:
    """After a Ctrl-C: says that what is whole counts, or goes on with the interruption where there is nothing.

    What comes back belongs to what `run` says about its table: {"stopped": the signal's number}.
    """
    if not book.rows:
        raise KeyboardInterrupt("stopped before the first row was whole") from stop
    print("Stopped: what is whole counts. With --resume it goes on from here.")
    return {"stopped": int(getattr(stop, "signal_number", signal.SIGINT))}
