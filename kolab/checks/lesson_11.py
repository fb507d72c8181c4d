"""Lesson 11: models trained one after another, weights without the test set, a seal, and a paired bootstrap.

What came out wrong is compared with what each common mistake gives on the same inputs: that is how a diagnosis is
found.
"""

import gc
import weakref
from collections.abc import Callable

import numpy as np
import torch

from kolab.checks import Exercise, Wrong, WrongAnswer, close, expect, fresh_seed, run

# --- 11.1 one after another -----------------------------------------------------------------------------------


class _Model(torch.nn.Module):
    """A linear layer that holds a reference to itself, as models inside some libraries' trainers do."""

    def __init__(self, width: int, classes: int, seed: int):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = torch.nn.Linear(width, classes)
        self.trained = False
        self.trainer = {"model": self}

    def forward(self, x):
        return self.linear(x)


class _Run:
    """What training returns: like a Trainer or an optimizer, it knows its model."""

    def __init__(self, model):
        self.model, self.loss = model, 0.1


class _Leash:
    """Lives as long as the graph of a prediction does."""


class _OnLeash(torch.autograd.Function):
    """Hands its input on, and hangs something on the graph.

    Under older torch (2.8) a weak reference to a weight ends with its model, also while a graph still holds the weight.
    """

    @staticmethod
    def forward(ctx, logits, leash):
        ctx.leash = leash
        return logits.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class _Yard:
    """Hands out models and notes, whenever a new one is asked for, which earlier ones are still there."""

    def __init__(self, models: int):
        seed = fresh_seed()
        self.x = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))
        self.models, self.seed = models, seed
        self.born: list[weakref.ref] = []
        self.graphs: list[weakref.ref] = []
        self.found: list[str] = []

    def builders(self) -> list[Callable]:
        return [lambda number=number: self.build(number) for number in range(self.models)]

    def build(self, number: int) -> _Model:
        self.look()
        model = _Model(5, 3, self.seed + number)
        self.born.append(weakref.ref(model))
        return model

    def look(self) -> None:
        if not self.born:
            return
        alive = [model() is not None for model in self.born]
        if any(alive):
            gc.collect()
            still = [model() is not None for model in self.born]
            if not any(still):
                self.found.append("cycle")
            elif sum(still) > 1:
                self.found.append("all")
            else:
                self.found.append("last")
        elif any(graph() is not None for graph in self.graphs):
            self.found.append("graph")

    @staticmethod
    def fit(model: _Model) -> _Run:
        with torch.no_grad():
            model.linear.bias += 1.0
        model.trained = True
        return _Run(model)

    def predict(self, model: _Model) -> torch.Tensor:
        leash = _Leash()
        self.graphs.append(weakref.ref(leash))
        return _OnLeash.apply(model(self.x), leash)

    def truth(self, trained: bool = True) -> np.ndarray:
        logits = []
        for number in range(self.models):
            model = _Model(5, 3, self.seed + number)
            if trained:
                self.fit(model)
            logits.append(model(self.x).detach())
        return torch.stack(logits).numpy().astype(float)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


_MEMORY = {
    "all": "when a model is built, all earlier ones are still in memory: a list holds them, or holds what `fit` "
    "returned, which knows its model; keep the probabilities and nothing else",
    "last": "while a model is being built, the one before it is still in memory: `model = build()` calls `build` first "
    "and lets go of the old model afterwards, and what `fit` returned knows the model too; `del` both names before, or "
    "do the work in a function of its own",
    "cycle": "the models are gone only when Python's collector looks: they refer to themselves, so `del` alone does "
    "not free them; call gc.collect() before the next one is built",
    "graph": "the models are gone, but their weights are not: the predictions carry the graph they were computed "
    "with, and the graph holds the weights; `.detach()` them, or predict under torch.no_grad()",
}


def _check_train_each(answer):
    yard = _Yard(3)
    automatic = gc.isenabled()
    gc.collect()
    gc.disable()  # else it may look by itself, at a moment nobody can foresee
    try:
        got = run(answer, yard.builders(), yard.fit, yard.predict)
    finally:
        if automatic:
            gc.enable()
    expect(
        len(yard.born) == yard.models,
        f"{len(yard.born)} models were built; each of the {yard.models} builders has to be called once",
    )
    logits = yard.truth()
    expect(
        isinstance(got, list | tuple | np.ndarray | torch.Tensor) and len(got) == yard.models,
        f"return the probabilities of the {yard.models} models, one after the other, not {type(got).__name__}",
    )
    rows = [np.asarray(g.detach() if hasattr(g, "detach") else g, dtype=float) for g in got]
    expect(
        all(r.shape == logits.shape[1:] for r in rows),
        f"each model's probabilities have the shape {logits.shape[1:]}, yours {[r.shape for r in rows]}",
    )
    found = np.stack(rows)
    if np.allclose(found, logits, atol=1e-5):
        raise Wrong("these are logits; probabilities of several labels are their sigmoid")
    if np.allclose(found, _sigmoid(yard.truth(trained=False)), atol=1e-5):
        raise Wrong("these are the probabilities of untrained models: call `fit` before `predict`")
    close(
        found, _sigmoid(logits), "the probabilities", hint="sigmoid of predict(model), in the builders' order"
    )
    if yard.found:
        raise Wrong(_MEMORY[yard.found[-1]])


def _each(build, fit, predict):
    model = build()
    fit(model)
    return torch.sigmoid(predict(model)).detach().numpy()


def _keep_all(builders, fit, predict):
    models = [build() for build in builders]
    for model in models:
        fit(model)
    return [torch.sigmoid(predict(model)).detach() for model in models]


def _keep_runs(builders, fit, predict):
    runs, found = [], []
    for build in builders:
        model = build()
        runs.append(fit(model))
        found.append(torch.sigmoid(predict(model)).detach())
        del model
        gc.collect()
    return found


def _overwrite(builders, fit, predict):
    found = []
    for build in builders:
        model = build()
        fit(model)
        found.append(torch.sigmoid(predict(model)).detach())
        gc.collect()
    return found


def _no_collection(builders, fit, predict):
    return [_each(build, fit, predict) for build in builders]


def _with_graph(builders, fit, predict):
    found = []
    for build in builders:
        model = build()
        fit(model)
        found.append(torch.sigmoid(predict(model)))
        del model
        gc.collect()
    return found


def _collected(change: Callable) -> Callable:
    """The right loop, with one line changed: `change(model, fit, predict)` → what is kept."""

    def train_each(builders, fit, predict):
        found = []
        for build in builders:
            model = build()
            found.append(change(model, fit, predict))
            del model
            gc.collect()
        return found

    return train_each


def _logits_only(model, fit, predict):
    fit(model)
    return predict(model).detach()


def _untrained(model, fit, predict):
    found = torch.sigmoid(predict(model)).detach()
    fit(model)
    return found


# --- 11.2 weights without the test set ------------------------------------------------------------------------


_GRID = [(i / 30, j / 30, (30 - i - j) / 30) for i in range(31) for j in range(31 - i)]


def _log_loss(stack: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> float:
    p = np.tensordot(weights, stack, axes=1).clip(1e-9, 1 - 1e-9)
    return float(-np.where(labels > 0, np.log(p), np.log(1 - p)).mean())


def _best(stack: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Slow and plain: all weights of a grid on the simplex, by log loss."""
    weights = np.array(_GRID)
    right = np.where(labels > 0, stack, 1 - stack).reshape(len(stack), -1)
    return weights[np.argmin(-np.log((weights @ right).clip(1e-9)).mean(axis=1))]


def _f1(predicted: np.ndarray, labels: np.ndarray) -> float:
    both = predicted.sum(0) + labels.sum(0)
    return float(
        np.divide(2 * (predicted * labels).sum(0), both, out=np.zeros(len(both)), where=both > 0).mean()
    )


def _by_f1(stack: np.ndarray, labels: np.ndarray) -> np.ndarray:
    scores = np.array([_f1((p > 0.5).astype(int), labels) for p in stack])
    return scores / scores.sum()


_MISTAKES = {
    "the weights were fitted on the test texts: they may report, and have no say in the weights": lambda s, y, t: (
        _best(s[:, t], y[t])
    ),
    "the weights were fitted on all texts, the test texts among them; take only `~testing`": lambda s, y, t: (
        _best(s, y)
    ),
    "these are each model's F1, divided by their sum: such weights are nearly equal whatever the models are; "
    "the lowest "
    "log loss of the *blend* was asked for": lambda s, y, t: _by_f1(s[:, ~t], y[~t]),
    "all the weight is on the best model; the blend of several has a lower log loss": lambda s, y, t: np.eye(
        3
    )[np.argmin([_log_loss(s[:, ~t], np.eye(3)[m], y[~t]) for m in range(3)])],
    "these are equal weights: they have to be fitted": lambda s, y, t: np.full(3, 1 / 3),
}


def _weights_case():
    """Three models of which one is better on validation and another on test texts; drawn until mistakes stand apart."""
    random = np.random.default_rng(fresh_seed())
    while True:
        labels = (random.random((260, 4)) < 0.35).astype(int)
        testing = random.permutation(260) < 110
        scale = np.where(testing, [[1.6], [0.9], [1.5]], [[1.0], [2.2], [1.4]])[:, :, None]
        shift = random.normal(scale=0.3, size=(3, 1, 4))
        logits = 3 * labels - 1.5 + random.normal(size=(3, 260, 4)) * scale + shift
        stack = _sigmoid(logits)
        right = _best(stack[:, ~testing], labels[~testing])
        lowest = _log_loss(stack[:, ~testing], right, labels[~testing])
        others = [mistake(stack, labels, testing) for mistake in _MISTAKES.values()]
        losses = [_log_loss(stack[:, ~testing], w, labels[~testing]) for w in others]
        apart = min(np.abs(a - b).max() for i, a in enumerate(others) for b in others[:i])
        reported = abs(_log_loss(stack[:, testing], right, labels[testing]) - lowest)
        if min(losses) > lowest + 0.004 and apart > 0.05 and reported > 0.02:
            return stack, labels, testing, right, lowest


def _check_weigh(answer):
    stack, labels, testing, right, lowest = _weights_case()
    got = run(answer, stack.copy(), labels.copy(), testing.copy())
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        f"return two things, the weights and the log loss on the test texts, not {type(got).__name__}",
    )
    weights = np.asarray(got[0].detach() if hasattr(got[0], "detach") else got[0], dtype=float).ravel()
    expect(weights.shape == (3,), f"three models need three weights; yours have shape {weights.shape}")
    expect(np.isfinite(weights).all(), f"the weights are {weights.tolist()}")
    expect(
        weights.min() > -1e-6,
        f"a weight is {weights.min():.3f}: on the simplex none is below 0, or the blend may leave [0, 1]",
    )
    expect(
        abs(weights.sum() - 1) < 1e-3,
        f"the weights add up to {weights.sum():.3f}; on the simplex it is 1, or the blend is no probability",
    )
    excess = _log_loss(stack[:, ~testing], weights, labels[~testing]) - lowest
    if excess > 0.002:
        far = {w: np.abs(mistake(stack, labels, testing) - weights).max() for w, mistake in _MISTAKES.items()}
        words = min(far, key=far.get)
        if far[words] < 0.04:
            raise Wrong(words)
        raise Wrong(
            f"on the validation texts your blend has a log loss of {lowest + excess:.4f}; weights of about "
            f"{right.round(2).tolist()} reach {lowest:.4f}"
        )
    score = float(got[1])
    honest = _log_loss(stack[:, testing], weights, labels[testing])
    if abs(score - honest) < 1e-3 * max(1, honest):
        return
    if abs(score - lowest) < 3e-3:
        raise Wrong("the weights are right; the log loss you report is that of the texts they were fitted on")
    both = _log_loss(stack, weights, labels)
    if abs(score - both) < 1e-4:
        raise Wrong(
            "the weights are right; the log loss you report is over all texts, not over the test texts"
        )
    raise Wrong(
        f"the weights are right; their blend's log loss on the test texts is {honest:.4f}, not {score:.4f}"
    )


def _weigh_with(number: int, report: str = "test") -> Callable:
    mistake = list(_MISTAKES.values())[number]

    def weigh(stack, labels, testing):
        weights = mistake(stack, labels, testing)
        return weights, _log_loss(stack[:, testing], weights, labels[testing])

    return weigh


def _weigh_reporting(where: str) -> Callable:
    def weigh(stack, labels, testing):
        weights = _best(stack[:, ~testing], labels[~testing])
        rows = {"fitted": ~testing, "all": np.ones(len(labels), bool)}[where]
        return weights, _log_loss(stack[:, rows], weights, labels[rows])

    return weigh


def _least_squares(stack, labels, testing):
    flat = stack[:, ~testing].reshape(len(stack), -1)
    weights = np.linalg.lstsq(flat.T, labels[~testing].ravel(), rcond=None)[0] * 1.2
    return np.abs(weights), 0.5


def _negative(stack, labels, testing):
    return np.array([1.2, -0.4, 0.2]), 0.5


# --- 11.3 a test set that opens once --------------------------------------------------------------------------


def _seal_case() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(fresh_seed())
    labels = (random.random((40, 3)) < 0.4).astype(int)
    plan = {
        name: np.where(random.random(labels.shape) < share, 1 - labels, labels)
        for name, share in (("one", 0.4), ("three", 0.2), ("weighted", 0.1))
    }
    return labels, plan


def _refuses(sealed, plan) -> bool:
    try:
        got = sealed.open(plan)
    except (SyntaxError, NameError, AttributeError, TypeError) as error:
        raise Wrong(f"the second `open` stops with {type(error).__name__}: {error}") from error
    except Exception:
        return True
    expect(
        got is not None,
        "the second `open` returns None and says nothing: a cell that ignores it goes on as if all were well; "
        "raise an error",
    )
    expect(
        not isinstance(got, str), "the second `open` returns a text; nobody has to read it: raise an error"
    )
    return False


def _check_seal(answer):
    labels, plan = _seal_case()
    sealed = run(answer, labels.copy())
    expect(hasattr(sealed, "open"), "the class needs a method `open(self, plan)`")
    other = run(answer, labels.copy())
    expect(
        not _opens_with_bad_shape(sealed, plan, labels),
        "a prediction of the wrong shape was accepted; compare it with the labels' shape and raise an error",
    )
    try:
        scores = sealed.open({k: v.copy() for k, v in plan.items()})
    except Exception as error:
        try:
            run(answer, labels.copy()).open(plan)
        except Exception:
            raise Wrong(
                "a new test set is shut before anybody has opened it: the mark belongs to the object (self.…), "
                "not to the "
                f"class ({type(error).__name__}: {error})"
            ) from error
        raise Wrong(
            "after a plan with a slip in it (a wrong shape) was refused, the test set is shut, although nobody "
            "has seen "
            f"a score ({type(error).__name__}: {error}); check everything first, break the seal last"
        ) from error
    if scores is None:
        from kolab.checks import NotDone

        raise NotDone
    expect(
        isinstance(scores, dict) and set(scores) == set(plan),
        "return a dict with the score of every candidate in the plan: whatever is left out can never be asked "
        "again",
    )
    for name, found in plan.items():
        expect(
            abs(float(scores[name]) - _f1(found, labels)) < 1e-6,
            f"the macro-F1 of {name!r} is {_f1(found, labels):.4f}, not {float(scores[name]):.4f}",
        )
    expect(
        _refuses(sealed, {"a new idea": labels}),
        "a second `open` with another plan is answered: the test set has to refuse everything after the first time",
    )
    expect(
        _refuses(sealed, plan),
        "a second `open` with a plan of the same names is answered: it has to be refused too",
    )
    try:
        other.open(plan)
    except Exception as error:
        raise Wrong(
            "opening one test set has shut another one as well: the mark belongs to the object (self.…), not "
            "to the class"
        ) from error


def _opens_with_bad_shape(sealed, plan, labels) -> bool:
    try:
        got = sealed.open({"one": plan["one"], "slip": plan["one"][:-1]})
    except Exception:
        return False
    if got is None:
        from kolab.checks import NotDone

        raise NotDone
    return True


def _score_plan(labels, plan):
    for found in plan.values():
        if found.shape != labels.shape:
            raise ValueError("shape")
    return {name: _f1(found, labels) for name, found in plan.items()}


class _NeverShut:
    def __init__(self, labels):
        self._labels = labels

    def open(self, plan):
        return _score_plan(self._labels, plan)


class _Silent(_NeverShut):
    shut = False

    def open(self, plan):
        if self.shut:
            return None
        scores = _score_plan(self._labels, plan)
        self.shut = True
        return scores


class _Remembers(_NeverShut):
    old = None

    def open(self, plan):
        self.old = self.old or _score_plan(self._labels, plan)
        return self.old


def _shared_mark():
    class Sealed(_NeverShut):
        shut = False

        def open(self, plan):
            if type(self).shut:
                raise RuntimeError("opened before")
            scores = _score_plan(self._labels, plan)
            type(self).shut = True
            return scores

    return Sealed


class _TooEarly(_NeverShut):
    shut = False

    def open(self, plan):
        if self.shut:
            raise RuntimeError("opened before")
        self.shut = True
        return _score_plan(self._labels, plan)


class _ByName(_NeverShut):
    def __init__(self, labels):
        super().__init__(labels)
        self.seen = set()

    def open(self, plan):
        if self.seen & set(plan):
            raise RuntimeError("opened before")
        scores = _score_plan(self._labels, plan)
        self.seen |= set(plan)
        return scores


class _FirstOnly(_Silent):
    def open(self, plan):
        _score_plan(self._labels, plan)
        name = next(iter(plan))
        return {name: _f1(plan[name], self._labels)}


class _AnyShape(_NeverShut):
    def open(self, plan):
        return {name: _f1(found, self._labels[: len(found)]) for name, found in plan.items()}


# --- 11.4 a paired bootstrap ----------------------------------------------------------------------------------


def _draws(predictions, references, samples: int, random) -> np.ndarray:
    """(samples, K) macro-F1 on the same draws, by copies of each text."""
    count = len(references)
    copies = random.multinomial(count, np.full(count, 1 / count), size=samples)
    there, columns = copies @ references, []
    for found in predictions:
        both = there + copies @ found
        right = copies @ (found * references)
        columns.append(np.divide(2 * right, both, out=np.zeros(both.shape), where=both > 0).mean(axis=1))
    return np.stack(columns, axis=1)


def _paired_case():
    """Two models that err on much the same texts: the paired interval is far narrower than an unpaired one."""
    random = np.random.default_rng(fresh_seed())
    references = (random.random((90, 4)) < 0.35).astype(int)
    hard = random.random(90) < 0.35
    second = np.where(hard[:, None] & (random.random(references.shape) < 0.6), 1 - references, references)
    better = random.random(references.shape) < 0.12
    first = np.where(better, references, second)
    return first, second, references


def _ends(values: np.ndarray, level: float) -> np.ndarray:
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def _check_paired(answer):
    first, second, references = _paired_case()
    level, random = 0.8, np.random.default_rng(1)
    got = run(answer, first.copy(), second.copy(), references.copy(), samples=600, level=level, seed=3)
    expect(
        isinstance(got, tuple | list | np.ndarray) and len(got) == 3,
        f"return three numbers, the difference and the ends of its interval, not {type(got).__name__}",
    )
    difference, low, high = (float(value) for value in got)
    true = _f1(first, references) - _f1(second, references)
    shares = float((first == references).mean() - (second == references).mean())
    if abs(difference + true) < 1e-6:
        raise Wrong("the sign is turned round: first minus second was asked for")
    if abs(difference - shares) < 1e-6 and abs(shares - true) > 1e-4:
        raise Wrong("that is the difference in the share of right answers; macro-F1 was asked for")
    expect(
        abs(difference - true) < 1e-6,
        f"the difference is that of the two macro-F1 on all texts, {true:.4f}; yours is {difference:.4f}",
    )
    if abs(high - low) < 1e-9:
        raise Wrong(
            "all draws are one and the same: draw with replacement, from a generator that is made once, before "
            "the loop"
        )
    draws = _draws([first, second], references, 6000, random)
    ends = _ends(draws[:, 0] - draws[:, 1], level)
    width = ends[1] - ends[0]
    if max(abs(low - ends[0]), abs(high - ends[1])) < 0.2 * width:
        return
    apart = _ends(draws[:, 0] - draws[random.permutation(6000), 1], level)
    alone = [_ends(draws[:, k], level) for k in (0, 1)]
    mistakes = {
        "the two were scored on draws of their own: each has its own luck then, and the interval is "
        f"{(apart[1] - apart[0]) / width:.1f} times too wide; score both on the same rows": apart,
        "the ends of two separate intervals, subtracted, are no interval of the difference: subtract the "
        "scores draw by "
        "draw, then take quantiles": alone[0] - alone[1],
        "the ends of two separate intervals, subtracted crosswise, are far too wide: what both models share "
        "cancels only "
        "when the scores are subtracted draw by draw": np.array(
            [alone[0][0] - alone[1][1], alone[0][1] - alone[1][0]]
        ),
        "this is the interval of the first model's score, not of the difference": alone[0],
        "too much is cut off: at a level of 0.8, 0.1 goes at each end, and you cut off 0.2": _ends(
            draws[:, 0] - draws[:, 1], 0.6
        ),
        "`level` is not used: 0.8 was asked for, and this is an interval of 0.95": _ends(
            draws[:, 0] - draws[:, 1], 0.95
        ),
    }
    words = min(mistakes, key=lambda words: np.abs(mistakes[words] - [low, high]).max())
    less, more = mistakes[words]
    if max(abs(low - less), abs(high - more)) < 0.25 * max(width, more - less):
        raise Wrong(words)
    expect(low <= high, f"the low end ({low:.3f}) is above the high one ({high:.3f})")
    if high < true - width or low > true + width:
        raise Wrong(
            "the difference itself lies far outside your interval: predictions and references have to be drawn "
            "together, "
            "the same rows of all three"
        )
    raise Wrong(
        f"your interval is {low:.3f} to {high:.3f}; drawing rows with replacement, the same for all three, gives "
        f"{ends[0]:.3f} to {ends[1]:.3f}"
    )


def _paired_with(
    rows: Callable, *, ends: Callable | None = None, sign: int = 1, score: Callable = _f1
) -> Callable:
    """The right answer with one thing changed. rows → those of first, of second, and of the references for each."""

    def paired(first, second, references, samples=1000, level=0.95, seed=0):
        random, count = np.random.default_rng(seed), len(references)
        scores = []
        for _ in range(samples):
            a, b, ra, rb = rows(random, count)
            scores.append((score(first[a], references[ra]), score(second[b], references[rb])))
        scores = np.array(scores)
        difference = sign * (score(first, references) - score(second, references))
        if ends is not None:
            return difference, *ends(scores, level)
        return difference, *_ends(sign * (scores[:, 0] - scores[:, 1]), level)

    return paired


def _same(random, count):
    rows = random.integers(count, size=count)
    return rows, rows, rows, rows


def _own_rows(random, count):
    a, b = random.integers(count, size=(2, count))
    return a, b, a, b


def _loose(random, count):
    a, b = random.integers(count, size=(2, count))
    return a, a, b, a


def _once_each(random, count):
    rows = random.permutation(count)
    return rows, rows, rows, rows


def _of_ends(scores, level):
    return _ends(scores[:, 0], level) - _ends(scores[:, 1], level)


def _crosswise(scores, level):
    (a, b), (c, d) = _ends(scores[:, 0], level), _ends(scores[:, 1], level)
    return a - d, b - c


def _share_right(predicted, references):
    return float((predicted == references).mean())


EXERCISES = (
    Exercise(
        "11.1", "One after another", 3, 15, _check_train_each,
        (
            "Who still knows the old model while the next one is being built? Look for names, lists, what "
            "`fit` returned, "
            "and a graph.",
            "Put the work on one model into a function of its own: build, fit, predict, and return only "
            "numbers without a "
            "graph. Its names die with it. Then one more line, for what refers to itself.",
            "`def one(build):\n    model = build()\n    fit(model)\n    return "
            "torch.sigmoid(predict(model)).detach()`, and "
            "in the loop `found.append(one(build))`, then `gc.collect()`.",
        ),
        (
            WrongAnswer(_keep_all, "all earlier ones are still in memory"),
            WrongAnswer(_keep_runs, "all earlier ones are still in memory"),
            WrongAnswer(_overwrite, "the one before it is still in memory"),
            WrongAnswer(_no_collection, "call gc.collect()"),
            WrongAnswer(_with_graph, "the graph holds the weights"),
            WrongAnswer(_collected(_logits_only), "these are logits"),
            WrongAnswer(_collected(_untrained), "untrained models"),
        ),
    ),
    Exercise(
        "11.2", "Weights without the test set", 3, 15, _check_weigh,
        (
            "Which texts may have a say in the weights, and which only report? And what do the weights make "
            "small: a "
            "number of each model, or a number of the blend?",
            "Take stack[:, ~testing] and labels[~testing]. Try many weights (a grid on the simplex, or "
            "scipy.optimize.minimize), keep those with the lowest log loss of the blend. Then the log loss on "
            "`testing`.",
            "`kl.ensemble.simplex_grid(3, 0.02)` yields all weights in steps of 0.02; the blend is "
            "`np.tensordot(weights, stack, axes=1)`; its log loss `-np.log(np.where(labels == 1, p, 1 - "
            "p)).mean()`.",
        ),
        (
            WrongAnswer(_weigh_with(0), "fitted on the test texts"),
            WrongAnswer(_weigh_with(1), "fitted on all texts"),
            WrongAnswer(_weigh_with(2), "each model's F1"),
            WrongAnswer(_weigh_with(3), "all the weight is on the best model"),
            WrongAnswer(_weigh_with(4), "equal weights"),
            WrongAnswer(_least_squares, "add up to"),
            WrongAnswer(_negative, "none is below 0"),
            WrongAnswer(_weigh_reporting("fitted"), "the texts they were fitted on"),
            WrongAnswer(_weigh_reporting("all"), "over all texts"),
        ),
    ),
    Exercise(
        "11.3", "A test set that opens once", 2, 12, _check_seal,
        (
            "What has to be remembered, where, and from which moment on? A slip in the plan should not cost "
            "you the test "
            "set.",
            "`open`: if this object is marked, raise; check all shapes; score all candidates; mark; return the "
            "scores.",
            "`if self._opened: raise kl.ensemble.SealError(…)` first, `self._opened = True` last but one, and "
            "`{name: kl.metrics.macro_f1(found, self._labels) for name, found in plan.items()}` in between.",
        ),
        (
            WrongAnswer(_NeverShut, "a second `open` with another plan is answered"),
            WrongAnswer(_Silent, "returns None and says nothing"),
            WrongAnswer(_Remembers, "with another plan is answered"),
            WrongAnswer(_shared_mark(), "the mark belongs to the object"),
            WrongAnswer(_TooEarly, "break the seal last"),
            WrongAnswer(_ByName, "with another plan is answered"),
            WrongAnswer(_FirstOnly, "every candidate in the plan"),
            WrongAnswer(_AnyShape, "wrong shape was accepted"),
        ),
    ),
    Exercise(
        "11.4", "A paired bootstrap", 3, 12, _check_paired,
        (
            "A draw of easy texts flatters both models. When does that luck cancel?",
            "`samples` times: draw rows with replacement, *once*; score both models on these rows; keep the "
            "difference. "
            "Then two quantiles of the differences.",
            "`rows = random.integers(count, size=count)`, then `differences.append(macro_f1(first[rows], "
            "references[rows]) - macro_f1(second[rows], references[rows]))`.",
        ),
        (
            WrongAnswer(_paired_with(_own_rows), "draws of their own"),
            WrongAnswer(_paired_with(_loose), "drawn together"),
            WrongAnswer(_paired_with(_once_each), "with replacement"),
            WrongAnswer(_paired_with(_same, ends=_of_ends), "subtract the scores draw by draw"),
            WrongAnswer(_paired_with(_same, ends=_crosswise), "subtracted crosswise"),
            WrongAnswer(_paired_with(_same, sign=-1), "the sign is turned round"),
            WrongAnswer(_paired_with(_same, score=_share_right), "the share of right answers"),
            WrongAnswer(
                _paired_with(_same, ends=lambda s, level: _ends(s[:, 0] - s[:, 1], 0.95)), "`level` is not used"
            ),
        ),
    ),
)  # fmt: skip
