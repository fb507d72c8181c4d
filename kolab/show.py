"""Output that is HTML in a notebook and plain text elsewhere."""

from __future__ import annotations

import html
from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"
GREEN, RED, GREY, BLUE = "#1a7f37", "#c4320a", "#6e7781", "#0969da"


class Shown:
    """A piece of output: HTML in a notebook, the plain text elsewhere."""

    def __init__(self, text: str, markup: str):
        self.text, self.markup = text, markup

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.markup


def show(text: str, markup: str) -> Any:
    """Display a piece of output now, in the middle of a cell too. Returns the display's handle, if there is one."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(text)
        return None
    return display(Shown(text, markup), display_id=True)


def show_widget(widget: Any, text: str, markup: str) -> None:
    """Display a widget, with a still picture of it for where no kernel runs (a saved notebook, a web page)."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(text)
        return
    display({VIEW: view_of(widget), "text/html": markup, "text/plain": text}, raw=True)


def view_of(widget: Any) -> dict[str, Any]:
    """What a front end needs to draw a live ipywidget (versions 7 and 8 alike)."""
    return {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}


def box(colour: str, body: str) -> str:
    """HTML for a note with a coloured edge; readable on a light and on a dark page."""
    return (
        f'<div style="border-left:4px solid {colour};background:rgba(127,127,127,0.08);padding:6px 12px;'
        f'margin:4px 0;line-height:1.5">{body}</div>'
    )


def bold(colour: str, text: str) -> str:
    """HTML for bold, coloured text; the text is escaped."""
    return f'<b style="color:{colour}">{html.escape(text)}</b>'


def markup(text: str) -> str:
    """HTML of a text in which `code` stands between backquotes and line breaks count."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return html.escape(text).replace("\n", "<br>")
    done = []
    for i, part in enumerate(parts):
        escaped = html.escape(part)
        if i % 2 == 0:
            done.append(escaped.replace("\n", "<br>"))
        else:
            done.append(f'<code style="white-space:pre-wrap">{escaped}</code>')
    return "".join(done)
