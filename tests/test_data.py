import contextlib
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

import kolab as kl
from kolab.auditing import DROPPED, KINDS, MENDED
from kolab.errors import DataError
from kolab.text import clean, near_key

REVIEWS = kl.data.DATA / "it_reviews"
ROOT = Path(__file__).resolve().parents[1]


def card_counts() -> dict[str, int]:
    card = (kl.data.DATA / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| ([a-z ]+) \| (\d+) \| (?:dropped|mended)", card, flags=re.MULTILINE)
    return {kind: int(count) for kind, count in found}


def row(text="좋아요", polarity="1", **more):
    return {
        "Index": "1",
        "RawText": text,
        "GeneralPolarity": polarity,
        "Domain": "IT기기",
        "Aspects": [],
    } | more


def write(folder: Path, rows: object, name="SNS/04. IT기기/1-1.스마트폰(1).json", encoding="utf-8") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding=encoding)
    return path


# ---- the bundled corpus


def test_audit_finds_what_the_card_counts():
    report = kl.audit(REVIEWS)
    assert report.counts == card_counts()
    assert set(report.counts) == set(KINDS)
    assert all(report.counts.values())
    assert report.kept == 4398
    assert report.rows == 4926
    assert report.dropped == sum(report.counts[kind] for kind in DROPPED)


def test_audit_of_the_loaded_table_cannot_tell_null_from_missing():
    counts = kl.audit(kl.load_reviews(raw=True)).counts
    expected = card_counts()
    assert counts["polarity null"] == expected["polarity null"] + expected["polarity missing"]
    for kind in set(KINDS) - {"polarity null", "polarity missing", "bom"}:
        assert counts[kind] == expected[kind], kind


def test_what_is_kept_are_the_reviews_as_written():
    lines = (kl.data.DATA / "source" / "it_reviews.jsonl").read_text(encoding="utf-8").splitlines()
    source = {clean(line["text"]): line for line in map(json.loads, lines)}
    splits = kl.load_reviews()
    loaded = {example["text"]: example for split in splits.values() for example in split}
    assert set(loaded) == set(source)
    for text, example in loaded.items():
        written = source[text]
        assert example["label"] == written["polarity"] + 1
        assert (example["style"], example["category"]) == (written["style"], written["category"])
        assert [(a["aspect"], a["polarity"], a["text"]) for a in example["aspects"]] == [
            (name, polarity, clean(span)) for name, polarity, span in written["aspects"]
        ]


def test_script_writes_the_same_bytes_again(tmp_path):
    subprocess.run(
        [
            sys.executable,
            ROOT / "data/build_reviews.py",
            ROOT / "data/source/it_reviews.jsonl",
            tmp_path / "new",
        ],
        check=True,
    )
    old, new = (
        {p.relative_to(f): p.read_bytes() for f in [base] for p in f.rglob("*") if p.is_file()}
        for base in (REVIEWS, tmp_path / "new")
    )
    assert old == new


def test_records_have_the_shape_of_the_corpus():
    fields = set(kl.data.AIHUB_FEATURES)
    for path in REVIEWS.rglob("*.json"):
        for record in json.loads(path.read_text(encoding="utf-8-sig")):
            assert fields - set(record) <= {"GeneralPolarity"}
            assert all(
                isinstance(v, str) for k, v in record.items() if k not in ("Aspects", "GeneralPolarity")
            )
            text = unicodedata.normalize("NFC", record["RawText"])
            assert record["Syllable"] == str(len("".join(text.split())))
            assert record["Word"] == str(len(text.split()))
            assert re.fullmatch(r"202[12]\d{4}", record["RDate"])
            assert record["ReviewScore"] in ("", "0", "20", "40", "60", "80", "100")
            for aspect in record["Aspects"]:
                assert aspect["SentimentWord"] == str(len(aspect["SentimentText"].split()))


def test_load_emotions():
    splits = kl.load_emotions()
    assert [len(split) for split in splits.values()] == [1200, 150, 150]
    assert splits["train"].features["label"].names == list(kl.data.EMOTIONS)
    counts = Counter(label for split in splits.values() for label in split["label"])
    assert counts == dict(enumerate((210, 135, 285, 330, 540)))


def test_load_aspects():
    splits = kl.data.load_aspects()
    names = kl.multilabel.label_names(splits)
    assert [len(part) for part in splits.values()] == [3519, 440, 439] and len(names) == 15
    reviews = {row["text"]: row for part in kl.load_reviews().values() for row in part}
    counted = Counter()
    for part in splits.values():
        assert set(part.column_names) == {"text", "labels", "product", "style"}
        for row in part.select(range(200)):
            carried = {name for name, value in zip(names, row["labels"], strict=True) if value}
            assert carried == {aspect["aspect"] for aspect in reviews[row["text"]]["aspects"]}
        found = kl.multilabel.counts(part["labels"][:])
        counted.update(dict(zip(names, found.tolist(), strict=True)))
        shares = found / len(part)
        if part is splits["train"]:
            whole = shares
        assert (abs(shares / whole - 1) < 0.35).all()  # the rare ones are spread as the others are
    assert list(counted.values()) == sorted(counted.values(), reverse=True)
    assert counted["배송"] == 157 and sum(counted.values()) == 5300
    assert kl.data.load_aspects(seed=1)["test"]["text"][:] != splits["test"]["text"][:]


def test_load_aspects_of_another_corpus(tmp_path):
    aspects = [
        [{"Aspect": name} for name in names] for names in (["색상", "핏"], ["색상"], [], ["핏", "핏"], ["끈"])
    ]
    rows = [
        row(f"{number}번째 옷이에요", Aspects=aspects[number % 5], Index=str(number)) for number in range(100)
    ]
    write(tmp_path, rows)
    splits = kl.data.load_aspects(tmp_path, least=30)
    assert kl.multilabel.label_names(splits) == ["색상", "핏"]
    assert sum(map(len, splits.values())) == 100
    with pytest.raises(DataError, match="no aspect has 50"):
        kl.data.load_aspects(tmp_path, least=50)


def test_missing_data_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(kl.data, "DATA", tmp_path)
    with pytest.raises(DataError, match="KOLAB_DATA"):
        kl.load_reviews()


def test_kolab_data_wins(tmp_path):
    code = "import kolab.data as d; print(d.DATA)"
    env = os.environ | {"KOLAB_DATA": str(tmp_path), "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == str(tmp_path)


# ---- load_aihub


def test_folder_file_and_domain(tmp_path, capsys):
    file = write(tmp_path, [row("하나"), row("둘", "-1", Domain="패션")])
    assert kl.load_aihub(tmp_path)["text"][:] == ["하나", "둘"]
    assert kl.load_aihub(file, domain="IT기기")["label"][:] == [2]
    assert "1 rows read, 1 kept" in capsys.readouterr().out
    with pytest.raises(DataError, match="IT기기, 패션"):
        kl.load_aihub(tmp_path, domain="없는 분야")


@pytest.mark.parametrize(
    "name_bytes",
    [
        "쇼핑몰/1-1.여성의류(1).json".encode("cp949"),
        unicodedata.normalize("NFD", "쇼핑몰/1-1.여성의류(1).json").encode(),
    ],
)
def test_zip_with_foreign_names(tmp_path, name_bytes):
    """Windows writes CP949 names, macOS decomposed UTF-8, both without the flag that says which."""
    path = tmp_path / "라벨링.zip"
    stand_in = b"x" * len(name_bytes)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(stand_in.decode(), json.dumps([row("멀쩡해요")]))
        archive.writestr("__MACOSX/._junk.json", b"\x00\x05")
    path.write_bytes(buffer.getvalue().replace(stand_in, name_bytes))
    dataset = kl.load_aihub(path)
    assert dataset["text"][:] == ["멀쩡해요"]
    assert dataset["file"][:] == ["라벨링.zip/쇼핑몰/1-1.여성의류(1).json"]
    assert list(tmp_path.iterdir()) == [path]


def test_zip_never_leaves_its_place(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    with zipfile.ZipFile(inside / "evil.zip", "w") as archive:
        archive.writestr("../../evil.json", json.dumps([row()]))
    with pytest.raises(DataError, match=r"the entry '\.\./\.\./evil\.json' points outside"):
        kl.load_aihub(inside / "evil.zip")
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "evil.zip"]


def test_decomposed_path_is_found(tmp_path):
    write(tmp_path, [row()], name=unicodedata.normalize("NFD", "쇼핑몰/한글.json"))
    assert len(kl.load_aihub(tmp_path / "쇼핑몰" / "한글.json")) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"RawText": "a"}, {"Raw', r"1-1\.json: not valid JSON at line 1, column 21.*unpack it again"),
        (b"", r"1-1\.json: not valid JSON at line 1.*end of file"),
        (b'{"RawText": "a"}', r"1-1\.json: expected a JSON array of records, found dict"),
        ("[{}] 한글".encode("cp949"), r"1-1\.json: not UTF-8 \(byte 5.*iconv -f cp949"),
        ("[]".encode("utf-16"), r"1-1\.json: the file is UTF-16"),
        (b"[" * 100_000, r"1-1\.json: not valid JSON"),
        (b"[]", "no record"),
        (json.dumps([row(polarity="2")]).encode(), "no usable row.*polarity unknown 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, message):
    (tmp_path / "1-1.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        kl.load_aihub(tmp_path)


def test_no_path_no_json_no_zip(tmp_path):
    with pytest.raises(DataError, match=r"no such file or folder.*04\. IT기기"):
        kl.load_aihub(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no \.json file in this folder"):
        kl.load_aihub(tmp_path)
    (tmp_path / "TL.zip").write_bytes(b"PK no")
    with pytest.raises(DataError, match=r"archives: unpack them, or give one of them \(TL\.zip\)"):
        kl.load_aihub(tmp_path)
    with pytest.raises(DataError, match="not a complete zip archive"):
        kl.load_aihub(tmp_path / "TL.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(DataError, match=r"no \.json file in this archive"):
        kl.load_aihub(tmp_path / "empty.zip")


@pytest.mark.parametrize(
    ("bad", "kind", "field", "value"),
    [
        (row("나빠요", "2"), "polarity unknown", "GeneralPolarity", "'2'"),
        (row("나빠요", " 1"), "polarity padded", "GeneralPolarity", "' 1'"),
        (row("나빠요", ""), "polarity empty", "GeneralPolarity", "''"),
        (row("나빠요", None), "polarity null", "GeneralPolarity", "None"),
        (row("나빠요", 1), "polarity unknown", "GeneralPolarity", "1"),
        ({"Index": "7", "RawText": "나빠요"}, "polarity missing", "GeneralPolarity", "None"),
        (row("", "1"), "text empty", "RawText", "''"),
        (row(" \n", "1"), "text blank", "RawText", r"' \\n'"),
        (row("좋아요", "1"), "exact duplicate", "RawText", "'좋아요'"),
        (row("좋아요!", "1"), "near duplicate", "RawText", "'좋아요!'"),
        ("a string", "not a record", "", "'a string'"),
    ],
)
def test_dirty_row_is_dropped_and_counted_or_named(tmp_path, bad, kind, field, value):
    if isinstance(bad, dict):
        bad["Index"] = "7"
    write(tmp_path, [row(), bad])
    dataset, report = kl.load_aihub(tmp_path, return_report=True)
    assert dataset["text"][:] == ["좋아요"]
    assert {k: n for k, n in report.counts.items() if n} == {kind: 1}
    (finding,) = report.examples(kind)
    assert (finding.row, finding.field) == (1, field)
    index = "7" if isinstance(bad, dict) else r"\?"
    with pytest.raises(
        DataError, match=rf"1-1\.스마트폰\(1\)\.json: row 1 \(Index {index}\): {kind}: {field} is {value}"
    ):
        kl.load_aihub(tmp_path, strict=True)


def test_conflicting_labels_lose_all_copies(tmp_path):
    write(tmp_path, [row("글쎄요", "1"), row("글쎄요...", "-1"), row("글쎄요", "1"), row("다른 글")])
    dataset, report = kl.load_aihub(tmp_path, return_report=True)
    assert dataset["text"][:] == ["다른 글"]
    assert report.counts["conflicting label"] == 3
    with pytest.raises(DataError, match=r"row 0 .*conflicting label"):
        kl.load_aihub(tmp_path, strict=True)


def test_strict_accepts_what_is_only_mended(tmp_path):
    write(
        tmp_path, [row("좋아요<br>"), row(unicodedata.normalize("NFD", "나빠요"), "-1")], encoding="utf-8-sig"
    )
    dataset, report = kl.load_aihub(tmp_path, strict=True, return_report=True)
    assert dataset["text"][:] == ["좋아요", "나빠요"]
    assert [report.counts[kind] for kind in MENDED] == [1, 1, 1]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["1", "-1", " 0", "\ud83d"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Aspect", "SentimentText", "SentimentPolarity", "x"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
RECORD = JSON | st.dictionaries(st.sampled_from([*kl.data.AIHUB_FEATURES]), JSON)


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORD, max_size=6))
def test_no_dirty_row_crashes_a_loader(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("any")
    (folder / "1.json").write_text(json.dumps([row("좋은 글"), *records]), encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            dataset, report = kl.load_aihub(folder, return_report=True)
        except DataError as error:  # every row may be in conflict
            assert "no usable row" in str(error)
            return
    assert len(dataset) == report.kept
    assert report.dropped == sum(n for kind, n in report.counts.items() if kind not in MENDED)


def test_audit_prints_and_names_its_kinds():
    report = kl.audit([row("글"), row("글")])
    assert re.search(r"exact duplicate +1\n", str(report))
    assert "exact duplicate" in report._repr_html_()
    assert report.to_pandas().loc["exact duplicate", "count"] == 1
    with pytest.raises(DataError, match="exact duplicate"):
        report.examples("no such kind")


def test_audit_of_a_clean_data_set_finds_nothing():
    report = kl.audit(kl.load_reviews())
    assert not any(report.counts.values())
    with pytest.raises(DataError, match="RawText and GeneralPolarity"):
        kl.audit([{"document": "글"}])


# ---- split


WORDS = st.sampled_from(["좋아요", "나빠요", "그럭저럭", "굿", "비추"])
VARIANT = st.sampled_from(["{}", "{}!", " {} ~", "{}...", "<b>{}</b>"])
ROWS = st.lists(st.tuples(WORDS, st.integers(0, 60), VARIANT, st.integers(0, 2)), min_size=30, max_size=300)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 9))
def test_split_never_puts_a_text_or_its_like_in_two_splits(rows, seed):
    texts = [variant.format(f"{word} {number}") for word, number, variant, _ in rows]
    dataset = Dataset.from_dict(
        {"text": texts, "label": [label for *_, label in rows], "row": list(range(len(rows)))}
    )
    try:
        splits = kl.split(dataset, seed=seed)
    except DataError as error:
        assert "too few" in str(error)
        return
    assert sorted(number for split in splits.values() for number in split["row"]) == list(range(len(rows)))
    keys = [{near_key(text) for text in split["text"]} for split in splits.values()]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    again = kl.split(dataset, seed=seed)
    assert all(splits[name]["row"][:] == again[name]["row"][:] for name in splits)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=100, max_size=600), st.integers(0, 99))
def test_split_sizes_and_class_shares(labels, seed):
    dataset = Dataset.from_dict({"text": [f"글 {n}" for n in range(len(labels))], "label": labels})
    splits = kl.split(dataset, seed=seed)
    total = Counter(labels)
    for name, size in zip(splits, (0.8, 0.1, 0.1)):
        assert abs(len(splits[name]) - size * len(labels)) <= max(0.01 * len(labels), 2)
        counts = Counter(splits[name]["label"])
        assert all(abs(counts[label] - size * total[label]) <= 2 for label in total)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_split_of_the_reviews(seed):
    splits = kl.load_reviews(seed=seed)
    total = sum(map(len, splits.values()))
    for split, size in zip(splits.values(), (0.8, 0.1, 0.1)):
        assert abs(len(split) / total - size) < 0.01
        assert abs(Counter(split["label"])[2] / len(split) - 1985 / 4398) < 0.005
    assert splits["test"]["text"][:] != kl.load_reviews(seed=seed + 1)["test"]["text"][:]


def test_split_refuses_nonsense():
    dataset = Dataset.from_dict({"text": ["하나", "둘"], "label": [0, 1]})
    with pytest.raises(DataError, match="add up to 1"):
        kl.split(dataset, sizes=(0.8, 0.1, 0.2))
    with pytest.raises(DataError, match="no column 'emotion'"):
        kl.split(dataset, stratify="emotion")
    with pytest.raises(DataError, match="too few"):
        kl.split(dataset)
    assert [len(part) for part in kl.split(dataset, sizes=(0.5, 0.0, 0.5), stratify=None).values()] == [
        1,
        0,
        1,
    ]
