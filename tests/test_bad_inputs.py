"""Bad inputs, one table: whatever is wrong, a user gets a sentence with a cure, no exit code 0, all files as before.

Cases are command lines (run in this process) or calls as a notebook makes them. `{}` stands for the case's own folder.
"""

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import kolab as kl
from kolab import cli, fetch, hub
from kolab.batching import Collator
from kolab.errors import ConfigError, KolabError
from kolab.recipe_file import parse_recipe
from kolab.text import clean

NAMES = ["부정", "중립", "긍정"]


def record(text="좋아요", polarity="1", **more) -> dict:
    return {
        "Index": "1",
        "RawText": text,
        "GeneralPolarity": polarity,
        "Aspects": [],
        "Domain": "IT기기",
    } | more


def dump(records) -> bytes:
    return json.dumps(records).encode()


def zipped(entries) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return memory.getvalue()


GOOD = dump([record(f"글 {n}", str(n % 3 - 1)) for n in range(60)])
ONE_CLASS = dump([record(f"글 {n}") for n in range(60)])


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A folder with everything a case may spoil: an encoder, a finished run, texts."""
    folder = tmp_path_factory.mktemp("template")
    words = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "좋아요", "글"])}
    raw = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=48,
    )  # fmt: skip
    config = BertConfig(
        vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder / "encoder")
    tokenizer.save_pretrained(folder / "encoder")
    encoder, tokenizer = kl.load_encoder(folder / "encoder")
    kl.Classifier.build(encoder, NAMES, seed=0).save_pretrained(folder / "run" / "best", tokenizer=tokenizer)
    (folder / "run" / "recipe.yaml").write_text("data: {name: reviews, rows: 8}\n", encoding="utf-8")
    (folder / "reviews.csv").write_text("text\n좋아요\n", encoding="utf-8")
    return folder


@pytest.fixture
def place(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    return tmp_path / "case"


def snapshot(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(".lock")
    }  # fmt: skip


def put(name: str, content: bytes | str):
    """Writes a file of the case's folder."""

    def write(place: Path) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def weights(name: str, change):
    """Changes one tensor of a saved model, or with None drops it."""

    def write(place: Path) -> None:
        path = place / name / "model.safetensors"
        tensors = load_file(path)
        key = next(k for k in tensors if "word_embeddings" in k)
        tensors[key] = change(tensors[key]) if change else tensors[key]
        if change is None:
            del tensors[key]
        save_file(tensors, path, metadata={"format": "pt"})

    return write


def cut(name: str, share: float = 0.5):
    def write(place: Path) -> None:
        content = (place / name).read_bytes()
        (place / name).write_bytes(content[: int(len(content) * share)])

    return write


def drop(name: str):
    return lambda place: (place / name).unlink()


class Malice:
    def __reduce__(self):
        return (os.system, ("touch owned",))


AIHUB = "train --data.name aihub --data.path "
PREDICT = "predict run "
# id: (what is spoilt, command line, what the user reads)
COMMANDS = {
    # ---- data files
    "no such folder": (None, AIHUB + "nowhere", "there is no such file or folder"),
    "an empty folder": (lambda p: (p / "empty").mkdir(), AIHUB + "empty", "no .json file in this folder"),
    "a folder of archives": (put("a/x.zip", zipped({})), AIHUB + "a", "It holds archives"),
    "no JSON": (put("a.json", "RawText,1"), AIHUB + "a.json", "not valid JSON at line 1"),
    "JSON cut short": (put("a.json", GOOD[:-40]), AIHUB + "a.json", "cut-off file"),
    "an object": (put("a.json", "{}"), AIHUB + "a.json", "expected a JSON array"),
    "an empty file": (put("a.json", ""), AIHUB + "a.json", "not valid JSON"),
    "an empty array": (put("a.json", "[]"), AIHUB + "a.json", "no record"),
    "nested without end": (put("a.json", "[" * 100_000), AIHUB + "a.json", "not valid JSON"),
    "UTF-16": (put("a.json", "[]".encode("utf-16")), AIHUB + "a.json", "the file is UTF-16"),
    "CP949": (put("a.json", '["글"]'.encode("cp949")), AIHUB + "a.json", "reads as CP949"),
    "random bytes": (put("a.json", bytes(range(256))), AIHUB + "a.json", "not UTF-8"),
    "elements that are no objects": (put("a.json", "[1, null, []]"), AIHUB + "a.json", "no usable row"),
    "an archive cut short": (put("a.zip", zipped({"1.json": GOOD})[:-30]), AIHUB + "a.zip", "complete zip"),
    "an archive that is none": (put("a.zip", "PK and nothing"), AIHUB + "a.zip", "complete zip"),
    "an archive without JSON": (put("a.zip", zipped({"a.txt": "x"})), AIHUB + "a.zip", "no .json file in this archive"),
    "an entry that climbs": (put("a.zip", zipped({"../../x.json": GOOD})), AIHUB + "a.zip", "points outside"),
    "an absolute entry": (put("a.zip", zipped({"/etc/x.json": GOOD})), AIHUB + "a.zip", "points outside"),
    "an entry of another drive": (put("a.zip", zipped({"C:\\x.json": GOOD})), AIHUB + "a.zip", "points outside"),
    "one row": (put("a.json", dump([record()])), AIHUB + "a.json", "rows are too few"),
    "one class": (put("a.json", ONE_CLASS), AIHUB + "a.json", "one and the same label"),
    "a path for bundled data": (None, "train --data.path x", "reviews are bundled"),
    "aihub without a path": (None, "train --data.name aihub", "needs data.path"),
    "a corpus not fetched": (None, "train --data.name kote", "`kolab fetch kote` brings it"),
    "a folder that lacks a file": (put("k/train.tsv", ""), "train --data.name kote --data.path k", "is not in"),
    "a page instead of NSMC": (
        put("k/ratings_train.txt", "<!doctype html>"), "train --data.name nsmc --data.path k", "is not in",
    ),
    "pretraining on nothing": (None, "pretrain nowhere.txt --minutes 1", "nowhere.txt"),
    # ---- labels and texts
    "unknown labels": (put("a.json", dump([record(polarity="2")])), AIHUB + "a.json", "polarity unknown 1"),
    "labels that are numbers": (put("a.json", dump([record(polarity=1)])), AIHUB + "a.json", "polarity unknown 1"),
    "labels that are NaN": (put("a.json", dump([record(polarity=float("nan"))])), AIHUB + "a.json", "no usable row"),
    "no labels": (put("a.json", dump([{"RawText": "글"}])), AIHUB + "a.json", "polarity missing 1"),
    "texts of blanks": (put("a.json", dump([record(" \t\n")])), AIHUB + "a.json", "text blank 1"),
    "texts of NULs": (put("a.json", dump([record("\0\0")])), AIHUB + "a.json", "text blank 1"),
    "texts of half characters": (put("a.json", dump([record("\ud800")])), AIHUB + "a.json", "text blank 1"),
    "texts of direction marks": (put("a.json", dump([record("\u202e\u200f")])), AIHUB + "a.json", "text blank 1"),
    "texts that are numbers": (put("a.json", dump([record(5)])), AIHUB + "a.json", "text empty 1"),
    "contradicting labels": (put("a.json", dump([record(), record(polarity="0")])), AIHUB + "a.json", "conflicting"),
    # ---- settings
    "a negative rate": (None, "train --train.lr -1", "lr is -1.0"),
    "a rate of zero": (None, "train --train.lr 0", "lr is 0.0"),
    "an infinite rate": (None, "train --train.lr .inf", "lr is inf"),
    "a rate that is no number": (None, "train --train.lr fast", "it has to be a number"),
    "no epochs": (None, "train --train.epochs 0", "a whole number from 1"),
    "half an epoch": (None, "train --train.epochs 0.5", "it has to be a whole number"),
    "an empty batch": (None, "train --data.batch_size 0", "at least 1"),
    "a negative patience": (None, "train --train.patience -1", "above 0, or None"),
    "dropout of one": (None, "train --model.dropout 1.0", "a probability"),
    "an unknown field": (None, "train --train.epocs 3", "Did you mean 'train.epochs'"),
    "fp16 on a CPU": (None, "train --train.precision fp16 --train.device cpu", "needs a CUDA GPU"),
    "a recipe that is none": (put("r.yaml", "{"), "train --config r.yaml", "is not a YAML file"),
    "a recipe that runs code": (
        put("r.yaml", "a: !!python/object/apply:os.getcwd []"), "train --config r.yaml", "is not a YAML file",
    ),
    "a recipe of bytes": (put("r.yaml", b"\xff\xfe\0"), "train --config r.yaml", "is not a YAML file"),
    "no such recipe": (None, "train --config review_full", "There is no recipe"),
    "a folder as a recipe": (None, "train --config run", "There is no recipe"),
    # ---- encoders and weights
    "an unknown encoder": (None, "train --model.encoder kolab-maxi", "Did you mean 'kolab-mini'"),
    "an encoder nowhere": (None, "train --model.encoder ./nowhere", "give a folder that exists"),
    "a checkpoint of other labels": (None, "train --data.name emotions --model.encoder run", "not those of the check"),
    "a run without weights": (drop("run/best/model.safetensors"), PREDICT + "글", "holds no model.safetensors"),
    "weights cut short": (cut("run/best/model.safetensors"), PREDICT + "글", "damaged or cut short"),
    "weights emptied": (put("run/best/model.safetensors", b""), PREDICT + "글", "damaged or cut short"),
    "weights with NaN": (weights("run/best", lambda t: t * float("nan")), PREDICT + "글", "NaN or infinite"),
    "weights with infinities": (weights("run/best", lambda t: t / 0), PREDICT + "글", "NaN or infinite"),
    "a configuration cut short": (cut("run/best/config.json"), PREDICT + "글", "config.json"),
    "a tokenizer cut short": (cut("run/best/tokenizer.json"), PREDICT + "글", "tokenizer"),
    # ---- predict, evaluate, fetch, the rest
    "no such run": (None, "predict runs/none 글", "holds no trained model"),
    "a blank sentence": (None, PREDICT + "\u200b", "the text is empty"),
    "no such file": (None, PREDICT + "--file none.csv", "cannot be read: No such file"),
    "a folder as a file": (None, PREDICT + "--file run", "cannot be read: Is a directory"),
    "another column": (put("b.csv", "review\n글\n"), PREDICT + "--file b.csv", "one of them has to be 'text'"),
    "an empty table": (put("b.csv", ""), PREDICT + "--file b.csv", "has no columns"),
    "a table without rows": (put("b.csv", "text\n"), PREDICT + "--file b.csv", "holds no rows"),
    "a table in CP949": (put("b.csv", "text\n글\n".encode("cp949")), PREDICT + "--file b.csv", "is not UTF-8"),
    "a blank row": (put("b.csv", 'text,n\n글,1\n"",2\n'), PREDICT + "--file b.csv", "row 2 of b.csv"),
    "nowhere to write": (None, PREDICT + "글 --out none/x.csv", "Make it first"),
    "a folder to write to": (None, PREDICT + "글 --out run", "Could not write run"),
    "both texts and a file": (None, PREDICT + "글 --file reviews.csv", "either sentences or --file"),
    "no text at all": (None, "predict run", "either sentences or --file"),
    "an unknown split": (None, "evaluate run --split dev", "invalid choice"),
    "a model without a recipe": (drop("run/recipe.yaml"), "evaluate run", "recipe.yaml is missing"),
    "a damaged recipe": (put("run/recipe.yaml", "data: ["), "evaluate run", "is damaged"),
    "an unknown corpus": (None, "fetch imdb", "There is no corpus 'imdb'"),
    "no consent": (None, "fetch unsmile --folder u", "no terminal to ask on"),
    "a file that is not there": (None, "fetch nsmc --from nowhere --folder f", "There is no file"),
    "a folder under a file": (None, "fetch nsmc --folder reviews.csv/x", "cannot be written"),
    "an unknown measurement": (None, "bench loar", "Did you mean"),
    "an unknown result": (None, "results none", "none"),
    "an unknown command": (None, "predikt", "Did you mean 'predict'"),
}  # fmt: skip


@pytest.mark.parametrize("case", COMMANDS)
def test_a_bad_command_line_or_file(case, place, monkeypatch, capsys):
    spoil, words, says = COMMANDS[case]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    if spoil:
        spoil(place)
    before = snapshot(place)
    try:
        code = cli.main(words.split(" "))
    except SystemExit as usage:  # argparse
        code = usage.code
    found = capsys.readouterr()
    assert code in (1, 2), found.out
    assert says in found.err and "Traceback" not in found.err, found.err
    assert len(found.err) < 3000 and found.err.startswith(("kolab: ", "usage: "))
    after = snapshot(place)
    after = {
        name: what for name, what in after.items() if what or name in before
    }  # an empty folder is no file
    assert after == before


def loaders(**columns):
    tokenizer = kl.load_encoder("kolab-mini", pretrained=False)[1]
    return kl.make_loaders({"train": Dataset.from_dict(columns)}, tokenizer)


def pickled(place):
    (place / "encoder" / "model.safetensors").unlink()
    (place / "encoder" / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Malice()}, protocol=2))
    kl.load_encoder("encoder")


def spoilt(how, name="encoder"):
    def call(place):
        how(place)
        kl.load_encoder(name)

    return call


CALLS = {
    "a split without rows": (lambda p: loaders(text=[], label=[]), "no rows"),
    "no column text": (lambda p: loaders(review=["글"], label=[0]), "no column 'text'"),
    "a text that is none": (lambda p: loaders(text=["글", None], label=[0, 1]), "row 1: the text is None"),
    "a blank text": (lambda p: loaders(text=["글", "  "], label=[0, 1]), "row 1: the text is"),
    "a text that is a number": (lambda p: loaders(text=[1, 2], label=[0, 1]), "the text is 1"),
    "a label that is missing": (lambda p: loaders(text=["글", "글"], label=[0, None]), "label is None"),
    "a negative label": (lambda p: loaders(text=["글", "글"], label=[0, -1]), "label is -1"),
    "a label that is a word": (lambda p: loaders(text=["글"], label=["긍정"]), "label"),
    "labels of different lengths": (lambda p: loaders(text=["글", "글"], labels=[[0.0], [0.0, 1.0]]), "label"),
    "no data at all": (lambda p: kl.make_loaders({}, None), "wants a DatasetDict"),
    "more tokens than the encoder reads": (
        lambda p: kl.batching.tokenize(
            Dataset.from_dict({"text": ["글"]}), kl.load_encoder("encoder")[1], max_length=99
        ),
        "reads at most 48",
    ),
    "a pickle offered as weights": (pickled, "not opened"),
    "weights of NaN": (spoilt(weights("encoder", lambda t: t * float("nan"))), "NaN or infinite"),
    "a tensor that is missing": (spoilt(weights("encoder", None)), "lack 1 of the encoder's tensors"),
    "another vocabulary": (spoilt(weights("encoder", lambda t: t[:5].clone())), "cannot be read"),
    "weights cut short": (spoilt(cut("encoder/model.safetensors")), "cut short"),
    "a tokenizer that is none": (spoilt(put("encoder/tokenizer.json", "{}")), "cannot be read"),
    "an unknown family": (spoilt(put("encoder/config.json", '{"model_type": "bertt"}')), "cannot be read"),
    "no configuration": (spoilt(drop("encoder/config.json")), "no config.json"),
    "a file instead of a folder": (lambda p: kl.load_encoder(p / "reviews.csv"), "There is no encoder"),
    "labels twice": (lambda p: kl.Classifier.build(kl.load_encoder("encoder")[0], ["가", "가"]), "more than once"),
    "one class": (lambda p: kl.Classifier.build(kl.load_encoder("encoder")[0], ["가"]), "One class"),
    "a Hub that is offline": (lambda p: kl.load_encoder("owner/model"), "hf download owner/model"),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_a_bad_call(case, place, monkeypatch):
    call, says = CALLS[case]
    monkeypatch.setattr(hub, "SECONDS", 0.5)
    before = snapshot(place)
    with pytest.raises(KolabError) as error:
        call(place)
    assert says in str(error.value) and "\n" not in str(error.value)
    assert not (place / "owned").exists()
    assert set(snapshot(place)) - {"encoder/pytorch_model.bin"} <= set(before)


def test_the_table_is_as_long_as_it_should_be():
    assert len(COMMANDS) + len(CALLS) >= 60


# ---- what looks odd and is not refused


def test_texts_that_people_do_write_are_no_reason_to_stop(tmp_path):
    odd = ["가" * 100_000, "ﷺ" * 50, "👨\u200d👩\u200d👧", "Z̸̡͝a̷l̶g̵o̴" * 30,
           "\u202e오른쪽에서 왼쪽\u202c", "반쪽 \ud83d 이모지", "널\0문자", "\x1b[31m빨강\x07", "줄\u2028바꿈",
           "<script>alert(1)</script>", "'; DROP TABLE reviews; --"]  # fmt: skip
    rows = [record(text, str(n % 3 - 1)) for n, text in enumerate(odd)] + json.loads(GOOD)
    (tmp_path / "a.json").write_bytes(dump(rows))
    data = kl.load_aihub(tmp_path / "a.json")
    assert len(data) == len(odd) + 60
    tokenizer = kl.load_encoder("kolab-mini", pretrained=False)[1]
    batches = list(kl.make_loaders({"train": data}, tokenizer, max_length=64)["train"])
    assert max(batch["input_ids"].shape[1] for batch in batches) == 64


# ---- fuzzing, a bounded number of inputs each

BOUNDED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ENTRY = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["RawText", "GeneralPolarity", "Aspects", "Index", "Aspect", "x"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@BOUNDED
@given(
    content=st.one_of(
        st.binary(max_size=60), st.lists(JSON, max_size=6).map(lambda v: json.dumps(v).encode())
    )
)
def test_load_aihub_reads_it_or_says_why_not(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "a.json"
    path.write_bytes(content)
    try:
        data = kl.load_aihub(path)
    except KolabError as error:
        assert str(path.name) in str(error)
    else:
        assert len(data) and all(text and text == clean(text) for text in data["text"])


@BOUNDED
@given(entries=st.dictionaries(ENTRY, st.binary(max_size=30), max_size=3), end=st.integers(0, 400))
def test_load_aihub_reads_archives_or_says_why_not(tmp_path_factory, entries, end):
    path = tmp_path_factory.mktemp("fuzz") / "a.zip"
    path.write_bytes(zipped({f"{name}.json": content for name, content in entries.items()})[: end or None])
    with pytest.raises(KolabError):
        kl.load_aihub(path)
    assert [p.name for p in path.parent.iterdir()] == ["a.zip"]


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=40) | st.text("<>/&;brpltgampquot#x0123 \u200b\ud800가", max_size=40))
def test_clean_is_a_fixed_point_and_leaves_nothing_that_arrow_refuses(text):
    once = clean(text)
    assert clean(once) == once and once == once.strip()
    assert not any(ord(c) < 32 for c in once) and once.encode().decode() == once


IDS = st.lists(st.integers(0, 30_000), max_size=9)
LABEL = st.one_of(st.integers(-3, 3), st.none(), st.floats(), st.lists(st.integers(0, 1), max_size=3))


@BOUNDED
@given(
    rows=st.lists(st.tuples(IDS, LABEL), max_size=6),
    pad=st.integers(0, 5),
    multiple=st.none() | st.integers(1, 9),
)  # fmt: skip
def test_the_collator_makes_a_rectangle_or_says_why_not(rows, pad, multiple):
    examples = [{"input_ids": np.array(ids, dtype=np.int32), "label": label} for ids, label in rows]
    try:
        batch = Collator(pad, pad_to_multiple_of=multiple)(examples)
    except KolabError:
        return
    assert (
        batch["input_ids"].shape == batch["attention_mask"].shape == (len(rows), batch["input_ids"].shape[1])
    )
    assert len(batch["labels"]) == len(rows) and batch["input_ids"].dtype == torch.int64
    for number, (ids, _) in enumerate(rows):
        assert batch["input_ids"][number].tolist() == ids + [pad] * (batch["input_ids"].shape[1] - len(ids))
        assert int(batch["attention_mask"][number].sum()) == len(ids)


PLAIN = st.text(max_size=40).map(lambda text: text.encode(errors="ignore"))
YAML = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["train", "data", "loss", "epochs", "lr", "name", "kind", "betas"]) | st.text(max_size=5),
        inner, max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip


@settings(BOUNDED, max_examples=60)  # building the parser takes most of the time
@given(content=YAML.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40) | PLAIN)
def test_the_recipe_parser_gives_a_recipe_or_says_why_not(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "r.yaml"
    path.write_bytes(content)
    try:
        recipe, name = parse_recipe(["--config", str(path)])
    except KolabError as error:
        assert isinstance(error, ConfigError) and str(error)
    else:
        assert name == "r" and recipe.train.epochs >= 1


def test_every_source_of_a_download_can_be_proved_right():
    for source in fetch.SOURCES.values():
        assert source.licence and source.page.startswith("https://")
