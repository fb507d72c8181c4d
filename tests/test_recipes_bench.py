"""The bench of pre-training recipes: every recipe reads as many tokens and is scored under the same masks."""

import numpy as np
import pandas as pd
import pytest

from kolab.benches import recipes
from kolab.errors import ConfigError

SMALL = {"layers": 1, "width": 16, "heads": 2, "batch_tokens": 512}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """400 different reviews of films of every tenth."""
    words = [
        "정말",
        "재미있는",
        "영화",
        "배우",
        "연기",
        "최고",
        "지루한",
        "감독",
        "음악",
        "다시",
        "보고",
        "싶다",
    ]
    chance = np.random.default_rng(0)
    rows = [
        {"id": str(n), "movie": str(n % 90), "rating": 1 + n % 10, "date": "15.08.25",
         "text": " ".join(chance.choice(words, 8)) + f" {n}번"}
        for n in range(400)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("raw") / "raw.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_a_row_for_each_recipe_and_a_stopped_run_goes_on(raw, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path))
    monkeypatch.setattr(recipes, "RECIPES", {"plain": SMALL, "whole words": SMALL | {"whole_words": True}})
    options = {"raw": str(raw), "tokens": 5000, "probes": 0, "keep": str(tmp_path / "models")}
    table, meta = recipes.run(**options)
    assert table["recipe"].tolist() == ["plain", "whole words"] and meta["tokens"] == 5000
    assert table["held_out_loss"].between(8, 10).all()  # log(8,001) = 8.99 for one who knows nothing
    assert table["macro_f1"].isna().all() and table["held_out_loss"].nunique() == 2
    assert (tmp_path / "models" / "whole-words-seed-0" / "model.safetensors").is_file()
    with monkeypatch.context() as context:
        context.setattr(recipes, "pretrain", lambda *_: pytest.fail("trained again"))
        assert recipes.run(**options)[0].equals(table)
    assert "plain" in capsys.readouterr().out


def test_without_a_corpus_it_says_what_is_needed(monkeypatch):
    monkeypatch.delenv("KOLAB_NSMC_RAW", raising=False)
    with pytest.raises(ConfigError, match="--raw"):
        recipes.run()
