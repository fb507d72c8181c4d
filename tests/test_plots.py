"""Figures: Hangul without boxes, and every function draws what it says."""

import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kolab import plots

RUN = [
    {
        "epoch": e,
        "train_loss": 1 / e,
        "validation_loss": 0.5 + 0.05 * (e - 3) ** 2,
        "f1": 0.8 - 0.02 * (e - 4) ** 2,
    }
    for e in range(1, 7)
]


@pytest.fixture(autouse=True)
def warnings_are_errors():
    """A glyph that is missing from the font is a warning; here it is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(text: str) -> np.ndarray:
    """The pixels of a text."""
    figure, axes = plots.new(width=2, height=1)
    axes.set_axis_off()
    axes.text(0.1, 0.3, text, fontsize=30)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0].copy()


def test_hangul_is_drawn_as_itself():
    plots.use_hangul()
    pictures = [drawn(text) for text in ("가", "나", "ㅋ", "뷁", "□")]
    for i, left in enumerate(pictures):
        assert (left < 128).sum() > 20  # something is there
        for right in pictures[i + 1 :]:
            assert not np.array_equal(left, right)


def test_without_a_korean_font_of_the_system_the_bundled_one_serves(monkeypatch):
    from matplotlib import font_manager

    manager = font_manager.fontManager
    others = [f for f in manager.ttflist if f.name not in plots.HANGUL_FONTS]
    monkeypatch.setattr(manager, "ttflist", others)
    plots.use_hangul.cache_clear()
    assert plots.use_hangul() == "Noto Sans KR"
    assert not np.array_equal(drawn("가"), drawn("나"))
    plots.use_hangul.cache_clear()


def test_a_font_of_the_system_wins(monkeypatch):
    import matplotlib
    from matplotlib import font_manager

    class Installed:
        name = "NanumGothic"

    kept = list(matplotlib.rcParams["font.family"])
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist, Installed])
    plots.use_hangul.cache_clear()
    assert plots.use_hangul() == "NanumGothic"
    matplotlib.rcParams["font.family"] = kept
    plots.use_hangul.cache_clear()


def test_minus_signs_do_not_need_a_rare_glyph():
    figure = plots.lines({"기울기": [-2, -1, 0]}, xlabel="단계", ylabel="값")
    FigureCanvasAgg(figure).draw()


FIGURES = {
    "bars": lambda: plots.bars(
        {"다수": 0.4, "모형": 0.83},
        errors={"모형": (0.8, 0.86)},
        baseline=0.4,
        highlight="모형",
        percent=True,
    ),
    "bars of nothing": lambda: plots.bars({"가": 0, "나": 0}),
    "negative bars": lambda: plots.bars({"가": -1.5, "나": 2}, digits=1),
    "lines": lambda: plots.lines({"선형": [1, 2, 3], "코사인": ([0, 1], [3, 2])}, markers=True),
    "history": lambda: plots.history(RUN),
    "two histories": lambda: plots.history({"처음": RUN, "다시": RUN}, published=RUN),
    "history of one epoch": lambda: plots.history(RUN[:1]),
    "confusion": lambda: plots.confusion(
        [0, 1, 2, 1], [0, 1, 1, 1], ["부정", "중립", "긍정"], title="혼동 행렬"
    ),
    "lengths": lambda: plots.lengths({"쉬운": [3, 5, 9], "어려운": [8, 20]}, marks=[10], title="길이"),
    "padding": lambda: plots.padding({"무작위": [[1, 1, 0], [1, 0, 0]], "버킷": [[[1, 0]], [[1, 1, 1]]]}),
    "heatmap": lambda: plots.heatmap([[0.1, 0.9], [0.5, 0.5]], ["가", "나"], ["다", "라마바사"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_function_returns_a_figure_that_can_be_drawn(name, tmp_path):
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "figure.png")
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []  # a notebook would show it twice


def test_the_numbers_in_the_figures_are_right():
    texts = [t.get_text() for t in plots.confusion([0, 0, 1], [0, 1, 1], ["a", "b"]).axes[0].texts]
    assert texts == ["1\n100 %", "0\n0 %", "1\n50 %", "1\n50 %"]
    padding = plots.padding({"x": np.array([[1, 1, 1, 0], [1, 0, 0, 0]])})
    assert padding.axes[0].get_title(loc="left") == "x: 50 % padding"
    two = plots.padding({"x": [np.ones((1, 2)), np.array([[1, 1, 1, 0]])]})
    assert (
        two.axes[0].get_title(loc="left") == "x: 17 % padding"
    )  # 1 of 6: what is outside a batch is no padding
    assert [t.get_text() for t in plots.bars({"a": 0.125}, percent=True).axes[0].texts] == ["12.5 %"]


def test_draws_into_an_axes_of_ones_own():
    figure, axes = plots.new(2)
    assert plots.bars({"가": 1}, ax=axes[0]) is figure
    plots.lines({"나": [1, 2]}, ax=axes[1])
    assert axes[0].patches and axes[1].lines
