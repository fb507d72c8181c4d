"""Masked-language modelling: which tokens are hidden, batches of like length, and the model's view of them.

A share of each text's tokens is chosen; of those 80 % become [MASK], 10 % a random token, 10 % stay as they are, and
the model has to name all of them (Devlin et al., 2019, *BERT*, section 3.1). The choice is *dynamic*: a text is masked
anew each time it comes (Liu et al., 2019, *RoBERTa*, section 4.1).

Chance here is a function, not a state: `uniform(seed, pass, place)` hashes where a token stands. So a text's mask does
not depend on the batch it came in, on the process that trains on it, nor on what was drawn before, and a run that was
killed goes on with the very same masks without anything having been saved.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers.modeling_outputs import MaskedLMOutput

from kolab import engine, processes, sharding
from kolab.bucket import ShardedBatchSampler, whole_number
from kolab.errors import ConfigError, DataError

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: splitmix64's step
_BIG = 2**64 - 1


def uniform(seed: int, turn: int | np.ndarray, places: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), float64, for places (…): splitmix64 (Steele, Lea and Flood, 2014) of seed, turn and place.

    >>> first, again, next_turn = (uniform(0, turn, np.array([7, 8])) for turn in (0, 0, 1))
    >>> bool((first == again).all()), bool((first == next_turn).any())
    (True, False)
    """
    start = _scramble(np.array([(seed * _GOLDEN + 1) & _BIG], dtype=np.uint64))
    start = _scramble(start ^ np.asarray(turn).astype(np.uint64))
    with np.errstate(over="ignore"):  # modulo 2**64 is meant
        mixed = _scramble(start + places.astype(np.uint64) * np.uint64(_GOLDEN))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _scramble(value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


class TokenBudgetSampler:
    """Batches of texts of like length that hold about equally many *tokens*, so that each costs the same time.

    All texts are shuffled and sorted by length (rounded up to a multiple of 4, so that chance mixes neighbours); a
    batch takes texts as long as its rectangle, width × texts, stays within `tokens`; the batches are shuffled. Sorted,
    the lengths come in the same order in every pass, so all passes have equally many batches, cut at the same places:
    only which texts meet differs. Each text comes exactly once a pass, in an order that (seed, pass) alone decide.

    Iterating gives lists of numbers: pass × texts + text. With the pass in it, a number is all that the dataset needs
    to mask a text anew each time. An epoch of the training loop is `batches` batches of the endless row of passes
    (None: one pass), for evaluations and checkpoints at any interval. `set_epoch`, `skip` and `shard` are as in
    `BucketBatchSampler`.

    >>> sampler = TokenBudgetSampler([5, 3, 8, 3, 4], 16, shuffle=False)
    >>> list(sampler), len(sampler)
    ([[1, 3, 4], [0, 2]], 2)
    """

    drop_last = False

    def __init__(
        self,
        lengths: Sequence[int],
        tokens: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        batches: int | None = None,
    ):
        self.lengths = np.asarray(lengths)
        if self.lengths.ndim != 1 or len(self.lengths) == 0:
            raise DataError("there are no texts to make batches of.")
        self.tokens = whole_number("tokens", tokens, 1)
        self.seed = whole_number("seed", seed, 0)
        self.shuffle, self.epoch, self.skip = bool(shuffle), 0, 0
        self._rounded = -(-self.lengths // 4)
        self._cuts = self._cut(np.sort(self._rounded) * 4)
        self.batches_a_pass = len(self._cuts) - 1
        self.batches = self.batches_a_pass if batches is None else whole_number("batches", batches, 1)

    def _cut(self, widths: np.ndarray) -> list[int]:
        """Where the batches begin, for widths in rising order; the last entry is the number of texts."""
        cuts, texts = [0], len(widths)
        while cuts[-1] < texts:
            start = cuts[-1]
            # (widths[stop - 1]) * (stop - start) only grows with stop: the largest that fits, and at least one text.
            most = min(texts, start + max(1, self.tokens // int(widths[start])))
            costs = widths[start:most] * np.arange(1, most - start + 1)
            cuts.append(start + max(1, int(np.searchsorted(costs, self.tokens, side="right"))))
        return cuts

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (a round of `batches` batches) that the next iteration gives."""
        self.epoch = whole_number("epoch", epoch, 0)

    def __len__(self) -> int:
        return self.batches

    def one_pass(self, number: int) -> list[np.ndarray]:
        """All batches of one pass over the texts, as arrays of text numbers."""
        count = len(self.lengths)
        random = np.random.default_rng([self.seed, number])
        order = random.permutation(count) if self.shuffle else np.arange(count)
        order = order[np.argsort(self._rounded[order], kind="stable")]  # ties keep their random order
        found = [order[a:b] for a, b in zip(self._cuts, self._cuts[1:])]
        return [found[i] for i in random.permutation(len(found))] if self.shuffle else found

    def __iter__(self) -> Iterator[list[int]]:
        skip, self.skip = self.skip, 0
        at, stop = self.epoch * self.batches + skip, (self.epoch + 1) * self.batches
        while at < stop:
            number, first = divmod(at, self.batches_a_pass)
            part = self.one_pass(number)[first : first + stop - at]
            yield from ((batch + number * len(self.lengths)).tolist() for batch in part)
            at += len(part)

    def tokens_until(self, batches: int) -> int:
        """Tokens of text (without padding) in the first `batches` batches of the row of passes."""
        passes, rest = divmod(batches, self.batches_a_pass)
        part = self.one_pass(passes)[:rest]
        return passes * int(self.lengths.sum()) + sum(int(self.lengths[batch].sum()) for batch in part)

    def shard(self, rank: int, world: int) -> ShardedBatchSampler:
        """The part of process `rank`: every `world`-th text of each batch, beginning with `rank`."""
        return ShardedBatchSampler(self, rank, world)


class TextsInTurns(torch.utils.data.Dataset):
    """Token ids of all texts in one flat array; text n in its p-th pass has the number p × texts + n.

    tokens: (total tokens,) ids. offsets: (texts + 1,) where each text starts. An item is {"input_ids", "start" (the
    place of its first token in `tokens`), "turn" (the pass)}.
    """

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray):
        self.tokens, self.offsets = tokens, offsets

    @property
    def lengths(self) -> np.ndarray:
        """(texts,) tokens of each text."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> dict[str, Any]:
        turn, text = divmod(number, len(self))
        start = int(self.offsets[text])
        return {"input_ids": self.tokens[start : self.offsets[text + 1]], "start": start, "turn": turn}


class MaskingCollator:
    """Pads texts to the longest and masks them: dynamic, 80/10/10, never a special token and never padding.

    share: which part of the ordinary tokens is chosen (BERT: 0.15; 0.20 here, see Wettig et al., 2023, *Should You
    Mask 15%*). seed: with a token's place and its text's pass, the source of chance. whole_words: choose words, not
    tokens: all tokens of an eojeol share one draw, so no piece gives its neighbour away (BERT's later releases; Cui et
    al., 2021). A word begins at a token that `tokenizer` marks with a leading space, and after a special token.

    Called with items of `TextsInTurns` it returns, for M chosen tokens in B texts of at most L tokens:
    input_ids (B, L) int64, masked; attention_mask (B, L) int64; chosen (M,) int64, where they stand in the flattened
    (B · L); labels (M,) int64, what they were. If chance picks no token of a batch, one is taken all the same (a mean
    over nothing is not a number).
    """

    def __init__(self, tokenizer, *, share: float = 0.20, seed: int = 0, whole_words: bool = False):
        if not 0.0 < share < 1.0:
            raise ConfigError(f"share is {share!r}; it has to be above 0 and below 1 (0.15 is BERT's).")
        if tokenizer.mask_token_id is None or tokenizer.pad_token_id is None:
            raise ConfigError("The tokenizer needs a [MASK] and a [PAD] token for masked-language modelling.")
        self.share, self.seed = share, whole_number("seed", seed, 0)
        self.pad, self.mask = tokenizer.pad_token_id, tokenizer.mask_token_id
        self.special = np.zeros(len(tokenizer), dtype=bool)
        self.special[tokenizer.all_special_ids] = True
        self.ordinary = np.flatnonzero(~self.special)  # what a random token is drawn from
        self.first = None
        if whole_words:
            pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
            self.first = np.array([not piece.startswith("##") for piece in pieces])
            if self.first.all():  # not WordPiece: then a word's first piece is the one with the space
                self.first = np.array([piece.startswith(("▁", "Ġ")) for piece in pieces])
            self.first |= self.special

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Tensor]:
        if not items:
            none = torch.zeros((0, 1), dtype=torch.int64)
            return {"input_ids": none, "attention_mask": none, "chosen": none[:, 0], "labels": none[:, 0]}
        sizes = np.array([len(item["input_ids"]) for item in items])
        real = np.arange(sizes.max()) < sizes[:, None]  # (B, L)
        true = np.concatenate([item["input_ids"] for item in items]).astype(np.int64)  # (all tokens,)
        masked, chosen = self.masked(true, self._chance(items))
        ids = np.full(real.shape, self.pad, dtype=np.int64)
        ids[real] = masked
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(real.astype(np.int64)),
            "chosen": torch.from_numpy(np.flatnonzero(real)[chosen]),
            "labels": torch.from_numpy(true[chosen]),
        }

    def _chance(self, items: list[dict[str, Any]]) -> np.ndarray:
        """(3, all tokens): whether chosen, what happens to it, which random token."""
        sizes = np.array([len(item["input_ids"]) for item in items])
        shift = [item["start"] for item in items] - (np.cumsum(sizes) - sizes)
        places = np.repeat(shift, sizes) + np.arange(sizes.sum())  # where each token stands in the corpus
        turns = np.repeat([item["turn"] for item in items], sizes)
        chance = uniform(self.seed, turns, 3 * places + np.arange(3)[:, None])
        if self.first is not None:
            ids = np.concatenate([item["input_ids"] for item in items]).astype(np.int64)
            # A word is drawn by the chance of its first token; the token after a special one begins a word as well.
            starts = self.first[ids] | np.concatenate([[True], self.special[ids[:-1]]])
            chance[0] = chance[0][starts][np.cumsum(starts) - 1]
        return chance

    def masked(self, true: np.ndarray, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids (n,) and chance (3, n) in [0, 1) → the ids with their masks (n,), and which were chosen, bool (n,)."""
        pick = np.where(self.special[true], 2.0, chance[0])  # 2: never chosen
        chosen = pick < self.share
        if not chosen.any() and (pick < 1.0).any():
            chosen[pick.argmin()] = True
        random = self.ordinary[(chance[2] * len(self.ordinary)).astype(np.int64)]
        masked = np.where(chance[1] < 0.8, self.mask, np.where(chance[1] < 0.9, random, true))
        return np.where(chosen, masked, true), chosen


class MaskedModel(nn.Module):
    """A BertForMaskedLM that gives logits at the chosen tokens alone: (M, V) instead of (B, L, V).

    A fifth of the tokens is chosen and the vocabulary is the widest layer of a small model, so most of the head's work
    and memory is saved (as in RoBERTa's code).
    """

    def __init__(self, language_model):
        super().__init__()
        self.language_model = language_model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, chosen: Tensor) -> MaskedLMOutput:
        """input_ids, attention_mask: (B, L). chosen: (M,) places in the flattened (B · L). logits: (M, V)."""
        model = self.language_model
        hidden = model.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return MaskedLMOutput(logits=model.cls(hidden.flatten(0, 1)[chosen]))


@torch.no_grad()
def evaluate_masked(model: nn.Module, loader: DataLoader) -> dict[str, float]:
    """Mean loss and accuracy over all chosen tokens of a loader, batch by batch: {"loss", "accuracy"}.

    No logits are kept, so memory does not grow with the data. Several processes share the batches, and all get the
    whole's result. The model is afterwards in the mode it was in. It computes in half precision where the hardware can.
    """
    rank, world = processes.joined()
    model = processes.unwrapped(model)
    device = next(model.parameters()).device
    precision = engine.resolve_precision("auto", device)
    kind = torch.float32 if device.type == "mps" else torch.float64
    sums = torch.zeros(3, dtype=kind, device=device)  # loss, right, all
    training = model.training
    model.eval()
    together = world > 1 and sharding.is_sharded(model)
    for batch in engine.shard(loader, rank, world, pad_empty=together):
        labels, empty = batch.pop("labels").to(device), batch.pop("empty", None)
        if not together and not len(labels):
            continue
        with engine.autocast(precision, device):
            logits = model(**engine.to_device(batch, device)).logits.float()
        if empty is not None:
            continue
        sums[0] += nn.functional.cross_entropy(logits, labels, reduction="sum")
        sums[1] += (logits.argmax(-1) == labels).sum()
        sums[2] += len(labels)
    model.train(training)
    if world > 1:
        torch.distributed.all_reduce(sums)
    loss, right, count = sums.tolist()
    return {"loss": loss / count, "accuracy": right / count}
