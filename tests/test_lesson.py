"""Guesses, hints, verdicts and progress, as a learner meets them; and the file that remembers them."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import kolab as kl
from kolab import checks, guess, lesson, memory

ONE = checks.Exercise(
    id="77.1",
    title="Double it",
    difficulty=2,
    minutes=5,
    check=lambda answer: checks.expect(checks.run(answer, 3) == 6, "`double(3)` should be 6"),
    hints=("think", "`return x * …`", "`return x * 2`"),
    wrong=(checks.WrongAnswer(lambda x: x, "should be 6"),),
)


def stub(x): ...


@pytest.fixture(autouse=True)
def exercise(monkeypatch):
    monkeypatch.setattr(checks, "exercises", lambda: {"77.1": ONE})
    monkeypatch.setattr(checks, "find", lambda id: {"77.1": ONE}[id])
    monkeypatch.setattr(memory, "_in_memory", None)


def saved() -> dict:
    return json.loads((memory.home() / "progress.json").read_text(encoding="utf-8"))


# --- sizes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value, size", [(None, 8), ("", 8), ("0", 8), ("1", 1)])
def test_pick(monkeypatch, value, size):
    if value is not None:
        monkeypatch.setenv("KOLAB_QUICK", value)
    assert kl.pick(full=8, quick=1) == size


# --- checks --------------------------------------------------------------------------------------------------


def test_a_right_answer_is_remembered(capsys):
    kl.check("77.1", lambda x: 2 * x)
    assert "✓ 77.1 · Double it: right" in capsys.readouterr().out
    assert saved()["exercises"]["77.1"]["status"] == "right"


def test_a_wrong_answer_shows_its_diagnosis_and_what_was_right_stays_right(capsys):
    kl.check("77.1", lambda x: x)
    out = capsys.readouterr().out
    assert "✗" in out and "`double(3)` should be 6" in out and "kl.hint('77.1')" in out
    assert saved()["exercises"]["77.1"] == {**saved()["exercises"]["77.1"], "status": "wrong", "tries": 1}
    kl.check("77.1", lambda x: x + x)
    kl.check("77.1", lambda x: x)
    assert saved()["exercises"]["77.1"]["status"] == "right"
    assert saved()["exercises"]["77.1"]["tries"] == 3


def test_a_stub_is_not_an_attempt(capsys):
    kl.check("77.1", stub)
    assert "not done yet" in capsys.readouterr().out
    assert saved()["exercises"]["77.1"] == {"status": "open", "tries": 0}


@pytest.mark.parametrize("answer, error", [(stub, checks.NotDone), (lambda x: x, checks.Wrong)])
def test_strict_mode_raises(monkeypatch, answer, error):
    monkeypatch.setenv("KOLAB_STRICT", "1")
    with pytest.raises(error):
        kl.check("77.1", answer)


def test_an_unknown_exercise_is_named(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(KeyError, match=r"no exercise '99\.9'"):
        kl.check("99.9", stub)


def test_hints_come_one_by_one_and_are_remembered(capsys):
    for seen in (1, 2, 3, 3):
        kl.hint("77.1")
        out = capsys.readouterr().out
        assert f"Hint {seen} of 3" in out and out.count("\n") == seen + 1
    assert saved()["hints"]["77.1"] == 3


def test_progress_counts(capsys):
    kl.progress()
    assert "0 of 1 exercises done; about 5 minutes" in capsys.readouterr().out
    kl.check("77.1", lambda x: 2 * x)
    kl.progress()
    out = capsys.readouterr().out
    assert "1 of 1 exercises done; about 0 minutes" in out and "✓ 77.1" in out


def test_verdicts_are_escaped_in_html():
    from kolab.show import bold, markup

    assert markup("a `<b>` & <i>") == 'a <code style="white-space:pre-wrap">&lt;b&gt;</code> &amp; &lt;i&gt;'
    assert "<script>" not in bold("#000", "<script>")
    assert markup("one ` alone\nand a line") == "one ` alone<br>and a line"


# --- the progress file ---------------------------------------------------------------------------------------


def test_a_broken_progress_file_is_put_aside(capsys):
    memory.home().mkdir(parents=True, exist_ok=True)
    (memory.home() / "progress.json").write_text('{"exercises": ', encoding="utf-8")
    kl.check("77.1", lambda x: 2 * x)
    assert "progress.broken.json" in capsys.readouterr().out
    assert (memory.home() / "progress.broken.json").read_text(encoding="utf-8") == '{"exercises": '
    assert saved()["exercises"]["77.1"]["status"] == "right"


@pytest.mark.parametrize("content", ["[]", "null", '{"exercises": 3}', "\x00"])
def test_strange_progress_files_do_not_stop_a_lesson(content):
    memory.home().mkdir(parents=True, exist_ok=True)
    (memory.home() / "progress.json").write_text(content, encoding="utf-8")
    kl.check("77.1", lambda x: 2 * x)
    assert saved()["exercises"]["77.1"]["status"] == "right"


def test_a_folder_that_cannot_be_made_is_said_once_and_progress_lives_on(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path / "file" / "home"))
    kl.check("77.1", lambda x: 2 * x)
    kl.hint("77.1")
    out = capsys.readouterr().out
    assert out.count("cannot be saved") == 1 and "KOLAB_HOME" in out
    assert memory.read()["exercises"]["77.1"]["status"] == "right" and memory.read()["hints"]["77.1"] == 1


def test_notebooks_that_write_at_once_lose_nothing():
    program = (
        "import sys; from kolab import memory\n"
        "for i in range(20): memory.update(lambda s: s['hints'].__setitem__(f'{sys.argv[1]}-{i}', 1))"
    )
    runs = [subprocess.Popen([sys.executable, "-c", program, name], env=dict(os.environ)) for name in "abc"]
    assert [run.wait(timeout=60) for run in runs] == [0, 0, 0]
    assert len(saved()["hints"]) == 60
    assert [p.name for p in memory.home().glob(".progress-*")] == []


# --- predict before you run ----------------------------------------------------------------------------------

OPTIONS = {"nothing": 0.0, "a quarter": 0.25, "a half": 0.5}


def test_a_guess_is_kept_and_comes_back():
    first = kl.predict("77.a", OPTIONS)
    assert first.value is None and first._radio.value is None
    first._radio.value = "a half"  # what a click does
    assert first.value == "a half" and saved()["guesses"]["77.a"] == "a half"
    again = kl.predict("77.a", OPTIONS)
    assert again.value == "a half" and again._radio.value == "a half"
    assert kl.predict("77.a", ["other", "words"]).value is None  # the question has changed


def test_a_guess_set_in_code_moves_the_button():
    asked = kl.predict("77.a", OPTIONS)
    asked.value = "nothing"
    assert asked._radio.value == "nothing"
    with pytest.raises(ValueError, match="not one of the options"):
        asked.value = "everything"


def test_reveal_shows_the_guess_beside_the_measured_value(capsys):
    asked = kl.predict("77.a", OPTIONS)
    capsys.readouterr()
    kl.reveal(asked, 0.27)
    assert "Measured: 0.27. No guess yet" in capsys.readouterr().out
    asked.value = "a half"
    kl.reveal(asked, 0.27, unit=" of it")
    out = capsys.readouterr().out
    assert "Measured: 0.27 of it. Your guess: a half. Measured: a quarter." in out
    assert "◉ a half ← your guess" in out and "○ a quarter ← measured" in out
    asked.value = "a quarter"
    kl.reveal(asked, 0.27)
    assert "Your guess: a quarter. That is it." in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, measured, answer, best",
    [
        ([0.5, 0.7, 0.9], 0.84, None, "0.9"),
        ([1, 2, 4], 2, None, "2"),
        (["yes", "no"], "no", None, "no"),
        (["yes", "no"], 0.3, None, None),
        (["yes", "no"], 0.3, 1, "no"),
        (["yes", "no"], 0.3, "yes", "yes"),
        (OPTIONS, float("nan"), None, None),
        (OPTIONS, 0.4, "a quarter", "a quarter"),
    ],
)
def test_which_option_a_measurement_speaks_for(options, measured, answer, best):
    assert guess.Guess("77.b", options).option_of(measured, answer) == best


def test_a_measured_tensor_will_do(capsys):
    import numpy as np
    import torch

    asked = guess.Guess("77.b", OPTIONS)
    for value in (torch.tensor(0.25), np.float32(0.25), torch.tensor([0.25])):
        kl.reveal(asked, value)
        assert "Measured: 0.25." in capsys.readouterr().out


def test_the_axis_holds_the_options_the_guess_and_the_value():
    asked = guess.Guess("77.b", OPTIONS)
    asked.value = "a half"
    markup = guess._reveal(asked, "1", 1.0, "a half", "").markup
    assert markup.count("position:absolute") == 5 and 'title="measured"' in markup and "left:96.0%" in markup


@pytest.mark.parametrize("options", [[], ["one"], ["same", "same"]])
def test_options_that_are_no_choice(options):
    with pytest.raises(ValueError, match="two or more options"):
        kl.predict("77.c", options)


def test_a_late_guess_is_drawn_in(monkeypatch):
    updates = []

    class Handle:
        def update(self, shown):
            updates.append(shown.text)

    monkeypatch.setattr(guess, "show", lambda text, markup: Handle())
    asked = kl.predict("77.a", OPTIONS)
    kl.reveal(asked, 0.25)
    asked._radio.value = "a quarter"
    assert len(updates) == 1 and "That is it" in updates[0]


# --- the set-up cell and the package -------------------------------------------------------------------------


def test_setup_reports(capsys):
    kl.setup()
    out = capsys.readouterr().out
    assert "✓ Python 3." in out and "torch" in out and "precision" in out and "Hangul in figures" in out
    assert "✗" not in out


def test_setup_says_that_it_is_trimmed(monkeypatch, capsys):
    monkeypatch.setenv("KOLAB_QUICK", "1")
    kl.setup()
    assert "quick mode" in capsys.readouterr().out


def test_no_public_name_is_hidden_by_a_module():
    """Importing kolab.progress, say, would put the module where the function kl.progress should be."""
    modules = {m.name for m in pkgutil.iter_modules(kl.__path__)}
    assert not modules & set(kl._HOME)


def test_every_public_name_resolves():
    for name in kl.__all__:
        assert getattr(kl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = kl.nonsense
    assert set(lesson.__all__) >= {"setup", "pick", "predict", "reveal", "hint", "check", "progress"}
    assert importlib.import_module("kolab").__version__


def test_the_import_is_light():
    """Whoever only asks for help should not wait for torch."""
    program = (
        "import sys, kolab; print([m for m in ('torch', 'transformers', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert Path(kl.__file__).is_file()
