"""Widgets of lesson 07: the bits of a number in three formats, and where the memory of a training step goes.

Like all widgets here they show a still picture of themselves where no kernel runs, and never wait for a click.
"""

from __future__ import annotations

import html
from fractions import Fraction
from typing import Any

from kolab import footprint
from kolab.errors import ConfigError
from kolab.formats import Stored, encode
from kolab.show import VIEW, view_of

SIGN, EXPONENT, MANTISSA = "#D55E00", "#009E73", "#0072B2"
PARTS = {  # what fills the memory → its colour (Okabe and Ito)
    "weights": "#0072B2", "gradients": "#E69F00", "optimizer": "#009E73", "activations": "#D55E00",
    "copies": "#CC79A7",
}  # fmt: skip
EXAMPLES = ("0.1", "1", "65519", "65520", "1e-8", "2^-24", "2049", "257", "3e38", "1/3")
ENCODERS = {"kolab-mini": footprint.MINI, "KoBERT": footprint.KOBERT}
GIB = 2**30


class FormatWidget:
    """A field for a number, and its bits in fp32, fp16 and bf16. `.number`, `.examples`, `.bits` are ipywidgets."""

    def __init__(self, number: str = "0.1", formats: tuple[str, ...] = ("fp32", "fp16", "bf16")):
        import ipywidgets

        self.formats = formats
        wide = ipywidgets.Layout(width="240px")
        self.number = ipywidgets.Text(value=str(number), description="number", layout=wide)
        self.examples = ipywidgets.Dropdown(
            options=[("examples", ""), *((e, e) for e in EXAMPLES)],
            value="",
            layout=ipywidgets.Layout(width="120px"),
        )
        self.bits = ipywidgets.HTML(self._draw(self.number.value))
        self.box = ipywidgets.VBox([ipywidgets.HBox([self.number, self.examples]), self.bits])
        self.number.observe(self._changed, names="value")
        self.examples.observe(self._chosen, names="value")

    def _changed(self, change: dict) -> None:
        self.bits.value = self._draw(change["new"])

    def _chosen(self, change: dict) -> None:
        if change["new"]:
            self.number.value = change["new"]

    def _draw(self, text: str) -> str:
        try:
            stored = [encode(text, name) for name in self.formats]
        except ConfigError as error:
            return f"<i>{html.escape(str(error))}</i>"
        head = "".join(
            f'<th style="text-align:left;padding:2px 8px">{name}</th>'
            for name in ("", "sign · exponent · mantissa", "what is stored", "to the next", "")
        )
        return f'<table style="border:none"><tr>{head}</tr>{"".join(map(_row, stored))}</table>'

    def __repr__(self) -> str:
        try:
            stored = [encode(self.number.value, name) for name in self.formats]
        except ConfigError as error:
            return str(error)
        lines = [
            f"  {s.format.name}  {' '.join(s.fields):36} {_number(s.value):16} next: +{_number(s.gap):12} {_verdict(s)}"
            for s in stored
        ]
        return "\n".join([self.number.value, *lines])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            VIEW: view_of(self.box),
            "text/html": _field("number", self.number.value) + self.bits.value,
            "text/plain": repr(self),
        }


def _row(stored: Stored) -> str:
    boxes = "".join(
        f'<span style="display:inline-block;width:11px;text-align:center;font:11px monospace;margin-right:1px;'
        f"color:{'white' if bit == '1' else colour};background:{colour if bit == '1' else 'transparent'};"
        f'border:1px solid {colour}">{bit}</span>'
        for bits, colour in zip(stored.fields, (SIGN, EXPONENT, MANTISSA))
        for bit in bits
    )
    cells = (stored.format.name, boxes, _number(stored.value), _number(stored.gap), _verdict(stored))
    style = "text-align:left;padding:2px 8px;white-space:nowrap"
    return (
        "<tr>"
        + "".join(f'<td style="{style}">{c if c is boxes else html.escape(c)}</td>' for c in cells)
        + "</tr>"
    )


def _verdict(stored: Stored) -> str:
    """What became of the number, in a few words."""
    if isinstance(stored.wanted, float):
        return "asked for"
    if stored.kind == "infinity":
        return "overflow: too large"
    if stored.kind == "zero":
        return "underflow: nothing is left" if stored.wanted else "exact"
    if stored.value == stored.wanted:
        return "exact" if stored.kind == "normal" else "exact, subnormal"
    error = f"off by {100 * stored.relative_error:.2g} %"
    return error if stored.kind == "normal" else f"subnormal, {error}"


def _number(value: Fraction | float) -> str:
    return f"{float(value):.9g}"


class MemoryWidget:
    """Sliders and boxes for a training step, and the memory it is predicted to take. Its parts are ipywidgets:
    `.encoder`, `.batch`, `.length`, `.precision`, `.rank`, `.checkpointing`, `.bars`."""

    def __init__(self, encoder: str = "KoBERT", device: str = "cuda", attention: str = "sdpa", **start: Any):
        import ipywidgets

        if encoder not in ENCODERS:
            raise ConfigError(f"There is no shape {encoder!r} here; there are {', '.join(ENCODERS)}.")
        self.device, self.attention = device, attention
        slider, menu = ipywidgets.SelectionSlider, ipywidgets.Dropdown
        self.encoder = menu(options=list(ENCODERS), value=encoder, description="encoder")
        self.batch = slider(options=_with([1, 2, 4, 8, 16, 32, 64, 128, 256], start.get("batch", 32)),
                            value=start.get("batch", 32), description="batch")  # fmt: skip
        self.length = slider(options=_with([16, 32, 64, 128, 256, 512], start.get("length", 128)),
                             value=start.get("length", 128), description="length")  # fmt: skip
        self.precision = menu(options=["fp32", "bf16", "fp16"], value=start.get("precision", "fp32"),
                              description="precision")  # fmt: skip
        ranks = [("all weights learn", None), *((f"LoRA, rank {r}", r) for r in (4, 8, 16, 64))]
        self.rank = menu(options=ranks, value=start.get("rank"), description="learns")
        if (
            self.rank.index is None
        ):  # ipywidgets takes the value None for "nothing is chosen", and shows an empty menu
            self.rank.index = 0
        self.checkpointing = ipywidgets.Checkbox(value=start.get("checkpointing", False),
                                                 description="gradient checkpointing")  # fmt: skip
        self.controls = (self.encoder, self.batch, self.length, self.precision, self.rank, self.checkpointing)
        self.start = self.predict()
        self.bars = ipywidgets.HTML(self._draw())
        rows = [ipywidgets.HBox(self.controls[:3]), ipywidgets.HBox(self.controls[3:])]
        self.box = ipywidgets.VBox([*rows, self.bars])
        for control in self.controls:
            control.observe(self._changed, names="value")

    def predict(self) -> footprint.Footprint:
        """What the settings chosen at the moment are predicted to take."""
        return footprint.predict(
            ENCODERS[self.encoder.value], batch=self.batch.value, length=self.length.value,
            precision=self.precision.value, rank=self.rank.value, checkpointing=self.checkpointing.value,
            attention=self.attention, device=self.device,
        )  # fmt: skip

    def _changed(self, _: dict) -> None:
        self.bars.value = self._draw()

    def _draw(self) -> str:
        """A bar for the settings chosen, one for those at the start, and the numbers."""
        now = self.predict()
        full = max(now.total, self.start.total)
        bars = "".join(
            f'<tr><td style="padding:2px 8px;text-align:right">{name}</td><td style="padding:2px 0">'
            f"{_bar(print_, full)}"
            f'</td><td style="padding:2px 8px;text-align:left;white-space:nowrap">peak {_size(print_.peak)}</td></tr>'
            for name, print_ in (("chosen", now), ("at the start", self.start))
        )
        parts = " &nbsp; ".join(
            f'<span style="color:{PARTS[name]}">■</span> {name} {_size(value)}'
            for name, value in now.parts.items()
        )
        return f'<table style="border:none">{bars}</table><div style="padding:2px 8px">{parts}</div>'

    def settings(self) -> str:
        """The settings in one line."""
        learns = "all weights learn" if self.rank.value is None else f"LoRA, rank {self.rank.value}"
        extra = ", gradient checkpointing" if self.checkpointing.value else ""
        return (
            f"{self.encoder.value}, batch {self.batch.value} × {self.length.value} tokens, {self.precision.value}, "
            f"{learns}{extra}"
        )

    def __repr__(self) -> str:
        now = self.predict()
        parts = "\n".join(f"  {name:12} {_size(value):>9}" for name, value in now.parts.items())
        return f"{self.settings()}\n{parts}\n  peak         {_size(now.peak):>9}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            VIEW: view_of(self.box),
            "text/html": _field("", self.settings()) + self.bars.value,
            "text/plain": repr(self),
        }


def _with(options: list[int], value: int) -> list[int]:
    return sorted({*options, value})


def _bar(footprint_: footprint.Footprint, full: int) -> str:
    segments = "".join(
        f'<div title="{name} {_size(value)}" style="width:{100 * value / full:.2f}%;background:{PARTS[name]}"></div>'
        for name, value in footprint_.parts.items()
    )
    return f'<div style="display:flex;width:440px;height:18px;background:rgba(127,127,127,0.12)">{segments}</div>'


def _size(count: float) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"


def _field(label: str, text: str) -> str:
    label = f"{html.escape(label)}: " if label else ""
    return (
        '<div style="border:1px solid rgba(127,127,127,0.6);padding:3px 8px;max-width:620px">'
        f"{label}{html.escape(text)}</div>"
    )


def format_widget(number: float | str = "0.1") -> FormatWidget:
    """Type a number, see its sign, exponent and mantissa in fp32, fp16 and bf16, and the gap to the next number."""
    return FormatWidget(str(number))


def memory_widget(encoder: str = "KoBERT", **start: Any) -> MemoryWidget:
    """Batch, length, precision, LoRA rank and checkpointing, and what they do to the memory of a step on a GPU.

    start: the settings it begins with (batch, length, precision, rank, checkpointing).
    """
    return MemoryWidget(encoder, **start)
