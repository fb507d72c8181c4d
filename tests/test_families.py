"""Every family of encoders as a Hub folder holds it: loaded, trained for two steps, saved, and loaded again.

The folders are made here, small, in the ways in which the registry's models are published: KoBERT's with its own
tokenizer class, a vocabulary with Windows line ends and pickled weights of 2019; ELECTRA's with vocab.txt alone;
RoBERTa's with vocab.json and merges.txt; ModernBERT's with tokenizer.json.
"""

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForPreTraining,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

import kolab as kl
from kolab import hub, registry
from kolab.encoders import ENCODERS
from kolab.errors import CheckpointError, ConfigError
from kolab.kobert import SPECIAL, load_kobert_tokenizer, read_pieces, read_vocabulary
from kolab.lora import add_lora
from kolab.registry import ALIASES, FAMILIES, family_of

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def korean_texts() -> list[str]:
    path = next((ROOT / "data" / "source").glob("*.jsonl"))
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()[:800]]


@pytest.fixture(scope="session")
def spm():
    """SentencePiece itself: what KoBERT's tokenizer is compared with."""
    return pytest.importorskip("sentencepiece", reason="pip install sentencepiece")


@pytest.fixture(scope="session")
def kobert_files(spm):
    """A SentencePiece model of KoBERT's kind, its vocabulary in another order, and SentencePiece's own reader."""
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(korean_texts()), model_writer=model, vocab_size=1600, model_type="unigram",
        normalization_rule_name="nmt_nfkc", character_coverage=0.999, minloglevel=2, num_threads=1,
    )  # fmt: skip
    reader = spm.SentencePieceProcessor(model_proto=model.getvalue())
    own = [i for i in range(reader.get_piece_size()) if not (reader.is_control(i) or reader.is_unknown(i))]
    return model.getvalue(), [*SPECIAL.values(), *sorted(map(reader.id_to_piece, own))], reader


@pytest.fixture
def kobert(kobert_files, tmp_path):
    """A folder such as `hf download monologg/kobert` leaves: remote code, CRLF, and pickled weights in the old form."""
    model, words, _ = kobert_files
    folder = tmp_path / "kobert"
    folder.mkdir()
    (folder / "tokenizer_78b3253a26.model").write_bytes(model)
    (folder / "vocab.txt").write_bytes("".join(f"{word}\r\n" for word in words).encode())
    settings_ = {
        "auto_map": {"AutoTokenizer": ["tokenization_kobert.KoBertTokenizer", None]}, "do_lower_case": False,
        "model_max_length": 512, "tokenizer_class": "KoBertTokenizer",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings_), encoding="utf-8")
    (folder / "tokenization_kobert.py").write_text(
        "raise SystemExit('remote code was run')\n", encoding="utf-8"
    )
    config = BertConfig(vocab_size=len(words), max_position_embeddings=64, pad_token_id=1, **SMALL)
    write(folder, BertForPreTraining, config, pickled=True)
    return folder


def write(folder: Path, kind, config, *, pickled: bool) -> None:
    """The weights of a pre-trained model as its owner would have saved them: today's way, or that of 2019."""
    torch.manual_seed(0)
    model = kind(config)
    if not pickled:
        model.save_pretrained(folder)
        return
    config.architectures = [kind.__name__]
    config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def electra(folder: Path) -> Tokenizer:
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=False)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=2000, special_tokens=specials, show_progress=False)
    trained.train_from_iterator(korean_texts(), trainer)
    words = sorted(trained.get_vocab(), key=trained.get_vocab().get)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    settings_ = '{"do_lower_case": false, "model_max_length": 512}'
    (folder / "tokenizer_config.json").write_text(settings_, encoding="utf-8")
    config = ElectraConfig(vocab_size=len(words), embedding_size=8, max_position_embeddings=64, **SMALL)
    write(folder, ElectraForPreTraining, config, pickled=True)
    return trained


def byte_bpe() -> Tokenizer:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=specials, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    trained.train_from_iterator(korean_texts(), trainer)
    return trained


def roberta(folder: Path) -> Tokenizer:
    trained = byte_bpe()
    trained.model.save(str(folder))
    config = RobertaConfig(vocab_size=600, max_position_embeddings=66, type_vocab_size=1, **SMALL)
    write(folder, RobertaForMaskedLM, config, pickled=False)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 64}', encoding="utf-8")
    return trained


def modernbert(folder: Path) -> Tokenizer:
    trained = byte_bpe()
    trained.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=trained, pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>",
        mask_token="<mask>", model_max_length=64, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    fast.save_pretrained(folder)
    config = ModernBertConfig(
        vocab_size=600, max_position_embeddings=64, pad_token_id=1, bos_token_id=0, eos_token_id=2, cls_token_id=0,
        sep_token_id=2, global_attn_every_n_layers=2, classifier_pooling="mean", **SMALL,
    )  # fmt: skip
    write(folder, ModernBertForMaskedLM, config, pickled=False)
    return trained


def distilbert(folder: Path) -> Tokenizer:
    trained = electra(folder)
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    config = DistilBertConfig(
        vocab_size=len(words), max_position_embeddings=64, dim=16, n_layers=2, n_heads=2, hidden_dim=24
    )
    write(folder, DistilBertForMaskedLM, config, pickled=True)
    return trained


def roberta_of_2020(folder: Path) -> Tokenizer:
    """As SoongsilBERT lies on the Hub: pickled weights, vocab.json and merges.txt, no tokenizer.json."""
    trained = roberta(folder)
    (folder / "model.safetensors").unlink()
    (folder / "special_tokens_map.json").write_text(
        '{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", '
        '"cls_token": "<s>", "mask_token": "<mask>"}', encoding="utf-8",
    )  # fmt: skip
    config = RobertaConfig(vocab_size=600, max_position_embeddings=66, type_vocab_size=1, **SMALL)
    write(folder, RobertaForMaskedLM, config, pickled=True)
    return trained


MAKERS = {
    "electra": electra, "roberta": roberta, "roberta of 2020": roberta_of_2020, "modernbert": modernbert,
    "distilbert": distilbert,
}  # fmt: skip


@pytest.fixture(params=["bert", *MAKERS])
def family_folder(request, tmp_path):
    """(config.model_type, a folder with such an encoder and its tokenizer, text → its ids without the special ones)"""
    if request.param == "bert":
        _, words, reader = request.getfixturevalue("kobert_files")
        return "bert", request.getfixturevalue("kobert"), lambda text: slow_ids(text, words, reader)
    folder = tmp_path / request.param
    folder.mkdir()
    trained = MAKERS[request.param](folder)
    return request.param.split()[0], folder, lambda text: trained.encode(text, add_special_tokens=False).ids


# ---- every family


def test_loads_trains_saves_and_loads_again(family_folder, tmp_path):
    kind, folder, ids_of = family_folder
    encoder, tokenizer = kl.load_encoder(folder)
    assert encoder.config.model_type == kind and encoder.dtype == torch.float32 and not encoder.training
    assert tokenizer.pad_token_id == encoder.config.pad_token_id
    texts = ["배터리가 하루 종일 가요", "화면이 어둡고 느려요", "그냥 그래요", "정말 좋아요 ㅋㅋ"]
    assert [ids[1:-1] for ids in tokenizer(texts)["input_ids"]] == [ids_of(text) for text in texts]
    features = Features({"text": Value("string"), "label": ClassLabel(names=["부정", "긍정"])})
    data = Dataset.from_dict({"text": texts * 2, "label": [1, 0, 0, 1] * 2}, features=features)
    loaders = kl.make_loaders({"train": data, "validation": data}, tokenizer, batch_size=4, max_length=32)
    model = kl.Classifier.build(encoder, ["부정", "긍정"], pooling=family_of(encoder.config).pooling, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = kl.TrainConfig(
        epochs=1, lr=1e-2, warmup=0, precision="fp32", progress=False, keep_best=False, device="cpu"
    )
    history = kl.fit(model, loaders, config)
    assert history[-1]["step"] == 2
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert any(name.startswith("encoder.") for name in changed) and any(
        name.startswith("head.") for name in changed
    )
    model.save_pretrained(tmp_path / "saved", tokenizer=tokenizer)
    again, words = (
        kl.Classifier.from_pretrained(tmp_path / "saved"),
        AutoTokenizer.from_pretrained(tmp_path / "saved"),
    )
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    later = words(texts, padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], later["input_ids"])
    with torch.no_grad():
        torch.testing.assert_close(again(**later).logits, model.eval()(**batch).logits)
    inner, _ = kl.load_encoder(tmp_path / "saved")
    assert all(
        torch.equal(value, again.state_dict()[f"encoder.{name}"])
        for name, value in inner.state_dict().items()
    )


def test_the_registry_knows_the_parts_of_each_family(family_folder):
    """LoRA's names make adapters in every layer; the head is what transformers' own classifier has to invent."""
    kind, folder, _ = family_folder
    encoder, _ = kl.load_encoder(folder)
    family = FAMILIES[kind]
    layers = encoder.get_submodule(family.layers)
    assert len(layers) == encoder.config.num_hidden_layers == 2
    linear = {
        name.split(".")[-1] for name, part in layers.named_modules() if isinstance(part, torch.nn.Linear)
    }
    assert set(family.attention) <= set(family.linear) == linear
    own = AutoModelForSequenceClassification.from_config(encoder.config)
    outside = {name.split(".")[0] for name, _ in own.named_parameters()} - {own.base_model_prefix}
    assert outside == set(family.head)
    expected = getattr(encoder.config, "classifier_pooling", "cls")
    assert family.pooling == expected
    adapted = add_lora(kl.Classifier.build(encoder, 2, seed=0), rank=2)
    count = sum("lora_A" in name for name, _ in adapted.named_parameters())
    assert count == 2 * len(family.attention)


def test_an_unknown_family_and_the_names_of_the_known():
    with pytest.raises(ConfigError, match=r"'t5' encoders are not known; those of bert, .*modernbert"):
        family_of(type("Config", (), {"model_type": "t5"}))
    assert set(ALIASES.values()) == set(ENCODERS) - {"kolab-mini"} and not set(ALIASES) & set(ENCODERS)
    for name, card in ENCODERS.items():
        assert name == "kolab-mini" or (len(card.revision) == 40 and int(card.revision, 16)), (
            "a pinned commit"
        )


def test_soongsilbert_is_the_name_that_its_authors_gave_it():
    """Others write soongsil-ai/soongsil-bert-base; nobody of theirs has published under that name."""
    (card,) = [card for card in ENCODERS.values() if "soongsilbert" in card.aliases]
    assert card.source == "jason9693/soongsil-bert-base" and re.fullmatch("[0-9a-f]{40}", card.revision)


@pytest.mark.parametrize("name", ["monologg/kobert", "kobert"])
def test_a_name_of_the_registry_is_fetched_at_its_pinned_revision(kobert, monkeypatch, name):
    asked = []
    monkeypatch.setattr(hub, "snapshot_download", lambda *a, **k: asked.append((a, k)) or str(kobert))
    monkeypatch.setattr(hub, "model_info", lambda *_, **__: pytest.fail("the network was asked"))
    encoder, tokenizer = kl.load_encoder(name)
    (((repository,), options),) = asked
    assert (
        repository == "monologg/kobert"
        and options["revision"] == registry.ENCODERS["monologg/kobert"].revision
    )
    assert not any(pattern.endswith(".py") for pattern in options["allow_patterns"])
    assert encoder.config.pad_token_id == tokenizer.pad_token_id == 1


# ---- KoBERT's tokenizer


def slow_ids(text: str, words: list[str], reader) -> list[int]:
    """What KoBERT's own class does, in plain Python around SentencePiece itself."""
    text = text.replace("``", '"').replace("''", '"')
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    places = {word: number for number, word in enumerate(words)}
    return [
        places.get(piece, places["[UNK]"]) for piece in reader.encode(" ".join(text.split()), out_type=str)
    ]


def test_ids_are_those_of_sentencepieces_own_pieces(kobert, kobert_files):
    _, words, reader = kobert_files
    tokenizer = load_kobert_tokenizer(kobert)
    odd = ["", " ", "ㅋㅋㅋ ㅠㅠ", "ＡＢＣ １２３", "cafe\u0301 naïve", "``인용''", "가\u200b나",
           "a\u00a0b\u3000c", "漢字 한자", "👍👍 좋아요",
           unicodedata.normalize("NFD", "한글이 풀어진 글"), "①②③ ½ ㎏",
           "줄\n바꿈\t탭", "▁밑줄▁", "…“”‘’—", "ﾊﾟｿｺﾝ"]  # fmt: skip
    for text in [*korean_texts(), *odd, *(text.replace("요", "요☺️") for text in korean_texts()[:50])]:
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == slow_ids(text, words, reader), text
    assert reader.encode("좋아요", out_type=int) != slow_ids("좋아요", words, reader), (
        "the model's own ids differ"
    )


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(
        st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_categories=["Cn", "Co"]), max_size=20
    )
)
@example("👨\u200d👩\u200d👧 가족\x1c사진\x0b")
def test_ids_of_any_text(kobert_once, text):
    """Over all characters that have a name, twenty come out otherwise, in scripts that Unicode took up after 2019."""
    tokenizer, words, reader = kobert_once
    assume(not any(c in "\ua7f2\ua7f3\ua7f4" for c in text))
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == slow_ids(text, words, reader)


@pytest.fixture(scope="module")
def kobert_once(kobert_files, tmp_path_factory):
    model, words, reader = kobert_files
    folder = tmp_path_factory.mktemp("kobert")
    (folder / "spiece.model").write_bytes(model)
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return load_kobert_tokenizer(folder), words, reader


def test_special_tokens_pairs_and_saving(kobert, tmp_path):
    tokenizer = load_kobert_tokenizer(kobert)
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL.values())) == [0, 1, 2, 3, 4]
    found = tokenizer("화면이 좋아요", "배터리")
    ids, types = found["input_ids"], found["token_type_ids"]
    assert (
        ids[0] == 2 and ids[-1] == 3 and ids.count(3) == 2 and types.count(1) == len(ids) - ids.index(3) - 1
    )
    assert tokenizer("[MASK] 좋아요")["input_ids"][1] == 4 and tokenizer.model_max_length == 512
    assert (
        tokenizer.decode(tokenizer("화면이 좋아요")["input_ids"], skip_special_tokens=True).strip()
        == "화면이 좋아요"
    )
    tokenizer.save_pretrained(tmp_path / "t")
    again = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert (
        again("화면이 ''좋아요''")["input_ids"] == tokenizer("화면이 ''좋아요''")["input_ids"]
        and again.is_fast
    )


def test_the_reader_of_model_files_agrees_with_sentencepiece(kobert, kobert_files):
    model, _, reader = kobert_files
    scores = read_pieces(kobert / "tokenizer_78b3253a26.model")
    assert list(scores) == [reader.id_to_piece(i) for i in range(reader.get_piece_size())]
    assert list(scores.values()) == [reader.get_score(i) for i in range(reader.get_piece_size())]
    for cut in (1, 7, len(model) // 2, len(model) - 1):
        (kobert / "tokenizer_78b3253a26.model").write_bytes(model[:cut])
        with pytest.raises(
            (CheckpointError, ConfigError), match=r"tokenizer_78b3253a26\.model|do not belong"
        ):
            kl.load_encoder(kobert)
    for content in (
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
        b"\xff" * 50,
        os.urandom(999),
    ):
        (kobert / "tokenizer_78b3253a26.model").write_bytes(content)
        with pytest.raises(CheckpointError, match="SentencePiece model"):
            kl.load_encoder(kobert)


def test_without_a_vocabulary_the_models_own_order_counts(spm, tmp_path):
    """skt/kobert-base-v1: one file that holds the special tokens too."""
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(korean_texts()[:300]), model_writer=model, vocab_size=1200, unk_id=0, pad_id=1, bos_id=2,
        eos_id=3, unk_piece="[UNK]", pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]",
        control_symbols=["[MASK]"], minloglevel=2, num_threads=1,
    )  # fmt: skip
    (tmp_path / "spiece.model").write_bytes(model.getvalue())
    config = BertConfig(vocab_size=1200, max_position_embeddings=64, pad_token_id=1, **SMALL)
    write(tmp_path, BertForPreTraining, config, pickled=False)
    _, tokenizer = kl.load_encoder(tmp_path)
    reader = spm.SentencePieceProcessor(model_proto=model.getvalue())
    for text in korean_texts()[:100]:
        assert tokenizer(text)["input_ids"] == [2, *reader.encode(text), 3]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda words: [w for w in words if w != "[MASK]"], ConfigError, r"lacks \[MASK\]"),
        (lambda words: [*words, "▁모르는말"], ConfigError, "do not belong together: '▁모르는말'"),
        (lambda words: [*words, words[-1]], CheckpointError, "stands there twice"),
        (lambda words: [*words[:9], "", *words[9:]], CheckpointError, "an empty line"),
    ],
)
def test_a_vocabulary_that_is_not_the_models(kobert, kobert_files, change, error, words):
    (kobert / "vocab.txt").write_text("\n".join(change(kobert_files[1])) + "\n", encoding="utf-8")
    with pytest.raises(error, match=words):
        kl.load_encoder(kobert)
    (kobert / "vocab.txt").write_bytes("글".encode("cp949"))
    with pytest.raises(CheckpointError, match="cannot be read as UTF-8"):
        read_vocabulary(kobert / "vocab.txt")


# ---- pickled weights


class Malice:
    """Unpickled by an ordinary reader, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@pytest.mark.parametrize("form", ["torch", "torch of 2019", "pickle"])
def test_a_pickle_that_holds_code_is_never_run(kobert, tmp_path, form):
    content = {"bert.embeddings.word_embeddings.weight": torch.ones(2), "x": Malice(tmp_path / "owned")}
    if form == "pickle":
        (kobert / "pytorch_model.bin").write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, kobert / "pytorch_model.bin", _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(CheckpointError, match=r"not opened|cannot be read") as error:
        kl.load_encoder(kobert)
    assert not (tmp_path / "owned").exists() and "\n" not in str(error.value)


def test_pickled_weights_that_are_cut_short_or_of_another_model(kobert):
    weights = kobert / "pytorch_model.bin"
    content = weights.read_bytes()
    for bad in (b"", content[:100], content[: len(content) // 2]):
        weights.write_bytes(bad)
        with pytest.raises(CheckpointError):
            kl.load_encoder(kobert)
    torch.save({}, weights)
    with pytest.raises(CheckpointError, match="lack"):
        kl.load_encoder(kobert)
    weights.rename(kobert / "tf_model.h5")
    with pytest.raises(CheckpointError, match=r"only as tf_model\.h5"):
        kl.load_encoder(kobert)


def test_safetensors_are_taken_where_both_are_there(kobert):
    encoder, _ = kl.load_encoder(kobert)
    AutoModel.from_config(encoder.config)  # other random weights
    shutil.copy(kobert / "pytorch_model.bin", kobert / "kept")
    torch.manual_seed(9)
    other = BertForSequenceClassification(encoder.config)
    other.save_pretrained(kobert)
    found, _ = kl.load_encoder(kobert)
    assert torch.equal(found.embeddings.word_embeddings.weight, other.bert.embeddings.word_embeddings.weight)


# ---- a Hub that cannot be reached, asked in a process of its own


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9", pytest.param("http://no-such-host.invalid", marks=pytest.mark.slow)]
)
def test_an_unreachable_hub_says_what_to_do_within_ten_seconds(tmp_path, address):
    program = (
        "import time, kolab as kl\nkl.load_encoder\nstart = time.perf_counter()\n"
        "try:\n    kl.load_encoder('kobert')\nexcept kl.errors.ConfigError as error:\n"
        "    print(round(time.perf_counter() - start, 1), error)\n"
    )
    settings_ = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": address,
        "HF_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | settings_, capture_output=True, text=True,
        encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seconds, words = done.stdout.split(" ", 1)
    assert float(seconds) < 10 < 120 > time.perf_counter() - began
    assert "cannot be reached" in words and "hf download monologg/kobert" in words and "kolab-mini" in words
    assert "Retry" not in done.stderr and "Traceback" not in done.stderr
