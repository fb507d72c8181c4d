"""NSMC, KOTE and UnSmile: fetched from a badly behaved server on the loopback, and read, dirt and all.

The files are small and made up, in the exact format of the published ones.
"""

import builtins
import functools
import json
import subprocess
import sys

import numpy as np
import pytest
from datasets import ClassLabel, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

import kolab as kl
from kolab import corpus_files, fetch
from kolab.corpus_files import KOTE_EMOTIONS, UNSMILE_HEADER, UNSMILE_LABELS
from kolab.download import File, git_blob
from kolab.errors import ConfigError, DataError
from kolab.multilabel import label_names

NSMC_TRAIN = [
    ('"따옴표 하나로 시작하는 줄', 1), ('""두 개""', 0), ("쉼표, 그리고 \u2028 줄 바꿈 글자\x85", 1), ("", 0),
    ("   ", 1),
    ("시험에도 있는 글!!", 1), *((f"재미있는 영화 {n}번 정말 좋다", n % 2) for n in range(60)),
]  # fmt: skip
NSMC_TEST = [("시험에도  있는 글", 0), ("", 1), *((f"시험 영화 {n}편", n % 2) for n in range(10))]


def nsmc_bytes(rows, end="\n") -> bytes:
    lines = ["id\tdocument\tlabel", *(f"{7000 + n}\t{text}\t{label}" for n, (text, label) in enumerate(rows))]
    return (end.join(lines) + end).encode()


def kote_bytes(rows, end="\n") -> bytes:
    """As CSV would write it: quotes around a text that holds some, each doubled."""
    quoted = [
        ('"' + text.replace('"', '""') + '"' if '"' in text or "\n" in text else text, ids)
        for text, ids in rows
    ]
    return "".join(f"{n}\t{text}\t{ids}{end}" for n, (text, ids) in enumerate(quoted)).encode()


KOTE = {
    "train.tsv": [('그가 "말했다" 진짜로', "0,6,22"), ("두 줄로\n쓴 글", "40,42"), ("검증에도 있음", "5"),
                  ("놀라워라", "34,39")]
    + [(f"학습 댓글 {n}", f"{n % 44},{(n + 7) % 44}") for n in range(44)],
    "val.tsv": [("검증에도 있음.", "5"), ("평범한 말", "24"), ('"""', "1")],
    "test.tsv": [("없는 감정", "24"), ("행복하다 ㅠㅠ", "40,42,2")],
}  # fmt: skip
UNSMILE = {
    "unsmile_train_v1.0.tsv": [("아무 표시도 없는 줄", []), ('그 "사람" 말이야', [9, 10])]
    + [(f"학습 문장 {n}", [n % 10]) for n in range(200)],
    "unsmile_valid_v1.0.tsv": [("시험 문장", [0, 7]), ("좋은 하루", [9])],
}  # fmt: skip


def unsmile_bytes(rows, end="\n") -> bytes:
    lines = ["\t".join(UNSMILE_HEADER)]
    for text, on in rows:
        text = '"' + text.replace('"', '""') + '"' if '"' in text else text
        lines.append("\t".join([text, *("1" if place in on else "0" for place in range(11))]))
    return (end.join(lines) + end).encode()


FILES = {
    "nsmc": {"ratings_train.txt": nsmc_bytes(NSMC_TRAIN), "ratings_test.txt": nsmc_bytes(NSMC_TEST)},
    "kote": {name: kote_bytes(rows) for name, rows in KOTE.items()},
    "unsmile": {name: unsmile_bytes(rows) for name, rows in UNSMILE.items()},
}
LOADERS = {"nsmc": kl.load_nsmc, "kote": kl.load_kote, "unsmile": kl.load_unsmile}


def folder_of(tmp_path, corpus, **changed):
    """A local folder with a corpus's files; changed: name without its ending → other content."""
    folder = tmp_path / corpus
    folder.mkdir(exist_ok=True)
    for name, content in FILES[corpus].items():
        (folder / name).write_bytes(changed.get(name.split(".")[0], content))
    return folder


@pytest.fixture
def published(server, monkeypatch):
    """All three corpora, served as their publishers do: hashes known for some files, rows for others."""
    rows = {name: len(r) for name, r in (KOTE | UNSMILE).items()}
    readers = {"kote": corpus_files.read_kote, "unsmile": corpus_files.read_unsmile}
    sources = {}
    for corpus, contents in FILES.items():
        files = []
        for name, content in contents.items():
            server.files[name] = content
            if corpus == "nsmc" or name == "train.tsv":
                files.append(File(server.url(name), name, None, git_blob(content)))
            else:
                check = functools.partial(corpus_files.wrong_content, reader=readers[corpus], rows=rows[name])
                files.append(File(server.url(name), name, check=check))
        real = fetch.SOURCES[corpus]
        sources[corpus] = fetch.Source(
            real.folder, real.licence, tuple(files), title=real.title, page=real.page, terms=real.terms
        )
    monkeypatch.setattr(fetch, "SOURCES", sources)
    return server


# ---- fetching


@pytest.mark.parametrize("corpus", FILES)
def test_fetched_once_with_its_licence_and_loaded(published, tmp_path, monkeypatch, capsys, corpus):
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path))
    with pytest.raises(DataError, match=f"`kolab fetch {corpus}` brings it"):
        LOADERS[corpus]()
    assert fetch.main([corpus, "--yes"]) == 0
    said = capsys.readouterr().out
    assert f"Licence: {fetch.SOURCES[corpus].licence}" in said and all(name in said for name in FILES[corpus])
    before = len(published.seen)
    assert fetch.main([corpus]) == 0, "what is there needs no consent, and no network"
    assert len(published.seen) == before == len(FILES[corpus])
    parts = LOADERS[corpus]()
    assert isinstance(parts, DatasetDict) and list(parts) == ["train", "validation", "test"]


@pytest.mark.parametrize("corpus", FILES)
def test_a_cut_connection_is_resumed_or_begun_anew(published, tmp_path, corpus):
    names = list(FILES[corpus])
    for name in names:
        published.tags[name] = f'"{name}"'
    published.faults = [("cut", 40), ("cut", 1), 503, None, ("cut", 30)]
    paths = fetch.fetch(corpus, folder=tmp_path, show=False, yes=True)
    assert [path.read_bytes() for path in paths] == list(FILES[corpus].values())
    assert published.seen[1][1] == "bytes=40-" and published.seen[2][1] == "bytes=41-"


@pytest.mark.parametrize("corpus", FILES)
@pytest.mark.parametrize("fault", ["page", "disguised"])
def test_a_page_instead_of_the_data_is_refused(published, tmp_path, corpus, fault):
    published.faults = [None, fault]
    with pytest.raises(DataError, match="gives a web page instead of"):
        fetch.fetch(corpus, folder=tmp_path, show=False, yes=True)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == [next(iter(FILES[corpus]))]


@pytest.mark.parametrize(
    ("corpus", "name", "content", "words"),
    [
        ("kote", "train.tsv", kote_bytes(KOTE["train.tsv"][:-1]), "the git hash"),
        ("kote", "val.tsv", kote_bytes(KOTE["val.tsv"][:-1]), "holds 2 rows instead of 3"),
        ("kote", "val.tsv", b"1\t\xea\xb8\x80\t0\n2\t\xea\xb8\x80\n3\tx\t1\n", "line 2 has 2 columns instead of 3"),
        ("kote", "test.tsv", b"1\tx\t44\n2\ty\t0\n", "numbers from 0 to 43"),
        ("unsmile", "unsmile_valid_v1.0.tsv", unsmile_bytes(UNSMILE["unsmile_valid_v1.0.tsv"])[:-4], "columns instead"),
        ("unsmile", "unsmile_valid_v1.0.tsv", "문장\n".encode("cp949"), "not UTF-8"),
        ("unsmile", "unsmile_valid_v1.0.tsv", b"", "UnSmile's is 문장"),
        ("nsmc", "ratings_test.txt", nsmc_bytes(NSMC_TEST)[:-3], "the git hash"),
    ],
)  # fmt: skip
def test_other_content_is_thrown_away(published, tmp_path, corpus, name, content, words):
    published.files[name] = content
    with pytest.raises(DataError, match=words):
        fetch.fetch(corpus, folder=tmp_path, show=False, yes=True)
    assert not list(tmp_path.glob(f"{name}*")), "neither the file nor a part of it"


def test_a_restricted_licence_is_asked_about_and_no_means_no(published, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for answer in ("", "n", "later"):
        monkeypatch.setattr(builtins, "input", lambda _, answer=answer: answer)
        with pytest.raises(ConfigError, match="Nothing was downloaded"):
            fetch.fetch("unsmile", folder=tmp_path / "no", show=False)
    assert not published.seen and not (tmp_path / "no").exists()
    assert "no commercial use" in capsys.readouterr().out
    monkeypatch.setattr(builtins, "input", lambda _: "y")
    assert len(fetch.fetch("unsmile", folder=tmp_path, show=False)) == 2
    monkeypatch.setattr(
        builtins, "input", lambda _: pytest.fail("asked about a licence that restricts nothing")
    )
    fetch.fetch("kote", folder=tmp_path, show=False)


def test_without_a_terminal_consent_has_to_be_given_in_words(tmp_path):
    """As a script, a notebook's shell or CI calls it: no terminal, and no address is ever asked for."""
    command = [sys.executable, "-m", "kolab.cli", "fetch", "unsmile", "--folder", str(tmp_path / "u")]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no terminal to ask on" in done.stderr and "--yes" in done.stderr
    assert "CC BY-NC-ND 4.0" in done.stdout and not (tmp_path / "u").exists()


def test_files_of_ones_own_need_no_consent(published, tmp_path):
    mine = folder_of(tmp_path, "unsmile")
    paths = fetch.fetch("unsmile", folder=tmp_path / "cache", given=mine, show=False)
    assert [path.read_bytes() for path in paths] == list(FILES["unsmile"].values()) and not published.seen


def test_what_is_pinned():
    train, validation, test = fetch.SOURCES["kote"].files
    assert train.blob == "6d61184517c834417796ca6a1bde99b52620a2c5" and validation.check and test.check
    assert fetch.SOURCES["unsmile"].terms and not fetch.SOURCES["kote"].terms
    assert all(
        file.blob or file.check or source.parquet
        for source in fetch.SOURCES.values()
        for file in source.files
    )


# ---- reading


def test_nsmc_keeps_literal_quotes_and_loses_no_row(tmp_path, capsys):
    parts = kl.load_nsmc(folder_of(tmp_path, "nsmc"))
    train = [row["text"] for part in ("train", "validation") for row in parts[part]]
    assert (
        '"따옴표 하나로 시작하는 줄' in train and '""두 개""' in train and len(train) == len(NSMC_TRAIN) - 3
    )
    assert len(parts["test"]) == len(NSMC_TEST) - 1 and parts["test"][0] == {
        "text": "시험에도 있는 글",
        "label": 0,
    }
    assert "시험에도 있는 글!!" not in train, "a near copy of a test text"
    assert "3 without text, 1 also in a later split" in capsys.readouterr().out
    label = parts["train"].features["label"]
    assert isinstance(label, ClassLabel) and label.names == ["부정", "긍정"] == label_names(parts)
    assert not set(parts["train"]["text"]) & set(parts["validation"]["text"])


@pytest.mark.parametrize("corpus", FILES)
@pytest.mark.parametrize("change", ["crlf", "bom", "no end of line"])
def test_what_windows_and_editors_do_to_a_file_changes_nothing(tmp_path, corpus, change):
    def other(content: bytes) -> bytes:
        if change == "no end of line":
            return content[:-1]
        return b"\xef\xbb\xbf" + content if change == "bom" else content.replace(b"\n", b"\r\n")

    wanted = LOADERS[corpus](folder_of(tmp_path, corpus))
    changed = {name.split(".")[0]: other(content) for name, content in FILES[corpus].items()}
    found = LOADERS[corpus](folder_of(tmp_path, corpus, **changed))
    assert {part: rows.to_list() for part, rows in found.items()} == {
        part: rows.to_list() for part, rows in wanted.items()
    }


def test_kote_in_44_emotions_and_in_seven_groups(tmp_path):
    folder = folder_of(tmp_path, "kote")
    parts, groups = kl.load_kote(folder), kl.load_kote(folder, groups=True)
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 47, "validation": 3, "test": 2}
    first = parts["train"][0]
    assert first["text"] == '그가 "말했다" 진짜로' and np.flatnonzero(first["labels"]).tolist() == [0, 6, 22]
    assert parts["train"][1]["text"] == "두 줄로 쓴 글" and parts["validation"][2]["text"] == '"""'
    assert label_names(parts) == list(KOTE_EMOTIONS) and label_names(groups) == list(corpus_files.KOTE_GROUPS)
    rows = np.array(groups["test"]["labels"])
    assert rows.tolist() == [[0, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0]]
    assert np.array(parts["train"]["labels"]).shape == (47, 44)


def test_each_emotion_is_in_one_group_and_no_name_is_invented():
    listed = [name for names in corpus_files.KOTE_GROUPS.values() for name in names]
    assert sorted(listed) == sorted(KOTE_EMOTIONS) and len(listed) == len(set(listed)) == 44
    assert len(corpus_files.KOTE_GROUPS) == 7


def test_the_first_release_of_kote_with_its_fourth_column(tmp_path):
    one_hot = ",".join(["0"] * 44)
    old = "".join(f"{n}\t글 {n}\t{n % 44}\t{one_hot}\n" for n in range(5)).encode()
    assert kl.load_kote(folder_of(tmp_path, "kote", val=old))["validation"].num_rows == 5


def test_unsmile_with_its_columns_as_published(tmp_path, capsys):
    parts = kl.load_unsmile(folder_of(tmp_path, "unsmile"))
    assert label_names(parts) == list(UNSMILE_LABELS) and "기타 혐오" in UNSMILE_LABELS
    assert parts["test"].to_list() == [
        {"text": "시험 문장", "labels": [1, 0, 0, 0, 0, 0, 0, 1, 0, 0], "개인지칭": 0},
        {"text": "좋은 하루", "labels": [0] * 9 + [1], "개인지칭": 0},
    ]
    rest = [row for part in ("train", "validation") for row in parts[part]]
    assert len(rest) == 201 and "1 without label" in capsys.readouterr().out
    (named,) = [row for row in rest if row["text"] == '그 "사람" 말이야']
    assert named["개인지칭"] == 1 and named["labels"] == [0] * 9 + [1]


def test_names_survive_what_a_lesson_does_to_a_data_set(tmp_path):
    train = kl.load_unsmile(folder_of(tmp_path, "unsmile"))["train"]
    later = (
        train.shuffle(seed=1)
        .select(range(20))
        .filter(lambda row: True)
        .map(lambda row: {"n": len(row["text"])})
    )
    assert label_names(later) == list(UNSMILE_LABELS)


@pytest.mark.parametrize("corpus", ["kote", "unsmile"])
def test_quotes_that_do_not_come_out_even_are_taken_literally(tmp_path, corpus):
    name = "val" if corpus == "kote" else "unsmile_valid_v1"
    rows = [('"열기만 한 따옴표', [0]), ("다음 줄", [1]), ('끝에서 닫는"', [2])]
    if corpus == "kote":
        content = "".join(f"{n}\t{text}\t{on[0]}\n" for n, (text, on) in enumerate(rows)).encode()
    else:
        content = (
            unsmile_bytes([])
            + "".join(
                "\t".join([text, *("1" if p in on else "0" for p in range(11))]) + "\n" for text, on in rows
            ).encode()
        )
    parts = LOADERS[corpus](folder_of(tmp_path, corpus, **{name: content}))
    assert parts["validation" if corpus == "kote" else "test"]["text"][:] == [text for text, _ in rows]


@pytest.mark.parametrize(
    ("corpus", "name", "content", "words"),
    [
        ("nsmc", "ratings_test", nsmc_bytes(NSMC_TEST) + "9\t잘린 글\n".encode(), "line 14 has 2 columns instead of 3"),
        ("nsmc", "ratings_test", nsmc_bytes(NSMC_TEST) + "9\t탭\t이\t1\n".encode(), "line 14 has 4 columns"),
        ("nsmc", "ratings_test", nsmc_bytes([("글", 2)]), "line 2 has the label '2'"),
        ("nsmc", "ratings_test", b"document\tid\tlabel\n", "begins with id, document, label"),
        ("nsmc", "ratings_test", b"", "begins with id, document, label"),
        ("nsmc", "ratings_test", "id\tdocument\tlabel\n1\t글\t1\n".encode("cp949"), "not UTF-8"),
        ("nsmc", "ratings_test", b"\n<!DOCTYPE html><title>Log in</title>", "is a web page"),
        ("nsmc", "ratings_test", nsmc_bytes([("", 1)]), "no usable row"),
        ("kote", "test", "1\t글\t1,x\n".encode(), "numbers from 0 to 43"),
        ("kote", "test", "1\t글\t-3\n".encode(), "numbers from 0 to 43"),
        ("kote", "test", "1\t글\n".encode(), "line 1 has 2 columns instead of 3"),
        ("kote", "test", b"<html>", "is a web page"),
        ("unsmile", "unsmile_valid_v1", unsmile_bytes([]).replace("남성".encode(), "여성".encode()), "UnSmile's is"),
        ("unsmile", "unsmile_valid_v1", FILES["unsmile"]["unsmile_valid_v1.0.tsv"].replace(b"\t1", b"\t2"), "'2'"),
        ("unsmile", "unsmile_valid_v1", unsmile_bytes([]) + b"x\t1\n", "line 2 has 2 columns instead of 12"),
    ],
)  # fmt: skip
def test_a_wrong_local_file_is_named_with_its_line(tmp_path, corpus, name, content, words):
    folder = folder_of(tmp_path, corpus, **{name: content})
    with pytest.raises(DataError, match=words):
        LOADERS[corpus](folder)


def test_a_folder_that_is_not_there_or_lacks_a_file(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        kl.load_kote(tmp_path / "nowhere")
    folder = folder_of(tmp_path, "unsmile")
    (folder / "unsmile_valid_v1.0.tsv").unlink()
    with pytest.raises(DataError, match=r"unsmile_valid_v1.0.tsv is not in .*`kolab fetch unsmile`.*--yes"):
        kl.load_unsmile(folder)
    with pytest.raises(ConfigError, match="NSMC has 2, or 3 by rating"):
        kl.load_nsmc(classes=5)


@given(st.lists(st.tuples(st.text(), st.integers(0, 1)), max_size=8))
def test_nsmc_gives_back_every_text_that_a_line_can_hold(tmp_path_factory, rows):
    """The writer of such a file can put anything into a text but a tab, a line feed, and a return at its end."""
    rows = [
        ("".join(c for c in text if c not in "\t\n\r").encode(errors="replace").decode(), n)
        for text, n in rows
    ]
    path = tmp_path_factory.mktemp("law") / "ratings_test.txt"
    path.write_bytes(nsmc_bytes(rows))
    assert corpus_files.read_nsmc(path) == rows


# ---- three classes by rating


def film(number, ratings):
    keys = ("review", "date", "rating", "author", "review_id", "movie_id")
    rows = [
        (f"영화 {number} 평 {n} 점수 {r}", "15.08.25", str(r), "a****", f"{number}{n}", number)
        for n, r in enumerate(ratings)
    ]
    return json.dumps([dict(zip(keys, row)) for row in rows], ensure_ascii=False, indent=2).encode()  # fmt: skip


def test_nsmc_in_three_classes_from_a_clone_an_archive_and_a_table(tmp_path):
    import zipfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    clone = tmp_path / "nsmc"
    (clone / "raw").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "nsmc.zip", "w") as archive:
        for number in ("10001", "10002", "7"):
            content = film(number, [1, 4, 5, 8, 9, 10] * 8)
            (clone / "raw" / f"{number}.json").write_bytes(content)
            archive.writestr(f"nsmc-abc/raw/{number}.json", content)
    found = [kl.load_nsmc(path, classes=3) for path in (clone, tmp_path / "nsmc.zip")]
    rows = [row for part in found[0].values() for row in part]
    assert len(rows) == 144 and label_names(found[0]) == ["부정", "중립", "긍정"]
    assert all(row["label"] == (0 if row["rating"] <= 4 else 1 if row["rating"] <= 8 else 2) for row in rows)
    assert len(found[0]["train"]) > 120 and min(map(len, found[0].values())) >= 6
    table = pa.table({key: [row[key] for row in rows] for key in ("movie", "rating", "text")})
    pq.write_table(table, tmp_path / "nsmc_raw.parquet")
    by_table = kl.load_nsmc(tmp_path, classes=3)
    same = [sorted(row["text"] for part in parts.values() for row in part) for parts in (*found, by_table)]
    assert same[0] == same[1] == same[2]
    (tmp_path / "nsmc_raw.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match="cannot be read as a table"):
        kl.load_nsmc(tmp_path, classes=3)
    with pytest.raises(DataError, match="`kolab fetch nsmc --raw` brings it"):
        kl.load_nsmc(classes=3)
