"""The widget of lesson 10: move a label's threshold, see what is found, what is missed and what is said too much.

Like all widgets here it shows a still picture of itself where no kernel runs, and never waits for a click.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from kolab.decide import apply_thresholds, fit_thresholds
from kolab.errors import ConfigError
from kolab.show import VIEW, view_of

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#8C8C8C"  # Okabe and Ito
WIDTH, HEIGHT = 420, 120
_GRID = np.linspace(0, 1, 201)


class ThresholdWidget:
    """A menu of labels, a slider for the threshold, and what it makes of these texts. `.label`, `.threshold`, `.panel`.

    Show it as the value of a cell. `counts()` and `scores()` work without any front end.
    """

    def __init__(self, probabilities: Any, labels: Any, names: Sequence[str], threshold: float = 0.5):
        import ipywidgets

        self.best = fit_thresholds(probabilities, labels)  # also refuses what is no probability
        self.probabilities, self.labels = (np.asarray(x, dtype=np.float64) for x in (probabilities, labels))
        if len(names) != self.labels.shape[1]:
            raise ConfigError(
                f"{self.labels.shape[1]} columns of labels need as many names, not {len(names)}."
            )
        self.label = ipywidgets.Dropdown(
            options=[(str(name), c) for c, name in enumerate(names)], description="label"
        )
        self.threshold = ipywidgets.FloatSlider(
            value=threshold, min=0.0, max=1.0, step=0.01, description="threshold", readout_format=".2f",
            layout=ipywidgets.Layout(width="440px"),
        )  # fmt: skip
        self.panel = ipywidgets.HTML(self._draw())
        self.box = ipywidgets.VBox([self.label, self.threshold, self.panel])
        self.label.observe(self._changed, names="value")
        self.threshold.observe(self._changed, names="value")

    def counts(self) -> dict[str, int]:
        """Of the chosen label at the chosen threshold: texts found, missed, and said to carry it though they do not."""
        column = self.label.value
        yes = apply_thresholds(self.probabilities, self.threshold.value)[:, column] == 1
        true = self.labels[:, column] == 1
        return {
            "found": int((yes & true).sum()), "missed": int((~yes & true).sum()), "too many": int((yes & ~true).sum())
        }  # fmt: skip

    def scores(self) -> dict[str, float]:
        """Precision, recall and F1, each from 0 to 1; 0 where there is nothing to divide by."""
        found, missed, false = self.counts().values()
        return {
            "precision": found / max(found + false, 1), "recall": found / max(found + missed, 1),
            "F1": 2 * found / max(2 * found + missed + false, 1),
        }  # fmt: skip

    def _changed(self, change: dict) -> None:
        self.panel.value = self._draw()

    def _draw(self) -> str:
        counts = " · ".join(f"<b>{number}</b> {what}" for what, number in self.counts().items())
        colour = {"precision": BLUE, "recall": BLUE, "F1": ORANGE}
        rows = "".join(
            f'<tr><td style="padding:2px 8px;text-align:right">{name}</td><td style="width:240px;padding:2px 0">'
            f'<div style="width:{100 * score:.1f}%;height:14px;background:{colour[name]}"></div></td>'
            f'<td style="padding:2px 8px;text-align:left">{score:.3f}</td></tr>'
            for name, score in self.scores().items()
        )
        return f'<div>{counts}</div><table style="border:none">{rows}</table>{self._curve()}'

    def _curve(self) -> str:
        """F1 against the threshold, the chosen one in orange and the best one dashed, as SVG."""
        column = self.label.value
        scores, true = self.probabilities[:, column], self.labels[:, column] == 1
        yes = scores[:, None] > _GRID  # (N, 201)
        curve = 2 * (yes & true[:, None]).sum(0) / np.maximum(yes.sum(0) + true.sum(), 1)
        points = " ".join(
            f"{WIDTH * x:.1f},{HEIGHT * (1 - y):.1f}" for x, y in zip(_GRID, curve, strict=True)
        )

        def upright(x: float, colour: str, dashes: str = "") -> str:
            at = f'x1="{WIDTH * x:.1f}" x2="{WIDTH * x:.1f}" y1="0" y2="{HEIGHT}"'
            return f'<line {at} stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dashes}"/>'

        best = float(self.best[column])
        return (
            f'<svg width="{WIDTH}" height="{HEIGHT + 18}" style="margin:4px 0 0 8px" role="img">'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="{GREY}" stroke-width="0.5"/>'
            f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>'
            f"{upright(best, GREY, '4 3')}{upright(self.threshold.value, ORANGE)}"
            f'<text x="0" y="{HEIGHT + 14}" font-size="11" fill="{GREY}">F1 for thresholds from 0 to 1; dashed: the '
            f"best on these texts, {best:.2f}</text></svg>"
        )

    def __repr__(self) -> str:
        name = self.label.options[self.label.value][0]
        counts = ", ".join(f"{number} {what}" for what, number in self.counts().items())
        scores = ", ".join(f"{name} {score:.3f}" for name, score in self.scores().items())
        return f"{name} from {self.threshold.value:.2f} on: {counts}; {scores}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        name = html.escape(self.label.options[self.label.value][0])
        head = f"<div>label <b>{name}</b>, threshold <b>{self.threshold.value:.2f}</b></div>"
        return {VIEW: view_of(self.box), "text/html": head + self.panel.value, "text/plain": repr(self)}


def threshold_widget(
    probabilities: Any, labels: Any, names: Sequence[str], threshold: float = 0.5
) -> ThresholdWidget:
    """Choose a label, move its threshold, see precision, recall and F1 change.

    probabilities, labels: (N, C), as for `kolab.decide.fit_thresholds`. names: of the C labels. Let it be the last
    value of a cell. Raises: DataError as `fit_thresholds`, ConfigError for another number of names.
    """
    return ThresholdWidget(probabilities, labels, names, threshold)
