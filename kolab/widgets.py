"""Widgets for the lessons. Each shows a still picture of itself where no kernel runs, and never waits for a click."""

from __future__ import annotations

import html
from typing import Any

from kolab.show import VIEW, view_of
from kolab.text import clean

EXAMPLE = "배터리가 하루 종일 가요 ㅋㅋ 완전 만족"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C8C8C")  # Okabe and Ito


class ClassifierWidget:
    """A text field and a bar for each class, redrawn at every key. `.text` and `.bars` are its ipywidgets.

    Show it as the value of a cell. `predict(text)` works without any front end.
    """

    def __init__(self, model: Any, tokenizer: Any, text: str = EXAMPLE, max_length: int = 128):
        import ipywidgets

        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length
        names = model.config.id2label
        self.names = [str(names[i]) for i in range(len(names))]
        self.multi_label = model.config.problem_type == "multi_label_classification"
        self.text = ipywidgets.Text(
            value=text,
            placeholder="문장을 입력하세요 · type a sentence",
            layout=ipywidgets.Layout(width="min(620px, 95%)"),
            continuous_update=True,
        )
        self.bars = ipywidgets.HTML(self._draw(text))
        self.box = ipywidgets.VBox([self.text, self.bars])
        self.text.observe(self._changed, names="value")

    def predict(self, text: str) -> dict[str, float]:
        """The probability of each class for one text: name → number from 0 to 1, in the classes' order.

        Dropout is off during the call, whatever mode the model is in, and the mode is as before afterwards.
        """
        import torch

        text = clean(text)  # as the texts it was trained on were
        batch = self.tokenizer(text, truncation=True, max_length=self.max_length, return_tensors="pt")
        batch = batch.to(next(self.model.parameters()).device)
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                logits = self.model(**batch).logits[0].float()
        finally:
            self.model.train(training)
        shares = logits.sigmoid() if self.multi_label else logits.softmax(-1)
        return dict(zip(self.names, shares.tolist()))

    def _changed(self, change: dict) -> None:
        self.bars.value = self._draw(change["new"])

    def _draw(self, text: str) -> str:
        """The bars as HTML; an empty field has empty bars."""
        shares = self.predict(text) if text.strip() else dict.fromkeys(self.names, 0.0)
        rows = []
        for i, (name, share) in enumerate(shares.items()):
            bar = f"width:{100 * share:.1f}%;height:16px;background:{COLOURS[i % len(COLOURS)]}"
            rows.append(
                f'<tr><td style="padding:2px 8px;text-align:right">{html.escape(name)}</td>'
                f'<td style="width:320px;padding:2px 0"><div style="{bar}"></div></td>'
                f'<td style="padding:2px 8px;text-align:left">{100 * share:.1f} %</td></tr>'
            )
        return f'<table style="border:none">{"".join(rows)}</table>'

    def __repr__(self) -> str:
        shares = self.predict(self.text.value) if self.text.value.strip() else {}
        return f"{self.text.value}\n" + "\n".join(f"  {n}: {100 * s:.1f} %" for n, s in shares.items())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        field = (
            '<div style="border:1px solid rgba(127,127,127,0.6);padding:3px 8px;max-width:620px">'
            f"{html.escape(self.text.value)}</div>"
        )
        return {VIEW: view_of(self.box), "text/html": field + self.bars.value, "text/plain": repr(self)}


def classifier_widget(model: Any, tokenizer: Any, text: str = EXAMPLE) -> ClassifierWidget:
    """Type a sentence, see the probabilities of a trained classifier change with every key.

    model: a `Classifier` (or any transformers model for sequence classification), with its tokenizer. text: what the
    field holds at first. Let it be the last value of a cell.
    """
    return ClassifierWidget(model, tokenizer, text)
