"""Figures for the lessons: few lines, labelled axes, colours that colour-blind readers can tell apart, and Hangul.

Every function draws with a font that has Hangul and returns the matplotlib Figure; a notebook shows it when it is the
last value of a cell (or through `display(figure)`). Give `ax`, an axes of a figure from `new`, to draw several beside
each other. The palette is Okabe and Ito's (2008, https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C8C8C",
)  # fmt: skip
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)

# Families that hold Hangul, the common ones of each system first.
HANGUL_FONTS = (
    "NanumGothic", "Nanum Gothic", "NanumBarunGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic",
    "Apple SD Gothic Neo", "AppleGothic", "Pretendard", "UnDotum", "Baekmuk Gulim", "Source Han Sans KR",
)  # fmt: skip


@functools.cache
def use_hangul() -> str:
    """Let matplotlib draw Hangul, and return the name of the font: one the system has, or the Noto Sans KR that
    comes with the course (package pylopdf-fonts-ko, OFL).

    Raises ImportError when there is neither.
    """
    import matplotlib
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    family = next((name for name in HANGUL_FONTS if name in installed), None)
    if family is None:
        import pylopdf_fonts_ko

        path = str(pylopdf_fonts_ko.sans_path())
        font_manager.fontManager.addfont(path)
        family = font_manager.FontProperties(fname=path).get_name()
    # DejaVu Sans stays behind it for signs that Korean fonts lack.
    matplotlib.rcParams["font.family"] = [family, "DejaVu Sans"]
    matplotlib.rcParams["axes.unicode_minus"] = False  # many Korean fonts have no U+2212
    matplotlib.rcParams["axes.prop_cycle"] = matplotlib.cycler(color=PALETTE)
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    matplotlib.rcParams["axes.titlesize"] = 11
    matplotlib.rcParams["axes.titlelocation"] = "left"
    matplotlib.rcParams["legend.frameon"] = False
    matplotlib.rcParams["figure.dpi"] = 100
    return family


def new(columns: int = 1, *, width: float | None = None, height: float = 3.2, **kwargs) -> tuple[Figure, Any]:
    """A figure with Hangul and its axes, as `plt.subplots(1, columns)` gives them. Sizes in inches.

    The figure is taken from pyplot's list, so that a notebook shows it once: as the value of a cell.
    """
    use_hangul()
    import matplotlib.pyplot as plt

    size = (width or (6.4 if columns == 1 else 4.6 * columns), height)
    figure, axes = plt.subplots(1, columns, figsize=size, layout="constrained", **kwargs)
    plt.close(figure)
    return figure, axes


def _axes(ax: Axes | None, **size) -> tuple[Figure, Axes]:
    return (ax.figure, ax) if ax is not None else new(**size)


def bars(
    values: Mapping[str, float] | Any,
    *,
    errors: Mapping[str, tuple[float, float]] | None = None,
    baseline: float | None = None,
    highlight: str | Sequence[str] = (),
    title: str = "",
    xlabel: str = "",
    percent: bool = False,
    digits: int | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Horizontal bars, one a name, with the value written beside each.

    values: name → number (a dict or a pandas Series). errors: name → (low, high), the ends of an interval.
    baseline: a dashed line. highlight: names drawn in orange. percent: shares from 0 to 1, written as %.
    """
    names, numbers = [str(k) for k in dict(values)], [float(v) for v in dict(values).values()]
    figure, axes = _axes(ax, height=0.7 + 0.34 * max(len(names), 2))
    chosen = {highlight} if isinstance(highlight, str) else set(highlight)
    axes.barh(names, numbers, color=[ORANGE if n in chosen else BLUE for n in names], height=0.65)
    ends = list(numbers)
    for row, name in enumerate(names):
        if errors and name in errors:
            low, high = errors[name]
            axes.plot([low, high], [row, row], color="black", linewidth=1.2)
            ends[row] = max(ends[row], high)
    spread = max([*ends, 0]) - min([*numbers, 0]) or 1.0
    for row, (number, end) in enumerate(zip(numbers, ends)):
        axes.text(
            max(end, 0) + 0.015 * spread, row, _written(number, percent, digits), va="center", fontsize=9
        )
    if baseline is not None:
        axes.axvline(baseline, color=GREY, linestyle="--", linewidth=1)
    axes.set_xlim(right=max([*ends, baseline or 0, 0]) + 0.16 * spread)
    axes.invert_yaxis()
    axes.set(title=title, xlabel=xlabel)
    if percent:
        axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
    return figure


def _written(number: float, percent: bool, digits: int | None) -> str:
    if percent:
        return f"{100 * number:.{1 if digits is None else digits}f} %"
    if digits is not None:
        return f"{number:,.{digits}f}"
    return f"{number:,.0f}" if float(number).is_integer() or abs(number) >= 1000 else f"{number:.3g}"


def lines(
    series: Mapping[str, Any],
    *,
    x: Sequence[float] | None = None,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    markers: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Curves, one a name. Each is a sequence of y, or a pair (x, y); `x` is shared by those that are only y."""
    figure, axes = _axes(ax)
    for name, values in series.items():
        pair = isinstance(values, tuple) and len(values) == 2 and not np.isscalar(values[0])
        xs, ys = values if pair else (range(1, len(values) + 1) if x is None else x, values)
        axes.plot(
            list(xs), list(ys), label=name, marker="o" if markers else None, markersize=4, linewidth=1.6
        )
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if len(series) > 1 or any(series):
        axes.legend(fontsize=9)
    return figure


def history(
    runs: Any | Mapping[str, Any], *, metric: str = "f1", title: str = "", published: Any | None = None
) -> Figure:
    """Loss and metric by epoch: training and validation loss on the left, the metric on the right.

    runs: a `History` (or its DataFrame), or a mapping from a name to one. The epoch with the lowest validation loss
    and the one with the best metric are marked: they are often not the same. published: a table with the columns
    epoch, validation_loss and the metric, drawn dashed.
    """
    figure, (left, right) = new(2)
    tables = {k: _table(v) for k, v in runs.items()} if isinstance(runs, Mapping) else {"": _table(runs)}
    for colour, (name, table) in zip(PALETTE, tables.items()):
        label = f"{name}: " if name else ""
        epochs = table["epoch"]
        left.plot(
            epochs, table["train_loss"], color=colour, linestyle=":", marker=".", label=f"{label}training"
        )
        left.plot(epochs, table["validation_loss"], color=colour, marker=".", label=f"{label}validation")
        right.plot(epochs, table[metric], color=colour, marker=".", label=name or metric)
        lowest, best = table["validation_loss"].idxmin(), table[metric].idxmax()
        left.plot(
            epochs[lowest],
            table["validation_loss"][lowest],
            "o",
            color=colour,
            markersize=9,
            fillstyle="none",
        )
        right.plot(epochs[best], table[metric][best], "o", color=colour, markersize=9, fillstyle="none")
        right.axvline(epochs[lowest], color=colour, linewidth=0.8, linestyle="--", alpha=0.6)
    if published is not None:
        table = _table(published)
        for name, dashes in (("training", ":"), ("validation", "--")):
            column = "train_loss" if name == "training" else "validation_loss"
            if column in table:
                left.plot(
                    table["epoch"], table[column], color=GREY, linestyle=dashes, label=f"published: {name}"
                )
        right.plot(table["epoch"], table[metric], color=GREY, linestyle="--", label="published")
    left.set(xlabel="epoch", ylabel="loss", title=title or "Loss (ring: lowest on validation)")
    right.set(
        xlabel="epoch", ylabel=metric, title=f"{metric} on validation (ring: best; dashes: lowest loss)"
    )
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    left.legend(fontsize=8)
    if len(tables) > 1 or published is not None:
        right.legend(fontsize=8)
    return figure


def _table(run: Any):
    import pandas as pd

    if hasattr(run, "to_pandas"):
        run = run.to_pandas()
    return pd.DataFrame(run).reset_index(drop=True)


def confusion(
    predictions: Sequence[int],
    references: Sequence[int],
    names: Sequence[str],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Confusion matrix: a row a true class, a column a predicted one. Counts, shaded by the share of the row."""
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (np.asarray(references, dtype=int), np.asarray(predictions, dtype=int)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.5 + 0.75 * len(names)
    figure, axes = _axes(ax, width=side + 0.6, height=side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        ink = "white" if shares[row, column] > 0.55 else "black"
        text = f"{counts[row, column]}\n{100 * shares[row, column]:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def lengths(
    values: Sequence[int] | Mapping[str, Sequence[int]],
    *,
    marks: Sequence[int] = (),
    title: str = "",
    unit: str = "tokens",
    ax: Axes | None = None,
) -> Figure:
    """How long the texts are: a histogram, and on the right-hand scale the share that is no longer (coverage).

    values: lengths, or a mapping from a name to lengths. marks: lengths at which the coverage is written.
    """
    groups = dict(values) if isinstance(values, Mapping) else {"": values}
    arrays = {name: np.sort(np.asarray(v)) for name, v in groups.items()}
    figure, axes = _axes(ax)
    top = max(int(a.max()) for a in arrays.values())
    edges = np.linspace(0, top + 1, min(top + 2, 41))
    cover = axes.twinx()
    cover.spines["right"].set_visible(True)
    for colour, (name, array) in zip(PALETTE, arrays.items()):
        axes.hist(array, bins=edges, color=colour, alpha=0.45, label=name or None)
        cover.plot(array, np.arange(1, len(array) + 1) / len(array), color=colour, linewidth=1.5)
    for mark in marks:
        share = np.mean(np.concatenate(list(arrays.values())) <= mark)
        cover.axvline(mark, color=GREY, linestyle="--", linewidth=1)
        cover.annotate(
            f"{mark}: {100 * share:.1f} %", (mark, 0.03), rotation=90, fontsize=8, ha="right", va="bottom"
        )
    cover.set(ylim=(0, 1.02), ylabel="share no longer than this")
    axes.set(xlabel=unit, ylabel="texts", title=title)
    if any(groups):
        axes.legend(fontsize=9, loc="center right")
    return figure


def padding(batches: Mapping[str, Any], *, title: str = "") -> Figure:
    """What a batch spends on padding, seen: one picture a name, a row a text, tokens dark and padding light.

    batches: name → attention mask (B, L) of one batch (or a list of masks, which are stacked under one another).
    The share of padding is written above each.
    """
    import matplotlib.colors

    grids = {name: _stack(masks) for name, masks in batches.items()}
    figure, axes = new(len(grids), height=3.4, width=max(3.2 * len(grids), 4), squeeze=False)
    widest = max(g.shape[1] for g in grids.values())
    shades = matplotlib.colors.ListedColormap(["#F4D9B0", BLUE, "white"])
    for ax, (name, grid) in zip(axes[0], grids.items()):
        canvas = np.full((grid.shape[0], widest), 2)
        canvas[:, : grid.shape[1]] = grid
        ax.imshow(canvas, cmap=shades, vmin=0, vmax=2, aspect="auto", interpolation="nearest")
        share = float((grid == 0).sum() / max((grid != 2).sum(), 1))
        ax.set(title=f"{name}: {100 * share:.0f} % padding", xlabel="position", ylabel="text")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _stack(masks: Any) -> np.ndarray:
    """One grid of 1 (token), 0 (padding) and 2 (outside the batch) from a mask (B, L) or a list of masks."""
    parts = [np.asarray(m) for m in (masks if isinstance(masks, list | tuple) else [masks])]
    parts = [p[None, :] if p.ndim == 1 else p for p in parts]
    grid = np.full((sum(len(p) for p in parts), max(p.shape[1] for p in parts)), 2)
    row = 0
    for part in parts:
        grid[row : row + len(part), : part.shape[1]] = part
        row += len(part)
    return grid


def heatmap(
    values: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    numbers: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """A table of numbers as shades, such as attention weights (R, C) from each token to each other."""
    table = np.asarray(values, dtype=float)
    figure, axes = _axes(ax, width=1.8 + 0.5 * len(columns), height=1.2 + 0.4 * len(rows))
    axes.imshow(table, cmap="Blues", aspect="auto")
    middle = (np.nanmax(table) + np.nanmin(table)) / 2
    for row, column in np.ndindex(*table.shape) if numbers else ():
        ink = "white" if table[row, column] > middle else "black"
        axes.text(column, row, f"{table[row, column]:.2g}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(columns)), columns, rotation=45 if max(map(len, columns)) > 3 else 0)
    axes.set_yticks(range(len(rows)), rows)
    axes.spines[:].set_visible(False)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure
