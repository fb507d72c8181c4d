"""What the loops train on: the bundled reviews, kolab-mini with a head of three classes, each loop's own batches."""

import contextlib
import copy
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kolab.batching import Loaders, make_loaders, tokenize
from kolab.benches.loops import ways
from kolab.data import data_path, load_reviews
from kolab.model import Classifier, load_encoder
from kolab.processes import default_device

CLASSES = 3
PUBLISHED = {"batch_size": 16, "max_length": 256}


class Task:
    """Model and batches of one way, ready for epochs that all begin with the same weights."""

    def __init__(self, way: str, reviews: int):
        self.way, self.device = way, default_device()
        self.model = (published_model() if way == "published" else _classifier()).to(self.device)
        self.loaders = loaders(way, reviews)
        self._first = copy.deepcopy(self.model.state_dict())

    def epoch(self) -> dict[str, float]:
        """Trains for one epoch, from the first weights; see `ways.run`."""
        self.model.load_state_dict(self._first)
        return ways.run(self.way, self.model, self.loaders)

    def weights(self) -> Tensor:
        """All parameters in one row, on the CPU."""
        return torch.cat([p.detach().flatten() for p in self.model.parameters()]).cpu()

    def padding(self) -> dict[str, int]:
        """How many positions an epoch's batches have, and how many of these hold a token; and the number of batches."""
        masks = [batch["attention_mask"] for batch in self.loaders["train"]]
        return {
            "batches": len(masks),
            "positions": sum(mask.numel() for mask in masks),
            "tokens": sum(int(mask.sum()) for mask in masks),
        }


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """What is said while data are read and tokenised is said once in a lesson, not by each of six processes."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def sample(reviews: int, seed: int = 0):
    """So many reviews of the training split, drawn at random: lengths as in the whole. 0: all of them."""
    train = load_reviews()["train"]
    return train.shuffle(seed=seed).select(range(min(reviews or len(train), len(train))))


def loaders(way: str, reviews: int) -> Loaders:
    """The batches of a way: what `kl.make_loaders` gives with nothing set, or those of the published loop."""
    rows = sample(reviews)
    _, tokenizer = load_encoder()
    if way != "published":
        return make_loaders({"train": rows}, tokenizer)
    from transformers import DataCollatorWithPadding

    ready = tokenize(rows, tokenizer, max_length=PUBLISHED["max_length"])
    data, collator = _AsPublished(ready, tokenizer), DataCollatorWithPadding(tokenizer)
    random = torch.Generator().manual_seed(
        0
    )  # the same order in each round, and nothing from torch's own state
    loader = DataLoader(
        data, batch_size=PUBLISHED["batch_size"], shuffle=True, num_workers=2, pin_memory=torch.cuda.is_available(),
        collate_fn=collator, generator=random,
    )  # fmt: skip
    return Loaders({"train": loader}, tokenizer, collator)


class _AsPublished(Dataset):
    """A row of lists a text, token types included."""

    def __init__(self, ready, tokenizer):
        self.rows = [
            {
                "input_ids": ids,
                "attention_mask": [1] * len(ids),
                "token_type_ids": [0] * len(ids),
                "label": int(label),
            }
            for ids, label in zip(ready["input_ids"], ready["label"], strict=True)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def _classifier() -> Classifier:
    encoder, _ = load_encoder()
    return Classifier.build(encoder, CLASSES, seed=0)


class PublishedClassifier(nn.Module):
    """[CLS], dropout, one linear layer, on an encoder as AutoModel loads it."""

    def __init__(self, encoder: nn.Module, classes: int):
        super().__init__()
        self.encoder, self.dropout = encoder, nn.Dropout(p=0.1)
        self.classifier = nn.Linear(encoder.config.hidden_size, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        outputs = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        return self.classifier(self.dropout(outputs.last_hidden_state[:, 0, :]))


def published_model() -> PublishedClassifier:
    """The published classifier with kolab-mini as its encoder; its attention is what transformers chooses."""
    from transformers import AutoModel

    from kolab.weights import no_report

    with torch.random.fork_rng(devices=[]), no_report():
        torch.manual_seed(0)
        return PublishedClassifier(AutoModel.from_pretrained(data_path("kolab-mini")), CLASSES)


def largest_difference(one: Tensor, other: Tensor) -> float:
    """The largest distance between two models' weights, number by number; inf where one is not a number."""
    distance = (one.double() - other.double()).abs().numpy()
    return float(np.nan_to_num(distance, nan=np.inf).max())
