"""The bench of checkpoints: which folders it takes, which rows it writes, and that a stopped run goes on."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from transformers import AutoTokenizer, BertConfig, BertModel

from kolab.benches import checkpoints, probe
from kolab.cli import main
from kolab.corpus import held_out
from kolab.data import data_path
from kolab.errors import ConfigError, DataError

FILMS = [film for film in map(str, range(200)) if held_out(film, 0)]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """300 different reviews of held-out films."""
    chance = np.random.default_rng(0)
    rows = [
        {
            "id": str(n), "movie": str(chance.choice(FILMS)), "rating": (2, 6, 10)[n % 3], "date": "15.08.25",
            "text": f"{('지루한', '그저', '훌륭한')[n % 3]} 영화 {n}번",
        }
        for n in range(300)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("raw") / "raw.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Two saved encoders of 2 and 10 million tokens, and what does not belong; a probe of 60 and 60 rows."""
    tokenizer = AutoTokenizer.from_pretrained(data_path("kolab-mini"))
    shape = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=32, max_position_embeddings=256)  # fmt: skip
    for name in ("model-002M", "model-010M"):
        BertModel(shape, add_pooling_layer=False).save_pretrained(tmp_path / "models" / name)
        tokenizer.save_pretrained(tmp_path / "models" / name)
    (tmp_path / "models" / "notes").mkdir()
    whole = probe.film_probe
    monkeypatch.setattr(probe, "film_probe", lambda path: whole(path, train=60, test=60))
    return tmp_path / "models"


def test_folders_are_found_by_their_tokens(models):
    found = checkpoints.saved_models(models)
    assert {tokens: path.name for tokens, path in found.items()} == {
        2_000_000: "model-002M",
        10_000_000: "model-010M",
    }
    shutil.copytree(models / "model-002M", models / "again-2M")
    with pytest.raises(DataError, match="both say 2,000,000 tokens"):
        checkpoints.saved_models(models)
    with pytest.raises(DataError, match="no saved encoder"):
        checkpoints.saved_models(models / "notes")


def test_a_row_for_each_model_and_seed_and_a_stopped_run_goes_on(raw, models, capsys, monkeypatch):
    options = {"folder": str(models), "raw": str(raw), "seeds": 2, "epochs": 1, "lr": 1e-3}
    table, meta = checkpoints.run(**options)
    expected = [(probe.BAG, None, None)]
    for seed in range(2):
        expected += [
            (probe.RANDOM, 0, seed),
            ("model-002M", 2_000_000, seed),
            ("model-010M", 10_000_000, seed),
        ]
    rows = [
        tuple(None if pd.isna(v) else v for v in row) for row in table[["model", "tokens", "seed"]].values
    ]
    assert rows == expected and meta["seeds"] == 2
    assert (
        table["macro_f1"].between(0, 1).all() and table["macro_f1"][0] > 0.9
    )  # the words give the class away

    kept = (models / "checkpoints.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(kept) == 7
    (models / "checkpoints.jsonl").write_text(
        "".join(kept[:3]) + kept[3][:40], encoding="utf-8"
    )  # killed in line 4
    measured = []
    real = probe._fine_tuned
    monkeypatch.setattr(probe, "_fine_tuned", lambda *a, **k: (measured.append(1), real(*a, **k))[1])
    again, _ = checkpoints.run(**options)
    assert len(measured) == 4
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), table.drop(columns="seconds"))
    checkpoints.run(**options)
    assert len(measured) == 4, "all was known"
    shape = json.loads((models / "model-002M" / "config.json").read_text(encoding="utf-8"))
    BertModel(BertConfig(**shape), add_pooling_layer=False).save_pretrained(models / "model-002M")
    checkpoints.run(**options)
    assert len(measured) == 6, "other weights under the old name are measured anew"


def test_without_a_rate_each_model_is_tuned_at_both(raw, models):
    table, meta = checkpoints.run(folder=str(models), raw=str(raw), seeds=1, epochs=1)
    networks = table.dropna(subset=["seed"])
    assert networks.groupby("lr")["model"].apply(list).to_dict() == {
        rate: [probe.RANDOM, "model-002M", "model-010M"] for rate in checkpoints.RATES
    }
    assert meta["lr"] == "each of them"


def test_what_is_whole_counts_after_an_interruption(raw, models, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "_fine_tuned", stopped)
    table, _ = checkpoints.run(folder=str(models), raw=str(raw))
    assert table["model"].tolist() == [probe.BAG] and "Stopped" in capsys.readouterr().out
    monkeypatch.setattr(probe, "bag_of_ngrams", stopped)
    (models / "checkpoints.jsonl").unlink()
    with pytest.raises(KeyboardInterrupt):
        checkpoints.run(folder=str(models), raw=str(raw))


def test_from_the_command_line(raw, models, capsys):
    assert main(["bench", "checkpoints", "--quick", "--folder", str(models), "--raw", str(raw)]) == 0
    found = capsys.readouterr().out
    assert "model-010M" in found and "not recorded" in found
    assert not (models / "checkpoints.jsonl").exists()


def test_what_is_missing_is_named(raw, models, monkeypatch):
    monkeypatch.delenv("KOLAB_NSMC_RAW", raising=False)
    for wrong in ({}, {"folder": str(models)}, {"raw": str(raw)}):
        with pytest.raises(ConfigError, match="--folder FOLDER_OF_MODELS and --raw"):
            checkpoints.run(**wrong)
    with pytest.raises(ConfigError, match="seeds is 0"):
        checkpoints.run(folder=str(models), raw=str(raw), seeds=0)
