"""Write into the README what can be generated: the tables of data/results, and figures taken from the notebooks.

    make results

Nothing is trained or drawn here: a table is what was recorded, with its machine and date; a figure is an output of a
committed notebook.
"""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

import nbformat
import pandas as pd

from kolab import measure

ROOT = Path(__file__).resolve().parent.parent

# Studies that the README shows: name → title. The others are for the lessons (`kolab results` lists all).
TABLES: dict[str, str] = {
    "probe": "What kolab-mini is worth: beside the same network with random weights, and a bag of n-grams",
    "pooling": "Which pooling and head, on the bundled reviews",
    "loop": "How long an epoch takes: six loops taking turns, and their bare steps",
    "loop_profile": "Where the time of a training step goes",
    "loop_allocator": "What it costs to give memory back after each step",
    "loop_costs": "Tokenising and saving",
    "loading": "Do loader workers help?",
    "loop_mfu": "The share of the machine's matrix rate that training reaches",
}
# Figures: file name → solved lesson, and a piece of the code of the cell that draws it.
FIGURES: dict[str, tuple[str, str]] = {
    "padding.png": ("02_tokenise_and_collate", "kl.plots.padding("),
    "confusion.png": ("00_start_here", "kl.plots.confusion("),
}


def table(name: str, title: str) -> str:
    """One recorded study as Markdown; empty when it has not been recorded."""
    if name not in measure.recordings():
        return ""
    frame = measure.recorded(name)
    where, meta = frame.attrs["machine"], frame.attrs["meta"]
    about = [str(frame.attrs["date"]), str(where.get("gpu") or where.get("cpu") or where["name"])]
    if not where.get("gpu") and where.get("cores"):
        about.append(f"{where['cores']} cores")
    about += [f"{k} {v}" for k, v in where.get("versions", {}).items() if k in ("torch", "transformers")]
    notes = "; ".join(f"{k}: {v}" for k, v in meta.items() if isinstance(v, str | int | float))
    lines = [f"**{title}** ({', '.join(about)})", "", markdown(over_seeds(frame))]
    return "\n".join([*lines, "", f"<sub>{notes}</sub>"] if notes else lines)


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Where rows repeat a setting with other seeds: one row a setting, each score as its mean, lowest and highest.

    >>> runs = pd.DataFrame({"way": ["a", "a", "b"], "seed": [0, 1, 0], "f1": [0.8, 0.82, 0.7], "seconds": [3, 4, 3]})
    >>> over_seeds(runs)
      way                  f1  seeds
    0   a  0.810 (0.800–0.820)      2
    1   b               0.700      1
    """
    if "seed" not in frame:
        return frame
    frame = frame.drop(columns=["seconds"], errors="ignore")  # runs beside one another: they say little
    settings = [c for c in frame if frame[c].dtype.kind not in "fi"]
    rows = []
    for values, runs in frame.groupby(settings, sort=False):
        row = dict(zip(settings, values))
        for score in frame.columns.difference([*settings, "seed"], sort=False):
            mean, low, high = runs[score].mean(), runs[score].min(), runs[score].max()
            row[score] = f"{mean:.3f}" + (f" ({low:.3f}–{high:.3f})" if len(runs) > 1 else "")
        rows.append({**row, "seeds": len(runs)})
    return pd.DataFrame(rows)


def markdown(frame: pd.DataFrame) -> str:
    """A DataFrame as a Markdown table; numbers with four digits that count.

    >>> print(markdown(pd.DataFrame({"name": ["a|b"], "f1": [0.81234]})))
    | name | f1 |
    |---|---|
    | a\\|b | 0.8123 |
    """

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if value != value else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
        text = "" if value is None else str(value)
        return text.replace("|", "\\|").replace("\n", " ")

    rows = [list(frame.columns), *frame.itertuples(index=False)]
    lines = ["| " + " | ".join(cell(v) for v in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * frame.shape[1], *lines[1:]])


def figure(lesson: str, code: str) -> bytes:
    """The picture that a cell of a solved lesson shows. Raises LookupError when there is none."""
    notebook = nbformat.read(ROOT / "notebooks" / "solutions" / f"{lesson}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and code in cell.source:
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    raise LookupError(f"{lesson} has no cell with {code!r} that shows a picture")


def between(text: str, marker: str, content: str) -> str:
    """Replace what stands between `<!-- marker -->` and `<!-- /marker -->`. Raises LookupError without them."""
    pattern = re.compile(f"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(text):
        raise LookupError(f"the README has no <!-- {marker} --> … <!-- /{marker} -->")
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def main() -> int:
    tables = [t for name, title in TABLES.items() if (t := table(name, title))]
    content = "\n\n".join(tables) or "*Nothing has been recorded yet; `kolab bench NAME` does it.*"
    readme = ROOT / "README.md"
    readme.write_text(between(readme.read_text(encoding="utf-8"), "results", content), encoding="utf-8")
    for name, (lesson, code) in FIGURES.items():
        (ROOT / "docs" / "images" / name).write_bytes(figure(lesson, code))
    print(f"{len(tables)} tables, {len(FIGURES)} figures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
