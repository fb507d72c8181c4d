"""Lesson 04: an epoch of training, an evaluation, an honest choice of the epoch, and a bootstrap interval.

The first two checks train a tiny real classifier. What came out wrong is compared with what each common mistake
gives on the same inputs: that is how a diagnosis is found.
"""

import copy
import math
import warnings
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from kolab.checks import Exercise, Wrong, WrongAnswer, expect, fresh_seed, run

CLASSES = 3


def _tiny(dropout: float):
    """A classifier on a BERT of one layer, 16 wide, over 40 token ids; random weights."""
    from transformers import BertConfig, BertModel

    from kolab.model import Classifier

    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    model = Classifier.build(BertModel(config), CLASSES, dropout=dropout)
    torch.nn.init.normal_(model.head.weight, std=1.0)  # so that its logits differ from one another
    return model


def _loader(sizes: tuple[int, ...], generator: torch.Generator) -> DataLoader:
    """A loader of batches of these sizes: random ids without padding, the classes unequally frequent."""
    rows = []
    for _ in range(sum(sizes)):
        label = int(torch.multinomial(torch.tensor([0.6, 0.1, 0.3]), 1, generator=generator))
        rows.append((torch.randint(1, 40, (8,), generator=generator), label))

    def collate(part: list) -> dict[str, torch.Tensor]:
        ids = torch.stack([ids for ids, _ in part])
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": torch.tensor([y for _, y in part]),
        }

    ends = np.cumsum(sizes)
    batches = [list(range(end - size, end)) for size, end in zip(sizes, ends)]
    return DataLoader(rows, batch_sampler=batches, collate_fn=collate, generator=torch.Generator())


def _logits(model, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


class _Watch:
    """Notes, at each forward pass, which parts were in training mode and whether gradients were recorded."""

    def __init__(self, model):
        self.model, self.seen, self.grad = model, [], []

    def __enter__(self) -> "_Watch":
        self.handle = self.model.register_forward_hook(self._note)
        return self

    def _note(self, model, inputs, output) -> None:
        self.seen.append((model.training, model.dropout.training, model.encoder.training))
        self.grad.append(torch.is_grad_enabled())

    def __exit__(self, *_) -> None:
        self.handle.remove()


# --- 4.1 one epoch of training --------------------------------------------------------------------------------


def _epoch(model, loader, optimizer, schedule, max_norm: float, mistake: str = "") -> float:
    """The six lines, plainly; `mistake` leaves one of them out or puts it in the wrong place."""
    model.train()
    total = count = 0
    means = []
    if mistake == "schedule once":
        schedule.step()
    for batch in loader:
        if mistake == "schedule first":
            schedule.step()
        if mistake != "no zero_grad":
            optimizer.zero_grad()
        loss = F.cross_entropy(_logits(model, batch), batch["labels"])
        loss.backward()
        if mistake == "clip by value":
            torch.nn.utils.clip_grad_value_(model.parameters(), max_norm)
        elif mistake != "no clip":
            clip_grad_norm_(model.parameters(), max_norm)
        if mistake == "zero_grad late":
            optimizer.zero_grad()
        if mistake == "summed loss":
            for p in model.parameters():
                p.grad = None if p.grad is None else p.grad * len(batch["labels"])
        optimizer.step()
        if not mistake.startswith("schedule") and mistake != "no schedule":
            schedule.step()
        total += loss.item() * len(batch["labels"])
        count += len(batch["labels"])
        means.append(loss.item())
    return sum(means) / len(means) if mistake == "mean of means" else total / count


_TRAINING_MISTAKES = {
    "no zero_grad": "the gradients of earlier batches are still there when the next one is added: backward() adds to "
    ".grad, so optimizer.zero_grad() has to be called once in every step",
    "no clip": "the weights moved by the unclipped gradient: clip_grad_norm_(model.parameters(), max_norm) has to "
    "stand between loss.backward() and optimizer.step()",
    "clip by value": "each gradient was cut off by itself (clip_grad_value_), which bends the direction of the step; "
    "clip the norm of all of them together: clip_grad_norm_",
    "schedule first": "the schedule moves before the optimizer does, so that every step is made with the next step's "
    "learning rate: optimizer.step() first, then schedule.step()",
}


def _stage(model):
    """A copy of the model with an optimizer and a schedule of its own. SGD, since Adam would hide a wrong scale."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    return model, optimizer, schedule


def _distance(model, other) -> float:
    return max(float((p - q).detach().abs().max()) for p, q in zip(model.parameters(), other.parameters()))


def _check_train(answer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own about the order of schedule and optimizer
        _check_train_quietly(answer)


def _check_train_quietly(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    torch.manual_seed(int(torch.randint(10**6, (1,), generator=generator)))
    start = _tiny(dropout=0.0)  # without dropout no order of random numbers matters
    sizes = (6, 6, 6, 2)
    loader = _loader(sizes, generator)
    # A limit far below the gradients' norm shows whether they are clipped at all, one near it that they are not stale.
    returned = [
        _check_weights(answer, start, loader, sizes, limit) for limit in (0.05, _first_norm(start, loader))
    ]
    for got, limit in returned:
        _check_loss(got, start, loader, sizes, limit)


def _first_norm(start, loader) -> float:
    """The norm of the first batch's gradient."""
    model, batch = copy.deepcopy(start), next(iter(loader))
    F.cross_entropy(_logits(model, batch), batch["labels"]).backward()
    return 0.8 * float(clip_grad_norm_(model.parameters(), math.inf))


def _check_weights(answer, start, loader, sizes: tuple[int, ...], max_norm: float) -> tuple:
    """Looks at everything but the returned loss; hands that on, with the limit."""
    model, optimizer, schedule = _stage(start)
    model.eval()
    with _Watch(model) as watch:
        got = run(answer, model, loader, optimizer, schedule, max_norm, none_is_stub=False)
    right, *tools = _stage(start)
    _epoch(right, loader, *tools, max_norm)

    expect(
        watch.seen, "the model was never called: go through the loader and put each batch through the model"
    )
    expect(
        all(all(modes) for modes in watch.seen),
        "the model was not in training mode, so its dropout was off: call model.train() first (an evaluation before "
        "this epoch will have switched it to eval)",
    )
    expect(
        len(watch.seen) >= len(sizes),
        f"the model saw {len(watch.seen)} batches, and the loader has {len(sizes)}",
    )
    moved = _distance(model, start)
    expect(
        moved > 0,
        "no weight has changed: when optimizer.step() is called there is no gradient (zero_grad() between backward() "
        "and step() throws it away), or it is not called at all",
    )
    steps = schedule.last_epoch
    if steps != len(sizes):
        expect(
            steps > 0,
            "schedule.step() is never called: the learning rate stays at its first value for ever",
        )
        raise Wrong(
            f"the schedule went {steps} step{'s' * (steps > 1)} forward in an epoch of {len(sizes)} optimizer steps: "
            "this schedule counts optimizer steps, so schedule.step() belongs inside the loop, once after each"
        )
    near = 1e-6 + 1e-4 * moved
    if _distance(model, right) > near:
        for mistake, words in _TRAINING_MISTAKES.items():
            other, *tools = _stage(start)
            _epoch(other, loader, *tools, max_norm, mistake)
            if _distance(model, other) < near:
                raise Wrong(words)
        raise Wrong(
            "after the epoch the weights are not those that zero_grad, forward, loss (a mean over the batch), "
            "backward, clip, step, schedule give, in this order for each batch"
        )
    return got, max_norm


def _check_loss(got, start, loader, sizes: tuple[int, ...], max_norm: float) -> None:
    expect(
        got is not None, "the epoch is right, but nothing is returned: return the mean loss over all examples"
    )
    if isinstance(got, torch.Tensor) and got.requires_grad:
        raise Wrong(
            "the loss you return still hangs on to the graph of every batch, and so to all their memory: take its "
            "number with loss.item() when you add it up"
        )
    value, means = _number(got, "the epoch's mean loss"), _batch_means(start, loader, max_norm)
    weighted = [mean * size for mean, size in zip(means, sizes)]
    expected = sum(weighted) / sum(sizes)
    if math.isclose(value, expected, rel_tol=1e-4):
        return
    mean_of_means, twice_divided = sum(means) / len(means), sum(means) / sum(sizes)
    mistakes = {
        mean_of_means: "that is the mean of the batches' means: the last batch holds 2 examples and counts as "
        "much as one of 6; add up loss · (size of the batch) and divide by the number of examples",
        sum(means): "that is the sum of the batches' losses; the mean over the examples was asked for",
        sum(weighted): "that is the sum over all examples; divide it by their number",
        twice_divided: "each batch's loss is already a mean: multiply it by the size of the batch before you "
        "add up, then divide by the number of examples",
        means[-1]: "that is the last batch's loss, not the epoch's",
    }
    for wrong, words in mistakes.items():
        if math.isclose(value, wrong, rel_tol=1e-4):
            raise Wrong(f"the weights are right, the returned loss is {value:.4f}: {words}")
    raise Wrong(
        f"the weights are right, but the returned loss is {value:.4f}; the mean over all examples is {expected:.4f}"
    )


def _batch_means(start, loader, max_norm: float) -> list[float]:
    """Each batch's mean loss on the way through a right epoch."""
    model, optimizer, schedule = _stage(start)
    return [_epoch(model, [batch], optimizer, schedule, max_norm) for batch in loader]


def _number(value, name: str) -> float:
    """One finite number, however it is wrapped."""
    if isinstance(value, bool | str):
        raise Wrong(f"{name} should be a number, but it is {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{name} should be one number, but it is {type(value).__name__}") from None


def _train_with(mistake: str) -> Callable:
    def train_epoch(model, loader, optimizer, schedule, max_norm=1.0):
        return _epoch(model, loader, optimizer, schedule, max_norm, mistake)

    return train_epoch


def _train_in_eval(model, loader, optimizer, schedule, max_norm=1.0):
    model.train = lambda mode=True: model  # forgets to switch
    return _epoch(model, loader, optimizer, schedule, max_norm)


def _train_with_graph(model, loader, optimizer, schedule, max_norm=1.0):
    model.train()
    total = 0
    for batch in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(_logits(model, batch), batch["labels"])
        loss.backward()
        clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        schedule.step()
        total += loss * len(batch["labels"])
    return total / len(loader.dataset)


# --- 4.2 an evaluation ----------------------------------------------------------------------------------------


def _scores(predictions, references, average: str = "macro") -> dict[str, float]:
    from kolab.metrics import classification_metrics

    found = classification_metrics(predictions, references, average=average)
    return {name: found[name] for name in ("precision", "recall", "f1")}


@torch.no_grad()
def _evaluation(model, batches: list[dict]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The logits and the labels of each batch, dropout off."""
    model.eval()
    return [_logits(model, b) for b in batches], [b["labels"] for b in batches]


def _result(logits: list, labels: list) -> dict[str, float]:
    """What the right answer returns."""
    every, references = torch.cat(logits), torch.cat(labels)
    return {"loss": float(F.cross_entropy(every, references))} | _scores(every.argmax(-1), references)


def _evaluation_mistakes(logits: list, labels: list) -> dict[str, dict[str, float]]:
    """What each mistake makes of the same logits: words → scores."""
    every, references = torch.cat(logits), torch.cat(labels)
    right = _result(logits, labels)
    by_batch = [_scores(part.argmax(-1), y) for part, y in zip(logits, labels)]
    means = [float(F.cross_entropy(part, y)) for part, y in zip(logits, labels)]
    values = every.max(dim=-1).values.long()
    return {
        "the last, shorter batch is missing: go through the whole loader, and never drop the last batch of an "
        "evaluation": _result(logits[:-1], labels[:-1]),
        "the loss is the mean of the batches' means, so an example of the short last batch counts more than the "
        "others: add up loss · (size of the batch), divide by the number of examples": right
        | {"loss": float(np.mean(means))},
        "the loss is a sum; divide it by the number of examples": right
        | {"loss": float(F.cross_entropy(every, references, reduction="sum"))},
        "the loss is the sum of the batches' means; the mean over the examples was asked for": right
        | {"loss": float(np.sum(means))},
        "the scores are the mean of the batches' scores; F1 is no mean over examples: collect all predictions, and "
        "compute it once at the end": right
        | {name: float(np.mean([s[name] for s in by_batch])) for name in ("precision", "recall", "f1")},
        "the scores are weighted by how frequent a class is, which hides the rare one: average='macro'": right
        | _scores(every.argmax(-1), references, "weighted"),
        "the scores are micro averages, which is accuracy under another name: average='macro'": right
        | _scores(every.argmax(-1), references, "micro"),
        "torch.max(logits, dim=1)[0] is the largest logit; its place, which is the class, is [1]": right
        | _scores(values, references),
    }


def _evaluation_case() -> tuple:
    """A model, a loader, the right result and the wrong ones; drawn until no two of them are alike."""
    generator = torch.Generator().manual_seed(fresh_seed())
    while True:
        torch.manual_seed(int(torch.randint(10**6, (1,), generator=generator)))
        model, loader = _tiny(dropout=0.4), _loader((16, 16, 16, 5), generator)
        logits, labels = _evaluation(model, list(loader))
        right, wrong = _result(logits, labels), _evaluation_mistakes(logits, labels)
        tables = [right, *wrong.values()]
        apart = (_apart(a, b) for i, a in enumerate(tables) for b in tables[:i])
        if len(set(torch.cat(labels).tolist())) == CLASSES and all(d > 2e-3 for d in apart):
            return model, loader, right, wrong


def _apart(left: dict[str, float], right: dict[str, float]) -> float:
    return max(abs(left[name] - right[name]) for name in left)


def _check_evaluate(answer):
    model, loader, right, wrong = _evaluation_case()
    model.train()
    before = copy.deepcopy(model)
    with _Watch(model) as watch:
        try:
            got = run(answer, model, loader)
        except Wrong as verdict:
            if any(words in str(verdict) for words in ("return_types", "is a pair")):
                raise Wrong(
                    "torch.max(logits, dim=1) gives a pair, (the largest logits, their places); the class is the "
                    f"place: torch.max(logits, dim=1)[1], or logits.argmax(dim=1). {verdict}"
                ) from None
            raise
    expect(watch.seen, "the model was never called")
    if any(any(modes) for modes in watch.seen):
        whole, head, encoder = watch.seen[0]
        expect(
            encoder,
            "only the encoder was switched to eval(): the dropout in front of the head is still on, and two "
            "evaluations differ; switch the whole classifier, model.eval()",
        )
        raise Wrong(
            "dropout is on during the evaluation, so that two evaluations give two results: call model.eval() first"
        )
    expect(
        not any(watch.grad),
        "every forward pass records a graph for a backward pass that never comes, and keeps its memory: put the loop "
        "under torch.no_grad() or torch.inference_mode()",
    )
    expect(_distance(model, before) == 0, "the weights have changed: an evaluation must not train")
    expect(hasattr(got, "keys"), f"return a dict, not {type(got).__name__}")
    missing = [name for name in right if name not in got]
    expect(not missing, f"the result has no {', '.join(missing)}; it has {', '.join(map(str, got.keys()))}")
    found = {name: _number(got[name], name) for name in right}
    if _apart(found, right) < 5e-4:
        return
    for words, table in wrong.items():
        if _apart(found, table) < 5e-4:
            raise Wrong(words)
    worst = max(right, key=lambda name: abs(found[name] - right[name]))
    raise Wrong(f"{worst} is {found[worst]:.4f}; over all examples it is {right[worst]:.4f}")


def _evaluate_with(change: Callable[[list, list], dict]) -> Callable:
    """A wrong answer that treats the right logits wrongly."""

    def evaluate(model, loader):
        return change(*_evaluation(model, list(loader)))

    return evaluate


def _evaluate_pair(model, loader):
    model.eval()
    predictions, references = [], []
    with torch.no_grad():
        for batch in loader:
            predictions.extend(torch.max(_logits(model, batch), dim=1).cpu().numpy())
            references.extend(batch["labels"].numpy())
    return _scores(predictions, references)


def _evaluate_modes(whole: bool | None, encoder: bool | None = None, grad: bool = False) -> Callable:
    """A wrong answer that sets the modes wrongly."""

    def evaluate(model, loader):
        if whole is not None:
            model.train(whole)
        if encoder is not None:
            model.encoder.train(encoder)
        with torch.set_grad_enabled(grad):
            logits = [_logits(model, batch) for batch in loader]
        return _result([part.detach() for part in logits], [batch["labels"] for batch in loader])

    return evaluate


def _evaluation_words(start: str) -> Callable[[list, list], dict]:
    def change(logits, labels):
        return next(v for k, v in _evaluation_mistakes(logits, labels).items() if k.startswith(start))

    return change


# --- 4.3 an honest choice of the epoch ------------------------------------------------------------------------


def _f1(predictions, references) -> float:
    """Macro-F1 over the classes that occur, spelled out."""
    scores = []
    for c in sorted(set(references.tolist()) | set(predictions.tolist())):
        hits = ((predictions == c) & (references == c)).sum()
        scores.append(2 * hits / ((predictions == c).sum() + (references == c).sum()))
    return float(np.mean(scores))


def _table(predictions, references, part) -> np.ndarray:
    """(E,) macro-F1 of each epoch on the examples of `part`, where all classes occur."""
    drawn, true = predictions[:, part], references[part]
    return _f1_of_rows(drawn, np.broadcast_to(true, drawn.shape))


def _f1_of_rows(drawn, true) -> np.ndarray:
    """(R,) macro-F1 of each row of two tables (R, N) of class numbers."""
    by_class = [
        2 * ((drawn == c) & (true == c)).sum(1) / np.maximum((drawn == c).sum(1) + (true == c).sum(1), 1)
        for c in range(CLASSES)
    ]
    return np.mean(by_class, axis=0)


def _choices(predictions, references, choosing) -> dict[str, tuple[int, float]]:
    """The right choice under "", and what each mistake gives: words → (epoch, score)."""
    a, b = (_table(predictions, references, part) for part in (choosing, ~choosing))
    whole = _table(predictions, references, np.ones(len(references), bool))
    accuracy = (predictions == references)[:, choosing].mean(1)
    best = int(a.argmax())
    return {
        "": (best + 1, b[best]),
        "the score that you report is from the examples that chose the epoch: it is the highest of all epochs there, "
        "and partly so by luck; report the same epoch's score on the other examples": (best + 1, a[best]),
        "the epoch was chosen by the examples that are to report it: those must play no part in the choice": (
            int(b.argmax()) + 1,
            b.max(),
        ),
        "the epoch is right, but the score is another epoch's: the best of all on the reporting examples, which is a "
        "second choice": (best + 1, b.max()),
        "the epoch was chosen by all examples together, those included that are to report it": (
            int(whole.argmax()) + 1,
            b[whole.argmax()],
        ),
        "the score is computed over all examples, those included that chose the epoch": (
            best + 1,
            whole[best],
        ),
        "the epoch was chosen by accuracy; macro-F1 was asked for": (
            int(accuracy.argmax()) + 1,
            b[accuracy.argmax()],
        ),
        "that is the last epoch, and not the one that the choosing examples like best": (len(a), b[-1]),
        "epochs are counted from 1, as in the history; argmax counts from 0": (best, b[best]),
    }


def _choice_case() -> tuple:
    """Predictions of 15 epochs on 160 examples, drawn until every mistake gives another result."""
    random = np.random.default_rng(fresh_seed())
    while True:
        references = random.choice(CLASSES, size=160, p=[0.5, 0.15, 0.35])
        predictions = np.where(
            random.random((15, 160)) < 0.65, references, random.choice(CLASSES, size=(15, 160))
        )
        choosing = random.permutation(160) < 80
        results = list(_choices(predictions, references, choosing).values())
        scores = _table(predictions, references, choosing)
        apart = (max(abs(a - c), abs(b - d)) for i, (a, b) in enumerate(results) for c, d in results[:i])
        if (scores > scores.max() - 1e-3).sum() == 1 and all(gap > 1e-3 for gap in apart):
            return predictions, references, choosing


def _check_choice(answer):
    for _ in range(2):
        case = _choice_case()
        got = run(answer, *(array.copy() for array in case))
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            f"return two things, the epoch and its score, not {type(got).__name__}",
        )
        epoch, score = _number(got[0], "the epoch"), _number(got[1], "the score")
        choices = _choices(*case)
        if _same_choice((epoch, score), choices[""]):
            continue
        for words, choice in choices.items():
            if words and _same_choice((epoch, score), choice):
                raise Wrong(words)
        right = choices[""]
        if epoch == right[0]:
            raise Wrong(
                f"epoch {epoch:.0f} is right; its score on the other examples is {right[1]:.4f}, not {score:.4f}"
            )
        raise Wrong(
            f"the choosing examples have their highest macro-F1 at epoch {right[0]}, not at {epoch:g}; the mask is "
            "True where an example chooses"
        )


def _same_choice(left: tuple, right: tuple) -> bool:
    return left[0] == right[0] and abs(left[1] - right[1]) < 5e-4


def _choose_with(start: str) -> Callable:
    def honest(predictions, references, choosing):
        choices = _choices(predictions, references, choosing)
        return next(choice for words, choice in choices.items() if words.startswith(start))

    return honest


# --- 4.4 a bootstrap interval ---------------------------------------------------------------------------------


def _interval(scores, level: float) -> tuple[float, float]:
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _many_scores(predictions, references, samples: int, random) -> tuple[np.ndarray, np.ndarray]:
    """(samples,) macro-F1 and accuracy of test sets drawn with replacement, all at once."""
    rows = random.integers(len(references), size=(samples, len(references)))
    drawn, true = predictions[rows], references[rows]
    return _f1_of_rows(drawn, true), (drawn == true).mean(1)


def _bootstrap_case() -> tuple:
    """Predictions whose macro-F1 lies well away from their accuracy; and both scores of many drawn test sets."""
    random = np.random.default_rng(fresh_seed())
    while True:
        references = random.choice(CLASSES, size=140, p=[0.55, 0.15, 0.3])
        predictions = np.where(random.random(140) < 0.72, references, 0)  # class 0 far too often
        scores, accuracies = _many_scores(predictions, references, 6000, random)
        (low, high), middle = _interval(scores, 0.8), np.median(accuracies)
        if middle > high or middle < low:
            return predictions, references, scores, accuracies


def _check_bootstrap(answer):
    predictions, references, scores, accuracies = _bootstrap_case()
    count, point, level = len(references), _f1(predictions, references), 0.8
    low, high = _interval(scores, level)
    width = high - low

    def ask(level: float, samples: int) -> list[float]:
        got = run(answer, predictions.copy(), references.copy(), samples=samples, level=level, seed=count)
        expect(
            isinstance(got, tuple | list | np.ndarray) and len(got) == 2,
            f"return two numbers, the low and the high end, not {type(got).__name__}",
        )
        ends = [_number(end, "an end of the interval") for end in got]
        expect(ends[0] <= ends[1], f"the low end ({ends[0]:.3f}) is above the high one ({ends[1]:.3f})")
        return ends

    got = ask(level, 1000)
    wide = got[1] - got[0]
    if wide < 1e-6:
        if abs(got[0] - point) < 1e-6:
            raise Wrong(
                "all samples give one and the same score: drawn without replacement they all hold every example once; "
                "draw with replacement, so that some come twice and some not at all"
            )
        raise Wrong(
            "all samples are one and the same: the generator is made anew inside the loop, from the same seed; make "
            "it once, before"
        )
    if got[1] < point - width:
        raise Wrong(
            f"the score itself, {point:.3f}, lies far above your interval ({got[0]:.3f} to {got[1]:.3f}): predictions "
            "and references were drawn apart from each other; a pair has to stay together, so take the same rows of "
            "both"
        )
    if wide < 0.3 * width:
        raise Wrong(
            f"your interval is {width / wide:.0f} times too narrow, and more samples would make it narrower still: the "
            "spread of the scores is not to be divided by √samples"
        )
    if got[1] < np.quantile(scores, 0.86) and got[0] < np.quantile(scores, 0.01):
        raise Wrong(
            "only one end is cut off: an interval of level 0.8 leaves out 0.1 at the bottom and 0.1 at the top"
        )
    other = ask(0.5, 200)
    if other[1] - other[0] > 0.8 * wide:
        raise Wrong(
            "`level` changes nothing: at 0.8 and at 0.5 the interval is equally wide; cut off (1 - level) / 2 at "
            "each end"
        )
    if max(abs(got[0] - low), abs(got[1] - high)) < 0.1 * width:
        return
    mistakes = {
        "that is accuracy's interval; macro-F1 was asked for": _interval(accuracies, level),
        "too much is cut off: at a level of 0.8, 0.1 goes at each end, and you cut off 0.2": _interval(
            scores, 0.6
        ),
    }
    for words, ends in mistakes.items():
        if max(abs(got[0] - ends[0]), abs(got[1] - ends[1])) < 0.1 * width:
            raise Wrong(words)
    if wide > 1.22 * width:
        raise Wrong(
            f"your interval is {wide / width:.1f} times too wide: each sample has to hold as many examples as the test "
            f"set ({count}), and of the scores the outermost are to be left out"
        )
    raise Wrong(
        f"your interval is {got[0]:.3f} to {got[1]:.3f}; drawing {count} pairs with replacement, again and again, "
        f"gives {low:.3f} to {high:.3f}"
    )


def _bootstrap_with(draw=None, *, score=_f1, ends=_interval) -> Callable:
    """The right bootstrap with one thing changed."""

    def bootstrap(predictions, references, samples=1000, level=0.95, seed=0):
        random, count = np.random.default_rng(seed), len(references)
        scores = []
        for _ in range(samples):
            left, right = draw(random, count, seed) if draw else (random.integers(count, size=count),) * 2
            scores.append(score(predictions[left], references[right]))
        return ends(np.array(scores), level)

    return bootstrap


def _twice(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows, rows


def _standard_error(scores, level):
    reach = NormalDist().inv_cdf((1 + level) / 2) * scores.std() / math.sqrt(len(scores))
    return scores.mean() - reach, scores.mean() + reach


EXERCISES = (
    Exercise(
        "4.1", "One epoch of training", 2, 15, _check_train,
        (
            "Seven things happen for each batch, in the order of the table above. Which of them reads `.grad`, which "
            "writes it, and which empties it?",
            "model.train(), then for each batch: zero_grad · logits · mean loss · backward · clip · optimizer.step · "
            "schedule.step. Beside that, add up `loss.item()` times the size of the batch.",
            "`for batch in loader:\n    optimizer.zero_grad()\n    logits = model(input_ids=batch['input_ids'], "
            "attention_mask=batch['attention_mask']).logits\n    loss = torch.nn.functional.cross_entropy(logits, "
            "batch['labels'])\n    …\n    total += loss.item() * len(batch['labels'])`",
        ),
        (
            WrongAnswer(_train_with("no zero_grad"), "the gradients of earlier batches are still there"),
            WrongAnswer(_train_with("zero_grad late"), "no weight has changed"),
            WrongAnswer(_train_with("no clip"), "unclipped gradient"),
            WrongAnswer(_train_with("clip by value"), "clip_grad_value_"),
            WrongAnswer(_train_with("schedule once"), "belongs inside the loop"),
            WrongAnswer(_train_with("no schedule"), "schedule.step() is never called"),
            WrongAnswer(_train_with("schedule first"), "with the next step's learning rate"),
            WrongAnswer(_train_in_eval, "not in training mode"),
            WrongAnswer(_train_with("mean of means"), "the mean of the batches' means"),
            WrongAnswer(_train_with_graph, "hangs on to the graph"),
        ),
    ),
    Exercise(
        "4.2", "An evaluation", 3, 15, _check_evaluate,
        (
            "Two switches before the loop, and two sums in it that know nothing of batches. What does `torch.max` "
            "return when it is given a `dim`?",
            "model.eval(); under torch.no_grad(): for each batch add loss · size, and collect predictions and labels. "
            "After the loop: divide by the number of examples, compute the scores once.",
            "`predictions += logits.argmax(dim=1).tolist()`, and at the end `{'loss': total / len(references), "
            "**scores.compute(predictions=predictions, references=references)}`",
        ),
        (
            WrongAnswer(_evaluate_pair, "gives a pair"),
            WrongAnswer(_evaluate_with(_evaluation_words("torch.max")), "is the largest logit"),
            WrongAnswer(_evaluate_with(_evaluation_words("the last, shorter")), "the last, shorter batch is missing"),
            WrongAnswer(_evaluate_with(_evaluation_words("the loss is the mean")), "counts more than the others"),
            WrongAnswer(_evaluate_with(_evaluation_words("the scores are the mean")), "F1 is no mean over examples"),
            WrongAnswer(_evaluate_with(_evaluation_words("the scores are weighted")), "hides the rare one"),
            WrongAnswer(_evaluate_modes(None), "dropout is on during the evaluation"),
            WrongAnswer(_evaluate_modes(None, encoder=False), "only the encoder was switched"),
            WrongAnswer(_evaluate_modes(False, grad=True), "records a graph"),
        ),
    ),
    Exercise(
        "4.3", "An honest choice of the epoch", 2, 10, _check_choice,
        (
            "Who chooses, and who reports? An example may do one of the two.",
            "A list of macro-F1 scores, one an epoch, on the examples where `choosing` is True; the place of its "
            "largest; then that one epoch's macro-F1 where `choosing` is False (`~choosing`).",
            "`scores = [kl.metrics.macro_f1(row[choosing], references[choosing]) for row in predictions]` and "
            "`best = int(np.argmax(scores))`: what remains is to score `predictions[best]` on `~choosing`, and to "
            "count from 1.",
        ),
        (
            WrongAnswer(_choose_with("the score that you report"), "from the examples that chose the epoch"),
            WrongAnswer(_choose_with("the epoch was chosen by the examples that"), "must play no part in the choice"),
            WrongAnswer(_choose_with("the epoch is right"), "a second choice"),
            WrongAnswer(_choose_with("the epoch was chosen by all"), "chosen by all examples together"),
            WrongAnswer(_choose_with("the score is computed over all"), "computed over all examples"),
            WrongAnswer(_choose_with("the epoch was chosen by accuracy"), "chosen by accuracy"),
            WrongAnswer(_choose_with("that is the last"), "that is the last epoch"),
            WrongAnswer(_choose_with("epochs are counted"), "counted from 1"),
        ),
    ),
    Exercise(
        "4.4", "A bootstrap interval", 3, 15, _check_bootstrap,
        (
            "Another test set of the same size would, as it were, hold some of these reviews twice and others not "
            "at all. What is drawn, how many, and may the same one come again?",
            "`samples` times: draw as many row numbers as there are examples, with replacement; score predictions and "
            "references of *these* rows. At the end: two quantiles of the scores.",
            "`rows = random.integers(count, size=count)` in the loop, and "
            "`np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])` after it.",
        ),
        (
            WrongAnswer(
                _bootstrap_with(lambda random, count, seed: _twice(random.permutation(count))), "without replacement"
            ),
            WrongAnswer(
                _bootstrap_with(lambda random, count, seed: _twice(
                    np.random.default_rng(seed).integers(count, size=count)
                )),
                "made anew inside the loop",
            ),
            WrongAnswer(
                _bootstrap_with(
                    lambda random, count, seed: (random.integers(count, size=count), random.integers(count, size=count))
                ),
                "drawn apart from each other",
            ),
            WrongAnswer(
                _bootstrap_with(lambda random, count, seed: _twice(random.integers(count, size=count // 3))),
                "times too wide",
            ),
            WrongAnswer(_bootstrap_with(ends=lambda scores, level: _interval(scores, 0.95)), "`level` changes nothing"),
            WrongAnswer(
                _bootstrap_with(ends=lambda scores, level: np.quantile(scores, [1 - level, level])),
                "too much is cut off",
            ),
            WrongAnswer(
                _bootstrap_with(ends=lambda scores, level: (scores.min(), float(np.quantile(scores, level)))),
                "only one end is cut off",
            ),
            WrongAnswer(_bootstrap_with(ends=_standard_error), "√samples"),
            WrongAnswer(
                _bootstrap_with(score=lambda left, right: float((left == right).mean())), "accuracy's interval"
            ),
        ),
    ),
)  # fmt: skip
