"""What a notebook shows: outputs of a real kernel, which the unit tests of the lesson helpers do not see."""

import os

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    "import kolab as kl",
    'guess = kl.predict("77.a", {"nothing": 0.0, "a quarter": 0.25})',
    "kl.reveal(guess, 0.27)",
    'guess._radio.value = "a quarter"  # what a click does, after the cell above was run',
    'for _ in range(2):\n    kl.check("0.1", lambda logits, names: ...)\nprint("after")',
    'kl.hint("0.1")',
    'kl.plots.bars({"가": 1, "나": 2})',
    "figure, axes = kl.plots.new(2)\nkl.plots.bars({'가': 1}, ax=axes[0])\nkl.plots.lines({'나': [1, 2]}, ax=axes[1])",
    """
class Config:
    id2label, problem_type = {0: "부정", 1: "긍정"}, None
class Model:
    config, training = Config, False
    predict = None
    def eval(self): ...
    def train(self, mode): ...
    def parameters(self):
        import torch; yield torch.zeros(1)
    def __call__(self, input_ids):
        import torch
        class Output: logits = torch.tensor([[0.0, float(input_ids[0, 0])]])
        return Output
class Batch(dict):
    def to(self, device): return self
def tokenizer(text, **options):
    import torch; return Batch(input_ids=torch.tensor([[len(text)]]))
widget = kl.widgets.classifier_widget(Model(), tokenizer, "안녕")
widget""",
    'widget.text.value = ""\nprint(widget.bars.value.count("0.0 %"))',
    "kl.progress()",
]
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    environment = {**os.environ, "KOLAB_HOME": str(tmp_path_factory.mktemp("home")), "KOLAB_STRICT": "0"}
    environment.pop("MPLBACKEND", None)  # the kernel's own: figures inside the notebook
    NotebookClient(notebook, timeout=120, kernel_name="python3", coalesce_streams=True).execute(
        env=environment
    )
    return notebook.cells


def test_a_question_is_a_widget_with_a_still_picture(cells):
    (output,) = cells[1].outputs
    assert output.data[VIEW]["version_major"] == 2 and "○ a quarter" in output.data["text/html"]


def test_a_late_guess_is_drawn_into_the_cell_above(cells):
    (output,) = cells[2].outputs
    assert "Your guess: a quarter. That is it." in output.data["text/plain"]
    assert cells[3].outputs == []


def test_verdicts_are_shown_in_the_middle_of_a_cell(cells):
    kinds = [o.output_type for o in cells[4].outputs]
    assert kinds == ["display_data", "display_data", "stream"]
    assert "not done yet" in cells[4].outputs[0].data["text/html"]


def test_hints_and_progress_are_html(cells):
    assert "<ol" in cells[5].outputs[0].data["text/html"]
    assert "<table>" in cells[10].outputs[0].data["text/html"]


def test_a_figure_is_shown_once(cells):
    for number in (6, 7):
        (output,) = cells[number].outputs
        assert "image/png" in output.data


def test_the_widget_shows_itself_once_and_answers(cells):
    (output,) = cells[8].outputs
    assert VIEW in output.data and "긍정" in output.data["text/html"] and "88.1 %" in output.data["text/html"]
    assert cells[9].outputs[0].text == "2\n"
