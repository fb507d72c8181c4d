"""Lesson 08: the rate of a step, rates by depth, the targets of label smoothing, when to stop."""

import math
import re

import numpy as np
import torch
import torch.nn.functional as F

from kolab.checks import Exercise, Wrong, WrongAnswer, close, expect, fresh_seed, is_tensor, run

# --- 8.1 the rate of a step -----------------------------------------------------------------------------------


def _true_rate(step, total, peak, warmup, shape):
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / (total - warmup)
    return peak * {"linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "constant": 1.0}[shape]


def _check_rate(answer):
    rng = np.random.default_rng(fresh_seed())
    for warmup_share in (0.1, 0.35, 0.0):
        total = int(rng.integers(60, 200))
        warmup = int(warmup_share * total)
        peak = float(10 ** rng.uniform(-5, -3))
        for shape in ("constant", "linear", "cosine"):
            got = []
            for step in range(total):
                value = run(answer, step, total, peak, warmup, shape)
                got.append(_number(value))
            _diagnose_rates(np.array(got), total, peak, warmup, shape)


def _number(value) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Wrong(f"a rate is one number, but this is {type(value).__name__}") from None


def _diagnose_rates(got, total, peak, warmup, shape):
    true = np.array([_true_rate(s, total, peak, warmup, shape) for s in range(total)])
    near = lambda a, b: np.allclose(a, b, rtol=1e-6, atol=1e-9 * peak)
    if near(got, true):
        return
    where = f"{shape}, {total} steps, a warm-up of {warmup}, peak {peak:.2e}"
    if near(got * peak, true):
        raise Wrong(f"{where}: that is the factor on the rate; return the rate itself, peak × factor")
    rise, fall = slice(0, warmup), slice(warmup, total)
    if warmup and not near(got[rise], true[rise]):
        if near(got[0], 0.0):
            raise Wrong(
                f"{where}: the first step has a rate of 0, so it computes a gradient and learns nothing from "
                "it; step 0 "
                "gets peak / warmup, the last step of the warm-up gets the peak"
            )
        if near(got[rise], np.full(warmup, peak)):
            raise Wrong(f"{where}: there is no warm-up, the rate is at its peak from the first step on")
        close(got[rise], true[rise], f"{where}: the warm-up")
    done = (np.arange(total) - warmup) / (total - warmup)
    if shape == "constant":
        raise Wrong(
            f"{where}: after the warm-up a constant schedule stays at {peak:.2e}, and yours is {got[-1]:.2e} "
            "at the "
            "last step"
        )
    late = np.arange(warmup, total) / total
    wave = lambda x: 0.5 * (1 + np.cos(np.pi * x))
    from_start = {"linear": 1 - late, "cosine": wave(late)}[shape]
    if warmup and near(got[fall], peak * from_start):
        raise Wrong(
            f"{where}: where the warm-up ends the rate falls from {peak:.2e} to {got[warmup]:.2e} at once. The "
            "way down "
            "begins at step `warmup`: count (step - warmup) / (total - warmup)"
        )
    slow = np.arange(total - warmup) / total
    if warmup and near(got[fall], peak * {"linear": 1 - slow, "cosine": wave(slow)}[shape]):
        raise Wrong(
            f"{where}: at the end the rate is still {got[-1]:.2e}; the way down takes total - warmup steps, "
            "not total"
        )
    if shape == "cosine" and near(got[fall], peak * wave(2 * done[fall])):
        raise Wrong(
            f"{where}: that is a whole wave: half-way the rate is 0, and then it comes back up to the peak. "
            "Half a wave "
            "is math.pi, not 2 * math.pi"
        )
    if shape == "cosine" and near(got[fall], peak * np.cos(np.pi / 2 * done[fall])):
        raise Wrong(
            f"{where}: that is a quarter of a wave; it still falls steeply at the end. Half a wave, lifted and "
            "halved, "
            "is level at both ends: (1 + cos(pi · done)) / 2"
        )
    if shape == "cosine" and near(got[fall], peak * np.cos(np.pi * done[fall])):
        raise Wrong(
            f"{where}: the rate becomes negative, {got[-1]:.2e} in the end: with a negative rate one walks "
            "uphill. Lift "
            "and halve the wave: (1 + cos(pi · done)) / 2"
        )
    close(got[fall], true[fall], f"{where}: the rates after the warm-up")


def _rate(step, total, peak, warmup, shape, *, up=None, done=None, wave=None, constant=None):
    if step < warmup and up != "none":
        return peak * (step if up == "from zero" else step + 1) / warmup
    share = {"start": step / total, "slow": (step - warmup) / total}.get(
        done, (step - warmup) / (total - warmup)
    )
    if shape == "constant" and constant is None:
        return peak
    if shape == "cosine":
        return peak * {
            None: 0.5 * (1 + math.cos(math.pi * share)), "whole": 0.5 * (1 + math.cos(2 * math.pi * share)),
            "quarter": math.cos(math.pi / 2 * share), "negative": math.cos(math.pi * share),
        }[wave]  # fmt: skip
    return peak * (1 - share)


# --- 8.2 by depth ---------------------------------------------------------------------------------------------


def _classifier(layers: int, pooling: str):
    from transformers import BertConfig, BertModel

    from kolab.model import Classifier

    config = BertConfig(
        vocab_size=20, hidden_size=4, num_hidden_layers=layers, num_attention_heads=1, intermediate_size=4,
        max_position_embeddings=8,
    )  # fmt: skip
    return Classifier.build(BertModel(config, add_pooling_layer=False), 3, pooling=pooling, seed=0)


def _place(name: str, layers: int) -> tuple[str, int]:
    """The part that a parameter belongs to, in words, and how many layers stand above it."""
    if found := re.search(r"\.layer\.(\d+)\.", name):
        return f"layer {found[1]}", layers - 1 - int(found[1])
    return ("the embeddings", layers) if "embeddings" in name else ("the head", 0)


def _check_groups(answer):
    rng = np.random.default_rng(fresh_seed())
    for layers, pooling in ((3, "mean"), (12, "attention")):
        lr, decay, weight = 10 ** rng.uniform(-5, -3), rng.uniform(0.6, 0.97), rng.uniform(0.01, 0.2)
        model = _classifier(layers, pooling)
        groups = run(answer, model, lr, decay, weight)
        _diagnose_groups(groups, model, layers, lr, decay, weight)


def _diagnose_groups(groups, model, layers, lr, decay, weight):
    if isinstance(groups, torch.optim.Optimizer):
        groups = groups.param_groups
    expect(
        isinstance(groups, list | tuple) and all(isinstance(g, dict) and "params" in g for g in groups),
        "return a list of groups, each a dict with params, lr and weight_decay: what torch.optim.AdamW takes",
    )
    found: dict[int, list[tuple[float, float]]] = {}
    for group in groups:
        for key in ("lr", "weight_decay"):
            expect(key in group, f"a group has no {key!r}; without it AdamW takes its own default")
        members = group["params"]
        members = [members] if isinstance(members, torch.Tensor) else list(members)
        for p in members:
            expect(
                isinstance(p, torch.Tensor),
                "params holds something that is no parameter: of (name, parameter) take the parameter",
            )
            found.setdefault(id(p), []).append((float(group["lr"]), float(group["weight_decay"])))
    named = list(model.named_parameters())
    for name, p in named:
        expect(
            id(p) in found,
            f"{name} is in no group: the optimizer will never move it, and nothing will say so",
        )
        expect(
            len(found[id(p)]) == 1, f"{name} is in {len(found[id(p)])} groups; torch's optimizers refuse that"
        )
    rates = {name: found[id(p)][0][0] for name, p in named}
    _diagnose_rates_by_depth(rates, layers, lr, decay)
    for name, p in named:
        given = found[id(p)][0][1]
        if p.ndim < 2 and given != 0:
            raise Wrong(
                f"{name}, of shape {tuple(p.shape)}, has a weight decay of {given:.3g}: vectors (biases, the "
                "gains of "
                "LayerNorm) get 0; ask p.ndim"
            )
        close(given, weight if p.ndim >= 2 else 0.0, f"the weight decay of {name}, of shape {tuple(p.shape)}")


def _diagnose_rates_by_depth(rates, layers, lr, decay):
    names = list(rates)
    true = {name: lr * decay ** _place(name, layers)[1] for name in names}
    same = lambda a, b: all(math.isclose(a[n], b[n], rel_tol=1e-6) for n in names)
    if same(rates, true):
        return
    inside = [n for n in names if n.startswith("encoder.")]
    position = {n: lr * decay ** (layers - min(i // 2, layers - 1)) for i, n in enumerate(names)}
    if all(math.isclose(rates[n], position[n], rel_tol=1e-6) for n in inside):
        raise Wrong(
            "the rate follows a parameter's position in the list, two to a layer, as published: layer 0 gets "
            f"{len({round(rates[n] / lr, 9) for n in inside if '.layer.0.' in n})} different rates. A layer "
            "has sixteen "
            "tensors; read its number from the name"
        )
    upside = {n: lr * decay ** (layers - _place(n, layers)[1]) for n in names}
    if all(math.isclose(rates[n], upside[n], rel_tol=1e-6) for n in inside if ".layer." in n) or all(
        math.isclose(rates[n] * decay, upside[n], rel_tol=1e-6) for n in inside if ".layer." in n
    ):
        raise Wrong(
            "upside down: layer 0, the lowest, learns fastest and the topmost slowest. What stands further "
            "from the "
            "head has more layers above it and gets the higher power of decay"
        )
    if all(math.isclose(rates[n], true[n] * decay, rel_tol=1e-6) for n in inside):
        raise Wrong(
            f"every rate inside the encoder is one step too low: the topmost layer learns at {lr:.2e} itself, "
            "so layer n "
            "of L gets decay to the power of L - 1 - n"
        )
    for name in names:
        if math.isclose(rates[name], true[name], rel_tol=1e-6):
            continue
        part, above = _place(name, layers)
        text = f"{name} ({part}) learns at {rates[name]:.3e}, it should at {true[name]:.3e}"
        number = re.search(r"\.layer\.(\d+)\.", name)
        if number and len(number[1]) > 1:
            if math.isclose(rates[name], lr * decay ** (layers - 1 - int(number[1][0])), rel_tol=1e-6):
                raise Wrong(
                    f"{text}: that is the rate of layer {number[1][0]}. 'layer.{number[1][0]}' is also how "
                    f"'layer.{number[1]}' begins; take the whole number, r'layer\\.(\\d+)\\.'"
                )
        if part == "the embeddings" and math.isclose(rates[name], lr, rel_tol=1e-6):
            raise Wrong(
                f"{text}: the embeddings carry no layer's number, and fell to the rate of the head; they lie below "
                "layer 0"
            )
        if part == "the head":
            raise Wrong(f"{text}: head and pooling lie above all layers, they learn at the full rate")
        raise Wrong(
            f"{text}: {above} layers stand above it, so {lr:.2e} × {decay:.3g} to the power of {above}"
        )


def _groups(model, lr, decay, weight_decay, *, way="name", vectors=False, leave=(), twice=False):
    layers = model.config.encoder.num_hidden_layers
    found = []
    for i, (name, p) in enumerate(model.named_parameters()):
        number = re.search(r"\.layer\.(\d+)\.", name)
        above = _place(name, layers)[1]
        if way == "position" and name.startswith("encoder."):
            above = layers - min(i // 2, layers - 1)
        elif way == "upside down" and number:
            above = int(number[1])
        elif way == "prefix" and number:
            above = next(layers - 1 - n for n in range(layers) if f".layer.{n}" in name)
        elif way == "embeddings" and "embeddings" in name:
            above = 0
        elif way == "offset" and name.startswith("encoder."):
            above += 1
        elif way == "head" and name.startswith("head."):
            above = layers
        if any(piece in name for piece in leave):
            continue
        group = {
            "params": [p],
            "lr": lr * decay**above,
            "weight_decay": weight_decay if vectors or p.ndim >= 2 else 0.0,
        }
        found += [group] * (2 if twice and p.ndim < 2 else 1)
    return found


# --- 8.3 what the loss tells ----------------------------------------------------------------------------------


def _check_targets(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    for classes, epsilon in ((5, 0.1), (3, 0.3), (2, 0.05), (4, 0.0)):
        labels = torch.randint(0, classes, (7,), generator=generator)
        got = run(answer, labels, classes, epsilon)
        is_tensor(got, "what you return")
        _diagnose_targets(got, labels, classes, epsilon, generator)


def _diagnose_targets(got, labels, classes, epsilon, generator):
    where = f"ε = {epsilon}, {classes} classes"
    if got.shape == (classes, 7) and classes != 7:
        raise Wrong(
            f"{where}: a row is a class and a column an example; it is (N, classes), a row an example"
        )
    expect(
        tuple(got.shape) == (7, classes),
        f"{where}: the shape is {tuple(got.shape)}, it should be {(7, classes)}",
    )
    expect(
        got.is_floating_point(),
        f"{where}: the targets are {got.dtype}; shares need a floating-point type, and as whole numbers they "
        "are all 0 or 1",
    )
    hard = F.one_hot(labels, classes).double()
    got = got.detach().double()
    true = (1 - epsilon) * hard + epsilon / classes
    near = lambda other: torch.allclose(got, other, atol=1e-6)
    if near(true):
        logits = torch.randn(7, classes, dtype=torch.float64, generator=generator)
        ours = -(got * logits.log_softmax(-1)).sum(-1).mean()
        close(
            ours,
            F.cross_entropy(logits, labels, label_smoothing=epsilon),
            f"{where}: the loss with your targets",
        )
        return
    if near(hard):
        raise Wrong(f"{where}: these are the hard targets; ε does nothing")
    if near((1 - epsilon) * hard + (1 - hard) * epsilon / (classes - 1)):
        raise Wrong(
            f"{where}: ε is shared among the other {classes - 1} classes alone, as the published guide writes "
            "it (0.9 and "
            f"0.025). torch and transformers share it among all {classes}: the right class gets "
            f"{1 - epsilon + epsilon / classes:.4g}"
        )
    sums = got.sum(dim=1)
    if near((1 - epsilon) * hard + (1 - hard) * epsilon / classes):
        raise Wrong(
            f"{where}: each row sums to {float(sums[0]):.4g}. The right class gets its share ε/{classes} of "
            "the noise, "
            "too, on top of 1 - ε"
        )
    if near(hard + epsilon / classes):
        raise Wrong(
            f"{where}: each row sums to {float(sums[0]):.4g}: ε was handed out without being taken from the "
            "right class"
        )
    if near((1 - epsilon) * hard + epsilon):
        raise Wrong(
            f"{where}: each row sums to {float(sums[0]):.4g}: every class got the whole ε; each gets ε/{classes}"
        )
    expect(
        torch.allclose(sums, torch.ones_like(sums), atol=1e-6),
        f"{where}: each row sums to {float(sums[0]):.4g}, but it is a distribution and sums to 1",
    )
    close(got, true, f"{where}: the targets")


def _targets(labels, classes, epsilon, *, way="right"):
    hard = F.one_hot(labels, classes).float()
    return {
        "right": lambda: (1 - epsilon) * hard + epsilon / classes,
        "others": lambda: (1 - epsilon) * hard + (1 - hard) * epsilon / (classes - 1),
        "short": lambda: (1 - epsilon) * hard + (1 - hard) * epsilon / classes,
        "added": lambda: hard + epsilon / classes,
        "whole": lambda: (1 - epsilon) * hard + epsilon,
        "hard": lambda: hard,
        "turned": lambda: ((1 - epsilon) * hard + epsilon / classes).T,
        "whole numbers": lambda: ((1 - epsilon) * hard + epsilon / classes).long(),
    }[way]()


# --- 8.4 when to stop -----------------------------------------------------------------------------------------


def _stops(
    scores,
    patience,
    min_delta=0.0,
    *,
    against="best",
    delta=True,
    extra=0,
    in_a_row=True,
    keep="improved",
    ahead=False,
):
    best, kept, stale, last = -math.inf, 0, 0, None
    for epoch, score in enumerate(scores, 1):
        if score > best + (min_delta if delta else 0.0):
            kept = epoch
            best, stale = score, stale if not in_a_row else 0
        else:
            stale += 1
        if against == "previous":
            best = score
        if stale == patience + extra and last is None:
            last = epoch
            break
    last = len(scores) if last is None else last
    if keep == "last":
        kept = last
    if ahead:
        kept = 1 + int(np.argmax(scores))
    return last, kept


_DIAGNOSES = (
    (
        {"keep": "last"},
        "the epoch kept is the last one trained, {patience} epochs after the best: keep the one that improved last",
    ),
    (
        {"ahead": True},
        "the epoch kept is the best of all scores, those after the stop too, which nobody has trained",
    ),
    (
        {"extra": 1},
        "training goes on one epoch too long: it stops after the patience-th epoch without an improvement",
    ),
    (
        {"extra": -1},
        "training stops one epoch too early: a patience of {patience} forgives {patience} - 1 epochs in a row",
    ),
    (
        {"against": "previous"},
        "an epoch is compared with the one before it, so that after a bad epoch a little less bad counts as an "
        "improvement; compare with the best so far",
    ),
    (
        {"in_a_row": False},
        "the epochs without an improvement are counted in all; an improvement sets the count back to 0",
    ),
    (
        {"delta": False},
        "min_delta plays no part: a score above the best by less than {min_delta} is no improvement",
    ),
)


def _check_stop(answer):
    rng = np.random.default_rng(fresh_seed())
    fixed = [
        ([0.5, 0.6, 0.7, 0.65, 0.66, 0.67, 0.9], 3, 0.0),  # the best one comes after the stop
        ([0.5, 0.7, 0.6, 0.65, 0.62, 0.64, 0.63, 0.5], 4, 0.0),
        ([0.5, 0.6, 0.55, 0.7, 0.65, 0.8, 0.75, 0.9, 0.85], 3, 0.0),  # never three in a row
        ([0.5, 0.505, 0.509, 0.512, 0.514, 0.6], 3, 0.02),
        ([0.1, 0.2, 0.3], 2, 0.0),  # never stops
        ([0.3], 1, 0.0),
    ]
    drawn = [
        (np.round(np.cumsum(rng.normal(0.01, 0.05, 15)), 3).tolist(), int(p), float(d))
        for p in (1, 2, 4)
        for d in (0.0, 0.02)
    ]
    cases = fixed + drawn
    _diagnose_stops([run(answer, list(scores), *settings) for scores, *settings in cases], cases)


def _diagnose_stops(answers, cases):
    pairs = [_pair(got) for got in answers]
    wrong = [i for i, case in enumerate(cases) if pairs[i] != _stops(*case)]
    if not wrong:
        return
    scores, patience, min_delta = cases[wrong[0]]
    got, true = pairs[wrong[0]], _stops(scores, patience, min_delta)
    text = ", ".join(f"{s:g}" for s in scores)
    where = (
        f"scores {text}; patience {patience}, min_delta {min_delta}: you say epoch {got[0]} is the last and "
        f"{got[1]} "
        f"is kept, right is {true[0]} and {true[1]}"
    )
    if all(pair == tuple(x - 1 for x in _stops(*case)) for pair, case in zip(pairs, cases)):
        raise Wrong(f"{where}; epochs are counted from 1")
    for settings, words in _DIAGNOSES:  # the mistake that explains every answer, right and wrong ones
        if all(pair == _stops(*case, **settings) for pair, case in zip(pairs, cases)):
            raise Wrong(f"{where}; {words.format(patience=patience, min_delta=min_delta)}")
    raise Wrong(where)


def _pair(got) -> tuple[int, int]:
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong("return two epoch numbers: the last one that is trained, and the one to keep")
    try:
        return int(got[0]), int(got[1])
    except (TypeError, ValueError):
        raise Wrong("epoch numbers are whole numbers, counted from 1") from None


EXERCISES = (
    Exercise(
        id="8.1", title="The rate of a step", difficulty=2, minutes=12, check=_check_rate,
        hints=(
            "Two cases, before `warmup` and after it. For the second you need one number that is 0 where the "
            "warm-up ends "
            "and 1 where the training does.",
            "`if step < warmup: return peak * (step + 1) / warmup`, then `done = (step - warmup) / (total - "
            "warmup)`, and "
            "one line a shape.",
            "linear: `peak * (1 - done)`; cosine: `peak * 0.5 * (1 + math.cos(math.pi * done))`; constant: `peak`.",
        ),
        wrong=(
            WrongAnswer(lambda *a: _rate(*a, up="from zero"), "the first step has a rate of 0"),
            WrongAnswer(lambda *a: _rate(*a, up="none"), "there is no warm-up"),
            WrongAnswer(lambda *a: _rate(*a, done="start"), "where the warm-up ends the rate falls"),
            WrongAnswer(lambda *a: _rate(*a, done="slow"), "the way down takes total - warmup steps"),
            WrongAnswer(lambda *a: _rate(*a, wave="whole"), "comes back up to the peak"),
            WrongAnswer(lambda *a: _rate(*a, wave="quarter"), "a quarter of a wave"),
            WrongAnswer(lambda *a: _rate(*a, wave="negative"), "the rate becomes negative"),
            WrongAnswer(lambda *a: _rate(*a, constant="decays"), "a constant schedule stays at"),
            WrongAnswer(lambda s, t, p, w, n: _rate(s, t, 1.0, w, n), "return the rate itself"),
        ),
    ),
    Exercise(
        id="8.2", title="By depth", difficulty=3, minutes=18, check=_check_groups,
        hints=(
            "A parameter's name says where it stands: `encoder.encoder.layer.7.…`, `encoder.embeddings.…`, "
            "`head.…`. How "
            "many layers stand above it?",
            r"`found = re.search(r'\.layer\.(\d+)\.', name)`; then `above` is `layers - 1 - int(found[1])`, "
            "`layers` for the embeddings, 0 for the rest. `layers` is `model.config.encoder.num_hidden_layers`.",
            "One group a parameter is allowed: "
            "`{'params': [p], 'lr': lr * decay ** above, 'weight_decay': weight_decay if "
            "p.ndim >= 2 else 0.0}`.",
        ),
        wrong=(
            WrongAnswer(lambda *a: _groups(*a, way="position"), "position in the list"),
            WrongAnswer(lambda *a: _groups(*a, way="upside down"), "upside down"),
            WrongAnswer(lambda *a: _groups(*a, way="prefix"), "take the whole number"),
            WrongAnswer(lambda *a: _groups(*a, way="embeddings"), "they lie below layer 0"),
            WrongAnswer(lambda *a: _groups(*a, way="offset"), "one step too low"),
            WrongAnswer(lambda *a: _groups(*a, way="head"), "they learn at the full rate"),
            WrongAnswer(lambda *a: _groups(*a, vectors=True), "ask p.ndim"),
            WrongAnswer(lambda *a: _groups(*a, leave=("head.",)), "is in no group"),
            WrongAnswer(lambda *a: _groups(*a, twice=True), "is in 2 groups"),
        ),
    ),
    Exercise(
        id="8.3", title="What the loss tells", difficulty=2, minutes=10, check=_check_targets,
        hints=(
            "Take ε away from the right class, and hand it out to all classes in equal parts. All: the right "
            "one too.",
            "`hard = torch.nn.functional.one_hot(labels, classes).float()`, and then one line.",
            "`(1 - epsilon) * hard + epsilon / classes`",
        ),
        wrong=(
            WrongAnswer(lambda *a: _targets(*a, way="others"), "the other"),
            WrongAnswer(lambda *a: _targets(*a, way="short"), "gets its share"),
            WrongAnswer(lambda *a: _targets(*a, way="added"), "without being taken from the right class"),
            WrongAnswer(lambda *a: _targets(*a, way="whole"), "every class got the whole ε"),
            WrongAnswer(lambda *a: _targets(*a, way="hard"), "ε does nothing"),
            WrongAnswer(lambda *a: _targets(*a, way="turned"), "a row is a class and a column an example"),
            WrongAnswer(lambda *a: _targets(*a, way="whole numbers"), "shares need a floating-point type"),
        ),
    ),
    Exercise(
        id="8.4", title="When to stop, what to keep", difficulty=2, minutes=10, check=_check_stop,
        hints=(
            "Walk through the scores once and remember three things: the best score so far, its epoch, and how "
            "many epochs "
            "in a row have not improved.",
            "`if score > best + min_delta:` remember it and set the count to 0; `else:` count, and return when "
            "the count is "
            "`patience`.",
            "`for epoch, score in enumerate(scores, 1): …; return epoch, kept` inside, `return len(scores), "
            "kept` after the "
            "loop. `best` begins at `-math.inf`.",
        ),
        wrong=(
            WrongAnswer(lambda *a: _stops(*a, keep="last"), "keep the one that improved last"),
            WrongAnswer(lambda *a: _stops(*a, ahead=True), "which nobody has trained"),
            WrongAnswer(lambda *a: _stops(*a, extra=1), "one epoch too long"),
            WrongAnswer(lambda *a: _stops(*a, extra=-1), "one epoch too early"),
            WrongAnswer(lambda *a: _stops(*a, against="previous"), "compare with the best so far"),
            WrongAnswer(lambda *a: _stops(*a, in_a_row=False), "sets the count back to 0"),
            WrongAnswer(lambda *a: _stops(*a, delta=False), "min_delta plays no part"),
            WrongAnswer(lambda *a: tuple(x - 1 for x in _stops(*a)), "epochs are counted from 1"),
            WrongAnswer(lambda *a: _stops(*a)[0], "return two epoch numbers"),
        ),
    ),
)  # fmt: skip
