"""Lesson 02: choosing a length, a collator, padding counted, batches of like length, and a dataset mended."""

import math
import random

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from kolab.checks import Exercise, Wrong, WrongAnswer, close, expect, fresh_seed, run, same_shape


def _tokenizer(special: bool):
    """A word-level tokenizer made on the spot; with [CLS] … [SEP] around each text, or without."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"단어{i}" for i in range(50))]
    core = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        core.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", model_max_length=10_000
    )


def _text(chance: random.Random, words: int) -> str:
    return " ".join(f"단어{chance.randrange(50)}" for _ in range(words))


# --- 2.1 coverage ---------------------------------------------------------------------------------------------


def _check_coverage(answer):
    chance = random.Random(fresh_seed())
    for special, share in ((True, 0.9), (True, 0.95), (False, 0.5), (True, 0.99)):
        tokenizer = _tokenizer(special)
        pieces = chance.sample(range(3, 600, 4), 97)  # so far apart that no two mistakes look alike
        texts = [_text(chance, n) for n in pieces]
        lengths = np.array(pieces) + 2 * special
        got = run(answer, texts, tokenizer, share)
        whole = isinstance(got, int | np.integer) and not isinstance(got, bool)
        expect(
            whole,
            f"the length should be a whole number (int), but it is {got!r}: a model takes no half tokens",
        )
        right = int(np.sort(lengths)[math.ceil(share * len(lengths)) - 1])
        if got == right:
            continue
        kept = float(np.mean(lengths <= got))
        if special and got == right - 2:
            raise Wrong(
                f"{got} keeps only {kept:.1%} whole: the tokenizer adds special tokens ([CLS] and [SEP]) to each text, "
                "and they take up room too; count the input_ids, not the pieces"
            )
        if not special and got == right + 2:
            raise Wrong(
                "you count two special tokens for every text, but this tokenizer adds none; count its input_ids"
            )
        characters = np.sort([len(text) for text in texts])
        if kept == 1 and got >= characters[math.ceil(share * len(texts)) - 2]:
            raise Wrong(
                f"{got} is the length in characters; the model counts tokens, so tokenise and count those"
            )
        if kept < share:
            raise Wrong(
                f"max_length={got} keeps only {kept:.1%} of these texts whole, and {share:.0%} were asked for: do not "
                "round down, nor interpolate between two lengths"
            )
        raise Wrong(
            f"max_length={got} keeps {kept:.1%} whole, but a shorter one, {right}, is enough for {share:.0%}"
        )


def _coverage_pieces(texts, tokenizer, share):
    lengths = np.sort([len(tokenizer.tokenize(text)) for text in texts])
    return int(lengths[math.ceil(share * len(lengths)) - 1])


def _coverage_characters(texts, tokenizer, share):
    lengths = np.sort([len(text) for text in texts])
    return int(lengths[math.ceil(share * len(lengths)) - 1])


def _coverage_quantile(texts, tokenizer, share):
    return int(np.quantile([len(ids) for ids in tokenizer(texts)["input_ids"]], share))


def _coverage_longest(texts, tokenizer, share):
    return max(len(ids) for ids in tokenizer(texts)["input_ids"])


def _coverage_plus_two(texts, tokenizer, share):
    return _coverage_pieces(texts, tokenizer, share) + 2


# --- 2.2 a collator -------------------------------------------------------------------------------------------


def _check_collate(answer):
    chance = random.Random(fresh_seed())
    for pad_id, size in ((0, 5), (1, 7), (3, 1)):
        lengths = chance.sample(range(4, 30), size)
        rows = [[2, *(chance.randrange(5, 8000) for _ in range(n - 2)), 4] for n in lengths]
        labels = [chance.randrange(3) for _ in rows]
        examples = [{"input_ids": list(row), "label": label} for row, label in zip(rows, labels)]
        batch = run(answer, examples, pad_id)
        expect(hasattr(batch, "keys"), f"return a dict, not {type(batch).__name__}")
        for name in ("input_ids", "attention_mask", "labels"):
            expect(name in batch, f"the batch has no {name!r}; it has {sorted(batch.keys())}")
            expect(isinstance(batch[name], torch.Tensor), f"{name} should be a torch.Tensor")
            expect(
                batch[name].dtype == torch.int64,
                f"{name} has the type {batch[name].dtype}; embeddings and cross-entropy want torch.int64 (torch.long)",
            )
        longest = max(lengths)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        if ids.ndim == 2 and ids.shape[1] < longest:
            raise Wrong(
                f"a text of {longest} tokens is cut to {ids.shape[1]}: the width is the longest's, not the shortest's"
            )
        if ids.ndim == 2 and ids.shape[1] > longest:
            raise Wrong(
                f"the batch is {ids.shape[1]} wide, but its longest text has {longest} tokens: pad to the longest of "
                "the batch, the rest is wasted"
            )
        same_shape(ids, (size, longest), "input_ids")
        same_shape(mask, (size, longest), "attention_mask")
        same_shape(batch["labels"], (size,), "labels", "one class number a text")
        for row, got in zip(rows, ids.tolist()):
            gap = longest - len(row)
            if got == row + [pad_id] * gap:
                continue
            if gap and got[gap:] == row:
                raise Wrong(
                    "the padding stands in front of the text; put it on the right, where this encoder learned to see it"
                )
            if got[: len(row)] == row:
                raise Wrong(
                    f"the padding is {got[-1]}, but pad_id is {pad_id}: every tokenizer has its own (KoBERT's is 1)"
                )
            raise Wrong(
                f"the ids {row[:6]}… came out as {got[:6]}…: a collator pads, it never alters a token"
            )
        close(batch["labels"], labels, "labels")
        expected = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        close(mask, expected, "attention_mask", hint="1 on each token of a text, 0 on the padding")
    trap = [{"input_ids": [2, 9, 0, 8, 4], "label": 0}, {"input_ids": [2, 4], "label": 1}]
    batch = run(answer, trap, 0)  # somebody wrote "[PAD]" into a review
    expect(
        batch["attention_mask"].tolist() == [[1] * 5, [1, 1, 0, 0, 0]],
        "the mask has a 0 inside a text: it was made by comparing the ids with pad_id, but a text may hold the padding "
        "id itself (somebody types [PAD]); make the mask from the lengths",
    )


def _collated(examples, pad_id, *, width=max, left=False, mask=None, labels=torch.int64):
    """The right collator with one thing changed; what the known wrong answers are made of."""
    rows = [example["input_ids"] for example in examples]
    size = width(len(row) for row in rows) if callable(width) else width
    rows = [row[:size] for row in rows]
    ids = [[pad_id] * (size - len(row)) + row if left else row + [pad_id] * (size - len(row)) for row in rows]
    ones = [
        [0] * (size - len(row)) + [1] * len(row) if left else [1] * len(row) + [0] * (size - len(row))
        for row in rows
    ]
    ids = torch.tensor(ids)
    return {
        "input_ids": ids,
        "attention_mask": mask(ids) if mask else torch.tensor(ones),
        "labels": torch.tensor([example["label"] for example in examples], dtype=labels),
    }


# --- 2.3 padding counted --------------------------------------------------------------------------------------


def _check_padding(answer):
    random_ = np.random.default_rng(fresh_seed())
    for count, size in ((50, 8), (33, 16), (12, 12)):
        lengths = random_.integers(3, 60, count)
        order = random_.permutation(count).tolist()
        batches = [order[i : i + size] for i in range(0, count, size)]
        got = run(answer, lengths.tolist(), batches)
        pairs = [(lengths[batch].sum(), lengths[batch].max() * len(batch)) for batch in batches]
        real, positions = (sum(column) for column in zip(*pairs))
        right = 1 - real / positions
        expect(
            isinstance(got, int | float | np.floating | np.integer),
            f"return a number from 0 to 1, not {got!r}",
        )
        if math.isclose(got, right, rel_tol=1e-6):
            continue
        mistakes = {
            real / positions: "that is the share of text; padding is the rest",
            positions / real
            - 1: "padding is divided by the tokens of the texts; divide by all positions of the batches",
            1
            - lengths.sum()
            / (lengths.max() * count): "every text is padded to the longest of all; each batch only "
            "goes up to the longest of its own batch",
        }
        if len(batches) > 1:
            mistakes[float(np.mean([1 - r / p for r, p in pairs]))] = (
                "the batches' shares are averaged as if they were equally big; a long batch has more positions than a "
                "short one: add up first, divide once"
            )
        for value, diagnosis in mistakes.items():
            if math.isclose(got, value, rel_tol=1e-6):
                raise Wrong(diagnosis)
        raise Wrong(
            f"for {len(batches)} batches of up to {size} texts you get {got:.4f}, it should be {right:.4f}"
        )
    none = run(answer, [7, 7, 7], [[0, 1], [2]])
    expect(abs(none) < 1e-9, f"texts of one length need no padding, but you count {none}")


def _padding_mean(lengths, batches):
    return float(
        np.mean([1 - sum(lengths[i] for i in b) / (max(lengths[i] for i in b) * len(b)) for b in batches])
    )


def _positions(lengths, batches):
    return sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)


# --- 2.4 batches of like length -------------------------------------------------------------------------------


def _check_bucket(answer):
    draw = np.random.default_rng(fresh_seed())
    lengths, size = (4 + draw.gamma(2.0, 14.0, 1003)).astype(int), 32

    def batches(seed, epoch):
        np.random.seed(draw.integers(2**31)), random.seed(int(draw.integers(2**31)))
        torch.manual_seed(int(draw.integers(2**31)))
        before = (np.random.get_state()[1:3], random.getstate(), torch.get_rng_state())
        got = run(answer, lengths.tolist(), size, seed, epoch)
        after = (np.random.get_state()[1:3], random.getstate(), torch.get_rng_state())
        kept = (before[0][0] == after[0][0]).all() and before[0][1] == after[0][1]
        kept = kept and before[1] == after[1] and bool((before[2] == after[2]).all())
        try:
            return [[int(i) for i in batch] for batch in got], kept
        except TypeError:
            raise Wrong("return a list of batches, and each batch as a list of indices") from None

    first, kept = batches(0, 0)
    flat = [i for batch in first for i in batch]
    expect(set(flat) <= set(range(len(lengths))), "there are indices that no text has")
    missing = len(lengths) - len(set(flat))
    if len(flat) > len(set(flat)):
        raise Wrong(
            f"{len(flat) - len(set(flat))} texts come twice and {missing} not at all: an epoch is a permutation, "
            "not a draw with replacement"
        )
    expect(
        not missing,
        f"{missing} texts are missing: the last, shorter batch belongs to the epoch, do not drop it",
    )
    expect(
        max(map(len, first)) <= size,
        f"a batch holds {max(map(len, first))} texts, more than batch_size ({size})",
    )
    full = math.ceil(len(lengths) / size)
    expect(
        len(first) == full,
        f"there are {len(first)} batches; {len(lengths)} texts fill {full}, the last one short",
    )
    expect(
        kept,
        "you draw from the global random state (np.random, random or torch without a generator of your own): then the "
        "order depends on whatever ran before, and a resumed run sees another: np.random.default_rng([seed, epoch])",
    )
    again, _ = batches(0, 0)
    expect(
        first == again,
        "called twice with the same seed and epoch, the batches differ; nothing else may decide",
    )
    epochs = [first, batches(0, 1)[0], batches(0, 2)[0]]
    expect(
        epochs[0] != epochs[1],
        "the order is the same in every epoch: let the epoch have its part in the seed",
    )
    expect(first != batches(1, 0)[0], "another seed gives the same order: let the seed have its part")
    shared = {frozenset(b) for b in epochs[0]} & {frozenset(b) for b in epochs[1]}
    expect(
        len(shared) < 0.9 * len(first),
        "the batches come in another order, but the same texts meet in each of them in every epoch: shuffle the texts "
        "before you sort by length",
    )
    waste = [1 - lengths.sum() / _positions(lengths, epoch) for epoch in epochs]
    usual = 1 - lengths.sum() / _positions(
        lengths, np.array_split(draw.permutation(len(lengths)), len(first))
    )
    expect(
        max(waste) < usual / 3,
        f"{max(waste):.0%} of the positions are padding, and random order has {usual:.0%}: put texts of like length "
        "together",
    )
    rises = [np.diff([lengths[b].mean() for b in epoch]) > 0 for epoch in epochs]
    rising = float(np.concatenate(rises).mean())
    expect(
        0.2 < rising < 0.8,
        "the batches go from short to long (or back): the model would see short texts first and long ones last; "
        "shuffle the batches as well",
    )


def _bucketed(lengths, batch_size, seed, epoch, *, pool=32, shuffle=True, drop=False, rng=None):
    """The right answer with one thing changed; what the known wrong answers are made of."""
    rng = rng or np.random.default_rng([seed, epoch])
    order, lengths = rng.permutation(len(lengths)), np.asarray(lengths)
    batches = []
    for start in range(0, len(order), pool * batch_size):
        part = order[start : start + pool * batch_size]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + batch_size].tolist() for i in range(0, len(part), batch_size)]
    if drop:
        batches = [batch for batch in batches if len(batch) == batch_size]
    return [batches[i] for i in rng.permutation(len(batches))] if shuffle else batches


def _bucket_sorted_once(lengths, batch_size, seed, epoch):
    order = np.argsort(lengths, kind="stable")
    batches = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    np.random.default_rng([seed, epoch]).shuffle(batches)
    return batches


def _bucket_random(lengths, batch_size, seed, epoch):
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    return [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]


def _bucket_replacement(lengths, batch_size, seed, epoch):
    rng = np.random.default_rng([seed, epoch])
    order = np.sort(rng.integers(len(lengths), size=len(lengths)))
    return [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]


# --- 2.5 the published dataset, mended ------------------------------------------------------------------------


class _Devices(TorchFunctionMode):
    """Notes every call that says where a tensor shall lie."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        place = args[1] if len(args) > 1 else None
        moves = function is torch.Tensor.to and isinstance(place, str | torch.device)
        self.calls += function is torch.Tensor.cuda or moves or kwargs.get("device") is not None
        return function(*args, **kwargs)


class _Counting:
    """A tokenizer that counts how often it is called."""

    def __init__(self, tokenizer):
        self.tokenizer, self.calls = tokenizer, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.tokenizer(*args, **kwargs)

    def __getattr__(self, name):
        found = getattr(self.tokenizer, name)
        if name in ("encode", "tokenize", "encode_plus", "batch_encode_plus"):
            self.calls += 1
        return found


def _check_dataset(answer):
    chance = random.Random(fresh_seed())
    plain = _tokenizer(special=True)
    texts = [_text(chance, n) for n in [*chance.sample(range(2, 40), 12), 90]]
    labels = [chance.randrange(3) for _ in texts]
    expected = plain(texts, truncation=True, max_length=64)["input_ids"]
    tokenizer = _Counting(plain)
    with _Devices() as devices:
        data = run(answer, texts, labels, tokenizer, 64)
        size = run(type(data).__len__, data)
        expect(size == len(texts), f"len(dataset) is {size}, but there are {len(texts)} texts")
        prepared = tokenizer.calls
        items = [run(type(data).__getitem__, data, i) for i in range(size)]
    expect(
        tokenizer.calls == prepared,
        "__getitem__ tokenises the text anew each time it is asked, in every epoch: do it once, in __init__",
    )
    for item, ids, label in zip(items, expected, labels):
        expect(
            hasattr(item, "keys") and "input_ids" in item, "an item should be a dict with input_ids and label"
        )
        got = [int(i) for i in item["input_ids"]] if np.ndim(item["input_ids"]) == 1 else None
        expect(got is not None, "input_ids of one text should be one-dimensional: a list of ids")
        if len(got) > 64:
            raise Wrong(f"a text of {len(got)} tokens came through; cut at max_length (truncation=True)")
        if len(got) > len(ids) and set(got[len(ids) :]) == {0}:
            raise Wrong(
                f"a text of {len(ids)} tokens is stored with {len(got)}: padding is the collator's work, which knows "
                "the batch; a dataset that pads makes every batch as wide as the limit"
            )
        expect(got == ids, f"the ids {ids[:6]}… came out as {got[:6]}…")
        key = next((k for k in ("label", "labels") if k in item), None)
        expect(key is not None, f"an item has no label, only {sorted(item.keys())}: nobody can train on that")
        expect(
            int(item[key]) == label,
            f"a label is {item[key]}, it should be {label}: does it go with the text?",
        )
    expect(
        not devices.calls,
        "the dataset says on which device its tensors lie: worker processes cannot use CUDA after a fork, and the GPU "
        "would fetch texts one by one; keep data on the CPU and move whole batches in the training loop",
    )


class _Padded:
    def __init__(self, texts, labels, tokenizer, max_length):
        self.ids = tokenizer(texts, padding="max_length", truncation=True, max_length=max_length)["input_ids"]
        self.labels = labels

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {"input_ids": self.ids[index], "label": self.labels[index]}


class _OnDevice(_Padded):
    def __init__(self, texts, labels, tokenizer, max_length):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        rows = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
        self.ids = [torch.tensor(row).to(device) for row in rows]
        self.labels = labels


class _EachTime(_Padded):
    def __init__(self, texts, labels, tokenizer, max_length):
        self.texts, self.labels, self.tokenizer, self.max_length = texts, labels, tokenizer, max_length

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        ids = self.tokenizer(self.texts[index], truncation=True, max_length=self.max_length)["input_ids"]
        return {"input_ids": ids, "label": self.labels[index]}


class _Uncut(_Padded):
    def __init__(self, texts, labels, tokenizer, max_length):
        self.ids, self.labels = tokenizer(texts)["input_ids"], labels


class _Unlabelled(_Padded):
    def __init__(self, texts, labels, tokenizer, max_length):
        self.ids = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]

    def __getitem__(self, index):
        return {"input_ids": self.ids[index]}


EXERCISES = (
    Exercise(
        id="2.1",
        title="The smallest length that is enough",
        difficulty=2,
        minutes=8,
        check=_check_coverage,
        hints=(
            "How many tokens does each text have, the special ones counted? Sort these numbers and look at them.",
            "`lengths = sorted(len(ids) for ids in tokenizer(texts)['input_ids'])`; with `n` texts, the k-th smallest "
            "length keeps k of them whole. Which k is the first with k / n ≥ share?",
            "`k = math.ceil(share * n)`, and lists count from 0: `lengths[k - 1]`.",
        ),
        wrong=(
            WrongAnswer(_coverage_pieces, "special tokens ([CLS] and [SEP])"),
            WrongAnswer(_coverage_characters, "length in characters"),
            WrongAnswer(_coverage_quantile, "do not round down"),
            WrongAnswer(_coverage_longest, "a shorter one"),
            WrongAnswer(_coverage_plus_two, "this tokenizer adds none"),
        ),
    ),
    Exercise(
        id="2.2",
        title="A collator by hand",
        difficulty=2,
        minutes=12,
        check=_check_collate,
        hints=(
            "The width is the longest text's. Everything else is a list of the right length.",
            "For each row: `row + [pad_id] * (width - len(row))` for the ids, and the same with 1 and 0 for the mask.",
            "`torch.tensor(list_of_lists)` gives int64 by itself. The labels are one flat list: "
            "`torch.tensor([e['label'] for e in examples])`.",
        ),
        wrong=(
            WrongAnswer(lambda e, p: _collated(e, 0), "but pad_id is"),
            WrongAnswer(lambda e, p: _collated(e, p, left=True), "in front of the text"),
            WrongAnswer(lambda e, p: _collated(e, p, width=128), "128 wide"),
            WrongAnswer(lambda e, p: _collated(e, p, width=min), "not the shortest's"),
            WrongAnswer(lambda e, p: _collated(e, p, mask=torch.ones_like), "0 on the padding"),
            WrongAnswer(lambda e, p: _collated(e, p, mask=lambda ids: (ids != p).long()), "from the lengths"),
            WrongAnswer(
                lambda e, p: _collated(e, p, labels=torch.float32), "labels has the type torch.float32"
            ),
        ),
    ),
    Exercise(
        id="2.3",
        title="Padding, counted",
        difficulty=2,
        minutes=8,
        check=_check_padding,
        hints=(
            "How many positions does a batch have? Its longest text's length, times the number of its texts.",
            "Add up two numbers over all batches: the positions, and the tokens that are really text.",
            "`1 - tokens / positions`, with one division at the very end.",
        ),
        wrong=(
            WrongAnswer(_padding_mean, "add up first, divide once"),
            WrongAnswer(lambda n, b: sum(n) / _positions(n, b), "the share of text"),
            WrongAnswer(lambda n, b: _positions(n, b) / sum(n) - 1, "divided by the tokens of the texts"),
            WrongAnswer(lambda n, b: 1 - sum(n) / (max(n) * len(n)), "the longest of its own batch"),
        ),
    ),
    Exercise(
        id="2.4",
        title="Batches of like length",
        difficulty=3,
        minutes=20,
        check=_check_bucket,
        hints=(
            "Three steps: shuffle the texts, sort by length, shuffle the batches. All chance comes from one generator, "
            "`np.random.default_rng([seed, epoch])`.",
            "If you sort everything, the longest texts always meet the same neighbours. Sort within pieces ('pools') "
            "of, say, 16 batches instead, and cut each sorted pool into batches.",
            "`order = rng.permutation(n)`; for each pool: `part = order[s:s + 16 * batch_size]`, "
            "`part = part[np.argsort(lengths[part], kind='stable')]`, cut it; at the end "
            "`[batches[i] for i in rng.permutation(len(batches))]`.",
        ),
        wrong=(
            WrongAnswer(_bucket_sorted_once, "the same texts meet"),
            WrongAnswer(_bucket_random, "put texts of like length together"),
            WrongAnswer(_bucket_replacement, "not a draw with replacement"),
            WrongAnswer(lambda n, b, s, e: _bucketed(n, b, s, e, drop=True), "do not drop it"),
            WrongAnswer(lambda n, b, s, e: _bucketed(n, b, s, e, shuffle=False), "from short to long"),
            WrongAnswer(lambda n, b, s, e: _bucketed(n, b, s, 0), "the same in every epoch"),
            WrongAnswer(
                lambda n, b, s, e: _bucketed(n, b, s, e, rng=np.random.mtrand._rand), "global random state"
            ),
        ),
    ),
    Exercise(
        id="2.5",
        title="Find it, mend it: the dataset that lives on the GPU",
        difficulty=2,
        minutes=12,
        check=_check_dataset,
        hints=(
            "A dataset answers two questions: how many, and what is number i. What does the published class do beyond?",
            "Tokenise all texts once in `__init__`, without `padding` and without tensors; keep the list of lists.",
            "`self.ids = tokenizer(texts, truncation=True, max_length=max_length)['input_ids']`; an item is "
            "`{'input_ids': self.ids[index], 'label': self.labels[index]}`. No `.to(device)` anywhere.",
        ),
        wrong=(
            WrongAnswer(_Padded, "padding is the collator's work"),
            WrongAnswer(_OnDevice, "worker processes cannot use CUDA"),
            WrongAnswer(_EachTime, "once, in __init__"),
            WrongAnswer(_Uncut, "cut at max_length"),
            WrongAnswer(_Unlabelled, "has no label"),
        ),
    ),
)
