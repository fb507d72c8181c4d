"""Lesson 09: balanced weights, folds without a leak, a temperature, and how many runs a claim needs."""

import math
from collections import Counter

import numpy as np
import torch
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, softmax

from kolab.checks import Exercise, Wrong, WrongAnswer, close, expect, fresh_seed, run

# --- 9.1 balanced weights -------------------------------------------------------------------------------------


def _check_weights(answer):
    random = np.random.default_rng(fresh_seed())
    for classes, absent in ((5, None), (3, None), (4, 3), (4, 1)):
        counts = random.permutation(np.array([7, 19, 31, 55, 83])[:classes])
        if absent is not None:
            counts[absent] = 0
        labels = random.permutation(np.repeat(np.arange(classes), counts))
        got = run(answer, labels.tolist(), classes)
        got = got.detach().cpu().numpy() if hasattr(got, "detach") else got
        try:
            got = np.asarray(got, dtype=np.float64)
        except (TypeError, ValueError):
            raise Wrong(
                f"the weights should be one number a class, but they are {type(got).__name__}"
            ) from None
        _diagnose_weights(got, counts, classes)


def _diagnose_weights(got: np.ndarray, counts: np.ndarray, classes: int):
    total, there = counts.sum(), counts > 0
    case = f"{total} labels in {classes} classes, {counts.tolist()} of each"
    if got.shape == (int(there.sum()),) and not there.all():
        raise Wrong(
            f"{case}: {got.shape[0]} weights. A class that this part of the data happens not to have is left "
            "out, and all "
            "after it move up by one: count with a fixed number of classes (minlength)"
        )
    if got.shape == (int(total),):
        raise Wrong(f"{case}: {total} weights, one an example; the loss wants one a class")
    expect(got.shape == (classes,), f"{case}: {classes} weights are wanted, not shape {got.shape}")
    if not np.isfinite(got).all():
        raise Wrong(
            f"{case}: a weight is {got[~np.isfinite(got)][0]}: nobody carries that class, and you divide by "
            "zero. Count it as "
            "one; its weight is never used, but inf times zero is nan"
        )
    want = total / (classes * np.maximum(counts, 1))
    if np.allclose(got[there], want[there], rtol=1e-4):
        if not np.allclose(got, want, rtol=1e-4) and got[~there].min() < 0:
            raise Wrong(
                f"{case}: the weight of the class that nobody carries is {got[~there].min():.3g}, below 0"
            )
        return
    a, b = np.flatnonzero(there)[:2]
    said = f"{case}: class {a} gets {got[a]:.4g}, it should get {want[a]:.4g}"
    shares = counts[there] / total
    for values, words in (
        (1 / shares, "that is total / count. Divide by the number of classes, too, or the loss and with it the "
         "step grows with it"),
        (shares, "that is the share of the class, so the commonest counts most: turn the fraction round"),
        (shares * classes, "the commonest class counts most: turn the fraction round"),
        (counts[there].max() / counts[there], "that is relative to the commonest class; the average example "
         "then counts more than 1"),
        (1 / counts[there], "that is 1 / count: right in proportion, but the average example counts next to "
         "nothing"),
        (total / (2 * counts[there]), "that is total / (2 · count), the formula for two classes"),
        (total / (there.sum() * counts[there]), "you divide by the classes that occur, not by the classes "
         "there are"),
        (total / ((classes - 1) * counts[there]), "the number of classes is off by one"),
    ):  # fmt: skip
        if np.allclose(got[there], values, rtol=1e-4):
            raise Wrong(f"{said}; {words}")
    if np.allclose(got[there] / got[a], want[there] / want[a], rtol=1e-4):
        raise Wrong(
            f"{said}; the proportions are right, the size is not: the average weight *of the examples* should "
            "be 1, and it is "
            f"{(got[there] * counts[there]).sum() / total:.3g}"
        )
    if np.allclose(got[there] ** 2 / got[a] ** 2, want[there] / want[a], rtol=1e-3):
        raise Wrong(
            f"{said}; that is the square root, a gentler weighting that some use, but not the balanced one"
        )
    raise Wrong(f"{said}, and class {b} gets {got[b]:.4g} instead of {want[b]:.4g}")


def _weights(labels, classes, *, power=1.0, minlength=True, floor=1, over=None, flip=False):
    counts = np.bincount(labels, minlength=classes) if minlength else np.unique(labels, return_counts=True)[1]
    counts = np.maximum(counts, floor) if floor else counts
    with np.errstate(divide="ignore"):
        found = len(labels) / ((over or classes) * counts)
    return (1 / found if flip else found) ** power


# --- 9.2 folds ------------------------------------------------------------------------------------------------

K = 5


def _check_folds(answer):
    seed = fresh_seed()
    labels, groups = _rows(np.random.default_rng(seed))
    kept = labels.copy(), groups.copy()
    got = _as_folds(run(answer, labels, groups, K, 0), len(labels))
    expect(
        np.array_equal(kept[0], labels) and np.array_equal(kept[1], groups),
        "the arrays you were given have changed: shuffle a copy, or the row numbers",
    )
    _whole(got, len(labels))
    _together(got, groups)
    _stratified(got, labels)
    again, other = (_as_folds(run(answer, labels, groups, K, s), len(labels)) for s in (0, 1))
    same = [[sorted(a) == sorted(b) for a, b in zip(got, folds)] for folds in (again, other)]
    expect(
        all(same[0]), "the same seed gives other folds the second time: draw from a generator made of `seed`"
    )
    expect(not all(same[1]), "seed 1 gives the folds of seed 0: the seed has no effect")


def _rows(random) -> tuple[np.ndarray, np.ndarray]:
    """About 1,500 rows in four classes; two fifths of them have near duplicates, somewhere else in the table."""
    counts = {0: 600, 1: 420, 2: 240, 3: 60}
    labels, groups, number = [], [], 0
    for label, count in counts.items():
        while count > 0:
            size = min(count, int(random.choice([1, 1, 1, 2, 2, 4])))
            labels += [label] * size
            groups += [f"text {number}"] * size
            number, count = number + 1, count - size
    order = random.permutation(len(labels))
    return np.array(labels)[order], np.array(groups)[order]


def _as_folds(got, count: int) -> list[list[int]]:
    expect(
        isinstance(got, list | tuple) and len(got) == K,
        f"return a list of {K} folds, each the row numbers of one, not {type(got).__name__}"
        + (f" of {len(got)}" if hasattr(got, "__len__") else ""),
    )
    if all(isinstance(part, tuple) and len(part) == 2 and np.ndim(part[0]) == 1 for part in got):
        raise Wrong(
            "each fold is a pair: return the held-out rows alone, the second of scikit-learn's (train, test)"
        )
    folds = []
    for part in got:
        array = np.asarray(part)
        if array.dtype == bool and array.shape == (count,):
            array = np.flatnonzero(array)
        if array.ndim != 1 or (len(array) and not np.issubdtype(array.dtype, np.integer)):
            raise Wrong(f"a fold should hold row numbers, but one is {array.dtype} of shape {array.shape}")
        folds.append(array.tolist())
    return folds


def _whole(folds, count: int):
    times = Counter(row for fold in folds for row in fold)
    expect(all(0 <= row < count for row in times), f"a row number lies outside 0 … {count - 1}")
    if len(times) == count and set(times.values()) == {K - 1}:
        raise Wrong(
            f"every row stands in {K - 1} folds: those are the training parts; return the held-out ones"
        )
    if repeated := sum(n > 1 for n in times.values()):
        raise Wrong(
            f"{repeated} rows are in more than one fold, so they are scored more than once, and others hardly "
            "ever: each row "
            "belongs to exactly one"
        )
    if missing := count - len(times):
        raise Wrong(
            f"{missing} of {count} rows are in no fold; every row is held out once, near duplicates too"
        )


def _together(folds, groups):
    side = {}
    for number, fold in enumerate(folds):
        for row in fold:
            side.setdefault(groups[row], set()).add(number)
    torn = [group for group, sides in side.items() if len(sides) > 1]
    if torn:
        raise Wrong(
            f"{len(torn)} groups stand in two folds or more, '{torn[0]}' for one: the model is tested on texts "
            "whose near "
            "duplicates it was trained on. Deal out groups, not rows"
        )


def _stratified(folds, labels):
    sizes = [len(fold) for fold in folds]
    for one in np.unique(labels):
        counts = [int((labels[fold] == one).sum()) for fold in folds]
        want = (labels == one).sum() / K
        if max(abs(c - want) for c in counts) > 4:
            raise Wrong(
                f"class {one} is not stratified: {counts} in the five folds, {want:.0f} in each is its share. "
                "Deal out "
                "the groups of one class after the other"
            )
    expect(
        max(sizes) - min(sizes) <= 0.03 * sum(sizes),
        f"the folds have {sizes} rows: each class's rest goes to the same fold; give it to the one that has "
        "the least",
    )


def _deal(labels, groups, k, seed, *, by_class=True, shuffled=True, once=True):
    """Folds by dealing out groups; the switches make the usual mistakes."""
    random = np.random.default_rng(seed if shuffled else 0)
    members = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    folds = [[] for _ in range(k)]
    for one in np.unique(labels) if by_class else [None]:
        own = [rows for rows in members.values() if one is None or labels[rows[0]] == one]
        random.shuffle(own)
        here = [0] * k
        for rows in sorted(own, key=len, reverse=True) if by_class else own:
            at = (
                min(range(k), key=lambda f: (here[f], len(folds[f]))) if by_class else int(random.integers(k))
            )
            folds[at] += rows if once else rows[:1]
            here[at] += len(rows)
    return folds


def _by_rows(labels, groups, k, seed):
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(k, shuffle=True, random_state=seed)
    return [test for _, test in splitter.split(np.zeros(len(labels)), labels)]


def _training_parts(labels, groups, k, seed):
    folds = _deal(labels, groups, k, seed)
    return [[row for other in folds if other is not fold for row in other] for fold in folds]


# --- 9.3 a temperature ----------------------------------------------------------------------------------------


def _nll(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean())


def _best(logits, labels) -> float:
    found = minimize_scalar(lambda t: _nll(logits, labels, math.exp(t)), bounds=(-5, 5), method="bounded")
    return math.exp(found.x)


def _scored(random, scale: float, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `scale` times as far apart as their labels warrant; some labels are drawn at random."""
    true = random.normal(size=(1500, 4)) * random.choice([0.5, 3.0], size=(1500, 1))
    labels = (random.random((1500, 1)) < softmax(true, axis=1).cumsum(1)).argmax(1)
    flipped = random.random(1500) < noise
    labels[flipped] = random.integers(4, size=int(flipped.sum()))
    return (scale * true).astype(np.float32).astype(np.float64), labels


def _check_temperature(answer):
    random = np.random.default_rng(fresh_seed())
    for scale in (3.0, 0.3, 1.0):
        logits, labels = _scored(random, scale)
        found = _number(run(answer, torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)))
        _diagnose_temperature(found, logits, labels)
    doubled = _number(run(answer, torch.tensor(2 * logits, dtype=torch.float32), torch.tensor(labels)))
    close(doubled, 2 * found, "the temperature of logits twice as large", rtol=0.03)


def _number(value) -> float:
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"the temperature should be one number, but it is {type(value).__name__}") from None


def _diagnose_temperature(found: float, logits: np.ndarray, labels: np.ndarray):
    want = _best(logits, labels)
    if abs(found / want - 1) < 0.03 if found > 0 else False:
        return
    sure = "too sure of itself" if want > 1 else "too unsure of itself"
    said = f"T = {found:.3g}; the likelihood is highest at {want:.3g} (this model is {sure})"
    probabilities = softmax(logits, axis=1)
    accuracy = (logits.argmax(1) == labels).mean()
    low, high = (softmax(logits / t, axis=1).max(1).mean() - accuracy for t in (0.02, 50.0))
    matched = (
        brentq(lambda t: softmax(logits / t, axis=1).max(1).mean() - accuracy, 0.02, 50.0)
        if low * high < 0
        else None
    )

    def near(value, tolerance=0.004):  # narrow: another mistake's result may lie near by chance
        return value is not None and math.isclose(found, value, rel_tol=tolerance, abs_tol=1e-4)

    if near(math.log(want)):
        raise Wrong(
            f"{said}: that is log T. You searched over the logarithm, which keeps T above 0; take its exp at "
            "the end"
        )
    expect(found > 0 and math.isfinite(found), f"{said}: a temperature is a finite number above 0")
    if want < 0.97 and near(1.0):
        raise Wrong(
            f"{said}: 1 looks like the end of your range; T may lie below 1, and it does where a model is too "
            "unsure"
        )
    if near(1 / want):
        raise Wrong(f"{said}: that is 1 / T. The logits are divided by T, not multiplied")
    if near(_nll(logits, labels, want), 2e-4):
        raise Wrong(f"{said}: that is the smallest loss; return the temperature that gives it")
    if near(_best(probabilities, labels)):
        raise Wrong(f"{said}: that fits probabilities instead of logits: one softmax, after the division")
    if near(matched):
        raise Wrong(
            f"{said}: there the mean confidence equals the accuracy. That can hold while every single "
            "probability is "
            "off; minimise the negative log-likelihood"
        )
    if math.isclose(_nll(logits, labels, found), _nll(logits, labels, 1.0), rel_tol=1e-6):
        raise Wrong(f"{said}: nothing has been searched")
    if min(1.0, want) < found < max(1.0, want):
        raise Wrong(f"{said}: that lies on the way from 1 to the best one; the search stops too early")
    raise Wrong(
        f"{said}, loss {_nll(logits, labels, found):.4g} against {_nll(logits, labels, want):.4g}. Whatever "
        "you minimise, it is "
        "not the negative log-likelihood (accuracy, for one, does not depend on T at all)"
    )


def _temperature(logits, labels, *, goal=None, low=0.02, invert=False, log=False, loss=False):
    logits, labels = logits.double().numpy(), labels.numpy()
    goal = goal or (lambda t: _nll(logits, labels, t))
    found = minimize_scalar(lambda t: goal(math.exp(t)), bounds=(math.log(low), 5), method="bounded")
    best = math.exp(found.x)
    return found.x if log else 1 / best if invert else found.fun if loss else best


def _by_accuracy(logits, labels):
    grid = torch.linspace(0.05, 10, 200)
    return grid[int(torch.stack([((logits / t).argmax(1) == labels).float().mean() for t in grid]).argmax())]


def _by_confidence(logits, labels):
    logits, labels = logits.double().numpy(), labels.numpy()
    accuracy = (logits.argmax(1) == labels).mean()
    return brentq(lambda t: softmax(logits / t, axis=1).max(1).mean() - accuracy, 0.02, 100)


def _few_steps(logits, labels):
    t = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([t], lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits / t, labels).backward()
        optimizer.step()
    return t.item()


def _twice(logits, labels):
    return _temperature(logits.softmax(dim=1), labels)


# --- 9.4 runs that are needed ---------------------------------------------------------------------------------


def _power(runs: int, effect: float, level: float, *, sides: int = 2) -> float:
    limit = stats.t.ppf(1 - level / sides, runs - 1)
    return float(stats.nct.sf(limit, runs - 1, effect * math.sqrt(runs)))


def _fewest(effect: float, power: float, level: float, *, sides: int = 2) -> int:
    return next(n for n in range(2, 10_000) if _power(n, effect, level, sides=sides) >= power)


def _z(effect: float, power: float, level: float, *, sides: int = 2) -> float:
    return ((stats.norm.ppf(1 - level / sides) + stats.norm.ppf(power)) / effect) ** 2


def _half(effect: float, level: float) -> int:
    return next(n for n in range(2, 10_000) if stats.t.ppf(1 - level / 2, n - 1) / math.sqrt(n) <= effect)


def _check_runs(answer):
    random = np.random.default_rng(fresh_seed())
    for effect, power, level in (
        (0.5, 0.8, 0.05),
        (0.3, 0.8, 0.05),
        (1.3, 0.8, 0.05),
        (0.7, 0.9, 0.05),
        (0.6, 0.8, 0.01),
    ):
        sd = float(random.uniform(0.5, 3))
        got = run(answer, effect * sd, sd, power, level)
        _diagnose_runs(got, effect, sd, power, level)
    expect(
        _number_of(run(answer, -1.0, 2.0, 0.8, 0.05)) == _fewest(0.5, 0.8, 0.05),
        "a difference of -1 needs as many runs as one of +1: take its absolute value",
    )


def _number_of(value) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or value != value:
        raise Wrong(f"the number of runs should be one number, but it is {type(value).__name__} {value!r}")
    return value


def _diagnose_runs(got, effect: float, sd: float, power: float, level: float):
    want = _fewest(effect, power, level)
    said = (
        f"difference {effect * sd:.3g}, sd {sd:.3g}, power {power}, level {level}: {_number_of(got):.4g} runs, the "
        f"fewest are {want}"
    )
    if got == want:
        return
    z = _z(effect, power, level)
    for value, words in (
        (_fewest(effect, power, level, sides=1), "that is a one-sided test, which may not find the difference "
         "on the other side: level / 2"),
        (math.ceil(2 * z), "that is for two independent groups, each with its own scatter; the pairs' "
         "differences are one sample"),
        (math.ceil(4 * z), "that is for two independent groups, counted together; the pairs' differences are "
         "one sample"),
        (math.ceil(z), "that is the normal approximation. The sd is estimated from the same few runs, so take "
         "the t distribution"),
        (_half(effect, level), "with so many, a mean of just that size is significant; but half of the time "
         "the mean comes out smaller. Where does `power` come in?"),
        (math.ceil(math.sqrt(z)), "the number of runs grows with the square of sd / difference"),
    ):  # fmt: skip
        if got in (value, value - 1) and value not in (want, want + 1):
            raise Wrong(f"{said}; {words}")
    if isinstance(got, float) and abs(got - z) < 0.5:
        raise Wrong(f"{said}; that is the normal approximation, and no whole number. Take the t distribution")
    if got in (want - 1, want + 1):
        raise Wrong(
            f"{said}; one off: with {want - 1} the power is {_power(want - 1, effect, level):.3f}, with {want} "
            f"it is {_power(want, effect, level):.3f}"
        )
    expect(got == int(got), f"{said}; there are no parts of runs: round up")
    raise Wrong(f"{said}; with {int(got)} the power is {_power(max(2, int(got)), effect, level):.2f}")


def _runs(difference, sd, power=0.8, level=0.05, *, sides=2):
    return _fewest(abs(difference) / sd, power, level, sides=sides)


EXERCISES = (
    Exercise(
        id="9.1",
        title="Balanced weights",
        difficulty=2,
        minutes=10,
        check=_check_weights,
        hints=(
            "Two demands fix the weights: every class counts as much as any other in all, and the average "
            "example counts 1.",
            "Count with `torch.bincount(torch.as_tensor(labels), minlength=classes)`. A class that has `count` "
            "of `total` examples "
            "should add up to `total / classes`: what does that make of one example's weight?",
            "`total / (classes * counts)`, with `counts.clamp_min(1)` so that an absent class does not divide "
            "by zero.",
        ),
        wrong=(
            WrongAnswer(lambda y, c: _weights(y, c, over=1), "that is total / count"),
            WrongAnswer(lambda y, c: _weights(y, c, flip=True), "the commonest class counts most"),
            WrongAnswer(lambda y, c: _weights(y, c, floor=0), "you divide by zero"),
            WrongAnswer(lambda y, c: _weights(y, c, minlength=False), "left out"),
            WrongAnswer(lambda y, c: _weights(y, c, over=2), "the formula for two classes"),
            WrongAnswer(lambda y, c: _weights(y, c) / _weights(y, c).sum() * c, "the proportions are right"),
            WrongAnswer(lambda y, c: _weights(y, c, power=0.5), "the square root"),
        ),
    ),
    Exercise(
        id="9.2",
        title="Folds without a leak",
        difficulty=3,
        minutes=15,
        check=_check_folds,
        hints=(
            "What is dealt out is not rows but groups. And not all groups at once, but those of one class "
            "after the other.",
            "Collect the rows of each group in a dict. For each class: take its groups, shuffle them with "
            "`np.random.default_rng(seed)`, and give each to the fold that has the fewest rows of this class "
            "so far.",
            "`at = min(range(k), key=lambda f: (here[f], len(folds[f])))`, where `here[f]` counts the rows of "
            "this class in fold f; "
            "then `folds[at] += rows` and `here[at] += len(rows)`. The largest groups first.",
        ),
        wrong=(
            WrongAnswer(_by_rows, "stand in two folds"),
            WrongAnswer(lambda y, g, k, s: _deal(y, g, k, s, by_class=False), "not stratified"),
            WrongAnswer(lambda y, g, k, s: _deal(y, g, k, s, once=False), "in no fold"),
            WrongAnswer(_training_parts, "those are the training parts"),
            WrongAnswer(
                lambda y, g, k, s: [
                    np.random.default_rng(s + f).choice(len(y), len(y) // k) for f in range(k)
                ],
                "in more than one fold",
            ),
            WrongAnswer(lambda y, g, k, s: _deal(y, g, k, s, shuffled=False), "the seed has no effect"),
            WrongAnswer(
                lambda y, g, k, s: [(f, f) for f in map(np.array, _deal(y, g, k, s))], "each fold is a pair"
            ),
        ),
    ),
    Exercise(
        id="9.3",
        title="One number for all probabilities",
        difficulty=3,
        minutes=12,
        check=_check_temperature,
        hints=(
            "One unknown number, one smooth function of it with a single minimum: a library finds it.",
            "`scipy.optimize.minimize_scalar` over log T, so that T stays above 0. The function: "
            "`torch.nn.functional.cross_entropy(logits / T, labels)` as a plain number.",
            "`best = minimize_scalar(lambda t: F.cross_entropy(logits / math.exp(t), labels).item(), "
            "bounds=(-4, 4), "
            'method="bounded")`, and return `math.exp(best.x)`.',
        ),
        wrong=(
            WrongAnswer(lambda z, y: _temperature(z, y, invert=True), "that is 1 / T"),
            WrongAnswer(lambda z, y: _temperature(z, y, log=True), "that is log T"),
            WrongAnswer(lambda z, y: _temperature(z, y, loss=True), "that is the smallest loss"),
            WrongAnswer(lambda z, y: _temperature(z, y, low=1.0), "T may lie below 1"),
            WrongAnswer(_by_accuracy, "accuracy, for one, does not depend on T"),
            WrongAnswer(_by_confidence, "the mean confidence equals the accuracy"),
            WrongAnswer(_few_steps, "the search stops too early"),
            WrongAnswer(_twice, "one softmax, after the division"),
        ),
    ),
    Exercise(
        id="9.4",
        title="How many runs?",
        difficulty=4,
        minutes=15,
        check=_check_runs,
        hints=(
            "Turn it round: for a given number of runs, how likely is the test to find the difference? Then "
            "try 2, 3, 4 …",
            "The test finds it where t exceeds `stats.t.ppf(1 - level / 2, n - 1)`. If the difference is real, "
            "t follows the "
            "noncentral distribution `stats.nct` with n - 1 degrees of freedom, shifted by difference / sd · √n.",
            "`stats.nct.sf(limit, n - 1, abs(difference) / sd * n**0.5)` is the power (the other side adds "
            "next to nothing). The "
            "first n for which it is at least `power`.",
        ),
        wrong=(
            WrongAnswer(
                lambda d, s, p=0.8, a=0.05: math.ceil(_z(abs(d) / s, p, a)),
                "that is the normal approximation",
            ),
            WrongAnswer(lambda d, s, p=0.8, a=0.05: _runs(d, s, p, a, sides=1), "that is a one-sided test"),
            WrongAnswer(
                lambda d, s, p=0.8, a=0.05: math.ceil(2 * _z(abs(d) / s, p, a)),
                "two independent groups, each",
            ),
            WrongAnswer(lambda d, s, p=0.8, a=0.05: _half(abs(d) / s, a), "half of the time"),
            WrongAnswer(lambda d, s, p=0.8, a=0.05: _runs(d, s, p, a) - 1, "one off"),
            WrongAnswer(
                lambda d, s, p=0.8, a=0.05: _fewest(d / s, p, a) if d > 0 else 2, "take its absolute value"
            ),
            WrongAnswer(
                lambda d, s, p=0.8, a=0.05: math.ceil(_z(abs(d) / s, p, a) ** 0.5),
                "the square of sd / difference",
            ),
        ),
    ),
)
