"""Lesson 13: masking by hand, perplexity, and what a learning curve says of the tokens still needed."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from kolab.checks import Exercise, Wrong, WrongAnswer, close, expect, fresh_seed, is_tensor, run, same_shape

IGNORED = -100  # what cross-entropy passes over


# --- 13.1 masking ---------------------------------------------------------------------------------------------


def _texts(generator: torch.Generator, rows: int, length: int, vocabulary: int):
    """(B, L) ids with [CLS], [SEP] and padding, the set of special ids, and their names.

    The special ids stand anywhere in the vocabulary, the padding's is not 0, and one of them (an added token) occurs
    in no text.
    """
    some = torch.randperm(vocabulary, generator=generator)[:5].tolist()
    special = dict(zip(("pad", "cls", "sep", "mask", "added"), some))
    ordinary = torch.tensor([i for i in range(vocabulary) if i not in some])
    ids = ordinary[torch.randint(len(ordinary), (rows, length), generator=generator)]
    sizes = torch.randint(length // 2, length + 1, (rows,), generator=generator)
    place = torch.arange(length)[None]
    ids[:, 0] = special["cls"]
    ids[place == sizes[:, None] - 1] = special["sep"]
    ids[place >= sizes[:, None]] = special["pad"]
    return ids, special


def _check_masking(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    vocabulary, share = 700, 0.15
    ids, special = _texts(generator, 1800, 48, vocabulary)

    def call(seed: int, share: float = share):
        own = torch.Generator().manual_seed(seed)
        before = ids.clone()
        got = run(answer, ids, set(special.values()), special["mask"], vocabulary, share, own)
        if not torch.equal(ids, before):
            ids.copy_(before)
            raise Wrong(
                "your function overwrites `ids`, so the labels (and the caller) see the masked text, and the "
                "answers are "
                "lost; work on a copy: ids.clone()"
            )
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            "return two tensors: what the model sees, and the labels",
        )
        for tensor, name in zip(got, ("what the model sees", "the labels")):
            is_tensor(tensor, name)
            same_shape(tensor, tuple(ids.shape), name)
            expect(not tensor.is_floating_point(), f"{name} should be whole numbers (int64), as ids are")
        return got

    torch.manual_seed(int(torch.randint(10**6, (1,), generator=generator)))
    seen, labels = call(1)
    _diagnose_masking(ids, seen, labels, special, vocabulary, share)
    torch.manual_seed(int(torch.randint(10**6, (1,), generator=generator)))
    again, other = call(1)[0], call(2)[0]
    expect(
        torch.equal(seen, again),
        "called twice with generators of the same seed, the masks differ: hand `generator=generator` to every "
        "draw, or "
        "no run can be repeated",
    )
    expect(
        not torch.equal(seen, other),
        "another generator gives the same masks: a text would be masked alike in every pass, and the model "
        "would learn "
        "these few blanks by heart; draw from `generator`",
    )
    few = call(3, 0.05)[1]
    rate = _rate(few != IGNORED, ~_any(ids, special.values()))
    expect(
        abs(rate - 0.05) < 0.02, f"with share=0.05 you choose {rate:.1%} of the ordinary tokens: use `share`"
    )


def _any(ids: torch.Tensor, values) -> torch.Tensor:
    return torch.isin(ids, torch.tensor(sorted(values)))


def _rate(part: torch.Tensor, whole: torch.Tensor) -> float:
    return (part & whole).sum().item() / max(1, whole.sum().item())


def _diagnose_masking(ids, seen, labels, special, vocabulary, share):
    ordinary, padding = ~_any(ids, special.values()), ids == special["pad"]
    changed, asked = seen != ids, labels != IGNORED
    touched = changed | asked
    if (labels == ids).all() or _rate(asked, ordinary) > 0.99:
        raise Wrong(
            "the labels hold an answer at every token, so the loss would reward copying what can be seen: -100 "
            "wherever "
            "the token was not chosen (cross-entropy ignores it)"
        )
    expect(
        not (touched & padding).any(),
        "padding is masked: the model would be asked for tokens that are not there; choose among ordinary "
        "tokens only",
    )
    expect(
        not (touched & ~ordinary).any(),
        "[CLS] or [SEP] is masked: they stand at the same places in every text, so there is nothing to learn "
        "from them, "
        "and the model would no longer see where a text ends; leave special tokens alone",
    )
    chosen = asked & ordinary
    count = int(chosen.sum())
    expect(
        count,
        "no token has a label: nothing would be learned; labels hold the true id where a token was chosen",
    )
    expect(
        not (chosen & (labels == special["mask"])).any(),
        "the labels hold [MASK] itself: they were taken after masking; they are the *true* ids",
    )
    expect(
        (labels[chosen] == ids[chosen]).all(),
        "a label is not the token that stood there: at a chosen place the label is `ids`, unchanged",
    )
    hidden = changed & ~asked
    expect(
        not hidden.any(),
        f"{int(hidden.sum())} tokens are changed but have no label: whatever is chosen has to be predicted",
    )
    masked = chosen & (seen == special["mask"])
    kept = chosen & ~changed
    swapped = chosen & changed & ~masked
    bad = swapped & _any(seen, special.values())
    expect(
        not bad.any(),
        f"{int(bad.sum())} tokens were replaced by a special token: a random token is drawn from the ordinary "
        "ids, for "
        "[PAD] or [SEP] in the middle of a text is a mistake of its own kind",
    )
    columns = (chosen.float().sum(0) / ordinary.float().sum(0).clamp(min=1))[1:24]
    expect(
        columns.min() > 0 and columns.max() < 0.6,
        "the same places are chosen in every text: draw for each token, not for each position",
    )
    a, b, c = (int(part.sum()) / count for part in (masked, swapped, kept))
    rate = _rate(chosen, ordinary)
    parts = f"{a:.0%} [MASK], {b:.0%} random, {c:.0%} unchanged"
    if a > 0.99:
        raise Wrong(
            "every chosen token becomes [MASK]: fine-tuning will never show a [MASK], so a tenth is to be a "
            "random token "
            "and a tenth to stay"
        )
    if c < 0.001 and rate < 0.95 * share:
        raise Wrong(
            "the tenth that stays unchanged has no label, so it is left out of the loss: it was chosen, so the "
            "model has to "
            "name it too"
        )
    if abs(a - 0.8) < 0.03 and abs(b - 0.02) < 0.015:
        raise Wrong(
            f"{parts}: the random tokens are a tenth of the *rest* (0.1 of the 20 % that did not become "
            "[MASK]); they are to "
            "be a tenth of all chosen ones, half of that rest"
        )
    if c < 0.001:
        raise Wrong(
            f"{parts}: no chosen token stays as it was; a tenth has to, and it is predicted all the same"
        )
    expect(abs(rate - share) < 0.02, f"{rate:.1%} of the ordinary tokens are chosen, asked were {share:.0%}")
    expect(
        abs(a - 0.8) < 0.03 and abs(b - 0.1) < 0.03 and abs(c - 0.1) < 0.03,
        f"of the chosen tokens {parts}; it should be 80, 10 and 10 %",
    )
    new = torch.unique(seen[swapped])
    expect(
        len(new) > 0.3 * min(vocabulary, int(swapped.sum())),
        f"the random tokens take only {len(new)} different values: draw one for each place, from the whole "
        "vocabulary",
    )


def _masking(
    ids, special, mask_id, vocabulary, share, generator, *, forbidden=None, ids_to_draw=None, cut=(0.8, 0.9),
    labels="chosen", source=None, in_place=False, columns=False,
):  # fmt: skip
    """The right masking with one thing changed; what the known wrong answers are made of."""
    forbidden = special if forbidden is None else forbidden
    shape = ids.shape[1:] if columns else ids.shape
    chance = [torch.rand(shape, generator=source or generator).expand(ids.shape) for _ in range(2)]
    chosen = (chance[0] < share) & ~_any(ids, forbidden or {-1})
    ordinary = torch.tensor([i for i in range(vocabulary) if i not in (ids_to_draw or special)])
    random = ordinary[torch.randint(len(ordinary), ids.shape, generator=source or generator)]
    seen = ids if in_place else ids.clone()
    mask, swap = chosen & (chance[1] < cut[0]), chosen & (chance[1] >= cut[0]) & (chance[1] < cut[1])
    seen[mask], seen[swap] = mask_id, random[swap]
    answers = {"chosen": chosen, "all": torch.ones_like(chosen), "changed": mask | swap, "masked": mask}[
        labels
    ]
    return seen, torch.where(answers, ids, IGNORED)


def _mask_padding(ids, special, mask_id, *rest):
    pad = ids[:, -1].mode().values.item()  # most texts are shorter than the batch
    return _masking(ids, special, mask_id, *rest, forbidden=special - {pad})


def _mask_cls(ids, special, mask_id, *rest):
    return _masking(ids, special, mask_id, *rest, forbidden=special - {ids[0, 0].item()})


def _mask_labels_after(ids, special, mask_id, *rest):
    seen, labels = _masking(ids, special, mask_id, *rest)
    return seen, torch.where(labels == IGNORED, IGNORED, seen)


def _mask_twice(ids, special, mask_id, vocabulary, share, generator):
    seen, labels = _masking(ids, special, mask_id, vocabulary, share, generator, cut=(0.8, 0.82))
    return seen, labels


# --- 13.2 perplexity ------------------------------------------------------------------------------------------


def _check_perplexity(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    vocabulary = 60
    for sizes in (((4, 9), (2, 5), (7, 12)), ((3, 8),)):
        batches = []
        for number, (rows, width) in enumerate(sizes):
            logits = torch.randn(rows, width, vocabulary, generator=generator) * (1 + number)
            labels = torch.randint(vocabulary, (rows, width), generator=generator)
            asked = torch.rand(rows, width, generator=generator) < (0.15, 0.9, 0.4)[number]
            asked[0, 1] = True
            batches.append((logits, torch.where(asked, labels, IGNORED)))
        _diagnose_perplexity(run(answer, batches), batches)
    logits, labels = batches[0]
    none = (torch.randn(2, 6, vocabulary, generator=generator), torch.full((2, 6), IGNORED))
    got = run(answer, [none, (logits, labels)])
    _is_number(got)
    expect(
        not math.isnan(got),
        "a batch in which nothing was masked makes it nan: the mean over no tokens is 0 / 0; sum the losses, "
        "count the "
        "tokens, divide once at the end",
    )
    close(got, _perplexity([(logits, labels)]), "the perplexity with a batch in which nothing was masked")
    flat = torch.zeros(2, 6, vocabulary)
    close(
        run(answer, [(flat, torch.ones(2, 6, dtype=torch.int64))]),
        vocabulary,
        "the perplexity of a blind guesser",
    )


def _is_number(got):
    if isinstance(got, torch.Tensor) and got.numel() == 1:
        return
    expect(isinstance(got, int | float | np.floating), f"return one number, not {type(got).__name__}")


def _losses(batches):
    """Of each batch: the losses of the tokens that are asked for."""
    return [
        F.cross_entropy(logits.flatten(0, 1).double(), labels.flatten(), reduction="none")[
            labels.flatten() != IGNORED
        ]
        for logits, labels in batches
    ]


def _perplexity(batches) -> float:
    return torch.cat(_losses(batches)).mean().exp().item()


def _diagnose_perplexity(got, batches):
    _is_number(got)
    got, losses = float(got), _losses(batches)
    every = torch.cat(losses)
    right = every.mean().exp().item()
    if math.isclose(got, right, rel_tol=1e-3):
        return
    places = sum(labels.numel() for _, labels in batches)
    mistakes = [
        (every.mean(), "that is the loss itself; the perplexity is its exponential"),
        (every.exp().mean(), "the mean of the exponentials: one hopeless token then outweighs all others; take "
         "the mean of "
         "the losses first, the exponential once at the end"),
        (2 ** every.mean(), "2 to the power of the loss: torch's cross-entropy uses the natural logarithm, so "
         "its inverse is "
         "exp, base e (2 belongs to a loss in bits)"),
        (10 ** every.mean(), "10 to the power of the loss: torch's logarithm is the natural one, base e"),
        ((every.sum() / places).exp(), "the sum is divided by all positions of the batches; only those with a "
         "label were "
         "asked for: count labels != -100"),
        (every.sum().exp(), "the exponential of the *sum*: divide by the number of tokens first"),
    ]  # fmt: skip
    if len(losses) > 1:
        means = torch.stack([part.mean() for part in losses])
        mistakes += [
            (means.mean().exp(), "the batches' means are averaged as if each held equally many masked tokens: "
             "add up the "
             "losses and the tokens over all batches, divide once"),
            (means.exp().mean(), "the batches' perplexities are averaged; an exponential of a mean is not the "
             "mean of the "
             "exponentials: add up losses and tokens over all batches"),
            (losses[-1].mean().exp(), "only the last batch counts: add up over all batches"),
        ]  # fmt: skip
    for value, diagnosis in mistakes:
        if math.isclose(got, float(value), rel_tol=1e-3):
            raise Wrong(diagnosis)
    twice = torch.cat(_losses([(logits.softmax(-1), labels) for logits, labels in batches]))
    if math.isclose(got, twice.mean().exp().item(), rel_tol=1e-3):
        raise Wrong("the softmax is taken twice: cross-entropy wants the logits as they are")
    raise Wrong(f"you get {got:.4g}, it should be {right:.4g}")


def _perplexity_batches(batches):
    return torch.stack([part.mean() for part in _losses(batches)]).mean().exp().item()


def _perplexity_places(batches):
    total = sum(part.sum() for part in _losses(batches))
    return (total / sum(labels.numel() for _, labels in batches)).exp().item()


def _perplexity_empty(batches):
    total = sum(
        F.cross_entropy(logits.flatten(0, 1), labels.flatten()) * (labels != IGNORED).sum()
        for logits, labels in batches
    )
    return (total / sum((labels != IGNORED).sum() for _, labels in batches)).exp().item()


# --- 13.3 the learning curve ----------------------------------------------------------------------------------


def _check_curve(answer):
    draw = np.random.default_rng(fresh_seed())
    for _ in range(2):
        slope, scale = draw.uniform(0.18, 0.3), draw.uniform(150, 300)
        warmup = 2_000_000
        tokens = np.arange(1, 41) * 400_000
        law = scale * tokens**-slope
        # before the plateau's end the loss falls along another line altogether
        early = tokens < warmup
        losses = np.where(early, law[0] * (1.25 - 0.1 * tokens / warmup), law)
        losses = losses * (1 + 0.003 * draw.standard_normal(len(tokens)))
        losses[-2:] = law[-2:] * (1.004, 0.996)  # the last two alone say nothing
        goal = law[-1] * 0.8
        got = run(answer, tokens.tolist(), losses.tolist(), goal, warmup)
        if isinstance(got, torch.Tensor | np.ndarray) and got.ndim == 0:
            got = got.item()
        expect(
            isinstance(got, int | float | np.number), f"return a number of tokens, not {type(got).__name__}"
        )
        expect(math.isfinite(got), f"you get {got}: no number of tokens")
        _diagnose_curve(float(got), tokens, losses, goal, warmup)


def _fitted(tokens, losses, goal) -> float:
    """Tokens for a goal by a straight line through log loss against log tokens."""
    slope, start = np.polyfit(np.log(tokens), np.log(losses), 1)
    return float(np.exp((np.log(goal) - start) / slope))


def _diagnose_curve(got, tokens, losses, goal, warmup):
    late = tokens >= warmup
    right = _fitted(tokens[late], losses[late], goal)
    if abs(got / right - 1) < 0.12:
        return
    line = np.polyfit(tokens[late], losses[late], 1)
    half = np.polyfit(np.log(tokens[late]), losses[late], 1)
    after = tokens > warmup
    guesses = [
        (_fitted(tokens, losses, goal), "the points of the warm-up are in the fit: there the loss falls by "
         "another law (the "
         "learning rate is still rising); leave out tokens < warmup"),
        ((goal - line[1]) / line[0], "a straight line through loss against tokens: the curve flattens, so this "
         "promises the "
         "goal far too early; a power law is straight where *both* axes are logarithmic"),
        (np.exp((goal - half[1]) / half[0]), "only the tokens' axis is logarithmic; take the logarithm of the "
         "loss too"),
        (_fitted(tokens[-2:], losses[-2:], goal), "the line goes through the last two points alone, which lie "
         "so close "
         "together that their noise decides; fit all points after the warm-up"),
        (right - tokens[-1], "that is how many tokens are *still* missing; asked are all, from the beginning"),
        (np.log(right), "that is the logarithm of the tokens; undo it with exp"),
        (np.log10(right), "that is the logarithm of the tokens; undo it with 10 **"),
        (_fitted(tokens[after] - warmup, losses[after], goal), "the warm-up's tokens are taken off; count from "
         "the beginning"),
        (right / (tokens[1] - tokens[0]), "that is a number of points of the curve; asked are tokens"),
    ]  # fmt: skip
    off = {diagnosis: abs(got / value - 1) for value, diagnosis in guesses if math.isfinite(value)}
    nearest = min(off, key=off.get)  # two mistakes may come out close to one another
    expect(off[nearest] > 0.01, nearest)
    expect(
        got > tokens[-1],
        f"{got:,.0f} tokens lie within the curve, and there the loss is still above {goal:.2f}: the goal lies "
        "beyond its end",
    )
    raise Wrong(
        f"you get {got:,.0f} tokens, a power law through the points after the warm-up gives {right:,.0f}"
    )


def _after(tokens, losses, warmup):
    tokens, losses = np.array(tokens, dtype=float), np.array(losses)
    return tokens[tokens >= warmup], losses[tokens >= warmup]


def _curve_linear(tokens, losses, goal, warmup):
    slope, start = np.polyfit(*_after(tokens, losses, warmup), 1)
    return (goal - start) / slope


def _curve_half(tokens, losses, goal, warmup):
    t, y = _after(tokens, losses, warmup)
    slope, start = np.polyfit(np.log(t), y, 1)
    return np.exp((goal - start) / slope)


EXERCISES = (
    Exercise(
        id="13.1",
        title="80, 10, 10",
        difficulty=3,
        minutes=20,
        check=_check_masking,
        hints=(
            "Three decisions for each token: is it chosen (only if it is ordinary)? what becomes of it? which "
            "random "
            "token? Draw a number from 0 to 1 for the first two, and keep `ids` as it is for the labels.",
            "`ordinary = ~torch.isin(ids, torch.tensor(sorted(special)))`, `chosen = ordinary & "
            "(torch.rand(ids.shape, "
            "generator=generator) < share)`; then one more `torch.rand` says for the chosen ones: below 0.8, "
            "from 0.8 to "
            "0.9, or above.",
            "`labels = torch.where(chosen, ids, -100)`; `seen = ids.clone()`; `seen[chosen & (what < 0.8)] = "
            "mask_id`; and "
            "for `0.8 <= what < 0.9` ids from `candidates = torch.tensor([i for i in range(vocabulary) if i not in "
            "special])`.",
        ),
        wrong=(
            WrongAnswer(lambda *a: _masking(*a, labels="all"), "at every token"),
            WrongAnswer(_mask_padding, "padding is masked"),
            WrongAnswer(_mask_cls, "[CLS] or [SEP] is masked"),
            WrongAnswer(lambda *a: _masking(*a, ids_to_draw={-1}), "replaced by a special token"),
            WrongAnswer(lambda *a: _masking(*a, labels="changed"), "left out of the loss"),
            WrongAnswer(lambda *a: _masking(*a, labels="masked"), "are changed but have no label"),
            WrongAnswer(lambda *a: _masking(*a, cut=(1.0, 1.0)), "every chosen token becomes [MASK]"),
            WrongAnswer(_mask_twice, "a tenth of the *rest*"),
            WrongAnswer(lambda *a: _masking(*a, cut=(0.8, 1.0)), "no chosen token stays"),
            WrongAnswer(_mask_labels_after, "the labels hold [MASK] itself"),
            WrongAnswer(lambda *a: _masking(*a, in_place=True), "overwrites `ids`"),
            WrongAnswer(
                lambda *a: _masking(*a, source=torch.default_generator),
                "generators of the same seed, the masks differ",
            ),
            WrongAnswer(
                lambda *a: _masking(*a, source=torch.Generator().manual_seed(0)),
                "another generator gives the same",
            ),
            WrongAnswer(lambda *a: _masking(*a, columns=True), "the same places are chosen in every text"),
            WrongAnswer(lambda i, s, m, v, share, g: _masking(i, s, m, v, 0.3, g), "asked were 15%"),
        ),
    ),
    Exercise(
        id="13.2",
        title="Perplexity",
        difficulty=2,
        minutes=10,
        check=_check_perplexity,
        hints=(
            "Two running sums over all batches: of the losses, and of the tokens that were asked for. Divide "
            "at the very "
            "end.",
            "`F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='sum')` passes over -100 by "
            "itself; "
            "`(labels != -100).sum()` counts the others.",
            "`math.exp(total / count)`, once, after the loop.",
        ),
        wrong=(
            WrongAnswer(lambda b: torch.cat(_losses(b)).exp().mean().item(), "the mean of the exponentials"),
            WrongAnswer(lambda b: float(2 ** torch.cat(_losses(b)).mean()), "2 to the power of the loss"),
            WrongAnswer(_perplexity_batches, "equally many masked tokens"),
            WrongAnswer(
                lambda b: torch.stack([p.mean().exp() for p in _losses(b)]).mean().item(),
                "perplexities are averaged",
            ),
            WrongAnswer(_perplexity_places, "divided by all positions"),
            WrongAnswer(lambda b: torch.cat(_losses(b)).mean().item(), "that is the loss itself"),
            WrongAnswer(_perplexity_empty, "makes it nan"),
            WrongAnswer(
                lambda b: _perplexity([(logits.softmax(-1), labels) for logits, labels in b]),
                "softmax is taken twice",
            ),
            WrongAnswer(lambda b: _perplexity(b[-1:]), "only the last batch"),
        ),
    ),
    Exercise(
        id="13.3",
        title="How many tokens more?",
        difficulty=3,
        minutes=12,
        check=_check_curve,
        hints=(
            "log(a · T^-b) = log a - b · log T: with which axes is a power law a straight line? And which "
            "points belong "
            "to it?",
            "Keep the points with `tokens >= warmup`, then `np.polyfit(np.log(tokens), np.log(losses), 1)` "
            "gives the slope "
            "and the start of the line.",
            "`np.exp((np.log(goal) - start) / slope)`: the line solved for the tokens.",
        ),
        wrong=(
            WrongAnswer(lambda t, y, g, w: _fitted(np.array(t), np.array(y), g), "the points of the warm-up"),
            WrongAnswer(_curve_linear, "a straight line through loss against tokens"),
            WrongAnswer(_curve_half, "take the logarithm of the loss too"),
            WrongAnswer(
                lambda t, y, g, w: _fitted(np.array(t[-2:]), np.array(y[-2:]), g), "the last two points"
            ),
            WrongAnswer(lambda t, y, g, w: _fitted(*_after(t, y, w), g) - t[-1], "*still* missing"),
            WrongAnswer(lambda t, y, g, w: math.log(_fitted(*_after(t, y, w), g)), "undo it with exp"),
        ),
    ),
)
