# Named progress_bar, not progress: a module kolab.progress would hide the public function kl.progress().
"""A progress bar that becomes the table of epochs: HTML in a notebook, tqdm in a terminal."""

import html
import sys
import time
from typing import Any

from tqdm import tqdm

_HIDDEN = {"epoch", "step", "seconds", "lr", "grad_norm", "precision", "recall"}
_EVERY = 0.25  # seconds between two redraws


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return type(shell).__name__ in ("ZMQInteractiveShell", "Shell")  # Shell: Colab


class Progress:
    """`with Progress(total_steps) as bar: bar.step(); bar.row({...})`. `show=False` draws nothing."""

    def __init__(self, total: int, done: int = 0, *, show: bool = True, title: str = ""):
        self.total, self.done, self.title = total, done, title
        self.rows: list[dict[str, Any]] = []
        self.show, self.notebook = show, show and in_notebook()
        self._drawn, self._started, self._first = 0.0, time.monotonic(), done
        self._handle = self._bar = None

    def __enter__(self) -> "Progress":
        if self.notebook:
            from IPython.display import display

            self._handle = display(self._bundle(), display_id=True, raw=True)
        elif self.show:
            self._bar = tqdm(total=self.total, initial=self.done, desc=self.title, unit="step", leave=False)
        return self

    def step(self, note: str = "") -> None:
        """One optimizer step more."""
        self.done += 1
        if self._bar is not None:
            self._bar.update()
        self._draw(note)

    def row(self, values: dict[str, Any]) -> None:
        """One epoch more: a line of the table."""
        self.rows.append(values)
        if self._bar is not None:
            words = [f"{k.replace('validation', 'val')} {v:.4f}" for k, v in _shown(values).items()]
            self._bar.write(f"epoch {values['epoch']:>3}  " + "  ".join(words), file=sys.stderr)
        self._draw(force=True)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        self._draw(force=True, end=True)

    def _draw(self, note: str = "", *, force: bool = False, end: bool = False) -> None:
        if self._handle is None or not (force or time.monotonic() - self._drawn > _EVERY):
            return
        self._drawn = time.monotonic()
        self._handle.update(self._bundle(note, end), raw=True)

    def _bundle(self, note: str = "", end: bool = False) -> dict[str, str]:
        parts, plain = [], []
        if not end:
            rate = (time.monotonic() - self._started) / max(1, self.done - self._first)
            left = f"{rate * (self.total - self.done):.0f} s left" if self.done > self._first else ""
            text = f"{self.title} {self.done}/{self.total} steps {left} {note}".strip()
            parts.append(
                f'<progress value="{self.done}" max="{self.total}" style="width:16em"></progress> {html.escape(text)}'
            )
            plain.append(text)
        if self.rows:
            names = ["epoch", *_shown(self.rows[-1])]
            head = "".join(f"<th>{html.escape(n.replace('_', ' '))}</th>" for n in names)
            body = ""
            for row in self.rows:
                cells = [f"{row['epoch']}", *(f"{row[n]:.4f}" for n in names[1:])]
                body += "<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
                plain.append("  ".join(f"{n} {c}" for n, c in zip(names, cells, strict=True)))
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        if end:
            seconds = time.monotonic() - self._started
            text = f"{self.done} of {self.total} steps, {seconds:.0f} s, {self.title}".strip(" ,")
            parts.append(f"<small>{html.escape(text)}</small>")
            plain.append(text)
        return {"text/html": "\n".join(parts), "text/plain": "\n".join(plain)}


def _shown(row: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in row.items() if k not in _HIDDEN and isinstance(v, float)}
