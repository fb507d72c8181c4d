"""The progress bar: it moves, it becomes the table of epochs, and it stays silent when told to."""

import io
import sys

import pytest

from kolab import progress_bar
from kolab.progress_bar import Progress

ROW = {
    "epoch": 1,
    "step": 5,
    "train_loss": 0.5,
    "validation_loss": 0.25,
    "f1": 0.75,
    "lr": 1e-3,
    "seconds": 1.0,
}


class Handle:
    """Stands for IPython's display handle: remembers what it was shown."""

    def __init__(self):
        self.shown: list[dict[str, str]] = []

    def update(self, bundle, raw):
        self.shown.append(bundle)


@pytest.fixture
def notebook(monkeypatch):
    import IPython.display

    handle = Handle()
    monkeypatch.setattr(progress_bar, "in_notebook", lambda: True)
    monkeypatch.setattr(progress_bar, "_EVERY", 0.0)
    monkeypatch.setattr(IPython.display, "display", lambda bundle, **_: handle.shown.append(bundle) or handle)
    return handle


def test_in_a_notebook_the_bar_moves_and_ends_as_a_table(notebook):
    with Progress(10, title="bf16 on cpu") as bar:
        for _ in range(5):
            bar.step("loss 0.5")
        bar.row(ROW)
    values = [bundle["text/html"].split('value="')[1].split('"')[0] for bundle in notebook.shown[:6]]
    assert values == ["0", "1", "2", "3", "4", "5"]
    last = notebook.shown[-1]
    assert "<progress" not in last["text/html"] and "0.7500" in last["text/html"]
    assert "5 of 10 steps" in last["text/plain"] and "bf16 on cpu" in last["text/plain"]
    assert "lr" not in last["text/html"] and "validation loss" in last["text/html"]


def test_a_resumed_run_begins_where_it_stood(notebook):
    with Progress(10, done=7) as bar:
        bar.step()
    assert 'value="7"' in notebook.shown[0]["text/html"] and 'value="8"' in notebook.shown[1]["text/html"]


def test_in_a_terminal_the_epochs_are_written_line_by_line(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress(2) as bar:
        bar.step()
        bar.row(ROW)
    assert "epoch   1  train_loss 0.5000  val_loss 0.2500  f1 0.7500" in sys.stderr.getvalue()


def test_silence(monkeypatch, capsys):
    with Progress(2, show=False) as bar:
        bar.step()
        bar.row(ROW)
    assert capsys.readouterr() == ("", "")
