"""JupyterLab as `make lab` starts it, in a real browser: what a learner does and sees, lesson by lesson.

Lesson 00 is run in full, the others trimmed; each worker of pytest-xdist has one JupyterLab of each kind.
About six minutes on two cores. Screenshots are left in build/screenshots.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the browser tests need Playwright: make test-slow")

from playwright.sync_api import Locator, expect, sync_playwright

from tests import browser_glyphs
from tests.browser import ROOT, VIEW, WAIT, Lab, Lesson, start_chromium

pytestmark = pytest.mark.slow

LESSONS = sorted(p.stem for p in (ROOT / "notebooks" / "source").glob("[0-9]*.py"))
ASKS = re.compile(
    r'^(?:\w+ = )?kl\.predict\("([\d.a-z]+)"', re.MULTILINE
)  # a cell of a lesson that shows a question …
SHOWS = re.compile(r"^(?:[\w.]+ = )?[\w.]*_widget\(", re.MULTILINE)  # … or another widget
COMPLAINT = "일주일 만에 고장났어요 ㅠㅠ"  # lesson 00 asks the model about it in a table, too


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT)
        window = start_chromium(playwright, tmp_path_factory.mktemp("chromium"))
        yield window
        window.browser.close()


@pytest.fixture(scope="session")
def labs(tmp_path_factory):
    """labs(quick) → a running JupyterLab."""
    running: dict[bool, Lab] = {}

    def lab(quick: bool) -> Lab:
        if quick not in running:
            running[quick] = Lab(tmp_path_factory.mktemp("lab") / "lab", quick=quick)
        return running[quick]

    yield lab
    for one in running.values():
        one.close()


@pytest.fixture
def opened(chromium, labs):
    """opened(name, quick) → a lesson in the browser; closed, with its kernel, at the end."""
    lessons: list[Lesson] = []

    def lesson(name: str, *, quick: bool) -> Lesson:
        lessons.append(Lesson(chromium, labs(quick), name))
        return lessons[-1]

    yield lesson
    for one in lessons:
        one.close()


def test_a_learners_first_lesson(opened):
    lesson = opened(LESSONS[0], quick=False)
    assert f"/notebooks/{LESSONS[0]}.ipynb?token=" in lesson.lab.start  # what make lab prints
    asked = lesson.find("kl.predict(")
    # Predict before you run: the learner runs the first cells, chooses, and only then runs everything.
    lesson.run(lesson.find("kl.setup()"))
    lesson.run(asked)
    lesson.output(asked).get_by_label("65 %").check()
    lesson.shoot("guess")
    lesson.page.evaluate("window.kolab.bars()")
    lesson.run_all()

    training(lesson)
    guesses(lesson, asked)
    figures(lesson)
    typing(lesson)
    exercise(lesson)


def training(lesson: Lesson) -> None:
    """The progress bar was there, and moved."""
    seen = lesson.page.evaluate("window.kolab.seen")
    values = [bar["value"] for bar in seen]
    assert values == sorted(values) and len(set(values)) > 3, seen
    assert all(bar["width"] > 50 and bar["value"] <= bar["max"] for bar in seen), seen


def guesses(lesson: Lesson, asked: int) -> None:
    """The answer is kept though its cell was run again, stands on the result, and can be changed afterwards."""
    result = lesson.find("kl.reveal(", after=asked)
    expect(lesson.output(asked).get_by_label("65 %")).to_be_checked()
    expect(lesson.output(result)).to_contain_text("Your guess: 65 %")
    expect(lesson.output(result)).to_contain_text(re.compile(r"Measured: \d\d(\.\d)? %"))
    expect(lesson.output(result)).to_contain_text("◉ 65 % ← your guess")
    lesson.shoot("result")
    lesson.output(asked).get_by_label("80 %").check()
    expect(lesson.output(result)).to_contain_text("Your guess: 80 %")


def typing(lesson: Lesson) -> None:
    """A Korean sentence typed into the widget: the bars become what the model says of it."""
    number = lesson.find("classifier_widget(")
    table = lesson.output(lesson.find("sentences = [")).locator("tr", has_text=COMPLAINT).locator("td")
    expected = [float(share.strip(" %")) for share in table.all_inner_texts()]  # whole numbers
    assert len(expected) == 3

    field = lesson.output(number).locator(".widget-text input")
    bars = lesson.output(number).locator(".widget-html")
    before = bars.inner_text()
    field.click()
    lesson.page.keyboard.press("Control+A")
    field.press_sequentially(COMPLAINT, delay=20)
    lesson.wait(
        """([node, expected]) => [...node.querySelectorAll('tr')].every(
             (row, place) => Math.abs(parseFloat(row.cells[2].innerText) - expected[place]) < 2)""",
        [bars.element_handle(), expected],
    )
    assert bars.inner_text() != before
    lesson.shoot("typed")


def exercise(lesson: Lesson) -> None:
    """A wrong answer gets its diagnosis, the right one turns the check green, and both are remembered."""
    stub, check, record = (lesson.find(c) for c in ("def names_of", 'kl.check("0.1"', "kl.progress()"))
    verdict = lesson.output(check)
    expect(verdict).to_contain_text("not done yet")

    lesson.write(
        stub, "def names_of(logits, names):\n    return [names[int(i)] for i in logits.argmin(dim=1)]"
    )
    lesson.run(stub)
    lesson.run(check)
    expect(verdict).to_contain_text("the largest logit wins, not the smallest")
    assert edge(verdict) == "rgb(196, 50, 10)"
    lesson.shoot("wrong")

    lesson.write(
        stub, "def names_of(logits, names):\n    return [names[int(i)] for i in logits.argmax(dim=1)]"
    )
    lesson.run(stub)
    lesson.run(check)
    expect(verdict).to_contain_text("0.1 · From logits to words: right")
    assert edge(verdict) == "rgb(26, 127, 55)"
    lesson.shoot("right")

    lesson.run(record)
    expect(lesson.output(record)).to_contain_text(re.compile(r"^1 of \d+ exercises done"))
    lesson.restart()
    lesson.run(lesson.find("kl.setup()"))
    lesson.run(record)
    expect(lesson.output(record)).to_contain_text(re.compile(r"^1 of \d+ exercises done"))
    expect(lesson.output(record).locator("tr", has_text="✓ 0.1")).to_contain_text("tries 2")
    lesson.shoot("progress")
    assert lesson.lab.progress()["exercises"]["0.1"]["status"] == "right"


def edge(output: Locator) -> str:
    """The colour at the left of a verdict, as the page draws it."""
    return output.locator('div[style*="border-left"]').evaluate("n => getComputedStyle(n).borderLeftColor")


@pytest.mark.parametrize("name", LESSONS[1:])
def test_a_lesson_runs_its_widgets_answer_and_its_figures_hold_hangul(name, opened):
    lesson = opened(name, quick=True)
    lesson.run_all()
    figures(lesson)
    widgets(lesson)


def widgets(lesson: Lesson) -> None:
    """Every widget that the source shows is there, and each of its controls makes it answer."""
    cells = [c for c in lesson.read() if c["code"]]
    live = {c["number"] for c in cells if any(VIEW in kinds for kinds in c["outputs"])}
    asking = {c["number"] for c in cells if ASKS.search(c["source"])}
    showing = {c["number"] for c in cells if SHOWS.search(c["source"])}
    source = (ROOT / "notebooks" / "source" / f"{lesson.name}.py").read_text(encoding="utf-8")
    assert len(asking) == source.count("kl.predict(") and len(showing) == len(SHOWS.findall(source))
    assert live == asking | showing
    for number in sorted(asking):
        ask(lesson, number)
    for number in sorted(showing):
        use(lesson, number)


def ask(lesson: Lesson, number: int) -> None:
    """Each option of a question is kept when it is chosen, and drawn on the result (once there is one)."""
    question = ASKS.search(lesson.source(number))[1]
    result = lesson.output(lesson.find("kl.reveal(", after=number))
    waits_for_a_study = "Not recorded yet" in result.inner_text()
    options = lesson.output(number).locator(".widget-radio-box label")
    options.first.wait_for()
    for option in options.all():
        text = option.inner_text().strip()
        option.locator("input").check()
        if not waits_for_a_study:
            expect(result).to_contain_text(f"Your guess: {text}")
    lesson.run(number)  # and is there again when the cell is
    expect(lesson.output(number).locator(".widget-radio-box label").last.locator("input")).to_be_checked()
    assert lesson.lab.progress()["guesses"][question] == text


def use(lesson: Lesson, number: int) -> None:
    """Every field, menu, slider, button and box of a widget changes what the widget shows."""
    output = lesson.output(number)
    picture = output.locator(".widget-html").last
    picture.wait_for()

    def answers(act: Callable, *args: Any, **options: Any) -> None:
        before = picture.inner_html()
        act(*args, **options)
        lesson.wait("([node, before]) => node.innerHTML !== before", [picture.element_handle(), before])

    used = 0
    for field in output.locator(".widget-text input").all():
        answers(field.fill, "2")
        used += 1
    for menu in output.locator(".widget-dropdown select").all():
        chosen, options = menu.evaluate("m => [m.selectedIndex, m.options.length]")
        assert chosen >= 0, f"{lesson.name}: a menu of the widget in cell {number} shows nothing"
        answers(menu.select_option, index=(chosen or options) - 1)
        used += 1
    for handle in output.locator(".widget-slider .noUi-handle").all():
        at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        answers(handle.press, "ArrowLeft" if at_end else "ArrowRight")
        used += 1
    for button in output.locator(".widget-toggle-buttons button").all():
        if "mod-active" not in button.get_attribute("class"):
            answers(button.click)
            used += 1
    for box in output.locator(".widget-checkbox input").all():
        answers(box.click)
        used += 1
    assert used, f"{lesson.name}: the widget in cell {number} has nothing to use"
    lesson.shoot(f"widget_{number}")


def figures(lesson: Lesson) -> None:
    """Every picture on the page is one that a cell drew, and the Hangul in it is Hangul."""
    shown = 0
    for cell in lesson.read():
        for place in range(sum("image/png" in kinds for kinds in cell["outputs"])):
            picture = lesson.output(cell["number"]).locator("img[src^='data:image/png']").nth(place)
            picture.wait_for()
            png = base64.b64decode(picture.get_attribute("src").split(",", 1)[1])
            size = picture.evaluate(
                "async n => { await n.decode(); return [n.naturalWidth, n.naturalHeight]; }"
            )
            assert min(size) > 50
            drawn = lesson.lab.figures / f"{hashlib.sha256(png).hexdigest()}.json"
            assert drawn.is_file(), (
                f"{lesson.name}: the picture of cell {cell['number']} is from no cell of this run"
            )
            wrong = browser_glyphs.judge(png, json.loads(drawn.read_text(encoding="utf-8")))
            assert not wrong, f"{lesson.name}, cell {cell['number']}: {wrong}"
            shown += 1
    drawn = [
        line for f in lesson.lab.figures.glob("*.json") for line in json.loads(f.read_text(encoding="utf-8"))
    ]
    assert shown and not browser_glyphs.boxes(drawn)


DRAW = """
import sys
exec(open(sys.argv[1], encoding="utf-8").read())
from IPython.core.pylabtools import print_figure
import kolab as kl, matplotlib
kl.plots.use_hangul()
if sys.argv[2] == "boxes":
    matplotlib.rcParams["font.family"] = ["DejaVu Sans"]  # has no Hangul
figure = kl.plots.confusion([0, 1, 2], [0, 1, 1], ["부정", "중립", "긍정"], title="F1 of 시험용 reviews")
open(sys.argv[3], "wb").write(print_figure(figure))
"""


@pytest.mark.parametrize("font, found", [("the course's", 0), ("boxes", 7)])
def test_boxes_would_be_found(font, found, tmp_path):
    """The judge of the figures, on a figure drawn with the course's font, and on the same one full of boxes."""
    picture, environment = (
        tmp_path / "figure.png",
        {**os.environ, "FIGURES": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    command = [sys.executable, "-c", DRAW, str(ROOT / "tests" / "browser_recorder.py"), font, str(picture)]
    subprocess.run(command, check=True, env=environment, timeout=300)
    png = picture.read_bytes()
    lines = json.loads((tmp_path / f"{hashlib.sha256(png).hexdigest()}.json").read_text(encoding="utf-8"))
    assert len(browser_glyphs.judge(png, lines)) == found
    assert bool(browser_glyphs.boxes(lines)) == bool(found)
