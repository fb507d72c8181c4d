"""Lesson 07: a loss scaler with skip and back-off, the order of a mixed-precision step, the memory of a model."""

import copy
import math
from types import SimpleNamespace

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from kolab.checks import Exercise, NotDone, Wrong, WrongAnswer, close, expect, fresh_seed, is_stub, run

# --- 7.1 a loss scaler ----------------------------------------------------------------------------------------


def _check_scaler(answer):
    if isinstance(answer, type) and is_stub(getattr(answer, "step", None)):
        raise NotDone
    expect(
        isinstance(answer, type), "give the class itself, not an object of it: kl.check('7.1', LossScaler)"
    )
    expect(hasattr(answer, "step"), "the class has no method step(optimizer)")
    expect(hasattr(answer, "scaled"), "the class has no method scaled(loss)")
    generator = torch.Generator().manual_seed(fresh_seed())
    drawn = torch.randint(8, 14, (1,), generator=generator).item()
    _one_clean_step(answer, 2.0**drawn, generator)
    for bad in (math.inf, -math.inf, math.nan):
        _one_overflow(answer, 2.0**drawn, bad, generator)
    _growth(answer, generator)
    _together(answer, generator)


def _parts(generator, momentum=0.0):
    """Two weights that learn, one that got no gradient, and an optimizer over them."""
    weights = [nn.Parameter(torch.randn(n, generator=generator)) for n in (4, 3, 2)]
    return weights, torch.optim.SGD(weights, lr=0.5, momentum=momentum)


def _round(scaler, weights, optimizer, generator, bad=None):
    """One step: the true gradient is `target`; `bad` is put into the last gradient. Returns (result, target)."""
    optimizer.zero_grad()
    targets = [torch.randn(w.shape, generator=generator) for w in weights[:2]]
    loss = sum((w * t).sum() for w, t in zip(weights, targets))
    scaled = run(type(scaler).scaled, scaler, loss)
    expect(
        isinstance(scaled, torch.Tensor),
        "scaled(loss) should return a tensor: the loss, multiplied by the scale",
    )
    close(
        scaled, loss * scaler.scale, "scaled(loss)", rtol=1e-3,
        hint="the loss times the scale, before backward(): the gradients are then all too large by the scale",
    )  # fmt: skip
    scaled.backward()
    if bad is not None:
        weights[1].grad[-1] = bad
    return run(type(scaler).step, scaler, optimizer, none_is_stub=False), targets


def _made(answer, **settings):
    scaler = run(answer, **settings)
    expect(
        isinstance(getattr(scaler, "scale", None), int | float | torch.Tensor),
        "the object has no number `scale`: keep the scale there, the check reads it",
    )
    return scaler


def _one_clean_step(answer, scale, generator):
    weights, optimizer = _parts(generator)
    before = [w.detach().clone() for w in weights]
    stepped, targets = _round(_made(answer, scale=scale, growth_interval=1000), weights, optimizer, generator)
    for w, b, t in zip(weights, before, targets):
        moved, right = (b - w).detach() / 0.5, t
        if torch.allclose(moved, right, rtol=1e-3, atol=1e-5):
            continue
        expect(moved.abs().max() > 0, "no step was taken although all gradients are finite: optimizer.step()")
        ratio = float((moved.norm() / right.norm()).log2())
        if abs(ratio - math.log2(scale)) < 0.1:
            raise Wrong(
                f"the step was {scale:.0f} times too long: the gradients are still multiplied by the scale; divide "
                "each .grad by it before optimizer.step()"
            )
        if abs(ratio - 2 * math.log2(scale)) < 0.1:
            raise Wrong("the gradients were multiplied by the scale once more; unscaling divides by it")
        if ratio < -1:
            raise Wrong(
                f"the step was {2**-ratio:.0f} times too short: were the gradients divided more than once?"
            )
        close(moved, right, "the gradient that the optimizer got")
    expect(
        stepped is True or stepped == 1,
        "step(optimizer) should return True when it stepped: whoever has a schedule needs to know",
    )


def _one_overflow(answer, scale, bad, generator):
    weights, optimizer = _parts(generator, momentum=0.9)
    scaler = _made(answer, scale=scale, growth_interval=1000)
    before = [w.detach().clone() for w in weights]
    calls = []
    spy = register_optimizer_step_pre_hook(lambda o, *_: calls.append(o))
    try:
        stepped, _ = _round(scaler, weights, optimizer, generator, bad)
    finally:
        spy.remove()
    if calls:
        broken = any(not w.isfinite().all() for w in weights)
        what = "nan" if math.isnan(bad) else "inf"
        if broken and math.isnan(bad):
            raise Wrong(
                "a gradient is nan, and the step was taken: the weights are nan now, for ever. inf is not the only "
                "sign of an overflow (inf - inf is nan): ask torch.isfinite(...).all()"
            )
        if broken:
            raise Wrong(
                f"a gradient of the second weight is {what}, and the step was taken: the weights are ruined now. Look "
                "at the gradients of all parameters first, and leave the step out if any is not finite"
            )
        raise Wrong(
            f"a gradient is {what}, and a step was taken after it had been mended: the other gradients of that batch "
            "come from the same overflow. Leave the whole step out"
        )
    expect(
        all(torch.equal(w, b) for w, b in zip(weights, before)),
        "a step was left out, and yet weights have changed",
    )
    expect(
        float(scaler.scale) < scale,
        f"after an overflow the scale is still {float(scaler.scale):.0f}: the next step will overflow again, and the "
        "one after that; back off, halve it",
    )
    close(float(scaler.scale), scale / 2, "the scale after an overflow", hint="halve it")
    expect(not stepped, "step(optimizer) should return False when the step was left out")


def _growth(answer, generator):
    """The scale after each of a row of steps, against torch's own scaler."""
    interval = 3
    pattern = [False, False, True, False, False, False, False, False, False, True, False, False, False]
    scaler = _made(answer, scale=2.0**10, growth_interval=interval)
    theirs = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=interval)
    weights, optimizer = _parts(generator)
    mirror = [nn.Parameter(w.detach().clone()) for w in weights]
    reference = torch.optim.SGD(mirror, lr=0.0)
    clean, since = 0, 0
    for number, overflow in enumerate(pattern, 1):
        _round(scaler, weights, optimizer, generator, math.inf if overflow else None)
        reference.zero_grad()
        theirs.scale(mirror[0].sum()).backward()
        if overflow:
            mirror[0].grad[0] = math.inf
        theirs.step(reference)
        theirs.update()
        clean, since = (0, 0) if overflow else (clean + 1, since + 1)
        mine, right = float(scaler.scale), theirs.get_scale()
        if mine == right:
            continue
        where = f"with growth_interval={interval}, after step {number}"
        if mine > right and since < interval and number > 3:
            raise Wrong(
                f"{where} the scale has doubled, but an overflow came in between: {interval} clean steps in a row are "
                "asked for, so an overflow sets the counter back to 0"
            )
        if mine > right:
            raise Wrong(
                f"{where} the scale is {mine:.0f}: it may double only after {interval} clean steps in a row"
            )
        if mine < right and since >= interval:
            raise Wrong(
                f"{where} ({since} clean steps in a row) the scale is {mine:.0f}, it should have doubled to "
                f"{right:.0f}: without growth one early overflow costs precision for the rest of the run"
            )
        raise Wrong(f"{where} the scale is {mine:.0f}, it should be {right:.0f}")


def _together(answer, generator):
    """Every second step overflows: the weights must go exactly where the clean gradients alone lead them."""
    weights, optimizer = _parts(generator, momentum=0.9)
    twin = [w.detach().clone().requires_grad_() for w in weights]
    plain = torch.optim.SGD(twin, lr=0.5, momentum=0.9)
    scaler = _made(answer, scale=2.0**12, growth_interval=2)
    for number in range(6):
        overflow = number % 3 == 1
        _, targets = _round(scaler, weights, optimizer, generator, math.inf if overflow else None)
        if not overflow:
            plain.zero_grad()
            for w, t in zip(twin, targets):
                w.grad = t.clone()
            plain.step()
    for w, t in zip(weights, twin):
        close(w, t, "the weights after six steps, two of them left out", rtol=1e-3, atol=1e-4)


class _Scaler:
    """The right answer, in parts that the known wrong answers replace."""

    def __init__(self, scale=2.0**16, growth_interval=2000):
        self.scale, self.growth_interval, self.clean = scale, growth_interval, 0

    def scaled(self, loss):
        return loss * self.scale

    def gradients(self, optimizer):
        return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]

    def unscale(self, gradients):
        for g in gradients:
            g /= self.scale

    def finite(self, gradients):
        return all(bool(g.isfinite().all()) for g in gradients)

    def back_off(self):
        self.scale, self.clean = self.scale / 2, 0

    def grow(self):
        self.clean += 1
        if self.clean == self.growth_interval:
            self.scale, self.clean = self.scale * 2, 0

    def step(self, optimizer):
        gradients = self.gradients(optimizer)
        self.unscale(gradients)
        if not self.finite(gradients):
            self.back_off()
            return False
        optimizer.step()
        self.grow()
        return True


class _NotUnscaled(_Scaler):
    def unscale(self, gradients):
        return len(gradients)


class _ScaledTwice(_Scaler):
    def unscale(self, gradients):
        for g in gradients:
            g *= self.scale


class _StepsAnyway(_Scaler):
    def step(self, optimizer):
        gradients = self.gradients(optimizer)
        self.unscale(gradients)
        optimizer.step()
        if self.finite(gradients):
            self.grow()
            return True
        self.back_off()
        return False


class _OnlyInf(_Scaler):
    def finite(self, gradients):
        return not any(bool(g.isinf().any()) for g in gradients)


class _Mends(_Scaler):
    def step(self, optimizer):
        gradients = self.gradients(optimizer)
        self.unscale(gradients)
        fine = self.finite(gradients)
        for g in gradients:
            g.nan_to_num_(0.0, 0.0, 0.0)
        optimizer.step()
        self.grow() if fine else self.back_off()
        return fine


class _NeverBacksOff(_Scaler):
    def back_off(self):
        self.clean = 0


class _KeepsCounting(_Scaler):
    def back_off(self):
        self.scale /= 2


class _NeverGrows(_Scaler):
    def grow(self):
        self.clean += 1


class _GrowsAlways(_Scaler):
    def grow(self):
        self.scale *= 2


class _ScalesNothing(_Scaler):
    def scaled(self, loss):
        return loss


# --- 7.2 unscale, clip, step, update --------------------------------------------------------------------------


class _Model(nn.Module):
    """A linear layer whose loss has a large gradient; a batch with `overflow` makes it infinite."""

    def __init__(self, generator):
        super().__init__()
        self.layer = nn.Linear(6, 2)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))

    def forward(self, x, overflow=False):
        loss = 3 * self.layer(x).pow(2).mean()
        return SimpleNamespace(loss=loss * math.inf if overflow else loss)


def _true_gradient(model, batch):
    twin = copy.deepcopy(model)
    twin.zero_grad()
    twin(**batch).loss.backward()
    return torch.cat([p.grad.flatten() for p in twin.parameters()])


def _check_step(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    scale = 2.0 ** torch.randint(8, 13, (1,), generator=generator).item()
    model = _Model(generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
    scaler.scale(torch.zeros(()))  # it makes its tensors at the first use
    batches = [{"x": torch.randn(5, 6, generator=generator)} for _ in range(3)]
    for number, batch in enumerate(batches, 1):
        _one_right_step(answer, model, batch, optimizer, scaler, scale, number)
    _one_skipped_step(answer, model, batches[0], optimizer, scaler, scale)
    small = {"x": 1e-3 * batches[0]["x"]}
    true = _true_gradient(model, small)
    with torch.no_grad():
        for p in model.parameters():
            p *= 0.3 / max(float(true.norm()), 1e-9) if float(true.norm()) > 0.3 else 1.0
    _one_right_step(answer, model, small, optimizer, scaler, scaler.get_scale(), 5)


def _one_right_step(answer, model, batch, optimizer, scaler, scale, number):
    true = _true_gradient(model, batch)
    norm = float(true.norm())
    stale = any(p.grad is not None and not p.grad.isfinite().all() for p in model.parameters())
    seen = []
    spy = register_optimizer_step_pre_hook(
        lambda *_: seen.append(
            torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])
        )
    )
    try:
        got = _called(answer, model, batch, optimizer, scaler)
    finally:
        spy.remove()
    if not seen and got is None:
        raise NotDone
    expect(
        seen or not stale,
        "after a step that overflowed none is taken any more: the infinite gradient is still in .grad, and whatever is "
        "added to it stays infinite; optimizer.zero_grad() first, in every step",
    )
    expect(seen, "the optimizer took no step: scaler.step(optimizer) takes it, if all gradients are finite")
    expect(len(seen) == 1, f"the optimizer took {len(seen)} steps for one batch")
    _diagnose_gradient(seen[0], true, scale, number)
    expect(got is not None, "return the norm of the true gradient, before clipping")
    got = float(got)
    if abs(got / (norm * scale) - 1) < 0.01:
        raise Wrong(
            f"the norm you return is that of the scaled gradient, {scale:.0f} times too large: in the log it looks as "
            "if training exploded; take what clip_grad_norm_ returns after unscaling"
        )
    close(
        got,
        norm,
        "the norm that you return",
        rtol=1e-2,
        hint="clip_grad_norm_ returns the norm before clipping",
    )


def _called(answer, model, batch, optimizer, scaler):
    try:
        return run(answer, model, batch, optimizer, scaler, none_is_stub=False)
    except Wrong as crash:
        if "No inf checks" in str(crash):
            raise Wrong(
                "the scaler knows of no step: scaler.step(optimizer) unscales, looks for inf and nan, and then steps; "
                "optimizer.step() does not"
            ) from None
        if "already been called" in str(crash) or "called after step()" in str(crash):
            raise Wrong(
                "the scaler does not accept this unscale_(): it comes once for each step, before step(), and between "
                "two steps there has to be one scaler.update()"
            ) from None
        raise


def _diagnose_gradient(seen, true, scale, number, max_norm=1.0):
    norm, length = float(true.norm()), float(seen.norm())
    right = true * min(1.0, max_norm / norm)
    if torch.allclose(seen, right, rtol=1e-2, atol=1e-6):
        return
    where = f"at step {number} the optimizer got a gradient of norm {length:.3g}, right is {float(right.norm()):.3g}"
    if abs(length * scale / max_norm - 1) < 0.01:
        raise Wrong(
            f"{where}: it was clipped while still scaled, and then divided by {scale:.0f}. A limit of {max_norm} was "
            f"meant for the true gradient; call scaler.unscale_(optimizer) before clip_grad_norm_"
        )
    if abs(length / (norm * scale) - 1) < 0.01:
        raise Wrong(
            f"{where}: it is still multiplied by the scale; scaler.step(optimizer) divides by it, "
            "optimizer.step() does not"
        )
    if abs(length / norm - 1) < 0.01 and norm > max_norm:
        raise Wrong(f"{where}: it is the true gradient, but nobody clipped it before the step")
    if abs(length * scale / norm - 1) < 0.01:
        raise Wrong(
            f"{where}: it was divided by the scale but never multiplied: scaler.scale(loss).backward()"
        )
    if number > 1 and length > 0:  # the first step was right, so what is wrong here has come from there
        raise Wrong(
            f"{where}, and some of its numbers differ: what earlier batches left in .grad was added; "
            "optimizer.zero_grad() first, in every step"
        )
    close(seen, right, f"the gradient at step {number}")


def _one_skipped_step(answer, model, batch, optimizer, scaler, scale):
    before = [p.detach().clone() for p in model.parameters()]
    expect(
        scaler.get_scale() == scale,
        "the scale has changed after three clean steps: update() is called once for each step",
    )
    _called(answer, model, batch | {"overflow": True}, optimizer, scaler)
    if any(not p.isfinite().all() for p in model.parameters()):
        raise Wrong(
            "the gradient was infinite, and the weights are nan now: scaler.step(optimizer) leaves such a step out, "
            "optimizer.step() does not"
        )
    expect(
        all(torch.equal(p, b) for p, b in zip(model.parameters(), before)),
        "the gradient was infinite, and the weights have moved",
    )
    expect(
        scaler.get_scale() == scale / 2,
        f"the step overflowed, and the scale is still {scaler.get_scale():.0f}: it changes only in scaler.update(), "
        "the last of the four",
    )


def _step(model, batch, optimizer, scaler, max_norm=1.0, *, order):
    """A step whose parts come in any order, for the known wrong answers."""
    norm = None
    for word in order.split():
        if word == "zero":
            optimizer.zero_grad()
        elif word == "scale":
            scaler.scale(model(**batch).loss).backward()
        elif word == "plain":
            model(**batch).loss.backward()
        elif word == "unscale":
            scaler.unscale_(optimizer)
        elif word == "clip":
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        elif word == "step":
            scaler.step(optimizer)
        elif word == "bare":
            optimizer.step()
        elif word == "update":
            scaler.update()
    return norm


def _ordered(order):
    return lambda model, batch, optimizer, scaler: _step(model, batch, optimizer, scaler, order=order)


def _scaled_norm(model, batch, optimizer, scaler):
    norm = _step(model, batch, optimizer, scaler, order="zero scale unscale clip step") * scaler.get_scale()
    scaler.update()
    return norm


# --- 7.3 the memory of a model --------------------------------------------------------------------------------


class _Tied(nn.Module):
    """An embedding whose table is also the output layer's weight."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(400, 32)
        self.hidden = nn.Linear(32, 32)
        self.out = nn.Linear(32, 400, bias=False)
        self.out.weight = self.table.weight

    def forward(self, ids):
        return self.out(self.hidden(self.table(ids)).relu())


class _Stack(nn.Module):
    """An embedding and linear layers, the first of them frozen if asked."""

    def __init__(self, width, frozen):
        super().__init__()
        self.table = nn.Embedding(300, width)
        self.layers = nn.Sequential(*(nn.Linear(width, width) for _ in range(4)))
        self.head = nn.Linear(width, 3)
        if frozen:
            self.table.requires_grad_(False)
            self.layers.requires_grad_(False)

    def forward(self, ids):
        return self.head(self.layers(self.table(ids)))


def _measured(model) -> dict[str, int]:
    """What is really held after one step of AdamW under autocast, in bytes."""
    from kolab.allocations import held

    model = copy.deepcopy(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    ids = torch.randint(0, 300, (2, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(ids).float().pow(2).mean()
    loss.backward()
    optimizer.step()
    return held(model, optimizer)


def _check_estimate(answer):
    torch.manual_seed(fresh_seed())
    width = int(torch.randint(40, 90, (1,)))
    cases = {
        "a model that learns all over": _Stack(width, frozen=False),
        "a model whose encoder is frozen": _Stack(width, frozen=True),
        "a model with one table in two places": _Tied(),
        "a model whose weights are bfloat16 themselves": _Stack(width, frozen=False).bfloat16(),
    }
    for what, model in cases.items():
        got = run(answer, model)
        right = _measured(model)
        expect(
            isinstance(got, dict) and set(right) <= set(got),
            f"return a dict with the keys {', '.join(right)}",
        )
        expect(
            all(p.grad is None for p in model.parameters()), "estimate, do not run: a gradient was computed"
        )
        for name in right:
            _diagnose_estimate(name, float(got[name]), right[name], what, model)


def _diagnose_estimate(name, got, right, what, model):
    if abs(got - right) <= 0.15 * right:
        return
    ratio = got / right
    said = f"{what}: {name} are estimated at {got:,.0f} bytes, measured are {right:,}"
    frozen = sum(p.numel() for p in model.parameters()) / sum(
        p.numel() for p in model.parameters() if p.requires_grad
    )
    if any(abs(ratio * unit - 1) < 0.2 for unit in (2**10, 1e3, 2**20, 1e6)):
        raise Wrong(f"{said}; bytes are asked for, not MiB or numbers of tensors")
    if "two places" in what and ratio > 1.15:
        raise Wrong(
            f"{said}: the table stands in two places and lies in memory once; model.parameters() names it once, "
            "state_dict() twice"
        )
    if name == "optimizer" and abs(ratio - 0.5) < 0.1:
        raise Wrong(f"{said}: AdamW keeps two running means, of the gradient and of its square")
    if name in ("gradients", "optimizer") and frozen > 1.3 and abs(ratio / frozen - 1) < 0.2:
        raise Wrong(f"{said}: frozen weights have no gradient and no place in the optimizer")
    if name == "weights" and frozen > 1.3 and ratio < 0.85 and abs(ratio * frozen - 1) < 0.2:
        raise Wrong(f"{said}: weights that do not learn lie in memory all the same")
    if "bfloat16 themselves" in what and abs(ratio - 2) < 0.3:
        raise Wrong(
            f"{said}: a bfloat16 number takes 2 bytes; ask each tensor, p.element_size(), instead of assuming 4"
        )
    if abs(ratio - 0.5) < 0.1:
        raise Wrong(
            f"{said}: autocast leaves weights, gradients and the optimizer's state in the type that the weights have "
            "(here float32, 4 bytes); it makes 16-bit copies for single operations only"
        )
    raise Wrong(f"{said}: off by {100 * (ratio - 1):+.0f} %, allowed are 15 %")


def _estimate(model, *, parameters=None, learns=True, means=2, size=None, unit=1, weights="all"):
    every = list((parameters or (lambda m: m.parameters()))(model))

    def count(tensors):
        return sum(p.numel() * (size or p.element_size()) for p in tensors) / unit

    trained = [p for p in every if p.requires_grad or not learns]
    return {
        "weights": count(every if weights == "all" else trained),
        "gradients": count(trained),
        "optimizer": means * count(trained),
    }


def _named_twice(model):
    """Every name's tensor, as state_dict lists them: a tied one comes twice."""
    return [p for _, p in model.named_parameters(remove_duplicate=False)]


EXERCISES = (
    Exercise(
        id="7.1",
        title="A loss scaler",
        difficulty=3,
        minutes=15,
        check=_check_scaler,
        hints=(
            "Four things in `step`: divide every gradient by the scale; is every one finite? If so step, if not leave "
            "it out; then change the scale. `optimizer.param_groups` knows the parameters.",
            "`gradients = [p.grad for group in optimizer.param_groups for p in group['params'] if p.grad is not "
            "None]`. "
            "Not finite: halve `self.scale`, set `self.clean` to 0, return False. Else: step, count, and after "
            "`growth_interval` clean steps in a row double the scale and count anew.",
            "`for g in gradients: g /= self.scale`, then `if not all(g.isfinite().all() for g in gradients): "
            "self.scale, self.clean = self.scale / 2, 0; return False`, then `optimizer.step(); self.clean += 1`, and "
            "`if self.clean == self.growth_interval: self.scale, self.clean = self.scale * 2, 0`.",
        ),
        wrong=(
            WrongAnswer(_ScalesNothing, "scaled(loss)"),
            WrongAnswer(_NotUnscaled, "the gradients are still multiplied by the scale"),
            WrongAnswer(_ScaledTwice, "unscaling divides by it"),
            WrongAnswer(_StepsAnyway, "Look at the gradients of all parameters first"),
            WrongAnswer(_OnlyInf, "inf is not the only sign of an overflow"),
            WrongAnswer(_Mends, "Leave the whole step out"),
            WrongAnswer(_NeverBacksOff, "back off, halve it"),
            WrongAnswer(_KeepsCounting, "an overflow sets the counter back to 0"),
            WrongAnswer(_NeverGrows, "it should have doubled"),
            WrongAnswer(_GrowsAlways, "only after 3 clean steps in a row"),
        ),
    ),
    Exercise(
        id="7.2",
        title="The right order",
        difficulty=2,
        minutes=10,
        check=_check_step,
        hints=(
            "Who may see scaled gradients, and who may not? Clipping compares with a limit meant for the true ones.",
            "`scaler.scale(loss).backward()`; then `unscale_`, `clip_grad_norm_`, `step`, `update`, in this order, the "
            "first, third and fourth of them methods of `scaler`.",
            "`optimizer.zero_grad(); scaler.scale(model(**batch).loss).backward(); scaler.unscale_(optimizer); "
            "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm); scaler.step(optimizer); "
            "scaler.update(); return norm`.",
        ),
        wrong=(
            WrongAnswer(_ordered("zero scale clip step update"), "clipped while still scaled"),
            WrongAnswer(_ordered("zero scale clip unscale step update"), "clipped while still scaled"),
            WrongAnswer(_ordered("zero scale unscale step clip update"), "nobody clipped it before the step"),
            WrongAnswer(_ordered("zero scale bare update"), "optimizer.step() does not"),
            WrongAnswer(_ordered("zero plain unscale clip step update"), "never multiplied"),
            WrongAnswer(_ordered("zero scale unscale clip step"), "there has to be one scaler.update()"),
            WrongAnswer(_ordered("scale unscale clip step update"), "zero_grad() first, in every step"),
            WrongAnswer(_scaled_norm, "the norm you return is that of the scaled gradient"),
            WrongAnswer(_ordered("zero scale unscale clip bare update"), "the weights are nan now"),
        ),
    ),
    Exercise(
        id="7.3",
        title="The memory of a model, before it runs",
        difficulty=2,
        minutes=12,
        check=_check_estimate,
        hints=(
            "Each parameter is a tensor of so many numbers of so many bytes. Which of them have a gradient? What does "
            "AdamW keep for each of those?",
            "Bytes of a tensor: `p.numel() * p.element_size()`. Weights: all of `model.parameters()`; gradients: those "
            "with `requires_grad`, as large as the weight itself; AdamW: two numbers for each number that learns.",
            "`size = lambda ps: sum(p.numel() * p.element_size() for p in ps)`, `learn = [p for p in "
            "model.parameters() if p.requires_grad]`, and return `{'weights': "
            "size(model.parameters()), 'gradients': size(learn), 'optimizer': 2 * size(learn)}`.",
        ),
        wrong=(
            WrongAnswer(lambda m: _estimate(m, learns=False), "frozen weights have no gradient"),
            WrongAnswer(lambda m: _estimate(m, means=1), "two running means"),
            WrongAnswer(lambda m: _estimate(m, size=2), "autocast leaves weights"),
            WrongAnswer(lambda m: _estimate(m, size=4), "a bfloat16 number takes 2 bytes"),
            WrongAnswer(lambda m: _estimate(m, parameters=_named_twice), "lies in memory once"),
            WrongAnswer(lambda m: _estimate(m, unit=2**20), "bytes are asked for"),
            WrongAnswer(lambda m: _estimate(m, weights="trained"), "lie in memory all the same"),
        ),
    ),
)
