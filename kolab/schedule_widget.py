"""The widget of lesson 08: shape, warm-up, steps and peak of a learning-rate schedule, and the rate at every step.

Like all widgets here it shows a still picture of itself where no kernel runs, and never waits for a click.
"""

from __future__ import annotations

import html
from typing import Any

from kolab.errors import ConfigError
from kolab.optim import SCHEDULES, rate_at, warmup_steps
from kolab.show import VIEW, view_of

WARMING, REST = "#E69F00", "#0072B2"  # Okabe and Ito
COLUMNS = 96
PEAKS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 4e-4, 1e-3, 2e-3)


class ScheduleWidget:
    """Menus and sliders for a schedule, and its curve. Its parts: `.shape`, `.warmup`, `.steps`, `.peak`, `.curve`."""

    def __init__(self, shape: str = "linear", warmup: float = 0.1, steps: int = 300, peak: float = 4e-4):
        import ipywidgets

        if shape not in SCHEDULES:
            raise ConfigError(f"shape is {shape!r}; there are {', '.join(SCHEDULES)}.")
        if not 0 <= warmup <= 1 or steps < 1 or peak <= 0:
            raise ConfigError(
                f"warmup is {warmup}, steps {steps}, peak {peak}: a share from 0 to 1, at least 1 step, a rate above 0."
            )
        wide = ipywidgets.Layout(width="min(420px, 95%)")
        self.shape = ipywidgets.ToggleButtons(options=list(SCHEDULES), value=shape, description="shape")
        self.warmup = ipywidgets.FloatSlider(
            value=warmup, min=0, max=1, step=0.01, description="warm-up", readout_format=".0%", layout=wide
        )
        self.steps = ipywidgets.IntSlider(
            value=steps, min=1, max=max(1000, steps), description="steps", layout=wide
        )
        self.peak = ipywidgets.SelectionSlider(
            options=[(f"{p:.0e}", p) for p in sorted({*PEAKS, float(peak)})], value=float(peak), description="peak",
            layout=wide,
        )  # fmt: skip
        self.controls = (self.shape, self.warmup, self.steps, self.peak)
        self.curve = ipywidgets.HTML(self._draw())
        self.box = ipywidgets.VBox([*self.controls, self.curve])
        for control in self.controls:
            control.observe(self._changed, names="value")

    @property
    def warm(self) -> int:
        """The steps of the warm-up."""
        # 1 is a share here, all of the steps; `warmup_steps` would take it for a number of steps.
        return (
            self.steps.value if self.warmup.value == 1 else warmup_steps(self.warmup.value, self.steps.value)
        )

    def rates(self) -> list[float]:
        """The learning rate at each step of the training, first to last."""
        return [
            self.peak.value * rate_at(step, self.shape.value, self.warm, self.steps.value)
            for step in range(self.steps.value)
        ]

    def facts(self) -> dict[str, str]:
        """What the curve says in numbers."""
        rates = self.rates()
        return {
            "warm-up": f"{self.warm} of {len(rates)} steps",
            "first step": f"{rates[0]:.2e}",
            "highest": f"{max(rates):.2e}",
            "last step": f"{rates[-1]:.2e}",
            "mean": f"{100 * sum(rates) / len(rates) / self.peak.value:.0f} % of the peak",
        }

    def _changed(self, _: dict) -> None:
        self.curve.value = self._draw()

    def _draw(self) -> str:
        """The curve as a row of thin bars (plain HTML: it is shown in a notebook nobody has trusted yet, too)."""
        rates = self.rates()
        bars = []
        for column in range(min(COLUMNS, len(rates))):
            step = column * len(rates) // min(COLUMNS, len(rates))
            share, colour = rates[step] / self.peak.value, WARMING if step < self.warm else REST
            bars.append(
                f'<div title="step {step + 1}: {rates[step]:.2e}" style="flex:1;margin-right:1px;'
                f'height:{max(100 * share, 0.5):.1f}%;background:{colour}"></div>'
            )
        facts = " &nbsp; ".join(
            f"{name}: <b>{html.escape(value)}</b>" for name, value in self.facts().items()
        )
        frame = (
            "display:flex;align-items:flex-end;width:100%;max-width:560px;height:110px;"
            "border-left:1px solid rgba(127,127,127,0.8);border-bottom:1px solid rgba(127,127,127,0.8)"
        )
        legend = (
            f'<span style="color:{WARMING}">■</span> warm-up &nbsp; <span style="color:{REST}">■</span> '
            f"{self.shape.value}"
        )
        return (
            f'<div style="padding:2px 0">learning rate, up to {self.peak.value:.0e} &nbsp; {legend}</div>'
            f'<div style="{frame}">{"".join(bars)}</div>'
            f'<div style="padding:2px 0">step 1 to {len(rates)}</div><div style="padding:2px 0">{facts}</div>'
        )

    def settings(self) -> str:
        """The settings in one line."""
        return (
            f"{self.shape.value}, warm-up {100 * self.warmup.value:.0f} %, {self.steps.value} steps, "
            f"peak {self.peak.value:.0e}"
        )

    def __repr__(self) -> str:
        return "\n".join([self.settings(), *(f"  {name:12} {value}" for name, value in self.facts().items())])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        field = (
            '<div style="border:1px solid rgba(127,127,127,0.6);padding:3px 8px;max-width:620px">'
            f"{html.escape(self.settings())}</div>"
        )
        return {VIEW: view_of(self.box), "text/html": field + self.curve.value, "text/plain": repr(self)}


def schedule_widget(
    shape: str = "linear", warmup: float = 0.1, steps: int = 300, peak: float = 4e-4
) -> ScheduleWidget:
    """Choose a schedule's shape, warm-up (a share of all steps), length and peak; see the rate at every step.

    Let it be the last value of a cell.
    """
    return ScheduleWidget(shape, warmup, steps, peak)
