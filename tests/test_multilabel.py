"""kolab/multilabel.py: names that travel, weights that stay finite, copies that keep their labels, scores."""

import numpy as np
import pytest
import torch
from datasets import Dataset, load_from_disk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from transformers import AutoTokenizer

from kolab import multilabel
from kolab.batching import make_loaders, tokenize
from kolab.corpus_files import UNSMILE_HEADER
from kolab.data import DATA
from kolab.errors import ConfigError, DataError
from kolab.losses import BinaryCrossEntropy
from kolab.multilabel import add_copies, counts, label_names, make_dataset, multilabel_metrics, pos_weight

NAMES = ["화면", "음질", "무게, 크기", "기타 혐오"]
zeros_and_ones = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 20), st.integers(1, 5)), elements=st.integers(0, 1)
)


@pytest.fixture
def small():
    texts = ["화면이 밝아요", "소리가 좋고 화면도 좋아요", "무거워요", "그냥 그래요", "가볍고 소리도 좋네요"]
    labels = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 0]]
    return make_dataset(texts, labels, NAMES, product=[*"가나다라마"])


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(DATA / "kolab-mini")


def test_names_travel_with_the_data(small, tokenizer, tmp_path):
    small.save_to_disk(str(tmp_path))
    kept = {
        "select": small.select([1, 3]),
        "filter": small.filter(lambda row: row["product"] > "나"),
        "disk": load_from_disk(str(tmp_path)),
        "tokenize": tokenize(small, tokenizer),
        "dict": {"train": small, "test": small},
        "augmented": add_copies(small, ["음질"]),
    }
    for way, data in kept.items():
        assert label_names(data) == NAMES, way
    assert small["labels"][:] == [*small["labels"]] and np.asarray(small["labels"][:]).shape == (5, 4)


def test_the_loaders_make_float_rows_of_it(small, tokenizer):
    batch = next(iter(make_loaders({"train": small}, tokenizer, batch_size=5).train))
    assert batch["labels"].dtype == torch.float32 and batch["labels"].shape == (5, 4)


def test_data_without_names_are_refused():
    bare = Dataset.from_dict({"text": ["가"], "labels": [[0.0, 1.0]]})
    for data in (bare, bare.remove_columns("labels")):
        with pytest.raises(DataError, match="make_dataset"):
            label_names(data)
    with pytest.raises(DataError, match="different names"):
        make_dataset(["가"], [[0, 1]], ["화면", "화면"])
    with pytest.raises(DataError, match="different names"):
        make_dataset(["가"], [[0, 1]], ["화면"])
    with pytest.raises(DataError, match="0 and 1"):
        make_dataset(["가"], [[0, 2]], ["화면", "음질"])
    with pytest.raises(ConfigError, match="aspects, unsmile, kote"):
        multilabel.load("aspekts")


@given(zeros_and_ones, st.floats(0.5, 100))
def test_pos_weight_is_finite_limited_and_the_ratio_where_it_may_be(labels, most):
    weight = pos_weight(labels, most=most)
    assert weight.dtype == torch.float32 and weight.shape == (labels.shape[1],)
    assert torch.isfinite(weight).all() and (weight > 0).all() and (weight <= most * (1 + 1e-6)).all()
    for column, found in zip(labels.T, weight.tolist(), strict=True):
        if 0 < column.sum() < len(column):
            assert found == pytest.approx(min(most, (column == 0).sum() / column.sum()), rel=1e-6)
    BinaryCrossEntropy(pos_weight=weight)  # takes it


def test_pos_weight_balances_the_two_answers():
    """With w = negatives / positives a model that knows nothing does best with p = 0.5."""
    labels = torch.zeros(60, 1)
    labels[:12] = 1
    logit = torch.zeros(1, 1, requires_grad=True)
    total, _ = BinaryCrossEntropy(pos_weight=pos_weight(labels))(logit.expand(60, 1), labels)
    total.backward()
    assert logit.grad.item() == pytest.approx(0.0, abs=1e-5)


def test_a_model_begins_with_the_frequencies():
    from tests.tiny import model

    labels = np.zeros((50, 3))
    labels[:10, 0], labels[:, 2] = 1, 1  # the second label is carried by no row, the third by all
    for weight in (None, pos_weight(labels)):
        classifier = model(multi_label=True)
        torch.nn.init.zeros_(classifier.head.weight)
        multilabel.start_at_prior(classifier, labels, weight)
        p = classifier(torch.tensor([[7, 8, 9]])).logits.sigmoid()[0]
        assert torch.isfinite(p.log()).all()
        assert p[0].item() == pytest.approx(0.2 if weight is None else 0.5)
        assert weight is not None or (p[1] < 0.02 and p[2] > 0.98)
    with pytest.raises(ConfigError, match="3 labels"):
        multilabel.start_at_prior(torch.nn.Linear(2, 3), labels)


def test_copies_have_punctuation_and_the_labels_of_their_row(small):
    augmented = add_copies(small, ["음질"], copies=3, seed=1)
    assert augmented[:5] == small[:] and len(augmented) == 5 + 2 * 3
    for row in augmented.select(range(5, 11)):
        source = next(r for r in small if r["product"] == row["product"])
        assert row["labels"] == source["labels"] and row["text"] != source["text"]
        assert [word for word in row["text"].split() if word not in ".;?:!,"] == source["text"].split()
    assert counts(augmented["labels"][:]).tolist() == [2 + 3, 2 + 6, 2 + 3, 0]
    assert augmented[:] == add_copies(small, ["음질"], copies=3, seed=1)[:]
    assert augmented[:] != add_copies(small, ["음질"], copies=3, seed=2)[:]
    assert len(set(augmented["text"][5:8])) > 1  # the copies of one row differ
    plain = add_copies(small, ["음질"], change=None)
    assert plain["text"][5:] == [small["text"][1]] * 2 + [small["text"][4]] * 2
    with pytest.raises(DataError, match="no label '소리'"):
        add_copies(small, ["소리"])


@given(zeros_and_ones, st.randoms(use_true_random=False))
def test_scores_equal_scikit_learn(references, random):
    draw = np.random.default_rng(random.randrange(1000))
    probabilities = draw.integers(0, 4, references.shape) / 4  # ties
    predictions = (probabilities > 0.5).astype(int)
    found = multilabel_metrics(predictions, references, probabilities)
    wide = references.shape[1] > 1
    if wide:
        for name, average in (("f1", "macro"), ("micro_f1", "micro")):
            expected = sk.f1_score(references, predictions, average=average, zero_division=0)
            assert found[name] == pytest.approx(expected)
        assert found["hamming"] == pytest.approx(1 - sk.hamming_loss(references, predictions))
        assert found["accuracy"] == pytest.approx(sk.accuracy_score(references, predictions))
    ranks = []
    for truth, row in zip(references, probabilities, strict=True):  # the definition, label by label
        true = np.flatnonzero(truth)
        shares = [truth[row >= row[c]].sum() / (row >= row[c]).sum() for c in true]
        ranks.append(np.mean(shares) if len(true) else 1.0)
    assert found["lrap"] == pytest.approx(np.mean(ranks))


def test_whoever_always_says_no_has_a_high_hamming_score():
    references = np.eye(20, dtype=int)
    found = multilabel_metrics(np.zeros_like(references), references)
    assert found["hamming"] == pytest.approx(0.95) and found["f1"] == found["micro_f1"] == 0
    assert "lrap" not in found
    with pytest.raises(DataError, match="must match"):
        multilabel_metrics(references, references, np.zeros((20, 3)))


def test_the_rarest_label_of_a_row():
    labels = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert multilabel.rarest_of_each(labels).tolist() == [0, 1, -1, 2]


def test_corpora_come_by_name(tmp_path, monkeypatch):
    """Files of the published shape in the place where `kolab fetch` puts them."""
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path))
    for folder, files in (
        ("kote", ("train.tsv", "val.tsv", "test.tsv")),
        ("unsmile", ("unsmile_train_v1.0.tsv", "unsmile_valid_v1.0.tsv")),
    ):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number, name in enumerate(files):
            texts = [f"{number}번 파일의 {row}번째 글" for row in range(200)]
            if folder == "kote":
                lines = [f"{row}\t{text}\t{row % 44},{(row + 1) % 44}" for row, text in enumerate(texts)]
            else:
                head = "\t".join(UNSMILE_HEADER)
                cells = ["\t".join(str(int(c == row % 10)) for c in range(10)) for row in range(200)]
                lines = [head, *(f"{text}\t{cell}\t0" for text, cell in zip(texts, cells, strict=True))]
            (tmp_path / "data" / folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        data = multilabel.load(folder)
        assert set(data) == {"train", "validation", "test"}
        assert len(label_names(data)) == {"kote": 44, "unsmile": 10}[folder]
        sums = np.array(data["train"]["labels"][:]).sum(axis=1)
        assert set(sums) == {{"kote": 2.0, "unsmile": 1.0}[folder]}
