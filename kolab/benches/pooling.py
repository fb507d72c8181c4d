"""Which way from token vectors to logits? [CLS], mean or attention pooling, one layer or two, over several seeds.

The claim: "a two-layer head or attention pooling beats [CLS] and one linear layer". It is measured twice, with the
encoder frozen (only pooling and head learn) and with everything fine-tuned, on the bundled reviews. Beside it stands
what a published listing really trained: the encoder alone, under a head that stays as random as it was drawn.

No epoch and no setting is picked by a score, so validation and test serve together as held-out data.
"""

import time
from collections.abc import Iterable
from itertools import chain

import pandas as pd
import torch
from torch.nn import functional as F

from kolab.batching import Loaders, make_loaders
from kolab.data import load_reviews
from kolab.metrics import macro_f1
from kolab.model import Classifier, load_encoder
from kolab.optim import make_optimizer, make_schedule, parameter_groups
from kolab.train import TrainConfig, fit, predict

SETTINGS = {  # name → (pooling, head, does the head learn?)
    "[CLS], linear": ("cls", "linear", True),
    "[CLS], two layers": ("cls", "mlp", True),
    "mean, linear": ("mean", "linear", True),
    "mean, two layers": ("mean", "mlp", True),
    "attention, linear": ("attention", "linear", True),
    "mean, linear, head left out": ("mean", "linear", False),
}
FROZEN_RATE, FROZEN_EPOCHS = 3e-3, 15


def run(
    *, quick: bool = False, seeds: int = 3, epochs: int = 4, lr: float = 4e-4
) -> tuple[pd.DataFrame, dict]:
    """Macro-F1 on the held-out reviews: one row for each encoder mode, setting and seed; and what it was made with.

    quick: a look at whether it runs, on 64 reviews with one seed and one epoch.
    seeds: how many; a seed decides the head's first weights, the dropout and the order of the batches, never
    the split. After a Ctrl-C what is whole counts.
    """
    splits = load_reviews()
    if quick:
        seeds, epochs = 1, 1
        splits = {name: part.select(range(min(64, len(part)))) for name, part in splits.items()}
    labels = list(splits["train"].features["label"].names)
    table = []
    try:
        for seed in range(seeds):
            encoder, tokenizer = load_encoder()
            loaders = make_loaders(splits, tokenizer, seed=seed)
            states = _hidden_states(encoder, loaders)
            config = TrainConfig(epochs=epochs, lr=lr, seed=seed, keep_best=False, progress=False)
            for name, (pooling, head, learns) in SETTINGS.items():
                for mode in ("frozen", "fine-tuned"):
                    if mode == "frozen" and not learns:
                        continue  # nothing would be left that learns
                    model = Classifier.build(load_encoder()[0], labels, pooling=pooling, head=head, seed=seed)
                    start = time.perf_counter()
                    frozen = mode == "frozen"
                    score = (
                        _probe(model, states, seed) if frozen else _fine_tune(model, loaders, learns, config)
                    )
                    seconds = round(time.perf_counter() - start, 1)
                    table.append(
                        {
                            "encoder": mode,
                            "setting": name,
                            "seed": seed,
                            "macro_f1": round(score, 4),
                            "seconds": seconds,
                        }
                    )
                    print(f"seed {seed}  {mode:10}  {name:28} {score:.3f}  {seconds:5.0f} s", flush=True)
    except KeyboardInterrupt:
        if not table:
            raise
        print("Stopped: what is whole counts.")
    held_out = len(splits["validation"]) + len(splits["test"])
    meta = {
        "data": f"it_reviews: {len(splits['train']):,} reviews to learn from, {held_out:,} held out",
        "encoder": "kolab-mini", "seeds": len({row["seed"] for row in table}), "epochs": epochs, "lr": lr,
        "batch_size": 32, "frozen": f"{FROZEN_EPOCHS} epochs at {FROZEN_RATE}",
    }  # fmt: skip
    return pd.DataFrame(table), meta


def _fine_tune(model: Classifier, loaders: Loaders, learns: bool, config: TrainConfig) -> float:
    for parameter in model.head.parameters():
        parameter.requires_grad_(learns)
    held_out = [loaders["validation"], loaders["test"]]
    # Evaluating after each epoch would pick nothing here: an evaluator that does nothing saves the time.
    fit(model, loaders, config, evaluator=lambda *_: {"loss": 0.0, "f1": 0.0})
    found = [predict(model, loader) for loader in held_out]
    return _score([(f.labels.tolist(), f.references.tolist()) for f in found])


def _score(pairs: Iterable[tuple[list[int], list[int]]]) -> float:
    predictions, references = zip(*pairs, strict=True)
    return macro_f1([*chain(*predictions)], [*chain(*references)])


@torch.no_grad()
def _hidden_states(encoder, loaders: Loaders) -> dict[str, list[tuple]]:
    """For each split its batches as (hidden (B, L, H), mask (B, L), labels (B,)): a frozen encoder runs only once."""
    encoder.eval()

    def of(name):
        for batch in loaders[name]:
            labels = batch.pop("labels")
            yield encoder(**batch).last_hidden_state, batch["attention_mask"], labels

    return {name: list(of(name)) for name in loaders}


def _probe(model: Classifier, states: dict[str, list[tuple]], seed: int) -> float:
    """Train pooling and head on the hidden states of a frozen encoder."""
    parts = torch.nn.ModuleList([model.pool, model.dropout, model.head])
    optimizer = make_optimizer(parameter_groups(parts, FROZEN_RATE))
    schedule = make_schedule(optimizer, "linear", 0.1, FROZEN_EPOCHS * len(states["train"]))
    generator = torch.Generator().manual_seed(seed)

    def logits(hidden, mask):
        return model.head(model.dropout(model.pool(hidden, mask)))

    torch.manual_seed(seed)
    parts.train()
    for _ in range(FROZEN_EPOCHS):
        for index in torch.randperm(len(states["train"]), generator=generator).tolist():
            hidden, mask, labels = states["train"][index]
            loss = F.cross_entropy(logits(hidden, mask), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    parts.eval()
    with torch.no_grad():
        held_out = states["validation"] + states["test"]
        return _score((logits(h, m).argmax(-1).tolist(), labels.tolist()) for h, m, labels in held_out)
