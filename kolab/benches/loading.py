"""Do loader workers and pinned memory speed up training? What a batch costs, and what a training step costs beside it.

The claims: "four workers make loading 2-3 times as fast and training a quarter shorter", and "tensors kept on the GPU
make good use of its memory". Workers can at best make loading free, so its share of a step is the most they can give.
Each time is the median over epochs, without the one in which the workers start (that one has its own column).
"""

import statistics
from collections.abc import Iterable

import pandas as pd
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from kolab.batching import BucketBatchSampler, Collator, TokenDataset, tokenize
from kolab.data import load_reviews
from kolab.measure import stopwatch
from kolab.model import Classifier, load_encoder

BATCH = 32


class TokenisedEachTime(Dataset):
    """A dataset that tokenises a text whenever it is asked for it."""

    def __init__(self, texts: list[str], labels: list[int], tokenizer):
        self.texts, self.labels, self.tokenizer = texts, labels, tokenizer

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> dict:
        ids = self.tokenizer(self.texts[index], truncation=True, max_length=128)["input_ids"]
        return {"input_ids": ids, "label": self.labels[index]}


class OnDevice(Dataset):
    """All texts padded to 128, as tensors on the device, handed out one by one: a published class's way."""

    def __init__(self, texts: list[str], labels: list[int], tokenizer, device: str):
        table = tokenizer(texts, padding="max_length", truncation=True, max_length=128, return_tensors="pt")
        self.columns = {name: table[name].to(device) for name in ("input_ids", "attention_mask")}
        self.labels = torch.tensor(labels).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict:
        item = {name: column[index].clone() for name, column in self.columns.items()}
        return item | {"labels": self.labels[index].clone()}


def run(*, quick: bool = False, epochs: int = 5) -> tuple[pd.DataFrame, dict]:
    """One row a way of loading: milliseconds a batch, and the share it would have of a training step on this device.

    quick: a look at whether it runs, on 96 reviews.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train = load_reviews()["train"]
    train = train.select(range(96)) if quick else train
    encoder, tokenizer = load_encoder()
    texts, labels = list(train["text"]), list(train["label"])
    data, collator = TokenDataset.of(tokenize(train, tokenizer)), Collator(tokenizer.pad_token_id)
    sampler = BucketBatchSampler(data.lengths, BATCH)

    def ready(**options) -> DataLoader:
        return DataLoader(data, batch_sampler=sampler, collate_fn=collator, **options)

    each_time = TokenisedEachTime(texts, labels, tokenizer)
    ways = {}
    for workers in (0, 2) if quick else (0, 1, 2, 4):
        extra = {"num_workers": workers, "persistent_workers": workers > 0}
        ways["ids ready", workers] = ready(**extra)
        ways["tokenised each time", workers] = DataLoader(
            each_time, BATCH, True, collate_fn=collator, **extra
        )
    if device == "cuda":
        ways["ids ready, pinned", 0] = ready(pin_memory=True)
        ways["ids ready, pinned", 2] = ready(pin_memory=True, num_workers=2, persistent_workers=True)
        ways["tensors on the GPU", 0] = DataLoader(OnDevice(texts, labels, tokenizer, device), BATCH, True)

    step = _step_ms(Classifier.build(encoder, 3).to(device), list(ready())[: 2 if quick else 30], device)
    rows = []
    for (way, workers), loader in ways.items():
        times = [_load_ms(loader, device, "pinned" in way) for _ in range(2 if quick else epochs)]
        middle = statistics.median(times[1:])
        rows.append({"way": way, "workers": workers, "ms a batch": round(middle, 3), "first epoch": round(times[0], 3),
                     "ms a step": round(step, 2), "share of step": round(middle / (middle + step), 4)})  # fmt: skip
        print(rows[-1], flush=True)
        loader._iterator = None  # ends the workers, which would take time from the next candidate
    meta = {
        "data": f"it_reviews, {len(train):,} reviews", "encoder": "kolab-mini, float32", "batch_size": BATCH,
        "epochs": epochs, "device": device,
        "threads": torch.get_num_threads(), "transfer": "to the GPU included" if device == "cuda" else "none",
    }  # fmt: skip
    return pd.DataFrame(rows), meta


def _load_ms(loader: DataLoader, device: str, pinned: bool) -> float:
    """Milliseconds a batch over one epoch, the way to the device included."""
    with stopwatch() as watch:
        for batch in loader:
            batch = {name: tensor.to(device, non_blocking=pinned) for name, tensor in batch.items()}
    return 1000 * watch.seconds / len(loader)


def _step_ms(model: Classifier, batches: Iterable[dict], device: str) -> float:
    """Milliseconds of a training step without loading: the median over batches that lie on the device already."""
    optimizer, times = torch.optim.AdamW(model.parameters(), lr=4e-4, fused=True), []
    model.train()
    for batch in [{name: tensor.to(device) for name, tensor in batch.items()} for batch in batches]:
        with stopwatch() as watch:
            F.cross_entropy(
                model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"]
            ).backward()
            optimizer.step()
            optimizer.zero_grad()
        times.append(1000 * watch.seconds)
    return statistics.median(times[1:])  # the first one has to find memory
