"""Lesson 10: LRAP by hand, a pos_weight that stays finite, thresholds without a leak, marks between words."""

import math
import random

import numpy as np
import torch

from kolab.checks import Exercise, NotDone, Wrong, WrongAnswer, expect, fresh_seed, is_tensor, run, same_shape

MARKS = ".;?:!,"


# --- 10.1 LRAP ------------------------------------------------------------------------------------------------


def _row_lrap(scores, labels, empty=1.0) -> float:
    """The definition, label by label."""
    true = np.flatnonzero(labels)
    if not len(true):
        return empty
    return float(np.mean([labels[scores >= scores[c]].sum() / (scores >= scores[c]).sum() for c in true]))


def _lrap(scores, labels, empty=1.0) -> float:
    return float(np.mean([_row_lrap(s, y, empty) for s, y in zip(scores, labels, strict=True)]))


def _lrap_ranked(scores, labels, *, ascending=False):
    """As many write it: sort, then hits over ranks. Right as long as no two scores are equal."""
    rows = []
    for s, y in zip(scores, labels, strict=True):
        hits = y[np.argsort(s if ascending else -s, kind="stable")]
        if hits.sum():
            rows.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits > 0].mean())
        else:
            rows.append(1.0)
    return float(np.mean(rows))


def _lrap_skipping(scores, labels):
    rows = labels.sum(1) > 0
    return _lrap(scores[rows], labels[rows])


def _lrap_pooled(scores, labels):
    found = []
    for s, y in zip(scores, labels, strict=True):
        found += [y[s >= s[c]].sum() / (s >= s[c]).sum() for c in np.flatnonzero(y)]
    return float(np.mean(found))


def _lrap_columns(scores, labels):
    """Average precision of each class over the rows: another measure."""
    return _lrap_ranked(scores.T, labels.T)


def _lrap_at_k(scores, labels):
    rows = []
    for s, y in zip(scores, labels, strict=True):
        k = int(y.sum())
        rows.append(y[np.argsort(-s, kind="stable")[:k]].mean() if k else 1.0)
    return float(np.mean(rows))


def _lrap_best(scores, labels):
    rows = []
    for s, y in zip(scores, labels, strict=True):
        rows.append(1 / (1 + (s > s[y > 0].max()).sum()) if y.any() else 1.0)
    return float(np.mean(rows))


def _number(found, name):
    if hasattr(found, "detach"):
        found = found.detach().cpu().numpy()
    expect(np.ndim(found) == 0, f"{name} is one number for all rows together, not {np.shape(found)} numbers")
    return float(found)


def _check_lrap(answer):
    rng = np.random.default_rng(fresh_seed())
    shape = (12, 6)
    labels = (rng.random(shape) < 0.35).astype(np.float32)
    labels[0], labels[1, :3] = 0, 1  # for certain one row without a label and one with several
    apart = rng.permuted(np.tile(np.arange(6) / 6, (12, 1)), axis=1)  # no ties
    full = labels.copy()
    full[labels.sum(1) == 0, 0] = 1  # each row carries something
    _compare_lrap(answer, apart, full, "")
    found = _number(run(answer, apart.copy(), labels.copy()), "LRAP")
    if not math.isclose(found, _lrap(apart, labels), abs_tol=1e-6):
        expect(
            not math.isnan(found),
            "LRAP is nan: a row without any label divides by zero; such a row counts as 1",
        )
        expect(
            not math.isclose(found, _lrap(apart, labels, 0.0), abs_tol=1e-6),
            "a row without any label counts as 0; nothing in it can be ranked wrongly, so it counts as 1",
        )
        expect(
            not math.isclose(found, _lrap_skipping(apart, labels), abs_tol=1e-6),
            "a row without any label is left out; it counts as 1, for nothing in it can be ranked wrongly",
        )
        _wrong_lrap(found, apart, labels, " with a row that has no label")
    tied = rng.integers(0, 3, shape) / 2
    tied[2], full[2] = 0.5, 0
    full[2, :2] = 1  # one score for all six labels: the first two are the true ones
    found = _number(run(answer, tied.copy(), full.copy()), "LRAP")
    if not math.isclose(found, _lrap(tied, full), abs_tol=1e-6):
        raise Wrong(
            f"with equal scores LRAP is {found:.4f}, it should be {_lrap(tied, full):.4f}: 'at least as high' (>=) "
            "counts "
            "every label of the same score, so a model that gives all labels one score gets no reward for their order"
        )


def _compare_lrap(answer, scores, labels, where):
    found = _number(run(answer, scores.copy(), labels.copy()), "LRAP")
    if not math.isclose(found, _lrap(scores, labels), abs_tol=1e-6):
        _wrong_lrap(found, scores, labels, where)


def _wrong_lrap(found, scores, labels, where):
    known = {
        "the ranking is upside down: the label with the *highest* score ranks first": _lrap_ranked(
            scores, labels, ascending=True
        ),
        "all labels of all rows are averaged together, so a row with four labels counts four times; average within "
        "each "
        "row first": _lrap_pooled(scores, labels),
        "that is an average over the columns, each class ranking the rows; LRAP lets each row rank its labels": (
            _lrap_columns(scores, labels)
        ),
        "that is the precision among the first k, k being the row's number of labels; LRAP asks at the rank of each "
        "true "
        "label": _lrap_at_k(scores, labels),
        "only the best-ranked true label of each row counts; take all of them": _lrap_best(scores, labels),
    }
    for words, value in known.items():
        expect(not math.isclose(found, value, abs_tol=1e-6), words)
    raise Wrong(f"LRAP{where} is {found:.4f}, it should be {_lrap(scores, labels):.4f}")


# --- 10.2 pos_weight ------------------------------------------------------------------------------------------


def _published_pos_weight(labels, most=10.0):
    positive = labels.sum(axis=0)
    return torch.clamp((len(labels) - positive) / positive, max=most)


def _weights(labels, most=10.0, *, ratio="negatives", at_least=1.0, limit=True, tensor=True):
    positive = np.maximum(labels.sum(axis=0), at_least)
    above = {"negatives": len(labels) - labels.sum(axis=0), "rows": np.full(labels.shape[1], len(labels))}
    weight = positive / (len(labels) - labels.sum(axis=0)) if ratio == "inverse" else above[ratio] / positive
    weight = np.minimum(weight, most) if limit else weight
    return torch.tensor(weight, dtype=torch.float32) if tensor else weight


def _weights_infinite(labels, most=10.0):
    with np.errstate(divide="ignore"):
        weight = _weights(labels, most, at_least=0.0, limit=False)
    return torch.where(torch.isinf(weight), weight, weight.clamp(max=most))


def _weights_of_rows(labels, most=10.0):
    positive = np.maximum(labels.sum(axis=1), 1)
    return torch.tensor(np.minimum((labels.shape[1] - positive) / positive, most), dtype=torch.float32)


def _weights_total(labels, most=10.0):
    ratio = (labels.size - labels.sum()) / max(labels.sum(), 1)
    return torch.full((labels.shape[1],), min(float(ratio), most))


def _weights_always_ten(labels, most=10.0):
    return _weights(labels, 10.0)


def _check_pos_weight(answer):
    rng = np.random.default_rng(fresh_seed())
    rows, most = int(rng.integers(150, 250)), float(rng.choice([6.0, 8.0, 12.0]))
    shares = np.array([0.6, 0.4, 0.25, 0.15, 0.02, 0.0])
    labels = np.zeros((rows, 6), dtype=np.float32)
    for column, share in enumerate(shares):
        labels[rng.choice(rows, size=math.ceil(share * rows), replace=False), column] = 1
    plain = labels[:, :4]  # every label well carried: no limit, nothing to divide by zero
    with np.errstate(all="ignore"):
        weight = _sound_weight(run(answer, plain.copy(), most), 4, plain.shape)
        true = _weights(plain, most).numpy()
        if not np.allclose(weight, true, rtol=1e-4):
            known = {
                "that is positives / negatives, upside down: the rarer a label, the *larger* its weight": _weights(
                    plain, most, ratio="inverse"
                ),
                "that is all rows / positives; the weight that balances the two answers is negatives / positives": (
                    _weights(plain, most, ratio="rows")
                ),
                "every label gets the same weight; count each column for itself, with sum(axis=0)": _weights_total(
                    plain, most
                ),
            }
            for words, value in known.items():
                expect(not np.allclose(weight, value.numpy(), rtol=1e-4), words)
            raise Wrong(f"the weights of four frequent labels are {weight.round(3)}, not {true.round(3)}")
        weight = _sound_weight(run(answer, labels.copy(), most), 6, labels.shape)
    expect(
        not np.isnan(weight).any(),
        f"a weight is nan: {weight}; the last label is carried by no row, so 0 / 0",
    )
    expect(
        not np.isinf(weight).any(),
        "the weight of a label that no row carries is inf, and its loss will be nan; count it as carried once, or "
        "limit what you get",
    )
    expect(
        math.isclose(weight[4], most, rel_tol=1e-4) and (weight[:4] <= most * (1 + 1e-5)).all(),
        f"with most={most:g} the weight of a rare label is {weight[4]:.4g}: the limit is the argument "
        "`most`, and it is an upper one",
    )
    expect(
        0 <= weight[5] <= most * (1 + 1e-5),
        f"the weight of a label that no row carries is {weight[5]:.4g}; it has to lie between 0 and most={most:g}",
    )
    true = _weights(labels, most).numpy()
    expect(
        np.allclose(weight[:5], true[:5], rtol=1e-4),
        f"the weights of the carried labels are {weight[:5].round(3)}, they should be {true[:5].round(3)} "
        f"(most={most:g})",
    )


def _sound_weight(weight, classes, shape) -> np.ndarray:
    is_tensor(weight, "the weight")
    if weight.shape == (shape[0],):
        raise Wrong("there is one weight a row; a weight for each *label* sums over the rows, axis=0")
    same_shape(weight, (classes,), "the weight", "one number a label")
    expect(
        weight.dtype == torch.float32,
        f"the weight is {weight.dtype}, the logits are float32; make it so: torch.tensor(…, dtype=torch.float32)",
    )
    return weight.detach().numpy().astype(np.float64)


# --- 10.3 cross-fitting ---------------------------------------------------------------------------------------


class _Spy:
    """A `fit` that remembers which rows it saw and gives each call thresholds of its own."""

    def __init__(self, probabilities, rng):
        self.row_of = {tuple(row): number for number, row in enumerate(probabilities)}
        self.probabilities, self.rng, self.calls = probabilities, rng, []

    def __call__(self, probabilities, labels):
        probabilities, labels = np.asarray(probabilities), np.asarray(labels)
        expect(
            probabilities.ndim == 2 and probabilities.shape == labels.shape,
            f"fit got probabilities of shape {probabilities.shape} and labels of shape {labels.shape}; give it the "
            "same rows of both, all classes at once",
        )
        rows = [self.row_of.get(tuple(row)) for row in probabilities]
        expect(None not in rows, "fit got probabilities that are no rows of the ones you were given")
        expect(
            (self.labels[rows] == labels).all(),
            "fit got the labels of other rows than the probabilities: index both with the same rows",
        )
        thresholds = self.rng.uniform(0.05, 0.95, probabilities.shape[1])
        self.calls.append((frozenset(rows), thresholds))
        return thresholds


def _check_cross_fit(answer):
    rng = np.random.default_rng(fresh_seed())
    seen = []
    for rows, folds in ((40, 4), (37, 5)):
        probabilities = rng.random((rows, 24))
        labels = (rng.random((rows, 24)) < 0.4).astype(np.int64)
        seen.append(_one_cross_fit(answer, probabilities, labels, folds, 0, rng))
        other = _one_cross_fit(answer, probabilities, labels, folds, 1, rng)
        expect(
            set(other) != set(seen[-1]),
            "seed=0 and seed=1 make the same folds; shuffle the rows with a generator of that seed before you cut "
            "them, or the order of the file decides who is in which fold",
        )


def _one_cross_fit(answer, probabilities, labels, folds, seed, rng):
    spy, rows = _Spy(probabilities, rng), len(labels)
    spy.labels = labels
    decided = run(answer, probabilities.copy(), labels.copy(), spy, folds=folds, seed=seed)
    if hasattr(decided, "detach"):
        decided = decided.detach().cpu().numpy()
    decided = np.asarray(decided)
    if not spy.calls and (decided.size == 0 or not decided.any()):
        raise NotDone
    expect(spy.calls, "fit is never called: where do the thresholds come from?")
    same_shape(decided, labels.shape, "the decisions", "one row for each row that came in, in the same order")
    decided = decided.astype(int)
    options = [(probabilities > thresholds).astype(int) for _, thresholds in spy.calls]
    used = np.array([[(option[row] == decided[row]).all() for option in options] for row in range(rows)])
    if not used.any(1).all():
        _explain_decisions(decided, used, spy, probabilities, folds)
    for row in range(rows):
        calls = [spy.calls[c][0] for c in np.flatnonzero(used[row])]
        if all(row in members for members in calls):
            whole = all(len(members) == rows for members, _ in spy.calls)
            raise Wrong(
                "the thresholds are fitted on all rows, the one to be decided among them: that is the in-sample score, "
                "which cross-fitting is to replace"
                if whole
                else f"row {row} is decided by thresholds that were fitted on rows with row {row} among them: fit on "
                "the "
                "*other* folds, decide the fold that was left out"
            )
    expect(
        len(spy.calls) == folds,
        f"folds={folds}, but fit is called {len(spy.calls)} times; each fold is left out once",
    )
    sizes = sorted(rows - len(members) for members, _ in spy.calls)
    expect(
        sizes[0] >= rows // folds and sizes[-1] <= -(-rows // folds),
        f"of {rows} rows {sizes} are left out of the {folds} fits; make folds that differ by one row at most, and "
        "fit on all rows of the others",
    )
    return [frozenset(range(rows)) - members for members, _ in spy.calls]


def _explain_decisions(decided, used, spy, probabilities, folds):
    """Some row is decided by no call's thresholds: averaged, in another order, or forgotten."""
    mean = np.mean([thresholds for _, thresholds in spy.calls], axis=0)
    if (decided == (probabilities > mean)).all():
        raise Wrong(
            "the thresholds of all folds are averaged and then decide every row: each of them has helped to fit the "
            "average, so that is in-sample again; decide each fold with its own"
        )
    lost = np.flatnonzero(~used.any(1))
    if not decided[lost].any():
        raise Wrong(
            f"{len(lost)} of {len(decided)} rows get no decision (row {lost[0]} is the first): with {len(decided)} "
            f"rows and {folds} folds some rows are left over; give every row a fold"
        )
    everything = {tuple((row > t).astype(int)) for row in probabilities for _, t in spy.calls}
    if all(tuple(row) in everything for row in decided):
        raise Wrong(
            "the decisions are in the order of the folds, not of the rows: write them to the places the rows came "
            "from, decided[held_out] = …"
        )
    raise Wrong(
        f"row {lost[0]} is decided by none of the thresholds that fit returned; yes means: above the threshold of that "
        "class, probabilities > thresholds"
    )


def _cross_fit(
    probabilities, labels, fit, folds=5, seed=0, *, on="others", shuffle=True, order=True, block=False
):
    rows = len(labels)
    order_of = np.random.default_rng(seed).permutation(rows) if shuffle else np.arange(rows)
    parts = np.array_split(order_of, folds)
    if block:  # rows // folds, and the rest is forgotten
        size = rows // folds
        parts = [order_of[k * size : (k + 1) * size] for k in range(folds)]
    decided, listed = np.zeros(labels.shape, dtype=int), []
    for part in parts:
        others = np.setdiff1d(np.arange(rows), part)
        fitted_on = {"others": others, "itself": part, "all": np.arange(rows)}[on]
        thresholds = fit(probabilities[fitted_on], labels[fitted_on])
        decided[part] = probabilities[part] > thresholds
        listed.append((probabilities[part] > thresholds).astype(int))
    return decided if order else np.concatenate(listed)


def _in_sample(probabilities, labels, fit, folds=5, seed=0):
    return (probabilities > fit(probabilities, labels)).astype(int)


def _averaged(probabilities, labels, fit, folds=5, seed=0):
    parts = np.array_split(np.random.default_rng(seed).permutation(len(labels)), folds)
    every = []
    for part in parts:
        others = np.setdiff1d(np.arange(len(labels)), part)
        every.append(fit(probabilities[others], labels[others]))
    return (probabilities > np.mean(every, axis=0)).astype(int)


def _below(probabilities, labels, fit, folds=5, seed=0):
    return 1 - _cross_fit(probabilities, labels, fit, folds, seed)


# --- 10.4 AEDA ------------------------------------------------------------------------------------------------

_TEXTS = (
    "화면이 밝고 소리도 좋은데 배송이 사흘이나 늦어서 조금 속상했어요",
    "가볍습니다",
    "배터리 하루 종일 가요 ㅋㅋ",
    "무게 가격 화면 소음 발열 연결 배송 성능 카메라 음질 디자인 내구성",
)


def _marked(text, seed, marks=MARKS, *, glued=False, every=False, one=False, last=False, state=None):
    draw, words = state or random.Random(seed), text.split()
    count = 1 if one else draw.randint(1, len(words) // 3 + 1)
    places = set(range(len(words)) if every else draw.sample(range(len(words)), count))
    if last:
        return " ".join([*words, *(draw.choice(marks) for _ in range(count))])
    changed = []
    for place, word in enumerate(words):
        mark = draw.choice(marks) if place in places else ""
        changed += [mark + word] if glued or not mark else [mark, word]
    return " ".join(changed)


def _in_characters(text, seed, marks=MARKS):
    draw, letters = random.Random(seed), list(text)
    for _ in range(draw.randint(1, len(text.split()) // 3 + 1)):
        letters.insert(draw.randrange(len(letters)), f" {draw.choice(marks)} ")
    return " ".join("".join(letters).split())


def _replacing(text, seed, marks=MARKS):
    draw, words = random.Random(seed), text.split()
    for place in draw.sample(range(len(words)), draw.randint(1, len(words) // 3 + 1)):
        words[place] = draw.choice(marks)
    return " ".join(words)


def _shuffled(text, seed, marks=MARKS):
    words = text.split()
    random.Random(seed).shuffle(words)
    return _marked(" ".join(words), seed, marks)


def _one_mark_kind(text, seed, marks=MARKS):
    return _marked(text, seed, marks[0])


def _check_aeda(answer):
    seeds = random.Random(fresh_seed()).sample(range(100_000), 60)
    for text in _TEXTS:
        words, found = text.split(), {}
        limit = len(words) // 3 + 1
        for seed in seeds:
            changed = run(answer, text, seed)
            expect(isinstance(changed, str), f"expected a text, got {type(changed).__name__}")
            _one_aeda(changed, words, limit)
            found[seed] = changed
        # After all seeds: marks put among the characters tear words apart, and may once stand side by side by chance.
        for changed in found.values():
            _none_doubled(changed)
        first = seeds[0]
        expect(
            all(run(answer, text, first) == found[first] for _ in range(3)),
            "the same seed gives another text each time: draw from random.Random(seed), or nobody can repeat your "
            "training set",
        )
        if len(words) < 8:
            continue
        expect(len(set(found.values())) > 5, "other seeds give the same text: what does `seed` do?")
        pieces = [changed.split() for changed in found.values()]
        sizes = {len(p) - len(words) for p in pieces}
        expect(
            len(sizes) > 1,
            f"it is always {sizes.pop()} mark(s); draw the number too, from 1 to {limit} here",
        )
        expect(
            len({p for piece in pieces for p in piece if p in MARKS}) > 3,
            f"only {sorted({p for piece in pieces for p in piece if p in MARKS})} ever come; draw each mark from "
            f"{MARKS!r}",
        )
        expect(
            len({place for piece in pieces for place, p in enumerate(piece) if p in MARKS}) > 3,
            "the marks always stand in the same places; draw those too",
        )


def _one_aeda(changed, words, limit):
    pieces = changed.split()
    kept = [p for p in pieces if p not in MARKS]
    if kept != words:
        bare = ["".join(c for c in p if c not in MARKS) for p in kept]
        missing = [w for w in words if w not in kept]
        expect(
            [b for b in bare if b] != words,
            f"in '{changed}' a mark is glued to a word; a blank on either side makes it a word of its own, and "
            "leaves the tokenizer the word it knows",
        )
        if "".join(kept) == "".join(words):
            raise Wrong(
                f"'{missing[0]}' is torn apart: '{changed}'. A mark inside a word makes other tokens of it; choose "
                "among the places *between* words, text.split(), not among the characters"
            )
        expect(
            sorted(kept) != sorted(words), f"the words come in another order: '{changed}'; AEDA moves none"
        )
        raise Wrong(
            f"'{missing[0] if missing else words[0]}' is gone or changed: '{changed}'; AEDA only adds"
        )
    marks = len(pieces) - len(words)
    expect(marks >= 1, f"'{changed}' has no mark; put in at least one")
    expect(
        marks <= limit,
        f"{marks} marks for {len(words)} words are too many: from 1 to {limit} (a third of the words, and one), not "
        "one before each",
    )
    expect(pieces[-1] not in MARKS, f"a mark stands after the last word: '{changed}'; put marks before words")


def _none_doubled(changed):
    pieces = changed.split()
    doubled = any(a in MARKS and b in MARKS for a, b in zip(pieces, pieces[1:], strict=False))
    expect(
        not doubled, f"two marks stand side by side in '{changed}'; draw *different* places, random.sample"
    )


def _with_repeats(text, seed, marks=MARKS):
    draw, words = random.Random(seed), text.split()
    places = [draw.randrange(len(words)) for _ in range(draw.randint(1, len(words) // 3 + 1))]
    changed = []
    for place, word in enumerate(words):
        changed += [draw.choice(marks) for p in places if p == place] + [word]
    return " ".join(changed)


_shared = random.Random()

EXERCISES = (
    Exercise(
        id="10.1",
        title="LRAP by hand",
        difficulty=3,
        minutes=12,
        check=_check_lrap,
        hints=(
            "Take one row and one of its true labels. Which labels have a score at least as high as this one, itself "
            "included? Which share of *those* is true?",
            "For a row: `true = np.flatnonzero(labels)`; for each `c` in it `above = scores >= scores[c]`; the share "
            "is `labels[above].sum() / above.sum()`. Mean over `true`; 1 where `true` is empty. Then the mean over the "
            "rows.",
            "`rows.append(np.mean([y[s >= s[c]].mean() for c in np.flatnonzero(y)]) if y.any() else 1.0)` for `s, y in "
            "zip(scores, labels)`, and `np.mean(rows)` at the end.",
        ),
        wrong=(
            WrongAnswer(_lrap_ranked, "with equal scores"),
            WrongAnswer(_lrap_skipping, "is left out"),
            WrongAnswer(lambda s, y: _lrap(s, y, 0.0), "counts as 0"),
            WrongAnswer(lambda s, y: _lrap(s, y, math.nan), "LRAP is nan"),
            WrongAnswer(lambda s, y: _lrap_ranked(s, y, ascending=True), "upside down"),
            WrongAnswer(_lrap_pooled, "average within each row first"),
            WrongAnswer(_lrap_columns, "an average over the columns"),
            WrongAnswer(_lrap_at_k, "the precision among the first k"),
            WrongAnswer(_lrap_best, "only the best-ranked true label"),
            WrongAnswer(
                lambda s, y: np.array([_row_lrap(a, b) for a, b in zip(s, y, strict=True)]), "one number"
            ),
        ),
    ),
    Exercise(
        id="10.2",
        title="A weight that stays finite",
        difficulty=2,
        minutes=8,
        check=_check_pos_weight,
        hints=(
            "Three things can go wrong: a division by a count of zero, a weight without a limit, and a function of "
            "torch that gets an array of numpy.",
            "Count the positives of each column; let the count you divide by be at least 1 (`np.maximum`); limit the "
            "ratio by `most` (`np.minimum`); only then make a float32 tensor of it.",
            "`positive = labels.sum(axis=0)`, `ratio = (len(labels) - positive) / np.maximum(positive, 1)`, "
            "`torch.tensor(np.minimum(ratio, most), dtype=torch.float32)`.",
        ),
        wrong=(
            WrongAnswer(_published_pos_weight, "stops with TypeError"),
            WrongAnswer(_weights_infinite, "is inf, and its loss will be nan"),
            WrongAnswer(lambda y, most=10.0: _weights(y, most, limit=False), "it is an upper one"),
            WrongAnswer(_weights_always_ten, "the limit is the argument"),
            WrongAnswer(lambda y, most=10.0: _weights(y, most, ratio="inverse"), "upside down"),
            WrongAnswer(lambda y, most=10.0: _weights(y, most, ratio="rows"), "all rows / positives"),
            WrongAnswer(_weights_total, "every label gets the same weight"),
            WrongAnswer(_weights_of_rows, "one weight a row"),
            WrongAnswer(
                lambda y, most=10.0: _weights(y, most, tensor=False), "the weight should be a torch.Tensor"
            ),
            WrongAnswer(lambda y, most=10.0: _weights(y, most).double(), "the logits are float32"),
        ),
    ),
    Exercise(
        id="10.3",
        title="Thresholds without a leak",
        difficulty=4,
        minutes=15,
        check=_check_cross_fit,
        hints=(
            "Who decides about a row? Thresholds that have never seen it. So each row belongs to a fold, and each "
            "fold is left out of one fit and decided by that fit.",
            "Permute the row numbers with `np.random.default_rng(seed)`, cut them with `np.array_split` into `folds` "
            "parts. "
            "For each part: `fit` on all rows that are not in it, `probabilities[part] > thresholds` for those that "
            "are.",
            "`for held in np.array_split(order, folds): rest = np.setdiff1d(order, held); "
            "decided[held] = probabilities[held] > fit(probabilities[rest], labels[rest])`, with `decided` zeros of "
            "the labels' shape and of type int.",
        ),
        wrong=(
            WrongAnswer(_in_sample, "fitted on all rows"),
            WrongAnswer(lambda *a, **k: _cross_fit(*a, **k, on="all"), "fitted on all rows"),
            WrongAnswer(
                lambda *a, **k: _cross_fit(*a, **k, on="itself"), "decide the fold that was left out"
            ),
            WrongAnswer(_averaged, "that is in-sample again"),
            WrongAnswer(lambda *a, **k: _cross_fit(*a, **k, order=False), "in the order of the folds"),
            WrongAnswer(lambda *a, **k: _cross_fit(*a, **k, shuffle=False), "make the same folds"),
            WrongAnswer(lambda *a, **k: _cross_fit(*a, **k, block=True), "give every row a fold"),
            WrongAnswer(_below, "above the threshold"),
            WrongAnswer(
                lambda p, y, fit, folds=5, seed=0: _cross_fit(p, y, fit, 10, seed),
                "each fold is left out once",
            ),
        ),
    ),
    Exercise(
        id="10.4",
        title="Marks between words",
        difficulty=2,
        minutes=10,
        check=_check_aeda,
        hints=(
            "`text.split()` gives the words, and with them all the places where a mark may stand: before word 0, 1, "
            "2 …",
            "`draw = random.Random(seed)`; a number with `draw.randint(1, len(words) // 3 + 1)`; that many different "
            "places "
            "with `draw.sample(range(len(words)), number)`; then build a new list, word by word, with a mark before "
            "those.",
            "`for place, word in enumerate(words): changed += [draw.choice(marks), word] if place in places else "
            "[word]`, "
            'and `" ".join(changed)` at the end.',
        ),
        wrong=(
            WrongAnswer(_in_characters, "is torn apart"),
            WrongAnswer(lambda t, s: _marked(t, s, glued=True), "is glued to a word"),
            WrongAnswer(lambda t, s: _marked(t, s, every=True), "are too many"),
            WrongAnswer(lambda t, s: _marked(t, s, one=True), "draw the number too"),
            WrongAnswer(lambda t, s: _marked(t, s, last=True), "after the last word"),
            WrongAnswer(_replacing, "AEDA only adds"),
            WrongAnswer(_shuffled, "in another order"),
            WrongAnswer(_with_repeats, "side by side"),
            WrongAnswer(lambda t, s: _marked(t, s, state=_shared), "the same seed gives another text"),
            WrongAnswer(lambda t, s: _marked(t, 0), "what does `seed` do"),
            WrongAnswer(_one_mark_kind, "ever come; draw each mark"),
            WrongAnswer(lambda t, s: t, "has no mark"),
        ),
    ),
)
