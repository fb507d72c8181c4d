"""Lesson 06: exact accumulation, losses as sum and weight, Accelerate's tail mended, plans for other batches."""

import contextlib
import copy
import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from kolab.checks import (
    Exercise,
    NotDone,
    Wrong,
    WrongAnswer,
    close,
    expect,
    fresh_seed,
    is_tensor,
    run,
)

CLASSES = 3


# --- small real parts -----------------------------------------------------------------------------------------


def _model(seed: int) -> torch.nn.Module:
    """A classifier on a BERT of two layers over 60 token ids, in float64 and without dropout."""
    from transformers import BertConfig, BertModel

    from kolab.model import Classifier

    config = BertConfig(
        vocab_size=60, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier.build(BertModel(config, add_pooling_layer=False), CLASSES, dropout=0.0)
        for parameter in model.head.parameters():  # opinions from the start, so that examples differ
            torch.nn.init.normal_(parameter, std=1.0)
    return model.double()


def _batch(size: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    lengths = torch.randint(3, 9, (size,), generator=generator)
    mask = (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long()
    ids = torch.randint(5, 60, mask.shape, generator=generator) * mask
    labels = torch.randint(0, CLASSES, (size,), generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _logits(model, batch) -> torch.Tensor:
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


def _mean(model, batch) -> torch.Tensor:
    return F.cross_entropy(_logits(model, batch), batch["labels"])


def _flat(model) -> torch.Tensor | None:
    grads = [p.grad for p in model.parameters()]
    if all(g is None for g in grads):
        return None
    pairs = zip(grads, model.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs]).clone()


def _gradient(model, losses) -> torch.Tensor:
    """On a copy, so that the learner's model is left alone. losses: functions of a model."""
    twin = copy.deepcopy(model)
    twin.zero_grad()
    for loss in losses:
        loss(twin).backward()
    return _flat(twin)


def _like(got: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-6) -> bool:
    return bool((got - other).norm() <= tolerance * other.norm())


# --- 6.1 one window -------------------------------------------------------------------------------------------


def _check_accumulate(answer):
    seed = fresh_seed()
    generator = torch.Generator().manual_seed(seed)
    model = _model(seed)
    for sizes in ((2, 2, 2), (4, 4, 1), (2, 5)):
        window = [_batch(size, generator) for size in sizes]
        _one_window(answer, model, window)
    single = [_batch(3, generator)]
    model.zero_grad()
    run(answer, model, single, none_is_stub=False)
    true = _gradient(model, [lambda m: _mean(m, single[0])])
    expect(
        _flat(model) is not None and _like(_flat(model), true),
        "a window of one micro-batch, the last of an epoch for example, does not get that batch's gradient",
    )


def _one_window(answer, model, window):
    events = []
    model.zero_grad()

    def saw(module, args, kwargs, output):
        ids = kwargs.get("input_ids", args[0] if args else None)
        events.append(("forward", len(ids)))
        if output.logits.requires_grad:
            output.logits.register_hook(lambda grad: events.append(("backward", len(grad))))

    watch = model.register_forward_hook(saw, with_kwargs=True)
    try:
        run(answer, model, window, none_is_stub=False)
    finally:
        watch.remove()
    found = _flat(model)
    if not events:
        raise NotDone
    expect(
        found is not None, "there is no gradient in .grad: call backward() on the loss of each micro-batch"
    )
    kinds = [kind for kind, _ in events]
    biggest = max(len(batch["labels"]) for batch in window)
    expect(
        max(size for kind, size in events if kind == "forward") <= biggest,
        "the micro-batches are joined into one batch again: that is the batch that did not fit into memory",
    )
    _diagnose_gradient(found, model, window)
    first = kinds.index("backward") if "backward" in kinds else len(kinds)
    expect(
        kinds[:first].count("forward") < 2,
        "the gradient is right, but the losses are added up and go backward together: until then the graph of every "
        "micro-batch stays in memory, as much as one big batch takes; call backward() inside the loop",
    )


def _diagnose_gradient(found, model, window):
    """Say by what a window's gradient was divided, if it is not the sum over the number of all examples."""
    sizes = [len(batch["labels"]) for batch in window]
    total, count = sum(sizes), len(window)
    true = _gradient(model, [lambda m, b=b: _mean(m, b) * len(b["labels"]) / total for b in window])
    if _like(found, true):
        return
    means = _gradient(model, [lambda m, b=b: _mean(m, b) for b in window])
    if len(set(sizes)) > 1 and _like(found, means / count):
        raise Wrong(
            f"micro-batches of {sizes} examples: the means are averaged, so an example of the smallest counts "
            f"{max(sizes) / min(sizes):.3g} times as much as one of the largest; divide each sum by {total}, the "
            "number of examples in the whole window"
        )
    if _like(found, means):
        raise Wrong(
            "the micro-batches' means are added and nothing is divided: with micro-batches of one size the gradient "
            "comes out as many times too large as there are micro-batches"
        )
    if _like(found, true * total):
        raise Wrong(
            f"this is the gradient of the sum over all {total} examples: divide by their number, and the learning "
            "rate means the same for every batch size"
        )
    if _like(found, true * total / count):
        raise Wrong(
            f"the sums are divided by the number of micro-batches, {count}; the mean over all examples divides by "
            f"their number, {total}"
        )
    last = window[-1]
    alone = _gradient(model, [lambda m: _mean(m, last)])
    if float(F.cosine_similarity(found, alone, dim=0)) > 1 - 1e-9:
        raise Wrong(
            "only the last micro-batch's gradient is left in .grad: backward() adds to what is there, so nothing may "
            "be set to zero inside a window"
        )
    size = float(found.norm() / true.norm())
    direction = float(F.cosine_similarity(found, true, dim=0))
    raise Wrong(
        f"micro-batches of {sizes} examples: the gradient is {size:.3g} times as long as the big batch's, and the "
        f"cosine between the two is {direction:.3f}"
    )


def _accumulate(model, window, *, divide="examples", reduction="sum", zero=False, late=False, joined=False):
    total, count = sum(len(batch["labels"]) for batch in window), len(window)
    if joined:
        width = max(batch["input_ids"].shape[1] for batch in window)
        window = [
            {
                "labels": torch.cat([b["labels"] for b in window]),
                **{
                    key: torch.cat([F.pad(b[key], (0, width - b[key].shape[1])) for b in window])
                    for key in ("input_ids", "attention_mask")
                },
            }
        ]
    by = {"examples": total, "micro-batches": count, "nothing": 1}[divide]
    waiting = 0.0
    for batch in window:
        if zero:
            model.zero_grad()
        loss = F.cross_entropy(_logits(model, batch), batch["labels"], reduction=reduction) / by
        if late:
            waiting = waiting + loss
        else:
            loss.backward()
    if late:
        waiting.backward()


# --- 6.2 sum and weight ---------------------------------------------------------------------------------------


def _check_parts(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    _check_class_numbers(answer, generator)
    _check_multi_hot(answer, generator)


def _parts(answer, *args) -> tuple[torch.Tensor, float]:
    got = run(answer, *args)
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong("return two things, the sum of the losses and the weight that it is divided by later")
    total, weight = got
    is_tensor(total, "the sum")
    expect(total.ndim == 0, f"the sum should be one number, but it has the shape {tuple(total.shape)}")
    expect(
        total.requires_grad,
        "the sum has no gradient: detach() or item() cuts it off from the logits, and nothing can be learned",
    )
    try:
        return total, float(weight)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"the weight should be one number, but it is {type(weight).__name__}") from None


def _check_class_numbers(answer, generator):
    logits = torch.randn(7, CLASSES, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.randperm(7, generator=generator) % CLASSES
    total, weight = _parts(answer, logits, labels)
    plain = F.cross_entropy(logits, labels, reduction="sum")
    if _near(total, plain / 7):
        raise Wrong(
            "class numbers: the first part is the mean, already divided by the 7 labels of this micro-batch; return "
            "the sum (reduction='sum')"
        )
    close(total, plain, "the sum for class numbers without weights")
    close(weight, 7.0, "the weight of 7 class numbers without weights")
    classes = torch.tensor([0.2, 1.0, 7.0], dtype=torch.float64)
    own = classes[labels].sum()
    total, weight = _parts(answer, logits, labels, classes)
    weighted = F.cross_entropy(logits, labels, weight=classes, reduction="sum")
    if _near(total, plain):
        raise Wrong("class weights are given, and the sum is the same as without: hand them to the loss")
    close(
        total,
        weighted,
        "the weighted sum",
        hint="each example's loss times the weight of its class, added up",
    )
    if _near(weight, 7.0):
        raise Wrong(
            "class weights: the weight is the number of examples, 7, but torch's mean divides by the sum of the "
            f"labels' weights, here {float(own):.3g}; otherwise windows with many rare labels take larger steps"
        )
    if _near(weight, classes.sum()):
        raise Wrong(
            "class weights: you add up the weights of the classes; add up those of the labels, weight[labels].sum()"
        )
    close(weight, own, "the weight with class weights")


def _check_multi_hot(answer, generator):
    logits = torch.randn(4, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.randint(0, 2, (4, 5), generator=generator).float()
    labels[0, :2] = torch.tensor([0.0, 1.0])
    total, weight = _parts(answer, logits, labels)
    plain = F.binary_cross_entropy_with_logits(logits, labels.double(), reduction="sum")
    if _near(total, F.cross_entropy(logits, labels.double(), reduction="sum")):
        raise Wrong(
            "multi-hot labels went through cross-entropy, which lets the classes compete; each of them is a question "
            "of its own: binary_cross_entropy_with_logits"
        )
    close(total, plain, "the sum for multi-hot labels (4, 5)")
    if _near(weight, 4.0):
        raise Wrong(
            "multi-hot labels: the weight is 4, the number of texts; torch's mean divides by the number of answers, "
            "texts × classes = 20 (labels.numel())"
        )
    close(weight, 20.0, "the weight of multi-hot labels (4, 5)")
    positive = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    total, weight = _parts(answer, logits, labels, positive)
    expected = F.binary_cross_entropy_with_logits(
        logits, labels.double(), pos_weight=positive, reduction="sum"
    )
    both = F.binary_cross_entropy_with_logits(logits, labels.double(), weight=positive, reduction="sum")
    if _near(total, both):
        raise Wrong(
            "multi-hot labels: `weight=` weights both answers, yes and no; a class's weight belongs to its positive "
            "side alone: pos_weight="
        )
    close(total, expected, "the sum for multi-hot labels with weights", hint="pos_weight=class_weight")
    close(
        weight, 20.0, "the weight of multi-hot labels with weights",
        hint="torch's mean divides by the number of answers here, whatever the weights",
    )  # fmt: skip


def _near(got, expected) -> bool:
    got, expected = (x.detach() if isinstance(x, torch.Tensor) else x for x in (got, expected))
    return bool(torch.isclose(torch.as_tensor(float(got)), torch.as_tensor(float(expected)), rtol=1e-5))


def _sum_and_weight(
    logits, labels, class_weight=None, *, reduction="sum", count=None, bce="pos_weight", sides=False
):
    if labels.ndim == 2 and not sides:
        loss = F.binary_cross_entropy_with_logits(
            logits, labels.to(logits.dtype), reduction="sum", **{bce: class_weight}
        )
        return loss, labels.numel() if count != "texts" else len(labels)
    labels = labels if labels.ndim == 1 else labels.to(logits.dtype)
    if count == "unweighted":
        class_weight = None
    loss = F.cross_entropy(logits, labels, weight=class_weight, reduction=reduction)
    if class_weight is None or count == "labels":
        return loss, len(labels)
    return loss, class_weight.sum() if count == "classes" else class_weight[labels].sum()


# --- 6.3 Accelerate's tail ------------------------------------------------------------------------------------


def _check_accelerate(answer):
    for sizes, steps in (((2, 2, 2, 2, 2, 2), 3), ((2, 2, 2, 2, 2, 1), 4), ((3, 3, 2), 2)):
        _one_epoch(answer, sizes, steps)


@contextlib.contextmanager
def _own_accelerator(K: int):
    """An Accelerator on the CPU; those of the lesson share their state with it, and get it back afterwards."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from accelerate.utils import GradientAccumulationPlugin

    shared = [kind._shared_state for kind in (AcceleratorState, GradientState, PartialState)]
    kept = [dict(state) for state in shared]
    for state in shared:
        state.clear()
    accelerator = Accelerator(
        cpu=True, mixed_precision="no", gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=K)
    )
    try:
        yield accelerator
    finally:
        accelerator.free_memory()
        for state, before in zip(shared, kept, strict=True):
            state.clear()
            state.update(before)


def _one_epoch(answer, sizes: tuple[int, ...], K: int):
    """One epoch over micro-batches of these sizes, K in a window; every optimizer step's gradient is compared."""
    seed = fresh_seed()
    generator = torch.Generator().manual_seed(seed)
    batches = [_batch(size, generator) for size in sizes]
    seen = []
    with _own_accelerator(K) as accelerator:
        model = _model(seed)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.0
        )  # the weights stay: every step can be compared
        loader = torch.utils.data.DataLoader(batches, batch_size=None)
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        spy = register_optimizer_step_pre_hook(lambda *_: seen.append(_flat(model)))
        try:
            run(answer, accelerator, model, optimizer, loader, none_is_stub=False)
        finally:
            spy.remove()
    if not seen:
        raise NotDone
    windows = [batches[start : start + K] for start in range(0, len(batches), K)]
    _diagnose_steps(len(seen), len(windows), len(batches), K)
    for number, (found, window) in enumerate(zip(seen, windows, strict=True), 1):
        expect(found is not None, f"at step {number} there is no gradient: zero_grad() comes after step()")
        _diagnose_step(found, model, window, windows[: number - 1], number, K)


def _diagnose_steps(steps: int, windows: int, batches: int, K: int):
    if steps == batches and batches != windows:
        raise Wrong(
            f"{batches} micro-batches in windows of {K}, and the optimizer steps after every micro-batch: step once "
            "a window"
        )
    if steps < windows and batches % K:
        raise Wrong(
            f"{batches} micro-batches in windows of {K}: the last, shorter window never gets its step, so its "
            "examples are not learned from"
        )
    expect(steps == windows, f"{batches} micro-batches in windows of {K} are {windows} steps, not {steps}")


def _diagnose_step(found, model, window, before, number: int, K: int):
    sizes = [len(batch["labels"]) for batch in window]
    total, count = sum(sizes), len(window)
    true = _gradient(model, [lambda m, b=b: _mean(m, b) * len(b["labels"]) / total for b in window])
    if _like(found, true):
        return
    means = _gradient(model, [lambda m, b=b: _mean(m, b) for b in window])
    where = f"step {number}, a window of {count} micro-batches of {sizes} examples"
    if count < K and (_like(found, means / K) or _like(found, true * count / K)):
        raise Wrong(
            f"{where}: its gradient is divided by {K}, as if it held {K} micro-batches; that is what "
            f"accelerator.backward does, and here it makes the step {K / count:.3g} times too small"
        )
    if _like(found, true / K):
        raise Wrong(
            f"{where}: the gradient is {K} times too small. You divide by the window's examples, and "
            f"accelerator.backward divides by {K} once more; multiply by accelerator.gradient_accumulation_steps"
        )
    if _like(found, true * K):
        raise Wrong(
            f"{where}: the gradient is {K} times too large; the factor {K} is there already, or twice"
        )
    if len(set(sizes)) > 1 and _like(found, means / count):
        raise Wrong(
            f"{where}: the means of the micro-batches are averaged, so an example of the smallest counts "
            f"{max(sizes) / min(sizes):.3g} times as much as one of the largest; divide sums by all {total} examples"
        )
    if before and _remains(found, true, model, before):
        raise Wrong(
            f"{where}: the gradients of the windows before are still in .grad; call optimizer.zero_grad() after step()"
        )
    size = float(found.norm() / true.norm())
    direction = float(F.cosine_similarity(found, true, dim=0))
    raise Wrong(
        f"{where}: the gradient is {size:.3g} times as long as the true one, and the cosine between the two is "
        f"{direction:.3f}"
    )


def _remains(found, true, model, before) -> bool:
    """Whether what is too much in a gradient is that of the windows before."""
    rest = sum(
        _gradient(model, [lambda m, b=b, t=t: _mean(m, b) * len(b["labels"]) / t for b in window])
        for window in before
        for t in [sum(len(b["labels"]) for b in window)]
    )
    return float(F.cosine_similarity(found - true, rest, dim=0)) > 0.999


def _as_in_the_docs(accelerator, model, optimizer, loader):
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(_mean(model, batch))
            optimizer.step()
            optimizer.zero_grad()


def _epoch(
    accelerator, model, optimizer, loader, *, factor=True, mean=False, tail=True, zero=True, each=False
):
    K = accelerator.gradient_accumulation_steps
    batches = list(loader)
    for start in range(0, len(batches), K):
        window = batches[start : start + K]
        if len(window) < K and not tail:
            break
        total = sum(len(batch["labels"]) for batch in window)
        for batch in window:
            share = 1 / len(window) if mean else len(batch["labels"]) / total
            accelerator.backward(_mean(model, batch) * share * (K if factor else 1))
            if each:
                optimizer.step()
        if not each:
            optimizer.step()
        if zero:
            optimizer.zero_grad()


# --- 6.4 plans for other batches ------------------------------------------------------------------------------


def _check_plan(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    for base, batch in ((64, 256), (64, 1024), (64, 64), (256, 64)):
        examples = int(torch.randint(900, 5000, (1,), generator=generator))
        lr = float(torch.rand(1, generator=generator)) * 1e-3 + 1e-4
        case = SimpleNamespace(base=base, batch=batch, examples=examples, lr=lr, epochs=5, k=batch / base)
        for rule in ("same", "linear", "sqrt", "updates"):
            got = run(answer, rule, batch, base, lr, case.epochs, examples)
            if not isinstance(got, tuple | list) or len(got) != 2:
                raise Wrong("return two numbers, the learning rate and the epochs")
            _diagnose_rate(rule, got[0], case)
            _diagnose_epochs(rule, got[1], case)


def _diagnose_rate(rule: str, rate: float, case):
    want = {"linear": case.lr * case.k, "sqrt": case.lr * math.sqrt(case.k)}.get(rule, case.lr)
    if math.isclose(rate, want, rel_tol=1e-6):
        return
    said = f"rule {rule!r}, batch {case.base} → {case.batch}: the rate is {rate:.3g}, it should be {want:.3g}"
    if rule == "linear" and math.isclose(rate, case.lr / case.k, rel_tol=1e-6):
        raise Wrong(
            f"{said}; a larger batch takes fewer steps, so each may be larger: batch / base, not base / batch"
        )
    if rule == "sqrt" and math.isclose(rate, case.lr * case.k / 2, rel_tol=1e-6):
        raise Wrong(f"{said}; the square root of the ratio, not half of it")
    if rule == "sqrt" and math.isclose(rate, case.lr * case.k, rel_tol=1e-6):
        raise Wrong(f"{said}; that is the linear rule: take the square root of batch / base")
    if rule == "updates":
        raise Wrong(f"{said}; this rule leaves the rate as it is and trains for more epochs")
    raise Wrong(said)


def _diagnose_epochs(rule: str, epochs, case):
    per_base, per_batch = math.ceil(case.examples / case.base), math.ceil(case.examples / case.batch)
    steps = per_base * case.epochs
    want = math.ceil(steps / per_batch) if rule == "updates" else case.epochs
    said = f"rule {rule!r}, batch {case.base} → {case.batch}, {case.examples} examples"
    expect(
        not isinstance(epochs, bool) and isinstance(epochs, int),
        f"{said}: the epochs are {epochs!r}; they have to be a whole number (int)",
    )
    if epochs == want:
        return
    if rule != "updates":
        raise Wrong(f"{said}: {epochs} epochs; this rule changes the rate alone, so it stays at {want}")
    if epochs == case.epochs:
        raise Wrong(
            f"{said}: still {epochs} epochs, so there are {per_batch * epochs} steps instead of {steps}; train longer"
        )
    if epochs in (round(case.epochs * case.k), math.ceil(case.epochs * case.k)):
        raise Wrong(
            f"{said}: {epochs} epochs are batch / base times as many, but an epoch also ends with a short batch. "
            f"It has {per_batch} steps now, and {want} epochs are enough for {steps} steps"
        )
    if epochs == math.ceil(steps / max(1, case.examples // case.batch)) or per_batch * epochs < steps:
        raise Wrong(
            f"{said}: {epochs} epochs, but the last, shorter batch of an epoch is a step too: steps an epoch are "
            f"examples / batch rounded up, {per_batch} here, and {steps} are wanted in all"
        )
    raise Wrong(f"{said}: {epochs} epochs; the fewest that give at least {steps} steps are {want}")


def _plan(rule, batch, base, lr, epochs, examples, *, linear=None, sqrt=None, updates=None):
    k = batch / base
    if rule == "linear":
        return (linear or (lambda: lr * k))(), epochs
    if rule == "sqrt":
        return (sqrt or (lambda: lr * math.sqrt(k)))(), epochs
    if rule == "updates":
        return lr, updates()
    return lr, epochs


def _right_epochs(batch, base, epochs, examples):
    return math.ceil(math.ceil(examples / base) * epochs / math.ceil(examples / batch))


def _wrong_plan(**changes):
    """A plan that is right but for one rule; changes: functions of (batch, base, lr, epochs, examples)."""

    def plan(rule, batch, base, lr, epochs, examples):
        args = (batch, base, lr, epochs, examples)
        made = {name: (lambda f=f: f(*args)) for name, f in changes.items()}
        made.setdefault("updates", lambda: _right_epochs(batch, base, epochs, examples))
        return _plan(rule, *args, **made)

    return plan


EXERCISES = (
    Exercise(
        id="6.1",
        title="Divide by the right thing",
        difficulty=2,
        minutes=10,
        check=_check_accumulate,
        hints=(
            "A mean is a sum over a count. Which count, and when is it known?",
            "Count first: `total = sum(len(batch['labels']) for batch in window)`. Then one loop, in which each "
            "micro-batch adds its *sum* (`reduction='sum'`) over `total` to the gradient.",
            "In the loop: `loss = F.cross_entropy(logits, batch['labels'], reduction='sum') / total`, then "
            "`loss.backward()`. Inside the loop, so that the micro-batch's graph is freed before the next one comes.",
        ),
        wrong=(
            WrongAnswer(
                lambda m, w: _accumulate(m, w, divide="micro-batches", reduction="mean"),
                "the means are averaged",
            ),
            WrongAnswer(
                lambda m, w: _accumulate(m, w, divide="nothing", reduction="mean"), "nothing is divided"
            ),
            WrongAnswer(lambda m, w: _accumulate(m, w, divide="nothing"), "gradient of the sum over all"),
            WrongAnswer(
                lambda m, w: _accumulate(m, w, divide="micro-batches"),
                "divided by the number of micro-batches",
            ),
            WrongAnswer(lambda m, w: _accumulate(m, w, zero=True), "only the last micro-batch's gradient"),
            WrongAnswer(lambda m, w: _accumulate(m, w, late=True), "the graph of every micro-batch stays"),
            WrongAnswer(lambda m, w: _accumulate(m, w, joined=True), "joined into one batch again"),
        ),
    ),
    Exercise(
        id="6.2",
        title="Sum and weight",
        difficulty=3,
        minutes=12,
        check=_check_parts,
        hints=(
            "By what does torch divide when it takes the mean? With class weights it is not the number of examples.",
            "Two kinds of labels: `labels.ndim == 1` are class numbers (cross-entropy), `labels.ndim == 2` are "
            "multi-hot (binary cross-entropy with logits). In both cases `reduction='sum'`, and beside it the divisor "
            "of the mean.",
            "Class numbers: the divisor is `len(labels)`, with weights `class_weight[labels].sum()`. Multi-hot: "
            "`labels.numel()`, and the weights go in as `pos_weight=class_weight`.",
        ),
        wrong=(
            WrongAnswer(lambda *a: _sum_and_weight(*a, reduction="mean"), "already divided"),
            WrongAnswer(
                lambda *a: _sum_and_weight(*a, count="labels"), "the weight is the number of examples"
            ),
            WrongAnswer(lambda *a: _sum_and_weight(*a, count="classes"), "weight[labels].sum()"),
            WrongAnswer(lambda *a: _sum_and_weight(*a, count="unweighted"), "the same as without"),
            WrongAnswer(lambda *a: _sum_and_weight(*a, count="texts"), "the number of texts"),
            WrongAnswer(lambda *a: _sum_and_weight(*a, bce="weight"), "weights both answers"),
            WrongAnswer(lambda *a: _sum_and_weight(*a, sides=True), "lets the classes compete"),
            WrongAnswer(
                lambda *a: tuple(torch.as_tensor(x).detach().item() for x in _sum_and_weight(*a)),
                "should be a torch.Tensor",
            ),
        ),
    ),
    Exercise(
        id="6.3",
        title="Accelerate's tail, mended",
        difficulty=4,
        minutes=15,
        check=_check_accelerate,
        hints=(
            "`accelerator.backward(loss)` divides by `accelerator.gradient_accumulation_steps`, whatever the window "
            "holds. You know that number, so you can undo it; and you can know the window before you begin it.",
            "Leave `accumulate()` out. Collect up to K micro-batches into a list, count their examples, give each "
            "micro-batch's summed loss × K / total to `accelerator.backward`, then one `optimizer.step()` and one "
            "`optimizer.zero_grad()`. Mind the list that is left over at the end.",
            "`batches = iter(loader)`, then `while window := list(itertools.islice(batches, K)):` with "
            "`total = sum(len(b['labels']) for b in window)` and, for each `b`, "
            "`accelerator.backward(F.cross_entropy(logits, b['labels'], reduction='sum') / total * K)`.",
        ),
        wrong=(
            WrongAnswer(_as_in_the_docs, "as if it held"),
            WrongAnswer(lambda *a: _epoch(*a, factor=False), "once more; multiply by accelerator"),
            WrongAnswer(lambda *a: _epoch(*a, mean=True), "the means of the micro-batches are averaged"),
            WrongAnswer(lambda *a: _epoch(*a, tail=False), "never gets its step"),
            WrongAnswer(lambda *a: _epoch(*a, zero=False), "the windows before are still in .grad"),
            WrongAnswer(lambda *a: _epoch(*a, each=True), "after every micro-batch"),
        ),
    ),
    Exercise(
        id="6.4",
        title="A plan for another batch",
        difficulty=2,
        minutes=8,
        check=_check_plan,
        hints=(
            "The ratio `batch / base` is all that two of the rules need. For the last one count steps, not examples.",
            "`linear`: lr × ratio. `sqrt`: lr × √ratio. `updates`: the base run takes "
            "`math.ceil(examples / base) * epochs` steps; how many epochs of the new batch give at least as many?",
            "`steps = math.ceil(examples / base) * epochs`, and for `updates` return "
            "`lr, math.ceil(steps / math.ceil(examples / batch))`.",
        ),
        wrong=(
            WrongAnswer(_wrong_plan(linear=lambda b, base, lr, e, n: lr * base / b), "not base / batch"),
            WrongAnswer(_wrong_plan(sqrt=lambda b, base, lr, e, n: lr * b / base / 2), "not half of it"),
            WrongAnswer(_wrong_plan(sqrt=lambda b, base, lr, e, n: lr * b / base), "that is the linear rule"),
            WrongAnswer(
                _wrong_plan(updates=lambda b, base, lr, e, n: round(e * b / base)), "an epoch also ends with"
            ),
            WrongAnswer(_wrong_plan(updates=lambda b, base, lr, e, n: e), "train longer"),
            WrongAnswer(
                _wrong_plan(updates=lambda b, base, lr, e, n: (n // base) * e / (n // b)),
                "a whole number (int)",
            ),
        ),
    ),
)
