"""Lesson 05: a LoRA layer, an honest count, an adapter that was forgotten, a head that was not saved, a merge."""

import copy
import tempfile
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

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
)

CLASSES, TARGETS = 3, ["query", "value"]


# --- small real parts -----------------------------------------------------------------------------------------


def _encoder(width: int = 16, words: int = 60):
    """A BERT of two layers: the real interface, in milliseconds."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=words, hidden_size=width, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return BertModel(config, add_pooling_layer=False).eval()


def _classifier(width: int = 16, words: int = 60):
    from kolab.model import Classifier

    return Classifier.build(_encoder(width, words), CLASSES, dropout=0.0)


def _peft(model, **options):
    from peft import LoraConfig, get_peft_model

    fields = {"r": 8, "lora_alpha": 16, "target_modules": TARGETS} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(model, LoraConfig(**fields))


def _batch(generator: torch.Generator, rows: int = 6, width: int = 8) -> dict[str, torch.Tensor]:
    return {
        "input_ids": torch.randint(5, 60, (rows, width), generator=generator),
        "attention_mask": torch.ones(rows, width, dtype=torch.int64),
        "labels": torch.randint(0, CLASSES, (rows,), generator=generator),
    }


def _like(got, other) -> bool:
    return got.shape == other.shape and torch.allclose(got.float(), other.float(), rtol=1e-4, atol=1e-5)


def _number(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (), generator=generator))


# --- 5.1 a LoRA layer -----------------------------------------------------------------------------------------


def _check_layer(answer):
    expect(isinstance(answer, type), "give the class itself, not an object of it: kl.check('5.1', LoRA)")
    if is_stub(getattr(answer, "forward", None)):
        raise NotDone
    seed = fresh_seed()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    rank, alpha = _number(generator, 2, 5), float(_number(generator, 7, 12))
    base = nn.Linear(12, 10)
    before = copy.deepcopy(base)
    layer = run(answer, base, rank, alpha)
    expect(isinstance(layer, nn.Module), "the class should inherit from nn.Module")
    A, B = (_matrix(layer, name, shape) for name, shape in (("A", (rank, 12)), ("B", (10, rank))))
    expect(
        torch.equal(base.weight, before.weight) and torch.equal(base.bias, before.bias),
        "making the layer has changed the base layer's own weights; they were pre-trained, leave them as they are",
    )
    trains = {name: p for name, p in layer.named_parameters() if p.requires_grad}
    frozen = [name for name, p in trains.items() if p is not A and p is not B]
    expect(
        not frozen,
        f"{', '.join(frozen)} would train too: the base layer has to be frozen, base.requires_grad_(False), or the "
        "optimizer moves all of W and nothing is saved",
    )
    x = torch.randn(2, 5, 12, generator=generator)
    _check_start(layer, A, B, before, x)
    with torch.no_grad():
        B.normal_(generator=generator)
    _check_scale(run(layer, x), before, x, x @ A.T @ B.T, rank, alpha)
    run(layer, x).pow(2).sum().backward()
    still = [
        name for name, matrix in (("A", A), ("B", B)) if matrix.grad is None or not matrix.grad.abs().sum()
    ]
    expect(
        not still,
        f"no gradient reaches {' and '.join(still)}: something (no_grad, detach, .data) cuts the graph between it and "
        "the output",
    )


def _matrix(layer: nn.Module, name: str, shape: tuple[int, int]) -> torch.Tensor:
    """The layer's A or B; a nn.Linear without a bias will do as well as a bare parameter."""
    matrix = getattr(layer, name, None)
    expect(matrix is not None, f"the layer has no attribute {name}; keep the matrix as self.{name}")
    if isinstance(matrix, nn.Linear):
        expect(matrix.bias is None, f"self.{name} has a bias; LoRA's two matrices have none")
        matrix = matrix.weight
    is_tensor(matrix, f"self.{name}")
    if tuple(matrix.shape) == shape[::-1] != shape:
        raise Wrong(f"self.{name} is {tuple(matrix.shape)}, the other way round: it should be {shape}")
    expect(tuple(matrix.shape) == shape, f"self.{name} has shape {tuple(matrix.shape)}, it should be {shape}")
    expect(
        isinstance(matrix, nn.Parameter),
        f"self.{name} is a plain tensor: only an nn.Parameter is found by the optimizer and by state_dict",
    )
    expect(matrix.requires_grad, f"self.{name} is frozen, and it is what has to learn")
    return matrix


def _check_start(layer, A, B, base, x):
    if not A.detach().abs().sum():
        raise Wrong(
            "A is zero, and so is B: then each one's gradient is a product with the other, zero too, and nothing ever "
            "learns; A starts at random"
            if not B.detach().abs().sum()
            else "A starts at zero and B at random; the exercise (and peft) has it the other way round"
        )
    if B.detach().abs().sum():
        raise Wrong(
            "B does not start at zero: the first output is not the pre-trained layer's, and training begins from a "
            "model that somebody has shaken"
        )
    got = run(layer, x)
    is_tensor(got, "what forward returns")
    if _like(got, F.linear(x, base.weight)):
        raise Wrong("the base layer's bias is lost: call the whole layer, base(x), not only its weight")
    close(got, base(x), "the output before any training", hint="with B = 0 it has to be exactly base(x)")


def _check_scale(got, base, x, product, rank, alpha):
    plain, right = base(x), alpha / rank
    if _like(got, plain + right * product):
        return
    if _like(got, plain):
        raise Wrong(
            "B has changed and the output has not: B and A have to be multiplied in forward, each time, not once in "
            "__init__"
        )
    if _like(got, right * product):
        raise Wrong("this is the difference alone: y = base(x) + …, the frozen layer goes on computing")
    scales = {
        1.0: "the difference is not scaled: it is multiplied by alpha / rank",
        alpha: "the difference is multiplied by alpha; it should be alpha / rank, so that the rank can be changed "
        "without a new learning rate",
        alpha * rank: "the difference is multiplied by alpha · rank; it should be alpha / rank",
        alpha
        / rank**0.5: "the difference is multiplied by alpha / √rank. That is rsLoRA; LoRA has alpha / rank",
        rank / alpha: "the scale is upside down: it is alpha / rank, not rank / alpha",
    }
    for scale, words in scales.items():
        if _like(got, plain + scale * product):
            raise Wrong(words)
    close(got, plain + right * product, "the output with B filled")


class _Right(nn.Module):
    """The right layer, in parts that the known wrong answers replace."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.rank, self.alpha = base, rank, alpha
        self.freeze()
        self.A, self.B = self.matrices(base.in_features, base.out_features)
        self.scale = self.scaled()

    def freeze(self):
        self.base.requires_grad_(False)

    def matrices(self, inside, outside):
        return nn.Parameter(0.1 * torch.randn(self.rank, inside)), nn.Parameter(
            torch.zeros(outside, self.rank)
        )

    def scaled(self):
        return self.alpha / self.rank

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)


class _BothZero(_Right):
    def matrices(self, inside, outside):
        return nn.Parameter(torch.zeros(self.rank, inside)), nn.Parameter(torch.zeros(outside, self.rank))


class _BothRandom(_Right):
    def matrices(self, inside, outside):
        return nn.Parameter(torch.randn(self.rank, inside)), nn.Parameter(torch.randn(outside, self.rank))


class _Thawed(_Right):
    def freeze(self):
        self.base.requires_grad_(True)


class _Unscaled(_Right):
    def scaled(self):
        return 1.0


class _Alpha(_Right):
    def scaled(self):
        return self.alpha


class _Stable(_Right):
    def scaled(self):
        return self.alpha / self.rank**0.5


class _NoBias(_Right):
    def forward(self, x):
        return F.linear(x, self.base.weight + self.scale * self.B @ self.A)


class _Tensors(_Right):
    def matrices(self, inside, outside):
        return tuple(part.detach() for part in super().matrices(inside, outside))


class _Turned(_Right):
    def matrices(self, inside, outside):
        A, B = super().matrices(inside, outside)
        return nn.Parameter(A.detach().T), nn.Parameter(B.detach().T)

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A @ self.B)


class _Alone(_Right):
    def forward(self, x):
        return self.scale * (x @ self.A.T @ self.B.T) + (0 if self.B.any() else self.base(x))


# --- 5.2 the honest count -------------------------------------------------------------------------------------


def _check_count(answer):
    generator = torch.Generator().manual_seed(fresh_seed())
    for options in ({}, {"use_dora": True}, None):
        width, rank = 2 * _number(generator, 6, 12), _number(generator, 2, 6)
        model = _classifier(width)
        head, base = width * CLASSES + CLASSES, sum(p.numel() for p in model.parameters())
        adapter = 0 if options is None else 2 * 2 * (2 * rank * width + (width if options else 0))
        wrapped = (
            model if options is None else _peft(model, r=rank, modules_to_save=["head"], **(options or {}))
        )
        got = run(answer, wrapped)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            "return two numbers, (what trains, what the model uses); the share is their quotient",
        )
        trained = base if options is None else adapter + head
        _diagnose_count(wrapped, [int(x) for x in got], trained, base + adapter, head, adapter)


def _diagnose_count(model, got, trained, used, head, adapter):
    tensors = len([p for p in model.parameters() if p.requires_grad])
    if got[0] == tensors != trained:
        raise Wrong(f"{tensors} is the number of tensors; each holds many numbers: add up their .numel()")
    beside = sum(p.numel() for m in model.modules() if hasattr(m, "lora_A") for p in m.parameters())
    if adapter and got[0] in (beside, beside + head, beside + 2 * head):
        raise Wrong(
            f"{got[0]:,} train, you say, but a LoRA layer holds the frozen layer it stands beside, and you have "
            f"counted that in: {beside - adapter:,} of these never move. Ask each parameter for requires_grad"
        )
    if adapter and got[0] == adapter:
        raise Wrong(
            f"the {head} numbers of the head train too, under a name without 'lora': count what requires a gradient, "
            "whatever it is called"
        )
    if adapter and got[0] == used:
        raise Wrong("you count every parameter as trained; most of them are frozen (requires_grad is False)")
    expect(got[0] == trained, f"what trains: {got[0]:,}, it should be {trained:,}")
    if got[1] == used + head and adapter:
        raise Wrong(
            f"the model uses {used:,} numbers, and you count {got[1]:,}: peft keeps the head it found, as "
            "original_module, beside the copy that it trains. Nobody uses the first one; leave it out"
        )
    if got[1] in (used - trained, used - trained + head) and adapter:
        raise Wrong(
            "the second number leaves out what trains; a share is a part of the whole: frozen and trained together"
        )
    if got[1] == used - adapter and adapter:
        raise Wrong(
            "the second number is the model as it was before; the adapter is part of what computes now"
        )
    expect(got[1] == used, f"what the model uses: {got[1]:,}, it should be {used:,}")


def _trains(model) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _used(model) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if "original_module" not in name)


def _as_published(model):
    beside = sum(p.numel() for m in model.modules() if hasattr(m, "lora_A") for p in m.parameters())
    return beside, sum(p.numel() for p in model.parameters())


# --- 5.3 the adapter that was forgotten -----------------------------------------------------------------------


def _check_prepare(answer):
    from torch.optim import Optimizer

    seed = fresh_seed()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    encoder = _encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = run(answer, encoder, CLASSES, 3e-3)
    expect(
        isinstance(pair, tuple | list)
        and len(pair) == 2
        and isinstance(pair[0], nn.Module)
        and isinstance(pair[1], Optimizer),
        "return two things, the model and its optimizer",
    )
    model, optimizer = pair
    _diagnose_trained(model)
    rates = {group["lr"] for group in optimizer.param_groups}
    expect(rates == {3e-3}, f"the optimizer's rate is {sorted(rates)}; lr was 0.003")
    _diagnose_optimizer(model, optimizer)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = _batch(generator)
    model.train()
    logits = run(_call, model, batch)
    loss = F.cross_entropy(getattr(logits, "logits", logits), batch["labels"])
    loss.backward()
    optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    expect(
        any(name.endswith(("lora_B.default.weight", ".B")) for name in moved)
        or any("lora" in n for n in moved),
        "after a step on a batch the adapter is where it was: the model does not compute with the layers it sits in",
    )
    expect(any(".head." in f".{name}" for name in moved), "after a step on a batch the head is where it was")


def _call(model, batch):
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])


def _adapter_names(model) -> set[str]:
    from kolab.lora import LoRALinear

    names = {name for name, _ in model.named_parameters() if "lora_" in name}
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            names |= {f"{name}.A".lstrip("."), f"{name}.B".lstrip(".")}
    return names


def _diagnose_trained(model):
    own = {name: p for name, p in model.named_parameters() if ".original_module." not in f".{name}"}
    adapter = _adapter_names(model)
    head = {name for name in own if ".head." in f".{name}"}
    trains = {name for name, p in own.items() if p.requires_grad}
    count = sum(own[name].numel() for name in trains)
    if not adapter and trains == set(own):
        raise Wrong(
            f"all {count:,} parameters train, and there is no adapter in this model: the one that was made sits in "
            "an encoder that the classifier never uses. Build the classifier first, and put LoRA into that"
        )
    expect(
        adapter,
        "there is no adapter left to train in this model: merged and unloaded it is an ordinary encoder again; merge "
        "after training, not before",
    )
    expect(head, "the model has no part called head: build it with kl.Classifier.build")
    thawed = sorted(trains - adapter - head)
    expect(
        not thawed,
        f"the frozen part still trains: {len(thawed)} of its tensors require a gradient, {thawed[0] if thawed else ''} "
        "among them. Only the adapter and the head are to learn",
    )
    expect(
        head <= trains,
        "the head is frozen: peft freezes all it is not told of, and the head stays as random as it was drawn; name it "
        'in modules_to_save=["head"]',
    )
    expect(
        adapter <= trains, "the adapter itself is frozen: is it loaded for inference, or frozen afterwards?"
    )
    places = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in adapter if ".lora_" in name}
    expect(
        places <= set(TARGETS) and (not places or places == set(TARGETS)),
        f"the adapter sits in {', '.join(sorted(places))}; it should sit in query and value",
    )
    size = sum(own[name].numel() for name in adapter)
    wanted = 2 * 2 * 8 * (16 + 16)
    expect(
        size == wanted,
        f"the adapter holds {size:,} numbers; rank 8 in query and value of two layers of width 16 makes {wanted:,}",
    )
    scales = {m.scaling["default"] for m in model.modules() if isinstance(getattr(m, "scaling", None), dict)}
    expect(
        not scales or scales == {2.0},
        f"the adapter's scale is {sorted(scales)}; alpha 16 over rank 8 is 2",
    )


def _diagnose_optimizer(model, optimizer):
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    own = dict(model.named_parameters())
    trains = {name: p for name, p in own.items() if p.requires_grad}
    missing = [name for name, p in trains.items() if id(p) not in held]
    adapter = _adapter_names(model)
    if missing and set(missing) >= adapter:
        raise Wrong(
            "the optimizer holds none of the adapter's matrices: it was made before they were, or from another model; "
            "make it last, from the model that trains"
        )
    expect(
        not missing,
        f"the optimizer does not hold {missing[0] if missing else ''} and {max(len(missing) - 1, 0)} more that should "
        "train: what it was not given never moves",
    )


def _build(encoder, labels):
    from kolab.model import Classifier

    return Classifier.build(encoder, labels)


def _prepare(encoder, labels, lr, *, change=lambda model: model, parameters=None, **options):
    model = change(_peft(_build(encoder, labels), **({"modules_to_save": ["head"]} | options)))
    chosen = (parameters or (lambda m: m.parameters()))(model)
    return model, torch.optim.AdamW(chosen, lr=lr)


def _forgotten(encoder, labels, lr):
    _peft(copy.deepcopy(encoder))
    model = _build(encoder, labels)
    return model, torch.optim.AdamW(model.parameters(), lr=lr)


def _too_early(encoder, labels, lr):
    model = _build(encoder, labels)
    optimizer = torch.optim.AdamW(list(model.parameters()), lr=lr)
    return _peft(model, modules_to_save=["head"]), optimizer


# --- 5.4 the head that was not saved --------------------------------------------------------------------------


def _check_save(answer):
    seed = fresh_seed()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    base = _classifier(width=64, words=2000)
    fresh = copy.deepcopy(base)
    model = _peft(base, r=4, lora_alpha=8)
    head = model.base_model.model.head.requires_grad_(True)
    with torch.no_grad():  # as if it had been trained
        for name, p in model.named_parameters():
            if "lora_B" in name or p is head.weight:
                p.normal_(std=0.3, generator=generator)
    for p in fresh.head.parameters():
        nn.init.normal_(p, std=0.3)
    random_head, batch = copy.deepcopy(fresh.head), _batch(generator)
    with torch.no_grad():
        wanted, plain = (_call(m, batch).logits for m in (model, fresh))
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        again = run(answer, model, folder, fresh)
        expect(isinstance(again, nn.Module), "return the reloaded model")
        mine = {p.data_ptr() for p in model.parameters() if p.requires_grad}
        expect(
            not any(p.data_ptr() in mine for p in again.parameters()),
            "this is the trained model itself, or shares its tensors: tomorrow's process has only the folder and a "
            "fresh base. Build the result from those two",
        )
        with torch.no_grad():
            got = run(_call, again.eval(), batch)
        got = getattr(got, "logits", got)
        files = [path for path in folder.rglob("*") if path.is_file()]
        expect(files, "the folder is empty: nothing was saved")
        _diagnose_reloaded(got, wanted, plain, model, random_head, batch)
        size = sum(path.stat().st_size for path in files)
        frozen = 4 * sum(p.numel() for p in model.parameters() if not p.requires_grad)
        expect(
            size < frozen / 4,
            f"the folder holds {size / 1e3:,.0f} kB: the frozen weights of the base are in it too. Those are the same "
            "for every task; save what has been trained, the adapter and the head",
        )
        expect(
            _holds(files, head.weight),
            "the trained head is in no file of the folder: it came over from the model in memory. Write it down too",
        )


def _diagnose_reloaded(got, wanted, plain, model, random_head, batch):
    if _like(got, wanted):
        return
    if _like(got, plain):
        raise Wrong("nothing was loaded: these are the outputs of the fresh model")
    with torch.no_grad():
        adapted = model.base_model.model.encoder(batch["input_ids"], batch["attention_mask"])
        if _like(got, random_head(adapted.last_hidden_state.mean(1))):
            raise Wrong(
                "the adapter is there, the head is not: it is the random one that the fresh model was built with. peft "
                "saves what it made itself; a head that was unfrozen by hand is not in its list"
            )
        with model.disable_adapter():
            bare = model.base_model.model.encoder(batch["input_ids"], batch["attention_mask"])
        if _like(got, model.base_model.model.head(bare.last_hidden_state.mean(1))):
            raise Wrong(
                "the trained head is there, and the adapter is not: it sits on an encoder that has not changed. "
                "Load the adapter too, PeftModel.from_pretrained(fresh, folder)"
            )
    close(got, wanted, "the logits of the reloaded model")


def _holds(files: list[Path], wanted: torch.Tensor) -> bool:
    for path in files:
        try:
            tensors = (
                load_file(path)
                if path.suffix == ".safetensors"
                else torch.load(path, weights_only=True)
                if path.suffix in (".pt", ".bin", ".pth")
                else {}
            )
        except (SafetensorError, RuntimeError, OSError, ValueError, EOFError, ImportError):
            continue
        tensors = tensors if isinstance(tensors, dict) else {"": tensors}
        if any(isinstance(t, torch.Tensor) and torch.equal(t, wanted.detach()) for t in tensors.values()
               if getattr(t, "shape", None) == wanted.shape):  # fmt: skip
            return True
    return False


def _reload(model, folder, fresh, *, head="file", adapter=True, whole=False):
    from peft import PeftModel

    trained = model.base_model.model.head
    model.save_pretrained(folder)
    if head == "file":
        save_file(trained.state_dict(), folder / "head.safetensors")
    if whole:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "all.safetensors")
    again = PeftModel.from_pretrained(fresh, folder) if adapter else fresh
    target = (again.base_model.model if adapter else again).head
    if head == "file":
        target.load_state_dict(load_file(folder / "head.safetensors"))
    elif head == "memory":
        target.load_state_dict(copy.deepcopy(trained.state_dict()))
    return again


# --- 5.5 merging ----------------------------------------------------------------------------------------------


def _check_merge(answer):
    seed = fresh_seed()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    for bias, kind in ((True, torch.float32), (False, torch.float32), (True, torch.float64)):
        inside, outside, rank = 12, _number(generator, 6, 11), _number(generator, 2, 5)
        base = nn.Linear(inside, outside, bias=bias, dtype=kind)
        A = torch.randn(rank, inside, generator=generator).to(kind)
        B = torch.randn(outside, rank, generator=generator).to(kind)
        scale, before = 1.0 + _number(generator, 1, 9) / 4, copy.deepcopy(base)
        x = torch.randn(4, inside, generator=generator).to(kind)
        right = (before(x) + scale * (x @ A.T @ B.T)).detach()
        merged = run(answer, base, A, B, scale)
        expect(isinstance(merged, nn.Linear), "return an ordinary nn.Linear: that is the point of merging")
        expect(
            merged.weight.dtype == kind,
            f"the layer was {kind} and comes out as {merged.weight.dtype}: keep its type and device",
        )
        got = run(merged, x).detach()
        expect(
            torch.equal(base.weight, before.weight),
            "the base layer's own weight has changed: whoever goes on with the unmerged layer, or merges again, then "
            "has the difference in it twice. Write into a new layer",
        )
        _diagnose_merged(got, right, before, x, A, B, scale)
        again = run(answer, base, A, B, scale)
        close(run(again, x), right, "a second call's result")


def _diagnose_merged(got, right, base, x, A, B, scale):
    if got.shape == right.shape and torch.allclose(got, right, rtol=1e-4, atol=1e-4):
        return
    plain = base(x).detach()
    guesses = {
        "the difference is not scaled: W + scale · B A": plain + x @ A.T @ B.T,
        "the pre-trained weight is gone: the merged one is W + scale · B A, not the difference alone": right
        - F.linear(x, base.weight),
        "the layer computes what it did before: the difference has not been added": plain,
        "the bias is lost, or is the new layer's own random one: copy it over": None,
    }
    for words, guess in guesses.items():
        if guess is not None and _like(got, guess):
            raise Wrong(words)
    if base.bias is not None and float((got - right).std(dim=0).max()) < 1e-4:
        raise Wrong("the bias is lost, or is the new layer's own random one: copy it over")
    close(got, right, "the merged layer's output", rtol=1e-4, atol=1e-4)


def _merge(base, A, B, scale, *, bias=True, place=False, weight=lambda W, D: W + D):
    layer = base if place else nn.Linear(base.in_features, base.out_features, base.bias is not None)
    layer = layer.to(base.weight)
    with torch.no_grad():
        layer.weight.copy_(weight(base.weight, scale * B @ A))
        if bias and base.bias is not None:
            layer.bias.copy_(base.bias)
    return layer


EXERCISES = (
    Exercise(
        id="5.1",
        title="A LoRA layer",
        difficulty=3,
        minutes=15,
        check=_check_layer,
        hints=(
            "What has to be frozen, what has to start at zero, and what must not?",
            "In `__init__`: freeze `base`, then `self.A = nn.Parameter(…)` of shape (rank, in_features) and "
            "`self.B = nn.Parameter(torch.zeros(…))` of shape (out_features, rank). In `forward`: the base layer's "
            "output plus the difference times alpha / rank.",
            "`self.A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features ** 0.5)`, and "
            "`return self.base(x) + self.alpha / self.rank * (x @ self.A.T @ self.B.T)`.",
        ),
        wrong=(
            WrongAnswer(_BothZero, "A is zero, and so is B"),
            WrongAnswer(_BothRandom, "B does not start at zero"),
            WrongAnswer(_Thawed, "the base layer has to be frozen"),
            WrongAnswer(_Unscaled, "the difference is not scaled"),
            WrongAnswer(_Alpha, "the difference is multiplied by alpha;"),
            WrongAnswer(_Stable, "That is rsLoRA"),
            WrongAnswer(_NoBias, "bias is lost"),
            WrongAnswer(_Tensors, "is a plain tensor"),
            WrongAnswer(_Turned, "the other way round"),
            WrongAnswer(_Alone, "this is the difference alone"),
        ),
    ),
    Exercise(
        id="5.2",
        title="The honest count",
        difficulty=2,
        minutes=10,
        check=_check_count,
        hints=(
            "Do not ask a module what it is. Ask each parameter whether it trains.",
            "`p.numel()` is how many numbers a parameter holds, `p.requires_grad` whether it trains. Print "
            "`named_parameters()` once: one part of the model is there twice.",
            "`used = [p for name, p in model.named_parameters() if 'original_module' not in name]`, then one sum over "
            "those that require a gradient and one over all of them.",
        ),
        wrong=(
            WrongAnswer(_as_published, "never move. Ask each parameter"),
            WrongAnswer(
                lambda m: (sum(p.numel() for n, p in m.named_parameters() if "lora_" in n), _used(m)),
                "of the head train too",
            ),
            WrongAnswer(lambda m: (_trains(m), sum(p.numel() for p in m.parameters())), "as original_module"),
            WrongAnswer(
                lambda m: (len([p for p in m.parameters() if p.requires_grad]), _used(m)),
                "is the number of tensors",
            ),
            WrongAnswer(lambda m: (_trains(m), _used(m) - _trains(m)), "leaves out what trains"),
            WrongAnswer(lambda m: (_used(m), _used(m)), "count every parameter as trained"),
            WrongAnswer(lambda m: _trains(m) / _used(m), "return two numbers"),
        ),
    ),
    Exercise(
        id="5.3",
        title="Find it, mend it: the adapter that was forgotten",
        difficulty=3,
        minutes=12,
        check=_check_prepare,
        hints=(
            "Follow the name `encoder` from line to line. In which object does the adapter sit, and which one does the "
            "optimizer get?",
            "Classifier first, then `get_peft_model(classifier, LoraConfig(…))`, then the optimizer. And what does "
            "peft do with a head that nobody mentions?",
            '`config = LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], modules_to_save=["head"])`, '
            "`model = get_peft_model(kl.Classifier.build(encoder, labels), config)`, "
            "`torch.optim.AdamW(model.parameters(), lr=lr)`.",
        ),
        wrong=(
            WrongAnswer(_forgotten, "an encoder that the classifier never uses"),
            WrongAnswer(lambda e, n, lr: _prepare(e, n, lr, modules_to_save=None), "the head is frozen"),
            WrongAnswer(
                lambda e, n, lr: _prepare(e, n, lr, change=lambda m: m.requires_grad_(True)),
                "the frozen part still trains",
            ),
            WrongAnswer(
                lambda e, n, lr: _prepare(e, n, lr, change=lambda m: m.merge_and_unload()),
                "merge after training, not before",
            ),
            WrongAnswer(_too_early, "holds none of the adapter's matrices"),
            WrongAnswer(
                lambda e, n, lr: _prepare(
                    e, n, lr, parameters=lambda m: [p for k, p in m.named_parameters() if "lora_" in k]
                ),
                "the optimizer does not hold",
            ),
            WrongAnswer(
                lambda e, n, lr: _prepare(e, n, lr, target_modules=["query", "key"]), "sits in key, query"
            ),
            WrongAnswer(lambda e, n, lr: _prepare(e, n, lr, lora_alpha=8), "the adapter's scale is"),
            WrongAnswer(lambda e, n, lr: _prepare(e, n, lr, r=4, lora_alpha=8), "the adapter holds"),
        ),
    ),
    Exercise(
        id="5.4",
        title="Find it, mend it: the head that was not saved",
        difficulty=3,
        minutes=12,
        check=_check_save,
        hints=(
            "List what is in the folder after `save_pretrained`, and what has been trained. Which is missing?",
            "`model.base_model.model.head` is the trained head. Write its `state_dict()` beside the adapter, and read "
            "it back into the reloaded model's head.",
            '`save_file(head.state_dict(), folder / "head.safetensors")`; then '
            "`again = PeftModel.from_pretrained(fresh, folder)` and "
            '`again.base_model.model.head.load_state_dict(load_file(folder / "head.safetensors"))`.',
        ),
        wrong=(
            WrongAnswer(lambda m, d, f: _reload(m, d, f, head=None), "the adapter is there, the head is not"),
            WrongAnswer(lambda m, d, f: m, "this is the trained model itself"),
            WrongAnswer(lambda m, d, f: _reload(m, d, f, adapter=False), "and the adapter is not"),
            WrongAnswer(lambda m, d, f: _reload(m, d, f, whole=True), "the frozen weights of the base"),
            WrongAnswer(lambda m, d, f: _reload(m, d, f, head="memory"), "in no file of the folder"),
            WrongAnswer(lambda m, d, f: copy.deepcopy(m), "the folder is empty"),
            WrongAnswer(lambda m, d, f: _reload(m, d, f, head=None, adapter=False), "nothing was loaded"),
        ),
    ),
    Exercise(
        id="5.5",
        title="Merging",
        difficulty=2,
        minutes=8,
        check=_check_merge,
        hints=(
            "W x + scale · B A x: put x outside the bracket. What stands inside?",
            "Make a new `nn.Linear` as large as `base`, and copy two things into it: a weight and, if there is one, "
            "the bias.",
            "`layer.weight.copy_(base.weight + scale * B @ A)` under `torch.no_grad()`, in "
            "`nn.Linear(base.in_features, base.out_features, base.bias is not None).to(base.weight)`.",
        ),
        wrong=(
            WrongAnswer(lambda b, A, B, s: _merge(b, A, B, 1.0), "the difference is not scaled"),
            WrongAnswer(lambda b, A, B, s: _merge(b, A, B, s, place=True), "has the difference in it twice"),
            WrongAnswer(lambda b, A, B, s: _merge(b, A, B, s, bias=False), "the bias is lost"),
            WrongAnswer(
                lambda b, A, B, s: _merge(b, A, B, s, weight=lambda W, D: D), "the pre-trained weight is gone"
            ),
            WrongAnswer(lambda b, A, B, s: _merge(b, A, B, s, weight=lambda W, D: W), "has not been added"),
            WrongAnswer(lambda b, A, B, s: _merge(b.float(), A, B, s).float(), "keep its type"),
        ),
    ),
)
