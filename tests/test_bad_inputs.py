"""Bad inputs, one table: whatever is wrong, a user gets a sentence with a cure, no exit code 0, all files as before.

Cases are command lines (run in this process) or calls as a notebook makes them. `{}` stands for the case's own folder.
"""

import contextlib
import ctypes
import hashlib
import io
import json
import os
import pickle
import shutil
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import kolab as kl
from kolab import calibration, checks, cli, corpus, fetch, hub, processes
from kolab.batching import Collator
from kolab.errors import ConfigError, KolabError
from kolab.recipe_file import parse_recipe
from kolab.report import read_texts
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
    yield tmp_path / "case"
    for here, folders, _ in os.walk(
        tmp_path / "case"
    ):  # what a case has locked, so that it can be cleared away
        for name in folders:
            Path(here, name).chmod(0o755)


def snapshot(folder: Path) -> dict[str, str]:
    """Everything under a folder: each file's hash, each folder, and their permissions."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = b""
        with contextlib.suppress(PermissionError):
            content = path.read_bytes() if path.is_file() else b""
        found[path.relative_to(folder).as_posix()] = (
            f"{path.stat().st_mode:o} {hashlib.sha256(content).hexdigest()}"
        )
    return found


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


PICKLE = pickle.dumps({"x": Malice()}, protocol=2)


def locked(name: str, mode: int = 0):
    """Takes a file's or a folder's permissions away."""
    return lambda place: (place / name).chmod(mode)


def bomb(place: Path) -> None:
    """An archive of some bytes with an entry that says it holds more than a quarter of a gigabyte."""
    packed = zipped({"1.json": GOOD})
    at = packed.rindex(b"PK\x01\x02") + 24
    (place / "a.zip").write_bytes(packed[:at] + (2**28 + 1).to_bytes(4, "little") + packed[at + 4 :])


@contextlib.contextmanager
def as_anybody():
    """Without root's right to read and write what it likes, so that permissions count (Linux; nobody else has it)."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the interface, this thread
    before = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; and the same of the upper half
    assert libc.capget(header, before) == 0, os.strerror(ctypes.get_errno())
    fewer = (ctypes.c_uint32 * 6)(*before)
    fewer[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, fewer) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0, os.strerror(ctypes.get_errno())


CORPUS = "Give the folder of the unpacked corpus"
LABELLED = "Check that this is the labelled part"
UNPACK = "etch or unpack"
AGAIN = "Download it again"
REFUSED = "Do not use that file"
SAVE = "ave "  # save it, save the model, again
DENIED = "Permission denied"
AIHUB = "train --data.name aihub --data.path "
PREDICT = "predict run "
# id: (what is spoilt, command line, what the user reads of what is wrong, and of what to do)
COMMANDS = {
    # ---- data files
    "no such folder": (None, AIHUB + "nowhere", "there is no such file or folder", CORPUS),
    "an empty folder": (lambda p: (p / "empty").mkdir(), AIHUB + "empty", "no .json file in this folder", CORPUS),
    "a folder of archives": (put("a/x.zip", zipped({})), AIHUB + "a", "It holds archives", "unpack them, or give one of them"),
    "no JSON": (put("a.json", "RawText,1"), AIHUB + "a.json", "not valid JSON at line 1", UNPACK),
    "JSON cut short": (put("a.json", GOOD[:-40]), AIHUB + "a.json", "cut-off file", UNPACK),
    "an object": (put("a.json", "{}"), AIHUB + "a.json", "expected a JSON array", "Leave files that are not part of the corpus out"),
    "an empty file": (put("a.json", ""), AIHUB + "a.json", "not valid JSON", UNPACK),
    "an empty array": (put("a.json", "[]"), AIHUB + "a.json", "no record", "Give the folder or file"),
    "nested without end": (put("a.json", "[" * 100_000), AIHUB + "a.json", "not valid JSON", UNPACK),
    "UTF-16": (put("a.json", "[]".encode("utf-16")), AIHUB + "a.json", "the file is UTF-16", "Convert it: iconv -f utf-16"),
    "CP949": (put("a.json", '["글"]'.encode("cp949")), AIHUB + "a.json", "reads as CP949", "Convert it: iconv -f cp949"),
    "random bytes": (put("a.json", bytes(range(256))), AIHUB + "a.json", "not UTF-8", UNPACK),
    "elements that are no objects": (put("a.json", "[1, null, []]"), AIHUB + "a.json", "no usable row", LABELLED),
    "an archive cut short": (put("a.zip", zipped({"1.json": GOOD})[:-30]), AIHUB + "a.zip", "complete zip", AGAIN),
    "an archive that is none": (put("a.zip", "PK and nothing"), AIHUB + "a.zip", "complete zip", AGAIN),
    "an archive without JSON": (put("a.zip", zipped({"a.txt": "x"})), AIHUB + "a.zip", "no .json file in this archive", CORPUS),
    "an entry that climbs": (put("a.zip", zipped({"../../x.json": GOOD})), AIHUB + "a.zip", "points outside", REFUSED),
    "an absolute entry": (put("a.zip", zipped({"/etc/x.json": GOOD})), AIHUB + "a.zip", "points outside", REFUSED),
    "an entry of another drive": (put("a.zip", zipped({"C:\\x.json": GOOD})), AIHUB + "a.zip", "points outside", REFUSED),
    "one row": (put("a.json", dump([record()])), AIHUB + "a.json", "rows are too few", "Add rows"),
    "one class": (put("a.json", ONE_CLASS), AIHUB + "a.json", "one and the same label", "Add rows of another"),
    "a path for bundled data": (None, "train --data.path x", "reviews are bundled", "Leave it out"),
    "aihub without a path": (None, "train --data.name aihub", "needs data.path", "the folder or zip that you have downloaded"),
    "a corpus not fetched": (None, "train --data.name kote", "`kolab fetch kote` brings it", "Or give the loader a folder"),
    "a folder that lacks a file": (put("k/train.tsv", ""), "train --data.name kote --data.path k", "is not in", "`kolab fetch kote` brings it"),
    "a page instead of NSMC": (
        [put("k/ratings_train.txt", "<!doctype html>"), put("k/ratings_test.txt", "<!doctype html>")],
        "train --data.name nsmc --data.path k", "is a web page, not the data", "Fetch it again",
    ),
    "NSMC with another header": (
        [put("k/ratings_train.txt", "id\ttext\tlabel\n"), put("k/ratings_test.txt", "")],
        "train --data.name nsmc --data.path k", "line 1 is", "begins with id, document, label",
    ),
    "KOTE with a label too many": (
        [put(f"k/{name}.tsv", "1\t글\t44\n") for name in ("train", "val", "test")],
        "train --data.name kote --data.path k", "line 1 has the labels", "numbers from 0 to 43",
    ),
    "half a gigabyte in an archive": (bomb, AIHUB + "a.zip", "268,435,457 bytes", "Do not use that file"),
    "a password on an archive": (
        put("a.zip", zipped({"1.json": GOOD}).replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0")),
        AIHUB + "a.zip", "asks for a password", "Unpack it yourself",
    ),
    "pretraining on nothing": (None, "pretrain nowhere.txt --minutes 1", "nowhere.txt", "Give a text file"),
    # ---- labels and texts
    "unknown labels": (put("a.json", dump([record(polarity="2")])), AIHUB + "a.json", "polarity unknown 1", LABELLED),
    "labels that are numbers": (put("a.json", dump([record(polarity=1)])), AIHUB + "a.json", "polarity unknown 1", LABELLED),
    "labels that are NaN": (put("a.json", dump([record(polarity=float("nan"))])), AIHUB + "a.json", "no usable row", LABELLED),
    "no labels": (put("a.json", dump([{"RawText": "글"}])), AIHUB + "a.json", "polarity missing 1", LABELLED),
    "texts of blanks": (put("a.json", dump([record(" \t\n")])), AIHUB + "a.json", "text blank 1", LABELLED),
    "texts of NULs": (put("a.json", dump([record("\0\0")])), AIHUB + "a.json", "text blank 1", LABELLED),
    "texts of half characters": (put("a.json", dump([record("\ud800")])), AIHUB + "a.json", "text blank 1", LABELLED),
    "texts of direction marks": (put("a.json", dump([record("\u202e\u200f")])), AIHUB + "a.json", "text blank 1", LABELLED),
    "texts that are numbers": (put("a.json", dump([record(5)])), AIHUB + "a.json", "text empty 1", LABELLED),
    "contradicting labels": (put("a.json", dump([record(), record(polarity="0")])), AIHUB + "a.json", "conflicting", LABELLED),
    # ---- settings
    "a negative rate": (None, "train --train.lr -1", "lr is -1.0", "a finite number above 0"),
    "a rate of zero": (None, "train --train.lr 0", "lr is 0.0", "a finite number above 0"),
    "an infinite rate": (None, "train --train.lr .inf", "lr is inf", "a finite number above 0"),
    "a rate that is no number": (None, "train --train.lr fast", "train.lr is 'fast'", "it has to be a number"),
    "no epochs": (None, "train --train.epochs 0", "epochs is 0", "a whole number from 1"),
    "half an epoch": (None, "train --train.epochs 0.5", "train.epochs is '0.5'", "it has to be a whole number"),
    "an empty batch": (None, "train --data.batch_size 0", "data.batch_size is 0", "at least 1"),
    "a negative patience": (None, "train --train.patience -1", "patience is -1", "above 0, or None"),
    "dropout of one": (None, "train --model.dropout 1.0", "a probability", "at least 0, below 1"),
    "an unknown field": (None, "train --train.epocs 3", "Did you mean 'train.epochs'", "`kolab train --help` lists all"),
    "fp16 on a CPU": (None, "train --train.precision fp16 --train.device cpu", "needs a CUDA GPU", "Take precision='auto'"),
    "a recipe that is none": (put("r.yaml", "{"), "train --config r.yaml", "line 1, column 2", "Correct that place"),
    "a recipe that runs code": (
        put("r.yaml", "a: !!python/object/apply:os.getcwd []"), "train --config r.yaml", "could not determine a constructor", "Correct that place",
    ),
    "a recipe of bytes": (put("r.yaml", b"\xff\xfe\0"), "train --config r.yaml", "r.yaml is", "Save it as text"),
    "a recipe with tabs": (put("r.yaml", "train:\n\tlr: 1\n"), "train --config r.yaml", "line 2, column 1", "not with tabs"),
    "a recipe that says it twice": (
        put("r.yaml", "train: {lr: 0.1, lr: 0.2}"), "train --config r.yaml", "'lr' stands there twice", "delete one",
    ),
    "a recipe with a section twice": (
        put("r.yaml", "train: {lr: 0.1}\ntrain: {epochs: 1}"), "train --config r.yaml", "'train' stands there twice", "into one",
    ),
    "a recipe that holds itself": (put("r.yaml", "train: &a {x: *a}"), "train --config r.yaml", "holds itself", "plainly"),
    "a recipe of two documents": (put("r.yaml", "data:\n---\ndata:\n"), "train --config r.yaml", "line 2", "Correct that place"),
    "a recipe that is a list": (put("r.yaml", "[1]"), "train --config r.yaml", "not list", "has to hold fields"),
    "yes for a number": (put("r.yaml", "train: {lr: yes}"), "train --config r.yaml", "train.lr is 'true'", "a number"),
    "a word for yes": (put("r.yaml", "train: {keep_best: ja}"), "train --config r.yaml", "is 'ja'", "true or false"),
    "a date for a number": (put("r.yaml", "train: {lr: 2020-01-01}"), "train --config r.yaml", "'2020-01-01'", "a number"),
    "a seed below zero": (None, "train --train.seed -1", "seed is -1", "a whole number from 0"),
    "a seed beyond 64 bits": (None, "train --train.seed 99999999999999999999", "seed is 99999999999999999999", "a whole number from 0"),
    "a recipe that names no file": (
        put("r.yaml", "data: {name: aihub, path: none.zip}"), "train --config r.yaml", "none.zip: there is no such", CORPUS,
    ),
    "no such recipe": (None, "train --config review_full", "There is no recipe", "Did you mean 'reviews_full.yaml'"),
    "a folder as a recipe": (None, "train --config run", "There is no recipe", "The course has"),
    # ---- encoders and weights
    "an unknown encoder": (None, "train --model.encoder kolab-maxi", "no encoder 'kolab-maxi'", "Did you mean 'kolab-mini'"),
    "an encoder nowhere": (None, "train --model.encoder ./nowhere", "no encoder './nowhere'", "give a folder that exists"),
    "a checkpoint of other labels": (None, "train --data.name emotions --model.encoder run", "not those of the check", "Train from an encoder"),
    "a run without weights": (drop("run/best/model.safetensors"), PREDICT + "글", "holds no model.safetensors", SAVE),
    "weights cut short": (cut("run/best/model.safetensors"), PREDICT + "글", "damaged or cut short", SAVE),
    "weights emptied": (put("run/best/model.safetensors", b""), PREDICT + "글", "damaged or cut short", SAVE),
    "weights with NaN": (weights("run/best", lambda t: t * float("nan")), PREDICT + "글", "NaN or infinite", "take an earlier checkpoint"),
    "weights with infinities": (weights("run/best", lambda t: t / 0), PREDICT + "글", "NaN or infinite", "take an earlier checkpoint"),
    "a configuration cut short": (cut("run/best/config.json"), PREDICT + "글", "config.json", SAVE),
    "a tokenizer cut short": (cut("run/best/tokenizer.json"), PREDICT + "글", "tokenizer", SAVE),
    # ---- predict, evaluate, fetch, the rest
    "a run without a tokenizer": (
        [drop("run/best/tokenizer.json"), drop("run/best/tokenizer_config.json")], PREDICT + "글", "holds no tokenizer.json", SAVE,
    ),
    "a tokenizer of another model": (
        lambda p: shutil.copy(kl.data.DATA / "kolab-mini" / "tokenizer.json", p / "run/best"), PREDICT + "글",
        "the tokenizer has 8,001 tokens, the model 7", SAVE,
    ),
    "a run that lacks a tensor": (weights("run/best", None), PREDICT + "글", "lacks 1 of the model's tensors", SAVE),
    "a run with a tensor of another size": (weights("run/best", lambda t: t[:5].clone()), PREDICT + "글", "of other sizes", SAVE),
    "a run with a pickle for weights": (put("run/best/model.safetensors", PICKLE), PREDICT + "글", "damaged or cut short", SAVE),
    "a run with only a pickle": (
        [drop("run/best/model.safetensors"), put("run/best/pytorch_model.bin", PICKLE)], PREDICT + "글", "they can run code", SAVE,
    ),
    "a pickle for an encoder": (
        [drop("encoder/model.safetensors"), put("encoder/pytorch_model.bin", PICKLE)],
        "train --model.encoder encoder --data.name emotions", "a pickled file can run code", "safetensors",
    ),
    "an encoder for a run": (None, "predict encoder 글", "an encoder, but no classifier", "Give the folder that `kolab train`"),
    "a file for a run": (None, "predict reviews.csv 글", "holds no trained model", "Give the folder that `kolab train`"),
    "a name without end": (None, f"predict {'a' * 5000} 글", "File name too long", "Give another folder"),
    "a configuration that is a list": (put("run/best/config.json", "[]"), PREDICT + "글", "no trained model", "Give the folder"),
    "a configuration without labels": (
        put("run/best/config.json", '{"model_type": "kolab-classifier"}'), PREDICT + "글", "run/best", SAVE,
    ),
    "no such run": (None, "predict runs/none 글", "holds no trained model", "Give the folder that `kolab train`"),
    "a blank sentence": (None, PREDICT + "\u200b", "the text is empty", "take it out"),
    "no such file": (None, PREDICT + "--file none.csv", "cannot be read: No such file", "Check the path"),
    "a folder as a file": (None, PREDICT + "--file run", "run is a folder", "Give a file that lies in it"),
    "another column": (put("b.csv", "review\n글\n"), PREDICT + "--file b.csv", "one of them has to be 'text'", "Rename the one"),
    "an empty table": (put("b.csv", ""), PREDICT + "--file b.csv", "has no columns", "Rename the one"),
    "a table without rows": (put("b.csv", "text\n"), PREDICT + "--file b.csv", "holds no rows", "Check that it is the right file"),
    "a table that is no text": (put("b.csv", b"text\n\x80\xff\n"), PREDICT + "--file b.csv", "neither UTF-8 nor CP949", "'CSV UTF-8'"),
    "UTF-16 without a mark": (put("b.csv", "text\n글\n".encode("utf-16-le")), PREDICT + "--file b.csv", "UTF-16 without", "'CSV UTF-8'"),
    "an Excel workbook": (put("b.xlsx", zipped({"x.xml": b""})), PREDICT + "--file b.xlsx", "an Excel workbook", "'CSV UTF-8'"),
    "a workbook that is called CSV": (put("b.csv", zipped({"x.xml": b""})), PREDICT + "--file b.csv", "an Excel workbook", "'CSV UTF-8'"),
    "a parquet table": (put("b.parquet", b"PAR1...PAR1"), PREDICT + "--file b.parquet", "a parquet table", "Save it as text"),
    "JSON lines": (put("b.jsonl", '{"text": "글"}\n{"text": '), PREDICT + "--file b.jsonl", "JSON is not read here", "Give a CSV file"),
    "the column twice": (put("b.csv", "text,text\n글,1\n"), PREDICT + "--file b.csv", "several columns 'text'", "keep one"),
    "a comma without quotes": (put("b.csv", "text\n싸요, 정말\n"), PREDICT + "--file b.csv", "line 2 has 2 cells", "stand in quotes"),
    "a quote without end": (put("b.csv", 'text\n"글\n좋아요\n'), PREDICT + "--file b.csv", "never closed", "Close it"),
    "the input as output": (None, PREDICT + "--file reviews.csv --out reviews.csv", "would be overwritten", "another name"),
    "a blank row": (put("b.csv", 'text,n\n글,1\n"",2\n'), PREDICT + "--file b.csv", "row 2 of b.csv", "take it out"),
    "nowhere to write": (None, PREDICT + "글 --out none/x.csv", "there is no folder none", "Make it first"),
    "a folder to write to": (None, PREDICT + "글 --out run", "Could not write run", "give a folder that can be written to"),
    "both texts and a file": (None, PREDICT + "글 --file reviews.csv", "usage: kolab predict", "either sentences or --file"),
    "no text at all": (None, "predict run", "usage: kolab predict", "either sentences or --file"),
    "an unknown split": (None, "evaluate run --split dev", "invalid choice", "(choose from"),
    "a model without a recipe": (drop("run/recipe.yaml"), "evaluate run", "recipe.yaml is missing", "Give such a run's folder"),
    "a damaged recipe": (put("run/recipe.yaml", "data: ["), "evaluate run", "is damaged", "Put it right"),
    # ---- without permission
    "a corpus that may not be read": ([put("a/1.json", GOOD), locked("a/1.json")], AIHUB + "a", DENIED, "permissions"),
    "a folder that may not be entered": ([put("a/1.json", GOOD), locked("a")], AIHUB + "a", DENIED, "permissions"),
    "a part that may not be entered": (
        [put("a/1.json", GOOD), put("a/b/2.json", GOOD), locked("a/b")], AIHUB + "a", "a/b: cannot be read", "permissions",
    ),
    "an archive that may not be read": ([put("a.zip", zipped({"1.json": GOOD})), locked("a.zip")], AIHUB + "a.zip", DENIED, "permissions"),
    "texts that may not be read": (locked("reviews.csv"), PREDICT + "--file reviews.csv", DENIED, "Check the path"),
    "a run that may not be entered": (locked("run"), PREDICT + "글", DENIED, "Give another folder"),
    "weights that may not be read": (locked("run/best/model.safetensors"), PREDICT + "글", "model.safetensors", SAVE),
    "a recipe that may not be read": ([put("r.yaml", ""), locked("r.yaml")], "train --config r.yaml", DENIED, "Check the path"),
    "a run's recipe that may not be read": (locked("run/recipe.yaml"), "evaluate run", DENIED, "Put it right"),
    "an answer that may not be written": (
        [put("out/x", ""), locked("out", 0o555)], PREDICT + "글 --out out/x.csv", "Could not write out/x.csv", "give a folder that can be written to",
    ),
    "a download that may not be written": (
        [put("out/x", ""), locked("out", 0o555)], "fetch kote --folder out/kote", "cannot be written", "give --folder",
    ),
    "pretraining on what may not be read": (locked("reviews.csv"), "pretrain reviews.csv --minutes 1", DENIED, "Check the path"),
    "an unknown corpus": (None, "fetch imdb", "There is no corpus 'imdb'", "There is: `kolab fetch nsmc`"),
    "no consent": (None, "fetch unsmile --folder u", "no terminal to ask on", "Where you agree: `kolab fetch unsmile --yes`"),
    "a file that is not there": (None, "fetch nsmc --from nowhere --folder f", "There is no file", "--from takes"),
    "a folder under a file": (None, "fetch nsmc --folder reviews.csv/x", "cannot be written", "Free space, or give --folder"),
    "an unknown measurement": (None, "bench loar", "Did you mean", "There are:"),
    "an unknown result": (None, "results none", "no measurement 'none'", "There is:"),
    "an unknown command": (None, "predikt", "Did you mean 'predict'", "usage: kolab COMMAND"),
}  # fmt: skip


@pytest.mark.parametrize("case", COMMANDS)
def test_a_bad_command_line_or_file(case, place, monkeypatch, capfd):
    """Exit code 1 or 2, one explanation with its cure and nothing else on stderr, every file as it was."""
    spoil, words, says, cure = COMMANDS[case]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for step in spoil if isinstance(spoil, list) else [spoil] if spoil else []:
        step(place)
    before = snapshot(place)
    capfd.readouterr()
    try:
        with as_anybody():
            code = cli.main(words.split(" "))
    except SystemExit as usage:  # argparse
        code = usage.code
    found = capfd.readouterr()
    assert code in (1, 2), found.out
    assert found.err.startswith(("kolab: ", "usage: ")) and "Traceback" not in found.err, found.err
    assert says in found.err, found.err
    assert cure in found.err.split(says, 1)[1] + found.err.split(says, 1)[0], found.err
    assert len(found.err) < 3000
    assert snapshot(place) == before


def loaders(**columns):
    tokenizer = kl.load_encoder("kolab-mini", pretrained=False)[1]
    return kl.make_loaders({"train": Dataset.from_dict(columns)}, tokenizer)


def a_pickle_alone(place: Path) -> None:
    (place / "encoder" / "model.safetensors").unlink()
    (place / "encoder" / "pytorch_model.bin").write_bytes(PICKLE)


def ready(**columns):
    """Loaders over rows that are right, or over the ones given."""
    columns = columns or {"text": ["글", "좋아요", "별로", "음"], "label": [0, 1, 2, 1]}
    return loaders(**columns)


def classifier(words: int | None = None):
    """A real, small one: over the bundled tokenizer's words, or so many."""
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    words = words or len(kl.load_encoder("kolab-mini", pretrained=False)[1])
    return kl.Classifier.build(BertModel(BertConfig(vocab_size=words, **shape)), NAMES, seed=0)


def config(**settings):
    return kl.TrainConfig(**({"progress": False, "precision": "fp32"} | settings))


def encoder():
    return kl.load_encoder("encoder")[0]


def words():
    return kl.load_encoder("encoder")[1]


TABLE = {"text": ["글", "나", "다", "라"], "label": [0, 1, 0, 1]}
WHOLE = "a whole number"
# id: (what is spoilt, what is called, what the error says of what is wrong, and of what to do)
CALLS = {
    # ---- data
    "a split without rows": (None, lambda: loaders(text=[], label=[]), "no rows", "look at what the filters"),
    "no column text": (None, lambda: loaders(review=["글"], label=[0]), "no column 'text'", "rename the one"),
    "a text that is none": (None, lambda: loaders(text=["글", None], label=[0, 1]), "row 1: the text is None", "drop such rows"),
    "a blank text": (None, lambda: loaders(text=["글", "  "], label=[0, 1]), "row 1: the text is", "drop such rows"),
    "a text that is a number": (None, lambda: loaders(text=[1, 2], label=[0, 1]), "the text is 1", "drop such rows"),
    "a label that is missing": (None, lambda: loaders(text=["글", "글"], label=[0, None]), "label is None", "drop the rows"),
    "a label that is NaN": (None, lambda: loaders(text=["글", "글"], label=[0.0, float("nan")]), "label is nan", "drop the rows"),
    "a column full of NaN": (None, lambda: loaders(text=["글"] * 2, label=[float("nan")] * 2), "row 0: label is nan", "drop the rows"),
    "a negative label": (None, lambda: loaders(text=["글", "글"], label=[0, -1]), "label is -1", "drop the rows"),
    "a label that is a word": (None, lambda: loaders(text=["글"], label=["긍정"]), "label is '긍정'", "a class number"),
    "labels of different lengths": (
        None, lambda: loaders(text=["글", "글"], labels=[[0.0], [0.0, 1.0]]), "row 1: labels", "the same for all texts",
    ),
    "no data at all": (None, lambda: kl.make_loaders({}, words()), "wants a DatasetDict", "wrap a single Dataset"),
    "a single data set": (None, lambda: kl.make_loaders(Dataset.from_dict(TABLE), words()), "wants a DatasetDict", "wrap a single"),
    "rows that are no data set": (None, lambda: kl.make_loaders({"train": [{"text": "글"}]}, words()), "'train' is a list", "from_list"),
    "a pandas table": (None, lambda: kl.make_loaders({"train": pd.DataFrame(TABLE)}, words()), "a DataFrame", "from_pandas"),
    "no tokenizer": (None, lambda: kl.make_loaders({"train": Dataset.from_dict(TABLE)}, None), "tokenizer is a NoneType", "load_encoder"),
    "the encoder for the tokenizer": (
        None, lambda: kl.make_loaders({"train": Dataset.from_dict(TABLE)}, encoder()), "tokenizer is a BertModel", "load_encoder",
    ),
    "a batch of none": (None, lambda: kl.make_loaders({"train": None}, words(), batch_size=0), "batch_size is 0", WHOLE),
    "more tokens than the encoder reads": (
        None, lambda: kl.batching.tokenize(Dataset.from_dict({"text": ["글"]}), words(), max_length=99), "reads at most 48", "or less",
    ),
    "examples without ids": (None, lambda: Collator(0)([{"text": "글"}]), "no input_ids", "tokenise the texts first"),
    "a list to split": (None, lambda: kl.split([{"text": "글", "label": 0}]), "not a list", "Dataset.from_list"),
    "a table to split": (None, lambda: kl.split(pd.DataFrame(TABLE)), "not a DataFrame", "Dataset.from_pandas"),
    "shares that are words": (None, lambda: kl.split(Dataset.from_dict(TABLE), sizes=("a", "b", "c")), "sizes=", "add up to 1"),
    "shares that are NaN": (None, lambda: kl.split(Dataset.from_dict(TABLE), sizes=(float("nan"),) * 3), "sizes=", "add up to 1"),
    "no share": (None, lambda: kl.split(Dataset.from_dict(TABLE), sizes=None), "sizes=None", "add up to 1"),
    "nothing to clean": (None, lambda: kl.clean(None), "not None", "Leave out the rows"),
    "nothing to audit": (None, lambda: kl.audit(None), "not a NoneType", "an audit needs a path"),
    "no corpus": (None, lambda: kl.load_aihub(None), "None is no path", CORPUS),
    "an empty name": (None, lambda: kl.load_aihub(""), "'' is no path", CORPUS),
    "a corpus of three and a half classes": (None, lambda: kl.load_nsmc(classes="3"), "classes is '3'", "2, or 3 by rating"),
    # ---- encoders and weights
    "a pickle offered as weights": (a_pickle_alone, encoder, "asks for posix.system", "from somebody you trust"),
    "weights of NaN": (weights("encoder", lambda t: t * float("nan")), encoder, "NaN or infinite", "an earlier checkpoint"),
    "a tensor that is missing": (weights("encoder", None), encoder, "lack 1 of the encoder's tensors", "belongs to another"),
    "another vocabulary": (weights("encoder", lambda t: t[:5].clone()), encoder, "tensors of other sizes", "fetch it again"),
    "weights cut short": (cut("encoder/model.safetensors"), encoder, "cut short", "fetch it again"),
    "a tokenizer that is none": (put("encoder/tokenizer.json", "{}"), encoder, "cannot be read", "The folder needs"),
    "an unknown family": (put("encoder/config.json", '{"model_type": "bertt"}'), encoder, "cannot be read", "that transformers knows"),
    "no configuration": (drop("encoder/config.json"), encoder, "no config.json", "Give the folder that does"),
    "a file instead of a folder": (None, lambda: kl.load_encoder("reviews.csv"), "There is no encoder", "give a folder"),
    "labels twice": (None, lambda: kl.Classifier.build(encoder(), ["가", "가"]), "more than once", "its own name"),
    "one class": (None, lambda: kl.Classifier.build(encoder(), ["가"]), "One class", "give two names"),
    "no labels": (None, lambda: kl.Classifier.build(encoder(), None), "labels is None", "give a list of names"),
    "two and a half labels": (None, lambda: kl.Classifier.build(encoder(), 2.5), "labels is 2.5", "or their number"),
    "both of load_encoder": (None, lambda: kl.Classifier.build(kl.load_encoder("encoder"), NAMES), "encoder is a tuple", "the first"),
    "dropout that is a word": (None, lambda: kl.Classifier.build(encoder(), NAMES, dropout="0.1"), "dropout is '0.1'", "below 1"),
    "a Hub that is offline": (None, lambda: kl.load_encoder("owner/model"), "owner/model is not in", "hf download owner/model"),
    "no saved classifier": (None, lambda: kl.Classifier.from_pretrained("nowhere"), "no config.json", "Give the folder"),
    "nothing for a classifier": (None, lambda: kl.Classifier.from_pretrained(None), "not a NoneType", "wants a folder"),
    # ---- settings
    **{
        f"{name} {value!r}": (None, lambda name=name, value=value: config(**{name: value}), f"{name} is {value!r}", rule)
        for name, value, rule in [
            ("lr", float("nan"), "above 0"), ("lr", "1e-3", "above 0"), ("lr", None, "above 0"), ("lr", True, "above 0"),
            ("epochs", 2.0, WHOLE), ("epochs", True, WHOLE), ("epochs", None, WHOLE), ("epochs", "3", WHOLE),
            ("seed", -1, WHOLE), ("seed", 1.5, WHOLE), ("seed", None, WHOLE), ("seed", 2**63, WHOLE), ("seed", "x", WHOLE),
            ("betas", None, "two numbers"), ("betas", "ab", "two numbers"), ("betas", (0.9,), "two numbers"),
            ("betas", (float("nan"), 0.9), "two numbers"), ("save_every", 0.5, "of steps"), ("save_every", True, "of steps"),
            ("log_every", -1, WHOLE), ("log_every", None, WHOLE), ("folder", 5, "a path"), ("folder", "", "a path"),
            ("device", "gpu", "'cpu'"), ("device", "cuda:1", "'cpu'"), ("metric", None, "a column"), ("patience", 0.5, WHOLE),
            ("max_steps", 1.5, WHOLE), ("tracker", "mlflow", "tensorboard or wandb"), ("keep_best", "no", "True or False"),
            ("resume", "yes", "True or False"), ("warmup", float("nan"), "at least 0"), ("accumulate", 0, WHOLE),
            ("precision", 16, "auto, fp32"), ("max_grad_norm", 0, "or None"), ("weight_decay", None, "at least 0"),
        ]
    },
    # ---- training, predicting, scoring
    "no loaders": (None, lambda: kl.fit(classifier(), None, config()), "nothing to train on", "make_loaders"),
    "loaders without train": (None, lambda: kl.fit(classifier(), {}, config()), "loaders is []", "make_loaders"),
    "one loader for all": (None, lambda: kl.fit(classifier(), ready()["train"], config()), "a DataLoader", "make_loaders"),
    "no model": (None, lambda: kl.fit(None, ready(), config()), "model is a NoneType", "Classifier.build"),
    "a dict for a configuration": (None, lambda: kl.fit(classifier(), ready(), {"lr": 1}), "config is a dict", "TrainConfig(**that)"),
    "torch's own loss": (
        None, lambda: kl.fit(classifier(), ready(), config(), loss=torch.nn.CrossEntropyLoss()), "which gives a mean", "losses.CrossEntropy",
    ),
    "a label too high": (None, lambda: kl.fit(classifier(), ready(text=["글"], label=[3]), config()), "has the label 3", "classes 0 to 2"),
    "another model's tokenizer": (None, lambda: kl.fit(classifier(7), ready(), config()), "do not belong together", "Take the tokenizer"),
    "texts in another's tokens": (
        None, lambda: kl.train.predict(classifier(7), ["정말"], tokenizer=ready().tokenizer), "do not belong together", "Take the tokenizer",
    ),
    "no texts": (None, lambda: kl.train.predict(classifier(), None, tokenizer=words()), "a NoneType", "a list of texts"),
    "an empty list": (None, lambda: kl.train.predict(classifier(), [], tokenizer=ready().tokenizer), "no rows", "look at what"),
    "a text of nothing": (None, lambda: kl.train.predict(classifier(), [""], tokenizer=ready().tokenizer), "the text is ''", "drop such rows"),
    "texts without a tokenizer": (None, lambda: kl.train.predict(classifier(), ["글"]), "the tokenizer too", "tokenizer=tokenizer"),
    "no loader to score": (None, lambda: kl.evaluate(classifier(), None), "not a NoneType", 'loaders["test"]'),
    "all loaders to score": (None, lambda: kl.evaluate(classifier(), ready()), "not a Loaders", 'loaders["test"]'),
    "thresholds of NaN": (None, lambda: kl.decide.apply_thresholds([[0.5]], float("nan")), "no finite number", "fit_thresholds"),
    "logits for probabilities": (None, lambda: kl.decide.fit_thresholds([[-3.0]], [[1]]), "between 0 and 1", "take the sigmoid"),
    "bins and a half": (None, lambda: calibration.ece([[0.5, 0.5]], [0], bins=1.5), "bins is 1.5", WHOLE),
    "classes and a half": (None, lambda: calibration.ece([[0.5, 0.5]], [0.5]), "no whole number", "class numbers"),
    "classes that are words": (None, lambda: calibration.ece([[0.5, 0.5]], ["긍정"]), "긍정", "class numbers"),
    "a temperature of zero": (None, lambda: calibration.nll([[0.5, 0.5]], [0], temperature=0), "temperature is 0", "above 0"),
    "smoothing that is a word": (None, lambda: kl.losses.CrossEntropy(None, "0.1"), "smoothing is 0.1", "below 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_a_bad_call(case, place, monkeypatch, capfd):
    """One of kolab's own errors with its cure, in one line; every file as it was; nothing that a pickle asked for."""
    spoil, call, says, cure = CALLS[case]
    monkeypatch.setattr(hub, "SECONDS", 0.5)
    if spoil:
        spoil(place)
    before = snapshot(place)
    with pytest.raises(KolabError) as error:
        call()
    message = str(error.value)
    assert says in message and cure in message and "\n" not in message, message
    assert "Traceback" not in capfd.readouterr().err
    assert snapshot(place) == before


VARIABLES = {  # (variable, value, what is called)
    "quick perhaps": ("KOLAB_QUICK", "maybe", lambda: kl.pick(full=8, quick=1)),
    "strict perhaps": ("KOLAB_STRICT", "ja", lambda: kl.check("0.1", None)),
    "a seed that is a word": ("KOLAB_CHECK_SEED", "x", checks.fresh_seed),
    "a seed that is a power": ("KOLAB_CHECK_SEED", "²", checks.fresh_seed),
    "a rank that is a word": ("RANK", "first", processes.launched),
    "processes below zero": ("WORLD_SIZE", "-1", processes.launched),
}


@pytest.mark.parametrize("case", VARIABLES)
def test_a_variable_that_makes_no_sense_is_named(case, monkeypatch):
    name, value, call = VARIABLES[case]
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} is {value!r}; set it to"):
        call()


@pytest.mark.parametrize(
    "value, quick", [("1", True), ("True", True), ("0", False), ("false", False), ("no", False), ("", False)]
)
def test_a_variable_may_be_said_in_words(value, quick, monkeypatch):
    monkeypatch.setenv("KOLAB_QUICK", value)
    assert kl.lesson.is_quick() is quick


def test_progress_that_cannot_be_kept_stops_no_lesson(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("kolab.memory._in_memory", None)
    kl.hint("1.1")
    said = capsys.readouterr().out
    assert "set KOLAB_HOME to a folder that can be written" in said and "Hint 1 of" in said


def test_no_data_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("kolab.data.DATA", tmp_path / "nowhere")
    with pytest.raises(KolabError, match="set KOLAB_DATA"):
        kl.load_reviews()


# ---- tables as Excel, Windows and Macs write them: read, and the same texts come out

HEADS = {
    "UTF-8": ("text,n\n글 하나,1\n좋아요,2\n", "utf-8"),
    "a byte-order mark": ("text,n\n글 하나,1\n좋아요,2\n", "utf-8-sig"),
    "CP949": ("text,n\n글 하나,1\n좋아요,2\n", "cp949"),
    "UTF-16": ("text,n\n글 하나,1\n좋아요,2\n", "utf-16"),
    "semicolons": ("n;text\n1;글 하나\n2;좋아요\n", "utf-8"),
    "tabs": ("n\ttext\n1\t글 하나\n2\t좋아요\n", "utf-8"),
    "Excel's word for it": ("sep=;\r\nn;text\r\n1;글 하나\r\n2;좋아요\r\n", "utf-8-sig"),
    "old Mac lines": ("text\r글 하나\r좋아요\r", "utf-8"),
    "blanks in the header": (" Text ,n\n글 하나,1\n좋아요,2\n", "utf-8"),
    "empty lines and cells": ("text,n\n\n글 하나,1,,\n좋아요\n\n", "utf-8"),
    "quotes": ('text,n\n"글 하나",1\n"좋아요",2\n', "utf-8"),
}


@pytest.mark.parametrize("name", ["b.csv", "내 자료/리뷰 1.csv"])
@pytest.mark.parametrize("case", HEADS)
def test_a_table_is_read_however_it_was_saved(case, name, tmp_path):
    content, encoding = HEADS[case]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode(encoding))
    assert read_texts(path) == ["글 하나", "좋아요"]
    assert [row[0] for row in corpus._rows(path, "text", None)] == ["글 하나", "좋아요"]


@pytest.mark.parametrize("there, asked", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_found_composed_or_decomposed(there, asked, tmp_path):
    path = tmp_path / unicodedata.normalize(there, "리뷰.txt")
    path.write_text("글 하나\n")
    assert read_texts(tmp_path / unicodedata.normalize(asked, "리뷰.txt")) == ["글 하나"]


def test_the_table_is_as_long_as_it_should_be():
    assert len(COMMANDS) >= 60 and len(CALLS) >= 60


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
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
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
