"""The probe: which rows it takes, how it adds up, and that any folder can be probed."""

import numpy as np
import pandas as pd
import pytest
from transformers import AutoTokenizer, BertConfig, BertModel

from kolab import film_probe
from kolab.benches import probe
from kolab.cli import main
from kolab.corpus import held_out
from kolab.data import data_path
from kolab.errors import ConfigError, DataError
from kolab.text import near_key

FILMS = [film for film in map(str, range(200)) if held_out(film, 0)]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """400 reviews of held-out films and 400 of others, with repeated and empty texts among them."""
    others = [film for film in map(str, range(200)) if not held_out(film, 0)]
    chance, rows = np.random.default_rng(0), []
    for number in range(800):
        films = FILMS if number % 2 else others
        text = f"{'숨은' if number % 2 else '보통'} 영화 {number // 2 if number % 7 else 0}번 정말 재밌다"
        rows.append(
            {
                "id": str(number), "movie": str(chance.choice(films)), "rating": int(chance.integers(1, 11)),
                "date": "15.08.25", "text": text if number % 11 else None,
            }
        )  # fmt: skip
    path = tmp_path_factory.mktemp("raw") / "raw.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_rows_are_balanced_held_out_and_never_twice(raw):
    data = film_probe.film_probe(raw, train=31, test=20)
    assert [np.bincount(data[name]["label"]).tolist() for name in ("train", "test")] == [
        [11, 10, 10],
        [7, 7, 6],
    ]
    texts = [*data["train"]["text"], *data["test"]["text"]]
    assert len({near_key(text) for text in texts}) == 51 and all(text.startswith("숨은") for text in texts)
    ratings = pd.read_parquet(raw).dropna().groupby("text")["rating"].apply(set)
    for name in ("train", "test"):
        for row in data[name]:
            allowed = list(film_probe.RATINGS.values())[row["label"]]
            assert ratings[row["text"]] & set(allowed)
    again = film_probe.film_probe(raw, train=31, test=20)
    assert list(again["train"]["text"]) == list(data["train"]["text"])


def test_the_two_class_task_learns_from_the_films_that_pretraining_saw(raw):
    data = film_probe.two_class_task(raw, 21, test=20)
    assert [np.bincount(data[name]["label"]).tolist() for name in ("train", "test")] == [[11, 10], [10, 10]]
    assert all(text.startswith("보통") for text in data["train"]["text"])
    assert all(text.startswith("숨은") for text in data["test"]["text"])


def test_a_file_that_is_no_raw_corpus_is_named(raw, tmp_path, monkeypatch):
    monkeypatch.delenv("KOLAB_NSMC_RAW", raising=False)
    with pytest.raises(DataError, match="bad .* 1,176 are needed"):
        film_probe.film_probe(raw)
    pd.DataFrame({"text": ["글"]}).to_parquet(tmp_path / "other.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    for name in ("none.parquet", "other.parquet", "torn.parquet"):
        with pytest.raises(DataError, match=f"{name} cannot be read as the raw film reviews"):
            film_probe.film_probe(tmp_path / name)
    with pytest.raises(ConfigError, match="seeds is 0"):
        probe.run(seeds=0)
    with pytest.raises(ConfigError, match="two-classes needs the raw corpus"):
        probe.run(two_classes=100)


def test_the_bag_learns_what_words_tell():
    texts = [f"정말 {word} {number}" for number in range(30) for word in ("재밌어요", "지루해요")]
    found = probe.bag_of_ngrams(texts, [0, 1] * 30, ["너무 재밌어요", "아주 지루해요"])
    assert found.tolist() == [0, 1]


def test_the_summary_has_mean_and_standard_deviation():
    scores = [
        dict(task="t", part="all", model=m, f1=f1, accuracy=f1, seconds=2.0, epochs=4, lr=2e-4)
        for m, f1 in [("a", 0.5), ("b", 0.1), ("a", 0.7)]
    ]
    table = probe.summary(scores)
    assert table["model"].tolist() == ["a", "b"] and table["runs"].tolist() == [2, 1]
    assert table["macro_f1"].tolist() == [0.6, 0.1] and table["sd"][0] == pytest.approx(0.1414)


def test_any_folder_can_be_probed(raw, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "mine"
    tokenizer = AutoTokenizer.from_pretrained(data_path("kolab-mini"))
    shape = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=32, max_position_embeddings=256)  # fmt: skip
    BertModel(shape, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    whole = probe.film_probe
    monkeypatch.setattr(probe, "film_probe", lambda path: whole(path, train=60, test=60))
    monkeypatch.setenv("KOLAB_NSMC_RAW", str(raw))
    assert main(["bench", "probe", "--quick", "--encoder", str(folder), "--lr", "1e-3"]) == 0
    found = capsys.readouterr().out
    for words in (
        "film reviews",
        "hard",
        "plain",
        "emotions",
        "mine",
        probe.RANDOM,
        probe.BAG,
        "not recorded",
    ):
        assert words in found
    monkeypatch.delenv("KOLAB_NSMC_RAW")
    monkeypatch.setattr(probe, "_models", lambda *_: {})
    monkeypatch.setattr(probe, "summary", lambda scores: pd.DataFrame(scores))
    assert main(["bench", "probe", "--quick"]) == 0
    assert "film reviews are left out" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["bench", "probe", "--sedes", "3"])


def test_after_an_interruption_the_whole_tasks_count_and_it_goes_on(monkeypatch, tmp_path, capsys):
    measured, stop = [], ["reviews"]

    def models(data, task, encoder, seed):
        def found(epochs, lr):
            if task in stop:
                raise KeyboardInterrupt
            measured.append((task, seed))
            return np.array(data["test"]["label"])

        return {"mine": found}

    monkeypatch.delenv("KOLAB_NSMC_RAW", raising=False)
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path))
    monkeypatch.setattr(probe, "_models", models)
    table, _ = probe.run(seeds=2, epochs=1, lr=1e-3)
    assert table["task"].tolist() == ["emotions"] and table["macro_f1"].tolist() == [1.0]
    assert "Stopped" in capsys.readouterr().out
    stop.clear()
    table, _ = probe.run(seeds=2, epochs=1, lr=1e-3)
    assert table["runs"].tolist() == [2, 2, 2, 2] and set(table["part"]) == {"all", "hard", "plain"}
    assert measured == [
        ("emotions", 0),
        ("reviews", 0),
        ("emotions", 1),
        ("reviews", 1),
    ]  # none of them twice
    stop.append("emotions")
    with pytest.raises(KeyboardInterrupt):
        probe.run(seeds=2, epochs=2, lr=1e-3)  # other settings: nothing is whole yet


def test_epochs_and_rate_are_tuned_once_on_the_training_part_alone(monkeypatch, tmp_path):
    asked = []

    def models(data, task, encoder, seed):
        def found(epochs, lr):
            asked.append((seed, (epochs, lr), len(data["train"]), len(data["test"])))
            labels = np.array(data["test"]["label"])
            return labels if (epochs, lr) == probe.SETTINGS[1] else np.zeros_like(labels)

        return {"mine": found}

    monkeypatch.delenv("KOLAB_NSMC_RAW", raising=False)
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path))
    monkeypatch.setattr(probe, "_models", models)
    monkeypatch.setattr(probe, "_reviews", probe._emotions)
    table, meta = probe.run(seeds=2)
    best = probe.SETTINGS[1]
    assert list(zip(table["epochs"], table["lr"], strict=True)) == [best, best]
    assert str(probe.SETTINGS) in meta["epochs_and_rate"]
    # Two tasks, each tried and measured; then the second seed.
    assert [setting for _, setting, _, _ in asked] == [*probe.SETTINGS, best] * 2 + [best] * 2
    tuning, final = asked[0], asked[len(probe.SETTINGS)]
    assert tuning[2] + tuning[3] == final[2] and tuning[3] == pytest.approx(final[2] / 5, abs=1)

    del asked[:]
    probe.run(seeds=1, lr=best[1])  # one of the two given: the other is tuned
    assert {setting[1] for _, setting, _, _ in asked} <= {best[1]}
    _, meta = probe.run(seeds=1, epochs=3, lr=1e-3)  # both given: nothing is
    assert [setting for _, setting, _, _ in asked if setting[0] == 3] == [(3, 1e-3)] * 2
    assert meta["epochs_and_rate"] == (3, 1e-3)


def test_the_two_class_task_is_measured_once_and_without_random_weights(raw, monkeypatch, tmp_path):
    asked = []
    models = probe._models

    def counted(data, task, encoder, seed):
        names = models(data, task, encoder, seed)
        if task != probe.TWO_CLASSES:
            return {}

        def found(*setting):
            asked.append((seed, setting))
            return np.array(data["test"]["label"])

        return dict.fromkeys(names, found)

    whole = probe.two_class_task
    monkeypatch.setattr(probe, "film_probe", lambda path: probe.DatasetDict())
    monkeypatch.setattr(probe, "two_class_task", lambda path, rows: whole(path, rows, test=20))
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path))
    monkeypatch.setattr(probe, "_models", counted)
    table, meta = probe.run(seeds=2, raw=str(raw), two_classes=30)
    assert table["model"].tolist() == ["kolab-mini", probe.BAG] and table["runs"].tolist() == [1, 1]
    assert asked == [(0, (2, 2e-4)), (0, ())] and meta["two_classes"].startswith("30 rows")


def test_where_rows_are_many_the_bag_is_tuned_on_some_and_fitted_on_all(monkeypatch):
    monkeypatch.setattr(probe, "TUNING_ROWS", 30)
    texts = [f"정말 {word} {number}" for number in range(15) for word in ("재밌어요", "지루해요")]
    later = [f"아주 {word} {number}" for number in range(15) for word in ("훌륭해요", "엉망이에요")]
    found = probe.bag_of_ngrams(texts + later, [0, 1] * 30, ["너무 훌륭해요", "너무 엉망이에요"])
    assert found.tolist() == [0, 1]
