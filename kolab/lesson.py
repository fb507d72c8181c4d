"""What every notebook uses: `setup`, `pick`, `predict` and `reveal`, `hint`, `check`, `progress`.

Environment variables: KOLAB_QUICK=1 trims every run, KOLAB_STRICT=1 lets a failing check raise, KOLAB_HOME names the
folder that holds the learner's progress.
"""

from __future__ import annotations

import html
from datetime import datetime
from typing import Any

from kolab import checks, memory
from kolab.environment import flag
from kolab.guess import Guess, predict, reveal
from kolab.show import BLUE, GREEN, GREY, RED, bold, box, markup, show

__all__ = ["Guess", "check", "hint", "is_quick", "pick", "predict", "progress", "reveal", "setup"]


def is_quick() -> bool:
    """Whether this is the trimmed run (KOLAB_QUICK=1)."""
    return flag("KOLAB_QUICK")


def pick(*, full: Any, quick: Any) -> Any:
    """The first value in a full run, the second in a trimmed one: `EPOCHS = kl.pick(full=8, quick=1)`."""
    return quick if is_quick() else full


def hint(id: str) -> None:
    """Show the next hint for an exercise; after the third call all three stay."""
    exercise = checks.find(id)

    def one_more(state: dict) -> None:
        state["hints"][exercise.id] = min(int(state["hints"].get(exercise.id, 0)) + 1, len(exercise.hints))

    seen = memory.update(one_more)["hints"][exercise.id]
    head = f"Hint {seen} of {len(exercise.hints)} for {exercise.id}"
    items = "".join(f"<li>{markup(h)}</li>" for h in exercise.hints[:seen])
    plain = "\n".join(f"  {i}. {h}" for i, h in enumerate(exercise.hints[:seen], 1))
    show(f"{head}\n{plain}", box(BLUE, f'{bold(BLUE, head)}<ol style="margin:2px 0">{items}</ol>'))


def check(id: str, answer: Any) -> None:
    """Check an answer, show the verdict, remember it. Raises only under KOLAB_STRICT=1.

    Raises KeyError for an exercise that does not exist.
    """
    exercise = checks.find(id)
    strict = flag("KOLAB_STRICT")
    name = f"{exercise.id} · {exercise.title}"
    try:
        exercise.check(answer)
    except checks.NotDone as verdict:
        _remember(exercise.id, "open")
        show(f"○ {name}: not done yet", box(GREY, f"○ {bold(GREY, name)}: not done yet"))
        if strict:
            raise checks.NotDone(f"{name}: not done yet") from verdict
    except checks.Wrong as verdict:
        _remember(exercise.id, "wrong")
        stuck = f"Stuck? `kl.hint({exercise.id!r})`"
        body = f"✗ {bold(RED, name)}<br>{markup(str(verdict))}<br><small>{markup(stuck)}</small>"
        show(f"✗ {name}: {verdict}\n{stuck}", box(RED, body))
        if strict:
            raise
    else:
        _remember(exercise.id, "right")
        show(f"✓ {name}: right", box(GREEN, f"✓ {bold(GREEN, name)}: right"))


def _remember(id: str, status: str) -> None:
    """Note a verdict. What was right once stays right; a stub is not an attempt."""

    def change(state: dict) -> None:
        entry = state["exercises"].setdefault(id, {"status": "open", "tries": 0})
        if status != "open":
            entry["tries"] = int(entry.get("tries", 0)) + 1
            entry["when"] = datetime.now().isoformat(timespec="seconds")
        if entry.get("status") != "right":
            entry["status"] = status

    memory.update(change)


def progress() -> None:
    """Show all exercises of the course by lesson: done (✓), tried (✗) or open (○), with tries and hints."""
    state = memory.read()
    signs = {"right": ("✓", GREEN), "wrong": ("✗", RED), "open": ("○", GREY)}
    lessons: dict[str, list[str]] = {}
    plain, done, minutes = [], 0, 0
    for exercise in checks.exercises().values():
        entry = state["exercises"].get(exercise.id, {})
        sign, colour = signs.get(entry.get("status"), signs["open"])
        done += sign == "✓"
        minutes += exercise.minutes * (sign != "✓")
        dots = "●" * exercise.difficulty + "○" * (5 - exercise.difficulty)
        tries, hints = entry.get("tries", 0), state["hints"].get(exercise.id, 0)
        lesson = exercise.id.split(".")[0]
        cells = (exercise.title, dots, f"{exercise.minutes} min", f"tries {tries}", f"hints {hints}")
        row = "".join(f'<td style="text-align:left;padding:1px 10px">{html.escape(c)}</td>' for c in cells)
        lessons.setdefault(lesson, []).append(
            f'<tr><td style="padding:1px 10px">{bold(colour, f"{sign} {exercise.id}")}</td>{row}</tr>'
        )
        plain.append(f"{sign} {exercise.id:5} {exercise.title} ({dots}, {cells[2]}, {cells[3]}, {cells[4]})")
    total = len(plain)
    head = f"{done} of {total} exercises done; about {minutes} minutes of exercises left"
    share = 100 * done / max(total, 1)
    bar = (
        '<div style="max-width:420px;height:8px;background:rgba(127,127,127,0.25);margin:4px 0">'
        f'<div style="width:{share:.0f}%;height:8px;background:{GREEN}"></div></div>'
    )
    line = '<tr><td colspan="6" style="border-top:1px solid rgba(127,127,127,0.4);padding:0"></td></tr>'
    table = line.join("".join(rows) for rows in lessons.values())
    show(f"{head}\n" + "\n".join(plain), f"<b>{html.escape(head)}</b>{bar}<table>{table}</table>")


def setup() -> None:
    """Check what a lesson needs (versions, device, data, font), mend what can be mended, and say how it stands.

    Raises SetupError when the kernel has to be restarted first.
    """
    from kolab import doctor

    doctor.nothing_stale()
    doctor.quieten()
    findings = doctor.examine()
    signs = {"ok": ("✓", GREEN), "note": ("·", GREY), "bad": ("✗", RED)}
    plain = [f"{signs[f.state][0]} {f.what}{f'  → {f.cure}' if f.cure else ''}" for f in findings]
    items = []
    for finding in findings:
        sign, colour = signs[finding.state]
        cure = f"<br>&emsp;→ {markup(finding.cure)}" if finding.cure else ""
        items.append(f'<span style="color:{colour}">{sign}</span> {markup(finding.what)}{cure}')
    worst = RED if any(f.state == "bad" for f in findings) else GREEN
    show("\n".join(plain), box(worst, "<br>".join(items)))
