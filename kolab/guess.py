"""Predict before you run: `predict` takes a guess, `reveal` draws it on the measured value."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kolab import memory
from kolab.show import BLUE, GREEN, GREY, RED, Shown, bold, box, show, show_widget


class Guess:
    """A question with options, and the option that the learner has chosen (`value`, None before that).

    `numbers` holds the options' places on an axis, when they have one. Set `value` to choose without a mouse.
    """

    def __init__(self, id: str, options: Sequence | Mapping[str, float], answer: Any = None):
        self.id, self.answer = str(id), answer
        self.options = [_show_number(o) for o in options]
        if len(self.options) < 2 or len(set(self.options)) < len(self.options):
            raise ValueError(f"guess {id!r} needs two or more options, all different; it has {self.options}")
        places = list(options.values()) if isinstance(options, Mapping) else list(options)
        numeric = all(isinstance(p, int | float) and not isinstance(p, bool) for p in places)
        self.numbers = [float(p) for p in places] if numeric else None
        kept = memory.read()["guesses"].get(self.id)
        self._value = kept if kept in self.options else None
        self._listeners: list[Callable[[], None]] = []
        self._radio = None

    @property
    def value(self) -> str | None:
        return self._value

    @value.setter
    def value(self, option: Any) -> None:
        option = _show_number(option)
        if option not in self.options:
            raise ValueError(f"{option!r} is not one of the options {self.options}")
        if option == self._value:
            return
        self._value = option
        memory.update(lambda state: state["guesses"].__setitem__(self.id, option))
        if self._radio is not None and self._radio.value != option:
            self._radio.value = option
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever another option is chosen."""
        self._listeners.append(listener)

    def option_of(self, measured: Any, answer: Any = None) -> str | None:
        """The option that a measurement speaks for: the one named, the same text, or the nearest number."""
        answer = self.answer if answer is None else answer
        if isinstance(answer, int) and not isinstance(answer, bool) and self.numbers is None:
            return self.options[answer]
        if answer is not None:
            if _show_number(answer) not in self.options:
                raise ValueError(f"{answer!r} is not one of the options {self.options}")
            return _show_number(answer)
        if isinstance(measured, str):
            return measured if measured in self.options else None
        value = _as_number(measured)
        if value is None or self.numbers is None or math.isnan(value):
            return None
        nearest = min(range(len(self.numbers)), key=lambda i: abs(self.numbers[i] - value))
        return self.options[nearest]

    def __repr__(self) -> str:
        return f"Guess({self.id!r}, {self.value!r})"


def predict(id: str, options: Sequence | Mapping[str, float], answer: Any = None) -> Guess:
    """Ask for a guess before a cell is run; `reveal` shows it beside the measured value.

    options: texts, numbers, or a mapping from text to its place on an axis ({"a quarter": 0.25}).
    answer: the option that is right, where it does not follow from the measured value. Better given to `reveal`,
    where it gives nothing away. The choice is kept: after a restart it is shown again.
    """
    import ipywidgets

    guess = Guess(id, options, answer)
    guess._radio = radio = ipywidgets.RadioButtons(
        options=guess.options, value=guess.value, layout=ipywidgets.Layout(width="auto")
    )

    def chosen(change):
        if change["new"] is not None:
            guess.value = change["new"]

    radio.observe(chosen, names="value")
    lines = [f"({'●' if o == guess.value else ' '}) {o}" for o in guess.options]
    markup = "<br>".join(f"{'◉' if o == guess.value else '○'} {html.escape(o)}" for o in guess.options)
    show_widget(radio, "\n".join(lines), f'<div style="line-height:1.7">{markup}</div>')
    return guess


def reveal(
    guess: Guess, measured: Any, *, answer: Any = None, unit: str = "", text: str = "", digits: int = 3
) -> None:
    """Show the learner's guess beside the measured value. Without a guess it says so, and shows the value.

    measured: a number or a text. answer: the option (its text or position) that the measurement speaks for; with
    numeric options the nearest one is found without it. unit: written after the value. text: one more line.
    A guess that is made later, after the cell was run, is drawn in.
    """
    value = _as_number(measured)
    said = f"{_show_number(measured if value is None else value, digits)}{unit}"
    best = guess.option_of(measured, answer)

    def draw() -> Shown:
        return _reveal(guess, said, value, best, text)

    first = draw()
    handle = show(first.text, first.markup)
    if handle is not None:
        guess.on_change(lambda: handle.update(draw()))


def _reveal(guess: Guess, said: str, value: float | None, best: str | None, text: str) -> Shown:
    """The guess on the measured value: one line per option, and an axis where the options have places on one."""
    if guess.value is None:
        colour, verdict = GREY, "No guess yet (choose one above, and it is drawn in here)."
    elif best is None:
        colour, verdict = BLUE, f"Your guess: {guess.value}."
    elif guess.value == best:
        colour, verdict = GREEN, f"Your guess: {guess.value}. That is it."
    else:
        colour, verdict = RED, f"Your guess: {guess.value}. Measured: {best}."
    rows, plain = [], []
    for option in guess.options:
        mark = "◉" if option == guess.value else "○"
        notes = (["your guess"] if option == guess.value else []) + (["measured"] if option == best else [])
        tail = f" ← {', '.join(notes)}" if notes else ""
        weight = "bold" if option == best else "normal"
        rows.append(f'<span style="font-weight:{weight}">{mark} {html.escape(option)}{tail}</span>')
        plain.append(f"  {mark} {option}{tail}")
    axis = _axis(guess, value) if guess.numbers and value is not None and math.isfinite(value) else ""
    body = f"Measured: <b>{html.escape(said)}</b>. {bold(colour, verdict)}{axis}"
    body += f'<div style="line-height:1.6;margin-top:4px">{"<br>".join(rows)}</div>'
    if text:
        body += f"<div>{html.escape(text)}</div>"
    lines = [f"Measured: {said}. {verdict}", *plain, *([text] if text else [])]
    return Shown("\n".join(lines), box(colour, body))


def _axis(guess: Guess, value: float) -> str:
    """A line with the options as ticks, the guess as a ring and the measured value as a bar."""
    low, high = min([*guess.numbers, value]), max([*guess.numbers, value])
    span = (high - low) or 1.0

    def place(number: float) -> float:
        return 4 + 92 * (number - low) / span

    parts = [
        '<div style="position:relative;height:30px;max-width:420px;margin:4px 0">'
        '<div style="position:absolute;left:0;right:0;top:14px;border-top:2px solid rgba(127,127,127,0.6)"></div>'
    ]
    for option, number in zip(guess.options, guess.numbers):
        ring = option == guess.value
        size, style = (14, f"border:3px solid {BLUE}") if ring else (8, "background:rgba(127,127,127,0.8)")
        parts.append(
            f'<div title="{html.escape(option, quote=True)}" style="position:absolute;left:{place(number):.1f}%;'
            f"top:{15 - size / 2:.0f}px;width:{size}px;height:{size}px;margin-left:-{size / 2:.0f}px;"
            f'box-sizing:border-box;border-radius:50%;{style}"></div>'
        )
    parts.append(
        f'<div title="measured" style="position:absolute;left:{place(value):.1f}%;top:2px;width:4px;height:26px;'
        f'margin-left:-2px;background:{GREEN}"></div></div>'
    )
    return "".join(parts)


def _as_number(value: Any) -> float | None:
    """A float from a number, a numpy scalar or a one-element tensor; None for anything else."""
    if isinstance(value, str | bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _show_number(value: Any, digits: int = 3) -> str:
    """A number with that many digits that count; anything else as its text.

    >>> _show_number(0.12345), _show_number(12345.6), _show_number(4), _show_number("a quarter")
    ('0.123', '12,346', '4', 'a quarter')
    """
    if not isinstance(value, float):
        return str(value)
    if math.isfinite(value) and abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
