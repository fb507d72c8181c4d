"""Pre-training: masks that only chance of the right kind decides, batches by tokens, and a run that survives a kill."""

import csv
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

import kolab as kl
from kolab.cli import main
from kolab.corpus import hangul_share, held_out, read_corpus
from kolab.data import data_path
from kolab.errors import CheckpointError, ConfigError, DataError
from kolab.masking import (
    MaskedModel,
    MaskingCollator,
    TextsInTurns,
    TokenBudgetSampler,
    evaluate_masked,
    uniform,
)
from kolab.pretrain import encode, pretrain
from kolab.pretrain_config import PretrainConfig
from kolab.tokenizer_training import BYTES, SPECIAL, save_tokenizer, train_tokenizer

SHAPE = {"layers": 1, "width": 16, "heads": 2, "vocabulary": 500, "positions": 64, "max_length": 48}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    with open(data_path("emotions", "emotions.csv"), encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)][:240]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return train_tokenizer(texts, 500, max_length=64)


@pytest.fixture(scope="module")
def data(texts, tokenizer) -> TextsInTurns:
    return TextsInTurns(*encode(texts, tokenizer, 48))


@pytest.fixture(scope="module")
def corpus(texts, tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "texts.txt"
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


# ---- chance as a function


def test_uniform_is_uniform_and_depends_on_each_of_its_arguments():
    places = np.arange(100_000)
    base = uniform(0, 0, places)
    assert base.min() >= 0 and base.max() < 1
    assert np.histogram(base, 10, (0, 1))[0] == pytest.approx([10_000] * 10, rel=0.05)
    for other in (uniform(1, 0, places), uniform(0, 1, places), uniform(0, 0, places + 1), np.roll(base, 1)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.02
    assert (uniform(0, 0, places[500:600]) == base[500:600]).all()
    assert uniform(2**40, 2**33, np.array([2**50])).shape == (1,)


# ---- batches by tokens

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=300)


@given(lengths, st.integers(1, 400), st.integers(0, 3), st.booleans())
def test_each_text_comes_once_a_pass_within_the_budget(sizes, tokens, number, shuffle):
    sampler = TokenBudgetSampler(sizes, tokens, shuffle=shuffle)
    sampler.set_epoch(number)
    batches, count = list(sampler), len(sizes)
    assert sorted(n for batch in batches for n in batch) == list(range(number * count, (number + 1) * count))
    assert len(batches) == len(sampler)
    for batch in batches:
        width = max(-(-sizes[n % count] // 4) * 4 for n in batch)
        assert len(batch) == 1 or width * len(batch) <= tokens


@given(lengths, st.integers(1, 400), st.integers(1, 9), st.integers(0, 12))
def test_rounds_of_any_length_walk_through_the_same_passes(sizes, tokens, batches, skip):
    whole = TokenBudgetSampler(sizes, tokens, seed=4)
    row = []
    for number in range(3):
        whole.set_epoch(number)
        row += list(whole)
    rounds = TokenBudgetSampler(sizes, tokens, seed=4, batches=batches)
    found = []
    for epoch in range(len(row) // batches):
        rounds.set_epoch(epoch)
        part = list(rounds)
        rounds.skip = skip
        assert list(rounds) == part[skip:] and list(rounds) == part  # skip holds for one iteration
        found += part
    assert found == row[: len(found)]
    count = len(sizes)
    assert rounds.tokens_until(len(found)) == sum(sizes[n % count] for batch in found for n in batch)


@given(lengths, st.integers(1, 400), st.integers(1, 5))
def test_shards_are_slices_of_the_global_batches(sizes, tokens, world):
    whole = TokenBudgetSampler(sizes, tokens, seed=2)
    shards = [TokenBudgetSampler(sizes, tokens, seed=2).shard(rank, world) for rank in range(world)]
    for batch, *parts in zip(whole, *shards, strict=True):
        assert parts == [batch[rank::world] for rank in range(world)]


def test_passes_differ_and_the_global_random_state_is_left_alone():
    sampler, states = TokenBudgetSampler([7] * 200, 80), []
    for number in range(3):
        sampler.set_epoch(number)
        torch.manual_seed(number), np.random.seed(number)
        states.append({frozenset(n % 200 for n in batch) for batch in sampler})
    assert not states[0] & states[1] and not states[1] & states[2]
    after = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(after, torch.get_rng_state())
    with pytest.raises(DataError, match="no texts"):
        TokenBudgetSampler([], 5)
    with pytest.raises(ConfigError, match="tokens"):
        TokenBudgetSampler([3], 0)


# ---- masks


def unmasked(batch) -> np.ndarray:
    ids = batch["input_ids"].flatten().clone()
    ids[batch["chosen"]] = batch["labels"]
    return ids.reshape(batch["input_ids"].shape).numpy()


@settings(max_examples=30, deadline=None)
@given(numbers=st.lists(st.integers(0, 700), min_size=1, max_size=12), share=st.floats(0.01, 0.99))
def test_labels_are_what_stood_there_and_nothing_else_changes(data, tokenizer, numbers, share):
    batch = MaskingCollator(tokenizer, share=share)([data[n] for n in numbers])
    assert len(batch["labels"]) == len(batch["chosen"]) > 0
    found, special = unmasked(batch), set(tokenizer.all_special_ids)
    for row, mask, number in zip(found, batch["attention_mask"].numpy(), numbers, strict=True):
        true = data[number]["input_ids"]
        assert row[: len(true)].tolist() == true.tolist() and set(row[len(true) :]) <= {0}
        assert mask.tolist() == [1] * len(true) + [0] * (len(row) - len(true))
    assert not special & set(batch["labels"].tolist())
    seen = set(batch["input_ids"].flatten().tolist())
    assert seen & special <= {tokenizer.convert_tokens_to_ids(name) for name in SPECIAL if name != "[UNK]"}


def test_shares_are_80_10_10(data, tokenizer):
    collator = MaskingCollator(tokenizer, share=0.15, seed=3)
    batches = [collator([data[n] for n in range(start, start + 240)]) for start in range(0, 2400, 240)]
    masks = [batch["input_ids"].flatten()[batch["chosen"]] for batch in batches]
    shown, labels = torch.cat(masks), torch.cat([batch["labels"] for batch in batches])
    ordinary = 10 * sum(len(data[n]["input_ids"]) - 2 for n in range(240))
    assert len(labels) / ordinary == pytest.approx(0.15, rel=0.05)
    masked, kept = (shown == tokenizer.mask_token_id).float().mean(), (shown == labels).float().mean()
    assert masked == pytest.approx(0.8, abs=0.02) and kept == pytest.approx(0.1, abs=0.02)
    random = shown[(shown != tokenizer.mask_token_id) & (shown != labels)]
    assert random.min() >= len(SPECIAL) and len(random.unique()) > 100


def test_whole_words_are_chosen_whole(data, tokenizer):
    collator = MaskingCollator(tokenizer, share=0.2, whole_words=True)
    pieces = np.array(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
    several = chosen_tokens = all_tokens = 0
    for n in range(300):
        ids = data[n]["input_ids"]
        batch = collator([data[n]])
        chosen = set(batch["chosen"].tolist())
        words, previous = [], None
        for at, piece in enumerate(pieces[ids]):
            if ids[at] not in tokenizer.all_special_ids:
                new = piece.startswith("▁") or previous in tokenizer.all_special_ids
                words += [[at]] if new else []
                words[-1] += [] if new else [at]
            previous = ids[at]
        for word in words:
            assert len(chosen & set(word)) in (0, len(word)) or len(chosen) == 1, (
                n
            )  # one alone: a text without a draw
            several += len(word) > 1 and word[0] in chosen
        chosen_tokens, all_tokens = chosen_tokens + len(chosen), all_tokens + len(ids) - 2
    assert several > 50
    assert chosen_tokens / all_tokens == pytest.approx(0.2, rel=0.15)


@pytest.mark.parametrize("whole_words", [False, True])
def test_a_texts_mask_depends_on_its_pass_and_on_nothing_around_it(data, tokenizer, whole_words):
    collator = MaskingCollator(tokenizer, whole_words=whole_words)
    numbers = list(range(60))

    def of(batch_numbers):
        batch = collator([data[n] for n in batch_numbers])
        return dict(zip(batch_numbers, batch["input_ids"].tolist(), strict=True))

    whole = of(numbers)
    torch.manual_seed(5), np.random.seed(5)
    parts = of(numbers[::2]) | of(numbers[1::2])  # as two processes would have them
    for n in numbers:
        size = len(data[n]["input_ids"])
        assert whole[n][:size] == parts[n][:size]
    again = of([n + len(data) for n in numbers])
    assert sum(whole[n] != again[n + len(data)] for n in numbers) > 50


def test_an_empty_share_of_a_batch_is_no_error_and_impossible_settings_are(data, tokenizer):
    assert MaskingCollator(tokenizer)([])["labels"].shape == (0,)
    for share in (0.0, 1.0, -1, float("nan")):
        with pytest.raises(ConfigError, match="share"):
            MaskingCollator(tokenizer, share=share)
    batch = MaskingCollator(tokenizer, share=1e-9)([data[0]])
    assert len(batch["labels"]) == 1  # a mean over nothing would be no number


# ---- the model's view, and its evaluation


@pytest.fixture(scope="module")
def model(tokenizer):
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    shape = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=32, max_position_embeddings=64)  # fmt: skip
    return MaskedModel(BertForMaskedLM(shape)).eval()


def test_logits_at_the_chosen_tokens_are_those_of_the_whole(model, data, tokenizer):
    batch = MaskingCollator(tokenizer)([data[n] for n in range(9)])
    labels = batch.pop("labels")
    found = model(**batch).logits
    whole = model.language_model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert found.shape == (len(labels), len(tokenizer))
    assert torch.allclose(found, whole.flatten(0, 1)[batch["chosen"]], atol=1e-5)


def test_evaluation_is_the_mean_over_all_chosen_tokens(model, data, tokenizer):
    sampler = TokenBudgetSampler(data.lengths, 300, shuffle=False)
    loader = torch.utils.data.DataLoader(
        data, batch_sampler=sampler, collate_fn=MaskingCollator(tokenizer, seed=7)
    )
    model.train()
    found = evaluate_masked(model, loader)
    assert model.training
    model.eval()
    batch = MaskingCollator(tokenizer, seed=7)([data[n] for n in range(len(data))])
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = model(**batch).logits
    assert found["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert found["accuracy"] == pytest.approx(float((logits.argmax(-1) == labels).float().mean()))


# ---- the tokenizer


def test_every_text_comes_back_from_its_ids(tokenizer, texts, tmp_path):
    odd = ["ㅋㅋㅋ ㅠㅠ 👍🏽", "뷁뛣 漢字 Ω", "가격!!?... 2배^^"]
    for text in texts[:40] + odd:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == " ".join(text.split())
    assert len(SPECIAL) + BYTES < len(tokenizer) <= 500
    assert [tokenizer.convert_tokens_to_ids(name) for name in SPECIAL] == [0, 1, 2, 3, 4]
    save_tokenizer(tokenizer, tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(odd)["input_ids"] == tokenizer(odd)["input_ids"]
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast" and again.mask_token == "[MASK]"


def test_a_tokenizer_without_room_or_without_texts_is_refused():
    with pytest.raises(ConfigError, match="above 261"):
        train_tokenizer(["글"], 261)
    with pytest.raises(DataError, match="nothing to train on"):
        train_tokenizer(["a b c"], 500)


# ---- the corpus


def test_a_table_is_cleaned_each_text_once_and_a_tenth_stays_out(tmp_path):
    movies = [str(n) for n in range(40)]
    rows = pd.DataFrame({"movie": movies, "글": [f"영화 {n}번<br>재밌다" for n in movies]})
    rows = pd.concat([rows, rows.iloc[:5], pd.DataFrame({"movie": ["0", "1"], "글": [None, "  "]})])
    rows.to_parquet(tmp_path / "a.parquet"), rows.to_csv(tmp_path / "a.csv", index=False)
    out = [n for n in movies if held_out(n, 0)]
    assert 0 < len(out) < 12
    for name in ("a.parquet", "a.csv"):
        found, about = read_corpus(tmp_path / name, text_column="글", hold_out_column="movie")
        assert found == [f"영화 {n}번 재밌다" for n in movies if n not in out]
        assert about["rows"] == 47 and about["texts"] == 40 - len(out)
        assert about["held_out_rows"] == len(out) + sum(held_out(n, 0) for n in [*movies[:5], "0", "1"])
    assert hangul_share(["ㅋㅋ abc 12 !", "漢字가가"]) == pytest.approx(4 / 9)


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("none.txt", None, {}, "There is no file"),
        ("empty.txt", "", {}, "no text to train on: 0 rows"),
        ("blank.txt", "  \n\n", {}, "2 blank"),
        ("english.txt", "a review\nof something\n", {}, "0% of its letters are Hangul"),
        ("numbers.txt", "1 2 3\n4", {}, "does not look Korean"),
        ("old.txt", "한국어".encode()[:-1] + b"\xff", {}, "neither UTF-8 nor CP949"),
        ("a.csv", "글,수\n가,1\n", {}, "columns 글, 수; one of them has to be 'text'"),
        ("a.csv", "text,수\n가,1\n", {"hold_out_column": "movie"}, "has to be 'movie'"),
        ("a.txt", "가나다", {"hold_out_column": "movie"}, "needs a table"),
        ("a.txt", "가나다", {"hold_out_tenth": 10}, "from 0 to 9"),
        ("a.parquet", "가나다", {}, "cannot be read as parquet"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_refused_with_a_reason(tmp_path, name, content, options, says):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((DataError, ConfigError), match=says):
        read_corpus(tmp_path / name, **options)
    if name == "english.txt":
        assert len(read_corpus(tmp_path / name, any_language=True)[0]) == 2


# ---- the whole run


def config(corpus, folder, **changes) -> PretrainConfig:
    plan = {"tokens": 9000, "batch_tokens": 512, "evaluations": 3, "lr": 3e-3}
    plan |= {"precision": "fp32", "device": "cpu"}
    return PretrainConfig(corpus=str(corpus), folder=str(folder), **{**SHAPE, **plan, **changes})


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    pretrain(config(corpus, folder, half=True), progress=False)
    return folder


def history(folder) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_the_result_loads_with_plain_transformers_and_with_load_encoder(run, texts):
    folder = run / "model"
    encoder, tokenizer = kl.load_encoder(folder)
    same = {
        "attn_implementation": encoder.config._attn_implementation
    }  # equal to the last bit only with the same one
    with_head = AutoModelForMaskedLM.from_pretrained(folder, **same)
    plain = AutoModel.from_pretrained(folder, **same)
    assert plain.dtype == with_head.dtype == torch.float32 and plain.config.hidden_dropout_prob == 0.1
    padded = {"padding": True, "truncation": True, "return_tensors": "pt"}
    batch = AutoTokenizer.from_pretrained(folder)(texts[:3], **padded)
    assert batch["input_ids"].equal(tokenizer(texts[:3], **padded)["input_ids"])
    with torch.no_grad():
        hidden = [m.eval()(**batch).last_hidden_state for m in (encoder, plain, with_head.base_model)]
    assert hidden[0].equal(hidden[1]) and hidden[0].equal(hidden[2])
    for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {p.name for p in folder.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md", "SHA256SUMS",
    }  # fmt: skip


def test_the_card_and_the_history_hold_what_was_measured(run):
    rows, about = history(run), json.loads((run / "pretrain.json").read_text(encoding="utf-8"))
    assert len(rows) == 3 and rows[-1]["step"] == about["plan"]["steps"]
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"] and 0 <= rows[-1]["accuracy"] <= 1
    card = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert f"{rows[-1]['validation_loss']:.4f}" in card and f"| {rows[-1]['step']} |" in card
    seen = int(card.split(f"| {rows[-1]['step']} | ")[1].split(" |")[0].replace(",", ""))
    assert seen == pytest.approx(9000, rel=0.1)


def test_damaged_weights_are_recognised(run, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(run / "model", folder)
    path = folder / "model.safetensors"
    content = path.read_bytes()
    for damaged in (content[:-7], content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"model.safetensors is damaged: its SHA-256"):
            kl.load_encoder(folder)


def test_training_goes_on_from_given_weights(corpus, run, tmp_path):
    init = tmp_path / "init"
    shutil.copytree(run / "model", init)
    # a rate of nothing: what comes out is what went in
    folder = tmp_path / "further"
    result = pretrain(config(corpus, folder, init=str(init), lr=1e-12, half=True), progress=False)
    before, after = (load_file(f / "model.safetensors") for f in (init, result))
    assert before.keys() == after.keys() and all(before[name].equal(after[name]) for name in before)
    assert (init / "tokenizer.json").read_bytes() == (result / "tokenizer.json").read_bytes()
    assert "from the weights of init" in (result / "README.md").read_text(encoding="utf-8")
    # training on lowers the loss below where the first run ended
    further = tmp_path / "lower"
    pretrain(config(corpus, further, init=str(init)), progress=False)
    assert history(further)[-1]["validation_loss"] < history(run)[-1]["validation_loss"]


def test_first_weights_of_the_wrong_kind_are_refused(corpus, run, tmp_path):
    with pytest.raises(ConfigError, match="holds no config.json"):
        pretrain(config(corpus, tmp_path / "a", init=str(tmp_path)), progress=False)
    init = tmp_path / "init"
    shutil.copytree(run / "model", init)
    with pytest.raises(ConfigError, match=r"max_length is \d+, but .* reads \d+ tokens at most"):
        pretrain(
            config(corpus, tmp_path / "b", init=str(init), max_length=200, positions=256), progress=False
        )
    text = (init / "config.json").read_text(encoding="utf-8")
    (init / "config.json").write_text(text.replace("BertForMaskedLM", "BertModel"), encoding="utf-8")
    with pytest.raises(ConfigError, match="not a BertForMaskedLM"):
        pretrain(config(corpus, tmp_path / "c", init=str(init)), progress=False)


class Kill(Exception):
    pass


@pytest.mark.parametrize("stop_at", [4, 9])
def test_killed_and_resumed_it_ends_with_the_same_weights(corpus, run, tmp_path, monkeypatch, stop_at):
    from kolab.run import Run

    after_step = Run.after_step

    def die(self, *args):
        after_step(self, *args)
        if self.state.step == stop_at:
            raise Kill

    folder = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(Run, "after_step", die)
        with pytest.raises(Kill):
            pretrain(config(corpus, folder, half=True), progress=False)
    assert not (folder / "model").exists()
    with pytest.raises(ConfigError, match="already holds a pre-training"):
        pretrain(config(corpus, folder), progress=False)
    torch.rand(3)
    # the folder alone is enough: no setting need be given again
    pretrain(PretrainConfig(folder=str(folder)), resume=True, progress=False)
    assert history(folder) == history(run)
    weights = [(f / "model" / "model.safetensors").read_bytes() for f in (folder, run)]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_two_processes_do_what_one_does(corpus, run, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m"]
    command += ["kolab.cli", "pretrain", str(corpus), "--folder", str(tmp_path / "two")]
    for name, value in dataclasses.asdict(config(corpus, "")).items():
        if name not in ("corpus", "folder") and value is not None and not isinstance(value, bool):
            command += ["--" + name.replace("_", "-"), str(value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for ours, theirs in zip(history(tmp_path / "two"), history(run), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-4, abs=1e-6)
    assert (tmp_path / "two" / "model" / "SHA256SUMS").is_file()


def test_a_resumed_run_keeps_its_settings_and_recognises_its_files(run, corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"started with lr=0.003, not 0.1"):
        pretrain(PretrainConfig(folder=str(run), lr=0.1), resume=True)
    folder = tmp_path / "torn"
    shutil.copytree(run, folder)
    (folder / "corpus.npz").write_bytes((run / "corpus.npz").read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"SHA-256 of .*corpus.npz differs"):
        pretrain(PretrainConfig(folder=str(folder)), resume=True)
    (folder / "pretrain.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match="no whole pre-training"):
        pretrain(PretrainConfig(folder=str(folder)), resume=True)


def test_minutes_become_steps_that_a_resumed_run_shares(corpus, run, tmp_path, monkeypatch):
    from kolab import pretrain as module

    monkeypatch.setattr(module, "_trial", lambda ready: 0.05)
    folder = tmp_path / "timed"
    made = config(corpus, folder, tokens=None, minutes=0.01, tokenizer=str(run / "tokenizer"))
    pretrain(made, progress=False)
    plan = json.loads((folder / "pretrain.json").read_text(encoding="utf-8"))["plan"]
    assert plan["seconds_a_step"] == 0.05 and 8 <= plan["steps"] <= 12
    assert history(folder)[-1]["step"] == plan["steps"]
    monkeypatch.undo()
    assert 0 < module._trial(module._open(made, resume=True)) < 60


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"minutes": 1.0}, "minutes and tokens both"),
        ({"tokens": 0}, "tokens is 0"),
        ({"max_length": 65}, "max_length is 65"),
        ({"batch_tokens": 20}, "max_length is 48"),
        ({"heads": 3}, "cannot be divided"),
        ({"held_out": 1.0}, "held_out"),
        ({"share": 0.0}, "share is 0.0"),
        ({"tokenizer": "nowhere"}, "no tokenizer.json"),
    ],
)
def test_impossible_settings_are_refused(corpus, tmp_path, changes, says):
    with pytest.raises(ConfigError, match=says):
        pretrain(config(corpus, tmp_path / "run", **changes), progress=False)


def test_the_command_takes_every_setting(corpus, tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr("kolab.pretrain.pretrain", lambda made, resume: seen.append((made, resume)) or "F")
    words = [
        "--hold-out-column",
        "movie",
        "--minutes",
        "2.5",
        "--any-language",
        "--half",
        "--batch-tokens",
        "64",
    ]
    words += ["--max-length", "48"]
    assert main(["pretrain", str(corpus), *words]) == 0
    assert seen[0][0] == dataclasses.replace(
        PretrainConfig(), corpus=str(corpus), hold_out_column="movie", minutes=2.5, any_language=True, half=True,
        batch_tokens=64, max_length=48,
    )  # fmt: skip
    assert main(["pretrain", "--folder", "x", "--resume"]) == 0 and seen[1][1] is True
    monkeypatch.undo()
    assert main(["pretrain", str(tmp_path / "none.txt"), "--folder", str(tmp_path / "r")]) == 1
    assert "There is no file" in capsys.readouterr().err
    for words in (["pretrain", "--help"], ["pretrain"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == (0 if "--help" in words else 2)
