"""Lesson 03: masked mean and attention pooling, the forward pass, an optimizer and an evaluation mended."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from kolab.checks import (
    Exercise,
    NotDone,
    Wrong,
    WrongAnswer,
    close,
    expect,
    fresh_seed,
    is_stub,
    is_tensor,
    run,
    same_shape,
)

CLASSES = 3


# --- small real parts -----------------------------------------------------------------------------------------


def _encoder(width: int, dropout: float = 0.0):
    """A BERT of two layers over 60 token ids: the real interface, in milliseconds."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=60, hidden_size=width, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return BertModel(config, add_pooling_layer=False).eval()


def _classifier(dropout: float, encoder_dropout: float = 0.0):
    from kolab.model import Classifier

    return Classifier.build(_encoder(16, encoder_dropout), CLASSES, dropout=dropout)


def _masks(generator: torch.Generator, rows: int = 5, width: int = 9) -> torch.Tensor:
    """Right-padded masks (B, L) whose lengths differ; one text fills the width."""
    lengths = torch.randperm(width - 2, generator=generator)[:rows] + 2
    lengths[0] = width
    return (torch.arange(width)[None] < lengths[:, None]).long()


def _batch(generator: torch.Generator, rows: int = 4, width: int = 8) -> dict[str, torch.Tensor]:
    mask = _masks(generator, rows, width)
    ids = torch.randint(5, 60, mask.shape, generator=generator)
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "labels": torch.randint(0, CLASSES, (rows,), generator=generator),
    }


def _mean(hidden, mask):
    real = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


def _like(got, other) -> bool:
    return got.shape == other.shape and torch.allclose(got.float(), other.float(), rtol=1e-3, atol=1e-5)


# --- 3.1 masked mean ------------------------------------------------------------------------------------------


def _check_mean(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    for kind in (torch.int64, torch.bool):
        hidden, mask = torch.randn(5, 9, 6, generator=generator) + 1, _masks(generator).to(kind)
        before = hidden.clone()
        got = run(answer, hidden, mask)
        expect(
            torch.equal(hidden, before),
            "your function overwrites `hidden`, and the encoder's output is still needed for the backward pass; "
            "make a new tensor (a product, or masked_fill without the underscore)",
        )
        _diagnose_mean(got, hidden, mask.long())
    mask[1] = False
    got = run(answer, hidden, mask)
    expect(
        not got[1].isnan().any(),
        "a text of which no token is left (an empty row) gives nan: 0 / 0. One nan makes the whole batch's loss nan; "
        "do not divide by less than 1 (clamp(min=1))",
    )
    close(got, _mean(hidden, mask), "the mean where one row is all padding")
    left = mask.long().flip(1)
    close(
        run(answer, hidden, left), _mean(hidden, left), "the mean of left-padded texts",
        hint="the mask says where the tokens are; they need not come first",
    )  # fmt: skip


def _diagnose_mean(got, hidden, mask):
    is_tensor(got, "the result")
    if got.shape != hidden[:, 0].shape and got.shape == hidden[..., 0].shape:
        raise Wrong(
            "the result is (B, L): you took the mean over the numbers of each vector (dim 2); take it over the "
            "tokens, dim 1"
        )
    same_shape(
        got, tuple(hidden[:, 0].shape), "the result", "one vector of H numbers for each of the B texts"
    )
    real = mask.unsqueeze(-1).float()
    total = (hidden * real).sum(1)
    if _like(got, _mean(hidden, mask)):
        return
    if _like(got, hidden.mean(1)):
        raise Wrong("padding counts like text: this is the mean over all L positions; use the mask")
    if _like(got, total / mask.shape[1]):
        raise Wrong(
            f"the padding is left out of the sum but not of the divisor: you divide by L = {mask.shape[1]}, where "
            "each text has its own number of tokens, mask.sum(dim=1)"
        )
    if _like(got, total / mask.sum()):
        raise Wrong(
            "you divide by the number of tokens in the whole batch; each text has its own, mask.sum(dim=1)"
        )
    if _like(got, total):
        raise Wrong(
            "this is the sum over the tokens: long texts get long vectors; divide by the number of tokens"
        )
    if _like(got, hidden[:, 0]):
        raise Wrong("this is the first token's vector, [CLS]; the mean of all real tokens is asked for")
    close(got, _mean(hidden, mask), "the mean over the real tokens")


def _in_place(hidden, mask):
    hidden[mask == 0] = 0
    return hidden.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


# --- 3.2 attention pooling ------------------------------------------------------------------------------------


def _weights(hidden, mask, query):
    scores = hidden @ query / hidden.shape[-1] ** 0.5
    scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
    return scores.softmax(1).masked_fill(mask == 0, 0.0)


def _attend(hidden, mask, query):
    return (_weights(hidden, mask, query).unsqueeze(-1) * hidden).sum(1)


def _check_attention(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    hidden, mask = torch.randn(5, 9, 16, generator=generator) + 1, _masks(generator)
    query = 4 * torch.randn(16, generator=generator)
    got = run(answer, hidden, mask, query)
    is_tensor(got, "the result")
    same_shape(got, (5, 16), "the result", "one vector for each text: the sum over the tokens, dim 1")
    _diagnose_attention(got, hidden, mask, query)
    empty = mask.clone()
    empty[2] = 0
    got = run(answer, hidden, empty, query)
    expect(
        not got.isnan().any(),
        "a row that is all padding gives nan: the softmax of nothing but -inf is 0 / 0. Fill with the lowest finite "
        "number, torch.finfo(scores.dtype).min",
    )
    try:
        got = run(answer, hidden.half(), mask, query.half())
    except Wrong as crash:
        if "overflow" in str(crash):
            raise Wrong(
                "in float16 your code stops: -1e9 does not fit, the smallest number there is -65504; ask the type, "
                "torch.finfo(scores.dtype).min"
            ) from None
        raise
    close(got, _attend(hidden, mask, query), "the result in float16", rtol=2e-2, atol=2e-2)


def _diagnose_attention(got, hidden, mask, query):
    if _like(got, _attend(hidden, mask, query)):
        return
    scores = hidden @ query / hidden.shape[-1] ** 0.5
    lowest = scores.masked_fill(mask == 0, -1e30)

    def pooled(weights):
        return (weights.unsqueeze(-1) * hidden).sum(1)

    if _like(got, pooled(scores.softmax(1))):
        raise Wrong("the padding gets a weight: the mask is not used. Lower its scores before the softmax")
    if _like(got, pooled(scores.softmax(1) * mask)):
        raise Wrong(
            "the mask comes after the softmax: then the weights of a padded text no longer add up to 1, and its "
            "vector shrinks with every padding; mask the scores, before the softmax"
        )
    if _like(got, pooled(lowest.softmax(0).masked_fill(mask == 0, 0))):
        raise Wrong(
            "the softmax runs over the texts of the batch (dim 0); it has to run over a text's tokens, dim 1"
        )
    if _like(got, _attend(hidden, mask, query * hidden.shape[-1] ** 0.5)):
        raise Wrong(
            "the scores are not divided by √H: with wide vectors the softmax then picks a single token"
        )
    if _like(got, _mean(hidden, mask)):
        raise Wrong("this is the plain mean: every token weighs the same; the query has no say")
    close(got, _attend(hidden, mask, query), "the weighted mean")


def _attend_filled(hidden, mask, query, value):
    scores = (hidden @ query / hidden.shape[-1] ** 0.5).masked_fill(mask == 0, value)
    return (scores.softmax(1).unsqueeze(-1) * hidden).sum(1)


def _attend_late(hidden, mask, query):
    weights = (hidden @ query / hidden.shape[-1] ** 0.5).softmax(1) * mask
    return (weights.unsqueeze(-1) * hidden).sum(1)


def _attend_batch(hidden, mask, query):
    scores = (hidden @ query / hidden.shape[-1] ** 0.5).masked_fill(mask == 0, torch.finfo(hidden.dtype).min)
    return (scores.softmax(0).masked_fill(mask == 0, 0).unsqueeze(-1) * hidden).sum(1)


# --- 3.3 the forward pass -------------------------------------------------------------------------------------


def _check_forward(answer):
    expect(
        isinstance(answer, type), "give the class itself, not an object of it: kl.check('3.3', MyClassifier)"
    )
    if is_stub(getattr(answer, "forward", None)):
        raise NotDone
    torch.manual_seed(fresh_seed())
    generator = torch.Generator().manual_seed(fresh_seed())
    encoder, classes = _encoder(24), 4
    model = run(answer, encoder, classes)
    expect(isinstance(model, nn.Module), "the class should inherit from nn.Module")
    inside = {id(p) for p in model.parameters()}
    expect(
        all(id(p) in inside for p in encoder.parameters()),
        "the encoder's parameters are not among model.parameters(): torch sees a module only when it is an attribute "
        "of its own (self.encoder = encoder), not inside a list or a dict",
    )
    batch = _batch(generator)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    seen, inputs = _watched(model, encoder, ids, mask, classes)
    with torch.no_grad():
        hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        unmasked = encoder(input_ids=ids).last_hidden_state
    expect(
        not _like(seen, unmasked),
        "the encoder does not get the attention mask: then every token attends to the padding too, and a text's "
        "vector depends on what it shares a batch with",
    )
    if inputs is not None and inputs.shape[-1] == hidden.shape[-1]:
        _diagnose_mean(inputs, hidden, mask)
    model.train()
    with torch.no_grad():
        noisy = [_logits(run(_call, model, ids, mask)) for _ in range(2)]
    expect(
        not torch.equal(*noisy),
        "in training mode two passes over one batch agree to the last bit: there is no dropout before the head",
    )


def _call(model, ids, mask):
    return model(ids, mask)


def _logits(output):
    return getattr(output, "logits", output)


def _watched(model, encoder, ids, mask, classes):
    """Run the model in evaluation mode; returns what left the encoder, and what entered the first layer after it."""
    out, into = [], []
    own = {id(m) for m in encoder.modules()}
    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and id(m) not in own]
    expect(heads, f"there is no nn.Linear after the encoder: the head turns H numbers into {classes}")
    hooks = [encoder.register_forward_hook(lambda m, i, o: out.append(o[0]))]
    hooks += [head.register_forward_pre_hook(lambda m, i: into.append(i[0])) for head in heads]
    model.eval()
    try:
        with torch.no_grad():
            first, again = (_logits(run(_call, model, ids, mask)) for _ in range(2))
    except Wrong as crash:
        if "shapes cannot be multiplied" in str(crash):
            raise Wrong(
                f"the head expects {heads[0].in_features} numbers and gets {encoder.config.hidden_size}: do not "
                "write the width down, read it from encoder.config.hidden_size; every encoder has its own"
            ) from None
        raise
    finally:
        for hook in hooks:
            hook.remove()
    is_tensor(first, "what the model returns (or its .logits)")
    expect(out, "the encoder was never called")
    if first.ndim == 3:
        raise Wrong(
            f"the result is {tuple(first.shape)}: logits for each token. Pool first: one vector a text, then the head"
        )
    same_shape(first, (len(ids), classes), "the logits", "one row a text, one column a class")
    if torch.allclose(first.sum(1), torch.ones(len(ids)), atol=1e-4) and (first >= 0).all():
        raise Wrong(
            "these are probabilities: cross-entropy takes the softmax itself, and twice is too often (the loss of "
            "three classes then never falls below 0.55); return the logits"
        )
    expect(
        torch.equal(first, again),
        "two passes in evaluation mode differ: something still draws. F.dropout(x, p) does so always, unless it is "
        "told training=self.training; the module nn.Dropout knows by itself",
    )
    return out[0], into[0] if into else None


class _Right(nn.Module):
    """The right answer, in parts that the known wrong answers replace."""

    def __init__(self, encoder, classes, width=None):
        super().__init__()
        self.keep(encoder)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width or encoder.config.hidden_size, classes)

    def keep(self, encoder):
        self.encoder = encoder

    def hidden(self, ids, mask):
        return self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state

    def pool(self, hidden, mask):
        return _mean(hidden, mask)

    def forward(self, input_ids, attention_mask):
        pooled = self.pool(self.hidden(input_ids, attention_mask), attention_mask)
        return self.head(self.dropout(pooled))


class _Softmaxed(_Right):
    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask).softmax(-1)


class _Unmasked(_Right):
    def hidden(self, ids, mask):
        return self.encoder(input_ids=ids).last_hidden_state


class _PlainMean(_Right):
    def pool(self, hidden, mask):
        return hidden.mean(1)


class _First(_Right):
    def pool(self, hidden, mask):
        return hidden[:, 0]


class _Wide(_Right):
    def __init__(self, encoder, classes):
        super().__init__(encoder, classes, width=768)


class _Functional(_Right):
    def forward(self, input_ids, attention_mask):
        pooled = self.pool(self.hidden(input_ids, attention_mask), attention_mask)
        return self.head(F.dropout(pooled, 0.1))


class _Listed(_Right):
    def keep(self, encoder):
        self.parts = [encoder]

    def hidden(self, ids, mask):
        return self.parts[0](input_ids=ids, attention_mask=mask).last_hidden_state


class _NoDropout(_Right):
    def forward(self, input_ids, attention_mask):
        return self.head(self.pool(self.hidden(input_ids, attention_mask), attention_mask))


class _PerToken(_Right):
    def pool(self, hidden, mask):
        return hidden


# --- 3.4 F1: the optimizer that does not know the head --------------------------------------------------------


def _check_train(answer):
    torch.manual_seed(fresh_seed())
    generator = torch.Generator().manual_seed(fresh_seed())
    model = _classifier(dropout=0.0)
    batches = [_batch(generator) for _ in range(6)]
    before = {name: value.clone() for name, value in model.named_parameters()}
    steps, modes = [], []
    watch = model.register_forward_pre_hook(lambda m, i: modes.append(m.training and m.encoder.training))
    spy = register_optimizer_step_pre_hook(
        lambda optimizer, *_: steps.append(_at_step(model, batches, optimizer, steps))
    )
    try:
        losses = run(answer, model, batches, 1e-3, none_is_stub=False)
    finally:
        watch.remove()
        spy.remove()
    if losses is None and not steps:
        raise NotDone
    expect(steps, "no optimizer took a step: after loss.backward() comes optimizer.step()")
    moved = {name: not torch.equal(value, before[name]) for name, value in model.named_parameters()}
    _diagnose_moved(moved)
    expect(
        len(steps) == len(batches),
        f"{len(batches)} batches, but {len(steps)} optimizer steps: one step for each batch",
    )
    expect(
        len({id(step["optimizer"]) for step in steps}) == 1,
        "a new optimizer is made for each batch: AdamW then forgets its running means every time; make it once, "
        "before the loop",
    )
    late = [number for number, step in enumerate(steps, 1) if step["likeness"] < 0.999]
    expect(
        not late,
        f"at step {late[0] if late else 0} the gradient is not that batch's own: those of earlier batches are still "
        "in .grad and add up; call optimizer.zero_grad() in every round",
    )
    expect(
        all(modes),
        "the model is trained with dropout off: `build` returns it in evaluation mode, so call model.train()",
    )
    expect(
        isinstance(losses, list) and len(losses) == len(batches),
        f"return the list of the {len(batches)} losses, one a batch",
    )
    expect(
        not any(isinstance(loss, torch.Tensor) for loss in losses),
        "the losses are tensors: each keeps the whole graph of its step in memory; loss.item() is just the number",
    )


def _at_step(model, batches, optimizer, steps) -> dict:
    """How like the gradient of the batch at hand the one in .grad is (cosine), just before the optimizer's step."""
    batch = batches[min(len(steps), len(batches) - 1)]
    twin = copy.deepcopy(model)
    twin.zero_grad()
    twin(**batch).loss.backward()
    pairs = [
        (p.grad.flatten(), q.grad.flatten())
        for p, q in zip(model.parameters(), twin.parameters())
        if p.grad is not None and q.grad is not None
    ]
    if not pairs:
        return {"optimizer": optimizer, "likeness": 0.0}
    have, want = (torch.cat(part) for part in zip(*pairs))
    return {"optimizer": optimizer, "likeness": float(F.cosine_similarity(have, want, dim=0))}


def _diagnose_moved(moved: dict[str, bool]) -> None:
    """Say which part of the model has not learned."""
    head = any(value for name, value in moved.items() if name.startswith("head."))
    encoder = any(value for name, value in moved.items() if name.startswith("encoder."))
    if encoder and not head:
        raise Wrong(
            "the head's weights are the same before and after: the optimizer was given the encoder's parameters "
            "only, and the head stays as random as it was drawn; give it those of the whole classifier"
        )
    if head and not encoder:
        raise Wrong(
            "the encoder's weights are the same before and after: only the head learns. That is a linear probe, not "
            "fine-tuning; give the optimizer model.parameters()"
        )
    # adding one number to all of a token's scores changes no softmax: the key's bias has no gradient but rounding
    still = [name for name, value in moved.items() if not value and not name.endswith("key.bias")]
    expect(
        any(moved.values()),
        "no weight has changed: is loss.backward() called before optimizer.step(), and zero_grad() not between the "
        "two?",
    )
    expect(not still, f"{len(still)} tensors have not moved, {still[0] if still else ''} among them")


def _train(model, batches, lr, *, parameters=None, zero=True, mode=True, anew=False, item=True):
    model.train(mode)
    chosen = list((parameters or (lambda m: m.parameters()))(model))
    optimizer, losses = torch.optim.AdamW(chosen, lr=lr), []
    for batch in batches:
        if anew:
            optimizer = torch.optim.AdamW(chosen, lr=lr)
        loss = model(**batch).loss
        if zero:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() if item else loss)
    return losses


# --- 3.5 F4: the evaluation that leaves the head's dropout on -------------------------------------------------


def _check_predict(answer):
    torch.manual_seed(fresh_seed())
    generator = torch.Generator().manual_seed(fresh_seed())
    model = _classifier(dropout=0.5, encoder_dropout=0.2)
    batches = [_batch(generator, rows) for rows in (4, 4, 2)]
    modes = []
    watch = model.register_forward_pre_hook(
        lambda m, i: modes.append((m.encoder.training, m.dropout.training))
    )
    try:
        model.train()
        first = run(answer, model, batches)
        left_in_training = model.training
        second = run(answer, model, batches)
        is_tensor(first, "the result")
        if len(first) != 10:
            raise Wrong(
                f"the result has {len(first)} rows, but the batches hold 10 texts: collect the logits of every batch "
                "and join them with torch.cat"
            )
        same_shape(first, (10, CLASSES), "the result")
        encoder_on, dropout_on = (any(part) for part in zip(*modes))
        if dropout_on and not encoder_on:
            raise Wrong(
                "two evaluations of the same model differ: eval() was called on the encoder, which is a part of the "
                "classifier, and the head's dropout stays on; call it on the whole, model.eval()"
            )
        expect(
            not (encoder_on or dropout_on),
            "two evaluations of the same model differ: dropout is on, as in training; call model.eval() first",
        )
        expect(
            not first.requires_grad,
            "the logits carry a gradient: the graph of every batch stays in memory; evaluate under torch.no_grad()",
        )
        close(second, first, "the second evaluation")
        model.eval()
        with torch.no_grad():
            expected = torch.cat([model(**batch).logits for batch in batches])
        close(
            first,
            expected,
            "the logits",
            hint="return the logits, batch after batch, as the model gives them",
        )
        expect(
            left_in_training,
            "the model was being trained, and after your evaluation it is in evaluation mode: the next epoch would "
            "train without dropout; put it back into the mode it was in",
        )
        model.eval()
        run(answer, model, batches)
        expect(
            not model.training,
            "the model was in evaluation mode, and your function has switched it to training; note model.training "
            "first and put that back",
        )
    finally:
        watch.remove()


def _predict(model, batches, *, of=lambda m: m, grad=False, after="back", last=False):
    was = model.training
    of(model).eval()
    with torch.set_grad_enabled(grad):
        parts = [model(**batch).logits for batch in batches]
    if after == "back":
        model.train(was)
    elif after == "train":
        model.train()
    return parts[-1] if last else torch.cat(parts)


def _predict_on(model, batches):
    with torch.no_grad():
        return torch.cat([model(**batch).logits for batch in batches])


EXERCISES = (
    Exercise(
        id="3.1",
        title="Masked mean pooling",
        difficulty=2,
        minutes=8,
        check=_check_mean,
        hints=(
            "A mean is a sum over a count. What may go into the sum, and what counts?",
            "Give the mask a third axis, `mask.unsqueeze(-1)`, so that it fits (B, L, H): where it is 0 the vector "
            "drops out of the sum. The count of a text is `mask.sum(dim=1)`.",
            "`total = (hidden * mask.unsqueeze(-1)).sum(dim=1)`; then "
            "`total / mask.sum(dim=1, keepdim=True).clamp(min=1)`.",
        ),
        wrong=(
            WrongAnswer(lambda h, m: h.mean(1), "padding counts like text"),
            WrongAnswer(lambda h, m: (h * m.unsqueeze(-1)).mean(1), "but not of the divisor"),
            WrongAnswer(
                lambda h, m: (h * m.unsqueeze(-1)).sum(1) / m.sum(1, keepdim=True), "an empty row) gives nan"
            ),
            WrongAnswer(lambda h, m: (h * m.unsqueeze(-1)).sum(1), "divide by the number of tokens"),
            WrongAnswer(lambda h, m: (h * m.unsqueeze(-1)).sum(1) / m.sum(), "in the whole batch"),
            WrongAnswer(lambda h, m: h[:, 0], "[CLS]"),
            WrongAnswer(lambda h, m: (h * m.unsqueeze(-1)).mean(2), "over the tokens, dim 1"),
            WrongAnswer(_in_place, "overwrites `hidden`"),
        ),
    ),
    Exercise(
        id="3.2",
        title="Attention pooling",
        difficulty=3,
        minutes=12,
        check=_check_attention,
        hints=(
            "Three steps: a score for each token, weights from the scores, the weighted sum. The mask belongs "
            "between the first and the second.",
            "`scores = hidden @ query / hidden.shape[-1] ** 0.5` is (B, L). Put a very low number where the mask is "
            "0, then `softmax(dim=1)`. How low may it be in float16, and for a row that is all padding?",
            "`scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)`, "
            "`weights = scores.softmax(dim=1)`, `(weights.unsqueeze(-1) * hidden).sum(dim=1)`.",
        ),
        wrong=(
            WrongAnswer(lambda h, m, q: _attend(h, torch.ones_like(m), q), "the mask is not used"),
            WrongAnswer(_attend_late, "no longer add up to 1"),
            WrongAnswer(_attend_batch, "over the texts of the batch"),
            WrongAnswer(
                lambda h, m, q: _attend_filled(h, m, q, -torch.inf), "a row that is all padding gives nan"
            ),
            WrongAnswer(lambda h, m, q: _attend_filled(h, m, q, -1e9), "-1e9 does not fit"),
            WrongAnswer(lambda h, m, q: _attend(h, m, q * h.shape[-1] ** 0.5), "not divided by √H"),
            WrongAnswer(lambda h, m, q: _mean(h, m), "the query has no say"),
        ),
    ),
    Exercise(
        id="3.3",
        title="The forward pass",
        difficulty=2,
        minutes=12,
        check=_check_forward,
        hints=(
            "Four stations: encoder, pooling, dropout, head. The table of shapes above says what goes in and comes "
            "out of each.",
            "In `__init__`: `self.encoder`, `self.dropout = nn.Dropout(dropout)` and a `nn.Linear` as wide as "
            "`encoder.config.hidden_size`. In `forward` the mask is needed twice.",
            "`hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state`, then the "
            "masked mean of 3.1, then `return self.head(self.dropout(pooled))`: the logits, no softmax.",
        ),
        wrong=(
            WrongAnswer(_Softmaxed, "these are probabilities"),
            WrongAnswer(_Unmasked, "does not get the attention mask"),
            WrongAnswer(_PlainMean, "padding counts like text"),
            WrongAnswer(_First, "this is the first token's vector"),
            WrongAnswer(_Wide, "the head expects 768 numbers"),
            WrongAnswer(_Functional, "training=self.training"),
            WrongAnswer(_Listed, "not among model.parameters()"),
            WrongAnswer(_NoDropout, "there is no dropout"),
            WrongAnswer(_PerToken, "logits for each token"),
        ),
    ),
    Exercise(
        id="3.4",
        title="Find it, mend it: the head that never learns",
        difficulty=2,
        minutes=10,
        check=_check_train,
        hints=(
            "Which object was handed to AdamW, and what is inside it? Compare with what you want to learn.",
            "`optimizer = torch.optim.AdamW(…, lr=lr)` once, before the loop; in the loop: loss, zero_grad, "
            "backward, step. And in which mode does `build` return a model?",
            "`torch.optim.AdamW(model.parameters(), lr=lr)` with the whole classifier; `model.train()` first; "
            "`model(**batch).loss`, and `losses.append(loss.item())`.",
        ),
        wrong=(
            WrongAnswer(
                lambda m, b, lr: _train(m, b, lr, parameters=lambda x: x.encoder.parameters()),
                "the head's weights are the same before and after",
            ),
            WrongAnswer(
                lambda m, b, lr: _train(m, b, lr, parameters=lambda x: x.head.parameters()),
                "the encoder's weights are the same before and after",
            ),
            WrongAnswer(lambda m, b, lr: _train(m, b, lr, zero=False), "optimizer.zero_grad()"),
            WrongAnswer(lambda m, b, lr: _train(m, b, lr, mode=False), "trained with dropout off"),
            WrongAnswer(
                lambda m, b, lr: _train(m, b, lr, anew=True), "a new optimizer is made for each batch"
            ),
            WrongAnswer(lambda m, b, lr: _train(m, b, lr, item=False), "loss.item()"),
        ),
    ),
    Exercise(
        id="3.5",
        title="Find it, mend it: two evaluations, two results",
        difficulty=2,
        minutes=10,
        check=_check_predict,
        hints=(
            "On which object is eval() called, and where does the dropout live that is still on?",
            "Note the mode, switch the whole model to evaluation, collect the logits without gradients, put the mode "
            "back.",
            "`was = model.training; model.eval()`, then under `torch.no_grad()` "
            "`torch.cat([model(**batch).logits for batch in batches])`, then `model.train(was)`.",
        ),
        wrong=(
            WrongAnswer(lambda m, b: _predict(m, b, of=lambda x: x.encoder), "the head's dropout stays on"),
            WrongAnswer(_predict_on, "dropout is on, as in training"),
            WrongAnswer(lambda m, b: _predict(m, b, grad=True), "torch.no_grad()"),
            WrongAnswer(
                lambda m, b: _predict(m, b, after="eval"), "the next epoch would train without dropout"
            ),
            WrongAnswer(lambda m, b: _predict(m, b, after="train"), "has switched it to training"),
            WrongAnswer(lambda m, b: _predict(m, b, last=True), "torch.cat"),
            WrongAnswer(lambda m, b: _predict(m, b).softmax(-1), "return the logits"),
        ),
    ),
)
