"""Small real parts for tests of the loop: a two-layer BERT and made-up token ids, in a second instead of a minute."""

import numpy as np
import torch
from transformers import BertConfig, BertModel

from kolab.batching import BucketBatchSampler, Collator, Loaders, TokenDataset
from kolab.model import Classifier

CLASSES = 3


def model(dropout: float = 0.1, seed: int = 0, multi_label: bool = False) -> Classifier:
    """A BERT of 2 layers × 16 over 50 token ids, with a head."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return Classifier.build(BertModel(config), CLASSES, dropout=dropout, multi_label=multi_label)


class Words:
    """What the loop wants of a tokenizer: to say which texts a batch holds, and to be saved."""

    pad_token_id = 0

    def decode(self, ids, **_):
        return " ".join(f"w{int(i)}" for i in ids if i)

    def save_pretrained(self, folder):
        return ()


def dataset(count: int = 40, seed: int = 0, multi_label: bool = False) -> TokenDataset:
    """Texts of 3 to 12 ids whose label can be learned: the class is the id that comes first, modulo the classes."""
    rng = np.random.default_rng(seed)
    texts = [rng.integers(5, 50, rng.integers(3, 13)).astype(np.int32) for _ in range(count)]
    labels = np.array([int(t[0]) % CLASSES for t in texts])
    if multi_label:
        labels = (np.array([[t[0] % 2, t[1] % 2, t[2] % 2] for t in texts])).astype(np.float32)
    return TokenDataset(np.concatenate(texts), np.cumsum([0, *map(len, texts)]), labels)


def loaders(
    count: int = 40, batch_size: int = 8, seed: int = 0, validation: int = 16, multi_label: bool = False
) -> Loaders:
    """Loaders over `dataset`, as `make_loaders` gives them."""
    collator = Collator(0)

    def loader(data, shuffle):
        sampler = BucketBatchSampler(data.lengths, batch_size, shuffle=shuffle, seed=seed)
        return torch.utils.data.DataLoader(
            data, batch_sampler=sampler, collate_fn=collator, generator=torch.Generator().manual_seed(seed)
        )

    parts = {"train": loader(dataset(count, seed, multi_label), True)}
    if validation:
        parts["validation"] = loader(dataset(validation, seed + 1, multi_label), False)
    return Loaders(parts, Words(), collator)
