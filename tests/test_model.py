"""kolab.model, kolab.encoders, kolab.hub: shapes, pooling, padding, saving, the pipeline, and what goes wrong."""

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

import kolab as kl
from kolab import hub
from kolab.errors import CheckpointError, ConfigError
from kolab.model import AttentionPooling, ClsPooling, MeanPooling, count_parameters

NAMES = ["부정", "중립", "긍정"]
TEXTS = ["배터리 가 오래 가요 ㅋㅋ", "화면", "환불 하고 싶어요 화면 이 나가요 배터리 도"]
SMALL = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 48,
}  # fmt: skip
FAMILIES = {
    "bert": BertConfig(**SMALL),
    "roberta": RobertaConfig(**SMALL, type_vocab_size=1),
    "electra": ElectraConfig(**SMALL, embedding_size=8),
    "modernbert": ModernBertConfig(
        **SMALL, pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3
    ),
}


def encoder_of(family="bert", seed=0):
    torch.manual_seed(seed)
    attention = (
        "sdpa" if torch.cuda.is_available() else "eager"
    )  # what a reload takes, to be equal to the last bit
    return AutoModel.from_config(FAMILIES[family], attn_implementation=attention)


def batch(lengths=(5, 2, 7), pad=0, width=None, seed=0):
    """Random ids, right-padded: input_ids and attention_mask, int64 (B, L)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), width or max(lengths))
    mask = (torch.arange(shape[1])[None] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(4, 40, shape, generator=generator)
    return {"input_ids": torch.where(mask.bool(), ids, pad), "attention_mask": mask}


@pytest.fixture(scope="module")
def tokenizer():
    words = sorted({word for text in TEXTS for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=48,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, tokenizer):
    """A saved encoder as its owner would leave it: a masked language model, with the tokenizer."""
    torch.manual_seed(3)
    BertForMaskedLM(FAMILIES["bert"]).save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


# --- pooling ---------------------------------------------------------------------------------------------------


def test_pooling_against_a_plain_reference():
    generator = torch.Generator().manual_seed(0)
    hidden, mask = torch.randn(4, 6, 8, generator=generator), batch((1, 6, 3, 4))["attention_mask"]
    attention = AttentionPooling(8)
    attention.query.data = torch.randn(8, generator=generator)
    for row in range(4):
        real = hidden[row, : mask[row].sum()]
        scores = torch.tensor([(vector @ attention.query).item() / 8**0.5 for vector in real])
        weighted = sum(w * vector for w, vector in zip(scores.softmax(0), real, strict=True))
        torch.testing.assert_close(MeanPooling()(hidden, mask)[row], sum(real) / len(real))
        torch.testing.assert_close(ClsPooling()(hidden, mask)[row], real[0])
        torch.testing.assert_close(attention(hidden, mask)[row], weighted)
        torch.testing.assert_close(attention.weights(hidden, mask)[row].sum(), torch.tensor(1.0))


def test_attention_pooling_begins_at_the_mean():
    hidden, mask = torch.randn(3, 7, 8), batch()["attention_mask"]
    torch.testing.assert_close(AttentionPooling(8)(hidden, mask), MeanPooling()(hidden, mask))


@pytest.mark.parametrize("pooling", [MeanPooling(), AttentionPooling(4)])
def test_a_row_of_padding_gives_zeros_and_padding_may_hold_anything(pooling):
    hidden = torch.full((2, 3, 4), float("nan"))
    hidden[0, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    pooled = pooling(hidden, torch.tensor([[1, 0, 0], [0, 0, 0]]))
    torch.testing.assert_close(pooled, torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pooling", [MeanPooling(), AttentionPooling(4)])
def test_half_precision_neither_overflows_nor_loses_the_small(pooling, dtype):
    hidden = torch.full((1, 3000, 4), 100.0, dtype=dtype)  # their sum is 300,000: float16 ends at 65,504
    pooled = pooling(hidden, torch.ones(1, 3000, dtype=torch.long))
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.float(), torch.full((1, 4), 100.0), rtol=1e-2, atol=0)


def test_cls_pooling_finds_the_first_token_of_a_left_padded_text():
    hidden = torch.arange(6.0).reshape(1, 6, 1)
    assert ClsPooling()(hidden, torch.tensor([[0, 0, 1, 1, 1, 1]])).item() == 2


# --- the classifier --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
def test_every_family_goes_through(family, pooling, tmp_path):
    encoder = encoder_of(family)
    before = {name: value.clone() for name, value in encoder.state_dict().items() if "pooler" not in name}
    model = kl.Classifier.build(encoder, NAMES, pooling=pooling, head="mlp", seed=1)
    after = model.encoder.state_dict()
    assert set(before) == set(after) and all(torch.equal(before[name], after[name]) for name in before)
    inputs = batch(pad=FAMILIES[family].pad_token_id)
    output = model(
        **inputs, token_type_ids=torch.zeros_like(inputs["input_ids"]), labels=torch.tensor([0, 1, 2])
    )
    assert output.logits.shape == (3, 3) and output.loss.ndim == 0
    torch.testing.assert_close(
        output.loss, torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 2]))
    )
    assert model(**inputs).loss is None
    output.loss.backward()
    assert all(p.grad is not None for name, p in model.named_parameters()), "a parameter nothing trains"
    model.save_pretrained(tmp_path)
    for reloaded in (
        kl.Classifier.from_pretrained(tmp_path),
        AutoModelForSequenceClassification.from_pretrained(tmp_path),
    ):
        assert type(reloaded) is kl.Classifier and not reloaded.training
        assert torch.equal(reloaded(**inputs).logits, model(**inputs).logits)
        assert reloaded.config.id2label == dict(enumerate(NAMES)) and reloaded.config.pooling == pooling


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    more=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_padding_never_changes_the_logits(pooling, lengths, more, seed):
    model = PADDED.setdefault(pooling, kl.Classifier.build(encoder_of(), NAMES, pooling=pooling, seed=0))
    if pooling == "attention":
        model.pool.query.data = torch.linspace(-3, 3, 16)
    short = batch(lengths, seed=seed)
    width = max(lengths)
    wide = {name: torch.nn.functional.pad(value, (0, more)) for name, value in short.items()}
    with torch.no_grad():
        expected = model(**short).logits
        torch.testing.assert_close(model(**wide).logits, expected, rtol=0, atol=1e-5)
        alone = {name: value[:1, : lengths[0]] for name, value in short.items()}
        torch.testing.assert_close(model(**alone).logits, expected[:1], rtol=0, atol=1e-5)
        unmasked = {"input_ids": wide["input_ids"]}  # no mask given: the padding id tells
        torch.testing.assert_close(model(**unmasked).logits, expected, rtol=0, atol=1e-5)
    assert wide["input_ids"].shape[1] == width + more


PADDED: dict = {}


def test_build_is_reproducible_and_leaves_the_random_state_alone():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    one = kl.Classifier.build(encoder_of(), NAMES, seed=5)
    two = kl.Classifier.build(encoder_of(), NAMES, seed=5)
    assert torch.equal(one.head.weight, two.head.weight) and one.head.weight.std() < 0.05
    torch.set_rng_state(state)
    kl.load_encoder(pretrained=False, seed=1)
    kl.Classifier.build(encoder_of(seed=7), NAMES, seed=5)
    torch.manual_seed(7)
    assert torch.equal(torch.get_rng_state(), state)


def test_evaluation_mode_is_the_whole_models():
    model = kl.Classifier.build(encoder_of(), NAMES)
    assert not any(module.training for module in model.modules())
    inputs = batch()
    assert torch.equal(model(**inputs).logits, model(**inputs).logits)
    model.train()
    assert not torch.equal(model(**inputs).logits, model(**inputs).logits)


def test_multi_label():
    model = kl.Classifier.build(encoder_of(), ["화면", "배터리"], multi_label=True)
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    output = model(**batch(), labels=labels)
    assert model.config.problem_type == "multi_label_classification"
    expected = torch.nn.functional.binary_cross_entropy_with_logits(output.logits, labels)
    torch.testing.assert_close(output.loss, expected)
    assert kl.Classifier.build(encoder_of(), ["하나"], multi_label=True)(**batch()).logits.shape == (3, 1)


def test_num_items_in_batch_makes_micro_batches_add_up():
    model, labels = kl.Classifier.build(encoder_of(), NAMES), torch.tensor([0, 1, 2])
    inputs = batch()
    parts = [(slice(0, 2)), (slice(2, 3))]
    losses = [
        model(
            **{name: value[part] for name, value in inputs.items()}, labels=labels[part], num_items_in_batch=3
        ).loss
        for part in parts
    ]
    torch.testing.assert_close(sum(losses), model(**inputs, labels=labels).loss)


def test_autocast_bfloat16_stays_close():
    model, inputs = kl.Classifier.build(encoder_of(), NAMES), batch()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(**inputs).logits
    torch.testing.assert_close(logits.float(), model(**inputs).logits, atol=2e-2, rtol=0)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*")
def test_gradient_checkpointing_gives_the_same_gradients():
    one, two = (kl.Classifier.build(encoder_of(), NAMES, seed=0) for _ in range(2))
    two.gradient_checkpointing_enable()
    for model in (one, two):
        model.train()
        torch.manual_seed(0)
        model(**batch(), labels=torch.tensor([0, 1, 2])).loss.backward()
    for (name, p), q in zip(one.named_parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"head": "deep"}, "head is 'deep'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"labels": []}, "labels is empty"),
        ({"labels": ["a", "b", "a"]}, "'a' more than once"),
        ({"labels": "부정"}, "give a list of names"),
        ({"labels": ["one"]}, "One class"),
    ],
)
def test_build_refuses(options, message):
    with pytest.raises(ConfigError, match=message):
        kl.Classifier.build(encoder_of(), options.pop("labels", NAMES), **options)


def test_an_unknown_encoder_family_is_named():
    with pytest.raises(ConfigError, match="model_type 'bertt'"):
        kl.model.ClassifierConfig(encoder={"model_type": "bertt"})


def test_count_parameters_adds_up_and_counts_shared_tensors_once():
    model = kl.Classifier.build(encoder_of(), NAMES, pooling="attention")
    for by in ("part", "layer"):
        table = count_parameters(model, by)
        assert table.loc["total", "parameters"] == sum(p.numel() for p in model.parameters())
        assert table["parameters"].iloc[:-1].sum() == table.loc["total", "parameters"]
    assert list(count_parameters(model, "layer").index) == [
        "embeddings", "layer 0", "layer 1", "pooling", "head", "total",
    ]  # fmt: skip
    assert table.loc["pooling", "parameters"] == 16 and table.loc["head", "parameters"] == 16 * 3 + 3
    assert count_parameters(kl.Classifier.build(encoder_of(), 2)).loc["pooling", "parameters"] == 0
    for parameter in model.encoder.parameters():
        parameter.requires_grad_(False)
    frozen = count_parameters(model)
    assert (
        frozen.loc["total", "trainable"] == 16 + 16 * 3 + 3 and frozen.loc["encoder layers", "trainable"] == 0
    )
    shared = BertForMaskedLM(FAMILIES["bert"])  # its decoder is the embedding
    assert count_parameters(shared).loc["total", "parameters"] == sum(p.numel() for p in shared.parameters())
    with pytest.raises(ConfigError, match="'part' or 'layer'"):
        count_parameters(model, "module")


# --- saved folders ---------------------------------------------------------------------------------------------


def test_pipeline_after_import_kolab_alone_and_without_network(tmp_path, tokenizer):
    """In a fresh process, with the sockets cut: a stranger's three lines give this process's probabilities."""
    model = kl.Classifier.build(encoder_of(), NAMES, pooling="attention", seed=2)
    model.save_pretrained(tmp_path / "model", tokenizer=tokenizer)
    stranger = (
        "import socket, json, sys\n"
        "def refuse(*a, **k): raise OSError('no network here')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "import time; start = time.perf_counter()\n"
        "import kolab; assert 'torch' not in sys.modules, 'import kolab loads torch'\n"
        "import transformers\n"
        "pipe = transformers.pipeline('text-classification', model=sys.argv[1], top_k=None)\n"
        "print('JSON' + json.dumps([pipe(sys.argv[2:]), type(pipe.model).__name__]))\n"
    )
    command = [sys.executable, "-c", stranger, str(tmp_path / "model"), *TEXTS]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    answers, kind = json.loads(done.stdout.split("JSON")[1])
    assert kind == "Classifier"
    with torch.no_grad():
        logits = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    for row, answer in zip(logits.softmax(-1), answers, strict=True):
        found = {item["label"]: item["score"] for item in answer}
        torch.testing.assert_close(torch.tensor([found[name] for name in NAMES]), row, atol=1e-5, rtol=0)


def test_registering_after_transformers_was_loaded():
    from kolab._register import register_when_needed

    register_when_needed()
    register_when_needed()
    assert type(AutoConfig.for_model("kolab-classifier")).__name__ == "ClassifierConfig"


def test_saved_folder_is_safetensors_and_needs_no_encoder(tmp_path, tokenizer, folder):
    encoder, _ = kl.load_encoder(folder)
    model = kl.Classifier.build(encoder, NAMES)
    model.save_pretrained(tmp_path / "model", tokenizer=tokenizer)
    shutil.rmtree(folder)
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert not list((tmp_path / "model").glob("*.bin"))
    reloaded = kl.Classifier.from_pretrained(tmp_path / "model")
    assert torch.equal(reloaded(**batch()).logits, model(**batch()).logits)


def test_a_damaged_classifier_is_named(tmp_path):
    kl.Classifier.build(encoder_of(), NAMES).save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        kl.Classifier.from_pretrained(tmp_path)
    weights.unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors.*can run code"):
        kl.Classifier.from_pretrained(tmp_path)


# --- load_encoder ----------------------------------------------------------------------------------------------


def test_load_encoder_from_a_folder(folder):
    encoder, tokenizer = kl.load_encoder(folder)
    attention = encoder.config._attn_implementation
    saved = BertForMaskedLM.from_pretrained(folder, attn_implementation=attention).bert
    expected = saved(**batch()).last_hidden_state
    assert torch.equal(encoder(**batch()).last_hidden_state, expected)
    assert encoder.pooler is None and not encoder.training and encoder.dtype == torch.float32
    assert tokenizer.pad_token_id == encoder.config.pad_token_id == 0


def test_random_weights_of_the_same_architecture(folder):
    torch.manual_seed(11)
    state = torch.get_rng_state()
    one, _ = kl.load_encoder(folder, pretrained=False, seed=4)
    two, _ = kl.load_encoder(folder, pretrained=False, seed=4)
    three, _ = kl.load_encoder(folder, pretrained=False, seed=5)
    assert torch.equal(torch.get_rng_state(), state), "torch's own random state was touched"
    weights = [m.encoder.layer[0].output.dense.weight for m in (one, two, three)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    pretrained, _ = kl.load_encoder(folder)
    assert [p.shape for p in one.parameters()] == [p.shape for p in pretrained.parameters()]
    assert not one.training


def test_float16_weights_are_loaded_as_float32(folder):
    BertForMaskedLM.from_pretrained(folder).half().save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"] == "float16"
    for options in ({}, {"pretrained": False}):
        encoder, _ = kl.load_encoder(folder, **options)
        assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    kl.Classifier.build(encoder, 2).save_pretrained(folder / "model")
    assert kl.Classifier.from_pretrained(folder / "model").dtype == torch.float32


def test_kolab_mini_needs_no_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder, tokenizer = kl.load_encoder()
    assert encoder.config.hidden_size == 256 and encoder.config.num_hidden_layers == 6
    assert tokenizer("화면이 예뻐요 ㅋㅋ 😀")["input_ids"].count(tokenizer.unk_token_id) == 0


def test_the_bundled_encoder_without_weights_says_so_loudly(folder, monkeypatch, capsys):
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(kl.data, "data_path", lambda *_: folder)
    with pytest.warns(UserWarning, match="RANDOM weights"):
        encoder, _ = kl.load_encoder("kolab-mini")
    assert "RANDOM" in capsys.readouterr().out and encoder is not None


def write_sums(folder: Path) -> None:
    files = [path for path in sorted(folder.iterdir()) if path.name != "SHA256SUMS"]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_damaged_files_are_caught_by_their_hash(folder):
    write_sums(folder)
    kl.load_encoder(folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit, in the last number
    weights.write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(CheckpointError) as error:
        kl.load_encoder(folder)
    expected = (folder / "SHA256SUMS").read_text(encoding="utf-8").split("  model.safetensors")[0].split()[-1]
    for part in ("model.safetensors", found, expected, "git checkout"):
        assert part in str(error.value)
    write_sums(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        kl.load_encoder(folder)


def test_a_file_cut_short_without_a_hash(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="cut short"):
        kl.load_encoder(folder)


def test_weights_that_lack_a_tensor_are_refused(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"lack 16 .*layer\.2"):
        kl.load_encoder(folder)


def test_a_folder_without_weights_that_can_be_read(folder):
    (folder / "model.safetensors").rename(folder / "model.ckpt")
    with pytest.raises(CheckpointError, match=r"only as model\.ckpt"):
        kl.load_encoder(folder)
    (folder / "model.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        kl.load_encoder(folder)
    kl.load_encoder(folder, pretrained=False)  # needs none


def test_padding_id_is_the_tokenizers(folder):
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config_file.write_text(json.dumps({**config, "pad_token_id": 1}), encoding="utf-8")
    with pytest.warns(UserWarning, match="padding id 1 in config.json, 0 in the tokenizer"):
        encoder, _ = kl.load_encoder(folder)
    assert encoder.config.pad_token_id == 0 and encoder.embeddings.word_embeddings.padding_idx == 0
    config_file.write_text(
        json.dumps({**config, "pad_token_id": 1, "model_type": "roberta"}), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"pads with id 0, config\.json says 1"):
        kl.load_encoder(folder)
    config_file.write_text(json.dumps({**config, "vocab_size": 8}), encoding="utf-8")
    with pytest.raises(ConfigError, match="do not belong together"):
        kl.load_encoder(folder)


def test_a_tokenizer_without_padding_is_refused(folder):
    path = folder / "tokenizer_config.json"
    settings_ = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings_, "pad_token": None}), encoding="utf-8")
    with pytest.raises(ConfigError, match="no padding token"):
        kl.load_encoder(folder)


def test_damaged_configuration_and_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        kl.load_encoder(folder)
    (folder / "config.json").write_text('{"model_type": "nobody"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        kl.load_encoder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        kl.load_encoder(folder)


def test_a_name_misspelt():
    with pytest.raises(ConfigError, match="Did you mean 'kolab-mini'"):
        kl.load_encoder("kolab-mni")
    with pytest.raises(ConfigError, match="give a folder that exists"):
        kl.load_encoder("/no/such/folder")


# --- the Hub ---------------------------------------------------------------------------------------------------


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    def nothing_cached(*_, local_files_only=False, **__):
        assert local_files_only, "a download was started"
        raise FileNotFoundError

    monkeypatch.setattr(hub, "snapshot_download", nothing_cached)


def test_a_silent_hub_gives_up_within_ten_seconds(empty_cache, monkeypatch):
    """A server that accepts the connection and never answers, asked through the real client."""
    server = socket.create_server(("127.0.0.1", 0))
    api = huggingface_hub.HfApi(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setattr(hub, "model_info", api.model_info)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "SECONDS", 2.0)
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=r"cannot be reached.*hf download owner/model.*kolab-mini"):
        kl.load_encoder("owner/model")
    assert time.perf_counter() - start < 10
    server.close()


def test_a_name_look_up_that_hangs_is_given_up(empty_cache, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(hub, "model_info", lambda *_, **__: never.wait())
    monkeypatch.setattr(hub, "SECONDS", 0.2)
    with pytest.raises(ConfigError, match=r"no answer within 0\.2 seconds"):
        kl.load_encoder("owner/model")
    never.set()


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["config.json", "pytorch_model.bin"], True),
        (["config.json", "model.safetensors", "pytorch_model.bin"], False),
        (["config.json", "onnx/model.safetensors", "tf_model.h5"], None),
    ],
)
def test_pickled_weights_are_downloaded_only_where_there_are_no_others(monkeypatch, folder, files, wanted):
    listed = [types.SimpleNamespace(rfilename=name) for name in files]
    monkeypatch.setattr(hub, "model_info", lambda *_, **__: types.SimpleNamespace(siblings=listed))
    patterns = []

    def snapshot(*_, local_files_only=False, allow_patterns=(), **__):
        if local_files_only:
            raise FileNotFoundError
        patterns.extend(allow_patterns)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    if wanted is None:
        with pytest.raises(
            ConfigError, match=r"neither model\.safetensors nor pytorch_model\.bin.*convert it"
        ):
            kl.load_encoder("owner/model")
    else:
        kl.load_encoder("owner/model")
        assert ("pytorch_model.bin" in patterns) == wanted


def test_the_cache_is_used_before_the_network(folder, monkeypatch):
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(folder))
    monkeypatch.setattr(hub, "model_info", lambda *_, **__: pytest.fail("the network was asked"))
    encoder, _ = kl.load_encoder("owner/model")
    assert encoder.config.hidden_size == 16
