"""kolab/batching.py: each example once, in an order that (seed, epoch) alone decide, padded, never altered."""

import random

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from kolab import batching
from kolab.batching import BucketBatchSampler, Collator, make_loaders, padding_share
from kolab.errors import ConfigError, DataError

WORDS = ["화면", "배터리", "정말", "좋아요", "별로예요", "그냥", "그래요", "빨라요", "느려요", "ㅋㅋ"]
lengths = st.lists(st.integers(1, 60), min_size=1, max_size=300)
sizes = st.integers(1, 40)


@pytest.fixture(scope="module")
def tokenizer():
    """A word-level tokenizer whose padding id is 1, as KoBERT's is, so that a padding of 0 would show."""
    names = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", *WORDS]
    core = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=128, **special)


def reviews(rows: int, seed: int = 0, **columns) -> Dataset:
    chance = random.Random(seed)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(1, 30))) for _ in range(rows)]
    columns = columns or {"label": [chance.randrange(3) for _ in range(rows)]}
    return Dataset.from_dict({"text": texts, "product": ["도담 A7"] * rows} | columns)


def flat(batches) -> list[int]:
    return [index for batch in batches for index in batch]


# --- the sampler


@given(lengths, sizes, st.integers(1, 8), st.integers(0, 3), st.booleans())
def test_each_example_comes_exactly_once(sizes_, batch_size, pool, epoch, shuffle):
    sampler = BucketBatchSampler(sizes_, batch_size, pool=pool, shuffle=shuffle)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(flat(batches)) == list(range(len(sizes_)))
    assert len(batches) == len(sampler)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch_size


@given(lengths, sizes, st.integers(0, 3))
def test_order_depends_on_seed_and_epoch_alone(sizes_, batch_size, epoch):
    first, second = (BucketBatchSampler(sizes_, batch_size, seed=5) for _ in range(2))
    list(first), list(first)  # what was iterated before does not matter
    first.set_epoch(epoch), second.set_epoch(epoch)
    np.random.seed(1), random.seed(1), torch.manual_seed(1)
    before = (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist())
    order = list(first)
    np.random.rand(), random.random(), torch.rand(1)
    assert order == list(second)
    np.random.seed(1), random.seed(1), torch.manual_seed(1)
    list(second)
    assert before == (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist())


def test_epoch_and_seed_change_order_and_neighbours():
    sampler = BucketBatchSampler([7] * 500, 10)  # all alike: only chance can order them
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    epochs.append(list(BucketBatchSampler([7] * 500, 10, seed=1)))
    together = [{frozenset(batch) for batch in batches} for batches in epochs]
    for i in range(4):
        for j in range(i):
            assert not together[i] & together[j]


def test_batches_are_shuffled_and_the_short_one_is_not_always_the_longest():
    values = np.random.default_rng(0).integers(5, 60, 330)
    short, steps = [], []
    for epoch in range(20):
        sampler = BucketBatchSampler(values, 32)
        sampler.set_epoch(epoch)
        means = [values[batch].mean() for batch in sampler]
        short.append(means[-1])
        steps.append(abs(np.corrcoef(np.arange(10), means[:-1])[0, 1]))
    assert np.std(short) > 5
    assert np.mean(steps) < 0.5


def test_without_shuffle_sorted_by_length_and_with_pool_one_in_order():
    values = np.random.default_rng(0).integers(1, 9, 50)
    order = flat(BucketBatchSampler(values, 8, shuffle=False))
    assert order == np.argsort(values, kind="stable").tolist()
    assert flat(BucketBatchSampler(values, 8, shuffle=False, pool=1)) == list(range(50))
    assert flat(BucketBatchSampler(values, 8, pool=1)) != list(range(50))


@given(lengths, sizes, st.integers(1, 5))
def test_shards_are_slices_of_the_global_batches(sizes_, batch_size, world):
    sampler = BucketBatchSampler(sizes_, batch_size, seed=2)
    shards = [BucketBatchSampler(sizes_, batch_size, seed=2).shard(rank, world) for rank in range(world)]
    for epoch in range(2):
        sampler.set_epoch(epoch)
        [shard.set_epoch(epoch) for shard in shards]
        for whole, *parts in zip(sampler, *shards, strict=True):
            assert parts == [whole[rank::world] for rank in range(world)]
        assert {len(shard) for shard in shards} == {len(sampler)}


@given(lengths, sizes, st.integers(0, 12))
def test_skip_holds_for_one_iteration(sizes_, batch_size, skip):
    sampler = BucketBatchSampler(sizes_, batch_size)
    whole = list(sampler)
    sampler.skip = skip
    assert list(sampler) == whole[skip:]
    assert list(sampler) == whole
    shard = sampler.shard(0, 2)
    shard.skip = skip
    assert list(shard) == [batch[::2] for batch in whole[skip:]]
    assert sampler.skip == shard.skip == 0


@pytest.mark.parametrize("bad", [0, -1, 2.0, "32", True, None])
def test_sampler_refuses_bad_settings(bad):
    with pytest.raises(ConfigError, match="batch_size"):
        BucketBatchSampler([1, 2], bad)
    if bad != 0:
        with pytest.raises(ConfigError, match="epoch"):
            BucketBatchSampler([1, 2], 1).set_epoch(bad)
    with pytest.raises(DataError, match="no examples"):
        BucketBatchSampler([], 4)
    with pytest.raises(ConfigError, match="the last is 1"):
        BucketBatchSampler([1, 2], 1).shard(2, 2)


# --- the collator


@given(
    st.lists(st.lists(st.integers(0, 8001), min_size=1, max_size=40), min_size=1, max_size=16),
    st.sampled_from([None, 1, 8, 16]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([list, np.array, torch.tensor]),
)
def test_collator_pads_right_and_alters_nothing(rows, multiple, pad, kind):
    batch = Collator(pad, pad_to_multiple_of=multiple)([{"input_ids": kind(row), "label": 1} for row in rows])
    longest = max(map(len, rows))
    width = batch["input_ids"].shape[1]
    assert longest <= width < longest + (multiple or 1) and width % (multiple or 1) == 0
    for row, ids, mask in zip(
        rows, batch["input_ids"].tolist(), batch["attention_mask"].tolist(), strict=True
    ):
        assert ids == row + [pad] * (width - len(row))
        assert mask == [1] * len(row) + [0] * (width - len(row))
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_collator_labels():
    def batch(*labels, key="label"):
        return Collator(0)([{"input_ids": [2, 3], key: label} for label in labels])["labels"]

    assert batch(2, np.int64(0)).dtype == torch.int64
    assert batch(torch.tensor(1), torch.tensor(2)).tolist() == [1, 2]
    multi = batch([0, 1, 1], [1, 0, 0], key="labels")
    assert multi.dtype == torch.float32 and multi.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert batch(np.array([0.0, 1.0], dtype=np.float32), key="labels").shape == (1, 2)
    assert "labels" not in Collator(0)([{"input_ids": [2, 3]}])
    with pytest.raises(DataError, match="some do not"):
        batch(1, None)
    with pytest.raises(DataError, match="class number"):
        batch("긍정")
    with pytest.raises(DataError, match="differ in length"):
        batch([0, 1], [1], key="labels")


def test_collator_of_nothing_is_an_empty_batch():
    assert {name: tuple(tensor.shape) for name, tensor in Collator(0)([]).items()} == {
        "input_ids": (0, 1), "attention_mask": (0, 1), "labels": (0,)}  # fmt: skip
    with pytest.raises(ConfigError, match="padding token"):
        Collator(None)
    with pytest.raises(ConfigError, match="pad_to_multiple_of"):
        Collator(0, pad_to_multiple_of=0)


# --- tokenising and loaders


def test_tokenize_equals_the_tokenizer_row_by_row(tokenizer):
    data = reviews(70)
    tokenized = batching.tokenize(data, tokenizer, max_length=12)
    assert set(tokenized.column_names) == {"label", "input_ids", "length"}
    for row, text in zip(tokenized, data["text"], strict=True):
        assert row["input_ids"] == tokenizer(text, truncation=True, max_length=12)["input_ids"]
        assert row["length"] == len(row["input_ids"]) <= 12
    assert tokenized["label"] == data["label"]
    assert tokenized.features["label"] == data.features["label"]


def test_tokenize_keeps_class_names_and_multi_hot_and_splits(tokenizer):
    named = reviews(3, label=[0, 1, 0]).cast_column("label", ClassLabel(names=["부정", "긍정"]))
    kinds = Features({"text": Value("string"), "labels": List(Value("float32"))})
    multi = Dataset.from_dict({"text": ["ㅋㅋ"], "labels": [[0.0, 1.0]]}, features=kinds)
    both = batching.tokenize(DatasetDict(train=named, test=named), tokenizer)
    assert set(both) == {"train", "test"} and both["train"].features["label"].names == ["부정", "긍정"]
    assert make_loaders({"train": multi}, tokenizer).train.dataset[0]["label"].tolist() == [0.0, 1.0]


def test_tokenize_refuses_what_it_cannot_use(tokenizer):
    with pytest.raises(DataError, match="no column 'text'"):
        batching.tokenize(Dataset.from_dict({"review": ["ㅋㅋ"]}), tokenizer)
    with pytest.raises(DataError, match="no rows"):
        batching.tokenize(Dataset.from_dict({"text": []}), tokenizer)
    for bad in ("", "  \n", None):
        with pytest.raises(DataError, match="row 1: the text is"):
            batching.tokenize(Dataset.from_dict({"text": ["ㅋㅋ", bad]}), tokenizer)
    for bad in (2, 0, 12.0, None, True):
        with pytest.raises(ConfigError, match="max_length"):
            batching.tokenize(reviews(2), tokenizer, max_length=bad)
    with pytest.raises(ConfigError, match="at most 128"):
        batching.tokenize(reviews(2), tokenizer, max_length=129)


def test_loaders_give_every_row_once_with_its_own_label(tokenizer):
    data = DatasetDict(train=reviews(90), validation=reviews(41, 1))
    loaders = make_loaders(data, tokenizer, batch_size=16, max_length=64)
    assert (
        loaders.train is loaders["train"] and loaders.tokenizer is tokenizer and loaders.collator.pad_id == 1
    )
    for name, loader in loaders.items():
        seen = {}
        for indices, batch in zip(loader.batch_sampler, loader, strict=True):
            for index, ids, mask, label in zip(indices, *batch.values(), strict=True):
                seen[index] = (ids[mask.bool()].tolist(), int(label))
        expected = [(tokenizer(row["text"])["input_ids"], row["label"]) for row in data[name]]
        assert [seen[index] for index in range(len(expected))] == expected
    with pytest.raises(AttributeError, match="no split 'test'"):
        _ = loaders.test


def test_loaders_take_tokenised_splits_selected_rows_and_unlabelled_ones(tokenizer):
    tokenized = batching.tokenize(reviews(20), tokenizer).select([4, 2, 9])
    loader = make_loaders({"validation": tokenized}, tokenizer, bucket=False).validation
    (batch,) = loader
    assert batch["labels"].tolist() == tokenized["label"]
    assert [row["input_ids"] for row in tokenized] == [
        loader.dataset[i]["input_ids"].tolist() for i in range(3)
    ]
    (batch,) = make_loaders({"test": Dataset.from_dict({"text": WORDS})}, tokenizer).test
    assert "labels" not in batch and len(batch["input_ids"]) == len(WORDS)


def test_iterating_leaves_global_random_state_alone(tokenizer):
    loader = make_loaders({"train": reviews(50)}, tokenizer, batch_size=8).train
    before = torch.get_rng_state()
    list(loader)
    assert torch.equal(before, torch.get_rng_state())


def test_workers_give_the_same_batches(tokenizer):
    plain, helped = (
        make_loaders({"train": reviews(60)}, tokenizer, batch_size=8, workers=w).train for w in (0, 2)
    )
    for epoch in range(2):
        for loader in (plain, helped):
            loader.batch_sampler.set_epoch(epoch)
        for one, other in zip(plain, helped, strict=True):
            assert all(torch.equal(one[key], other[key]) for key in one)


def test_loaders_refuse_bad_settings_and_labels(tokenizer):
    with pytest.raises(ConfigError, match="wrap a single Dataset"):
        make_loaders(reviews(3), tokenizer)
    for settings_ in ({"batch_size": 0}, {"batch_size": 2.5}, {"workers": -1}, {"eval_batch_size": 0}):
        with pytest.raises(ConfigError, match=next(iter(settings_))):
            make_loaders({"train": reviews(3)}, tokenizer, **settings_)
    for bad in (None, -1):
        with pytest.raises(DataError, match="row 1: label is"):
            make_loaders({"train": reviews(2, label=[0, bad])}, tokenizer)
    with pytest.raises(DataError, match="no rows"):
        make_loaders({"train": batching.tokenize(reviews(3), tokenizer).select([])}, tokenizer)


def test_dataset_indexing():
    data = batching.TokenDataset(np.array([2, 7, 3, 2, 3]), np.array([0, 3, 5]))
    assert data[-1]["input_ids"].tolist() == [2, 3] and data.lengths.tolist() == [3, 2]
    with pytest.raises(IndexError):
        data[2]


def test_padding_share_counts_positions():
    masks = [torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]), torch.tensor([[1, 1]])]
    assert padding_share({"attention_mask": mask} for mask in masks) == pytest.approx(2 / 10)
    with pytest.raises(DataError):
        padding_share([])


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000))
def test_buckets_waste_less_than_random_order(seed):
    values = np.random.default_rng(seed).integers(5, 60, 640)

    def waste(pool):
        batches = BucketBatchSampler(values, 32, pool=pool, seed=seed)
        return 1 - values.sum() / sum(values[batch].max() * len(batch) for batch in batches)

    assert waste(64) < 0.08 < 0.3 < waste(1)


def test_padding_on_the_bundled_reviews_is_under_five_percent():
    import kolab as kl  # the real data and the real tokenizer, so this test needs the whole package

    _, tokenizer = kl.load_encoder("kolab-mini")
    loaders = make_loaders(kl.load_reviews(), tokenizer, batch_size=32)
    for epoch in range(3):
        loaders.train.batch_sampler.set_epoch(epoch)
        assert padding_share(loaders.train) < 0.05
    for loader in (loaders.validation, loaders.test):  # fourteen batches only, so neighbours differ more
        assert padding_share(loader) < 0.15
