"""The warm-up of lesson 00: from logits to the names of classes."""

from __future__ import annotations

import random

import torch

from kolab.checks import Exercise, Wrong, WrongAnswer, expect, fresh_seed, run

WORDS = ["부정", "중립", "긍정", "기쁨", "불안", "분노", "슬픔", "배송", "화면", "배터리"]


def _slow(logits: torch.Tensor, names: list[str]) -> list[str]:
    """The plainly right reference: look at one text after the other."""
    answer = []
    for row in logits.tolist():
        best = 0
        for number, value in enumerate(row):
            if value > row[best]:
                best = number
        answer.append(names[best])
    return answer


def check_names(answer) -> None:
    """0.1: names_of(logits, names) → the name of the most likely class of each text."""
    draw = random.Random(fresh_seed())
    for logits in _batches(draw):
        names = draw.sample(WORDS, logits.shape[1])
        _compare(run(answer, logits.clone(), list(names)), logits, names)


def _batches(draw: random.Random) -> list[torch.Tensor]:
    """Logits that tell the known mistakes apart, then random ones: fewer texts than classes, as many, a single one."""
    telling = torch.tensor(
        [
            [0.1, 0.3, 0.2],  # no class reaches 0.5
            [0.3, 0.1, 0.2],
            [-3.0, 1.0, 2.0],  # the largest without its sign is not the largest
            [-4.0, -1.0, -2.0],  # all are negative
            [2.0, -5.0, 1.0],
        ]
    )
    columns = draw.sample(range(3), 3)
    generator = torch.Generator().manual_seed(draw.randrange(2**31))
    shapes = ((2, 5), (3, 3), (1, 4), (draw.randint(5, 9), draw.randint(2, 6)))
    return [
        telling[:, columns] * draw.uniform(1, 1.5),
        *(torch.randn(s, generator=generator) for s in shapes),
    ]


def _compare(got, logits: torch.Tensor, names: list[str]) -> None:
    texts, classes = logits.shape
    right = _slow(logits, names)
    expect(
        not isinstance(got, str),
        f"for {texts} texts it gives the single name '{got}'; it should give a list with one name for each text",
    )
    if isinstance(got, torch.Tensor):
        raise Wrong(
            "it gives a tensor of numbers; look each number up in `names`, and return a list of words"
            if got.dtype == torch.int64
            else "it gives a tensor of scores; which class has the largest one?"
        )
    try:
        got = list(got)
    except TypeError:
        raise Wrong(f"it gives {got!r}; it should give a list with one name for each text") from None
    expect(
        not any(isinstance(g, int | torch.Tensor) for g in got),
        "it gives numbers instead of names; `names[number]` is the word",
    )
    if len(got) == classes != texts:
        raise Wrong(
            f"for {texts} texts and {classes} classes it gives {classes} names: the largest was sought down the "
            "columns; each row is a text, so look along `dim=1`"
        )
    expect(len(got) == texts, f"for {texts} texts it gives {len(got)} names; there should be one for each")
    if got == right:
        return
    row = next(i for i in range(texts) if got[i] != right[i])
    shown = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, logits[row].tolist()))
    likely = "the largest logit wins"
    if got == _slow(-logits, names):
        likely = "that is the least likely class: the largest logit wins, not the smallest"
    elif got == _slow(logits.abs(), names):
        likely = "a minus counts: -3 is less likely than 2, so no `abs` here"
    elif logits[row].softmax(-1).max() < 0.5:
        likely = "no class of this text reaches 0.5, and still the largest is the answer"
    raise Wrong(
        f"for a text with the logits {shown} it says '{got[row]}', it should say '{right[row]}'; {likely}"
    )


def _halves(logits, names):
    """Only a class that is more likely than all others together counts."""
    shares = logits.softmax(dim=1)
    return [names[int(s.argmax())] if s.max() > 0.5 else names[0] for s in shares]


EXERCISES = (
    Exercise(
        id="0.1",
        title="From logits to words",
        difficulty=1,
        minutes=5,
        check=check_names,
        hints=(
            "A row of `logits` is a text, a column is a class. Where does each row have its largest number?",
            "`logits.argmax(dim=1)` gives that place for every row at once. Then turn each place into a word:\n"
            "`return [… for number in logits.argmax(dim=1)]`",
            "`return [names[number] for number in logits.argmax(dim=1).tolist()]`",
        ),
        wrong=(
            WrongAnswer(
                lambda logits, names: [names[i % len(names)] for i in logits.argmax(dim=0).tolist()],
                "down the columns",
            ),
            WrongAnswer(lambda logits, names: logits.argmax(dim=1), "look each number up in `names`"),
            WrongAnswer(lambda logits, names: logits.argmax(dim=1).tolist(), "numbers instead of names"),
            WrongAnswer(lambda logits, names: names[int(logits.argmax()) % len(names)], "single name"),
            WrongAnswer(
                lambda logits, names: [names[i] for i in logits.abs().argmax(dim=1).tolist()], "no `abs` here"
            ),
            WrongAnswer(
                lambda logits, names: [names[i] for i in logits.argmin(dim=1).tolist()],
                "the least likely class",
            ),
            WrongAnswer(_halves, "no class of this text reaches 0.5"),
        ),
    ),
)
