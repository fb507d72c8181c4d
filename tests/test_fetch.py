"""Downloads over a real, badly behaved HTTP server on the loopback; small files of the exact published formats."""

import dataclasses
import io
import json
import zipfile

import pyarrow.parquet as pq
import pytest

from kolab import cli, download, fetch
from kolab.download import File, git_blob
from kolab.errors import ConfigError, DataError

TRAIN = (
    'id\tdocument\tlabel\n9976970\t아 더빙.. 진짜 짜증나네요 목소리\t0\n1\t"따옴표 하나\t1\n2\t\t0\n'.encode()
    + b"".join(f"{n}\t영화 {n}번 재밌다\t1\n".encode() for n in range(3, 9000))
)


def film(number: str, *reviews: tuple) -> bytes:
    """A film's file as the repository has it: JSON with two blanks of indentation, every value a string."""
    keys = ("review", "date", "rating", "author", "review_id", "movie_id")
    rows = [dict(zip(keys, [*review, number])) for review in reviews]
    return json.dumps(rows, ensure_ascii=False, indent=2).encode()


FILMS = {
    "100015": film("100015", ("좋다\r\n정말", "15.08.25", "10", "dhrl****", "7")),
    "10001": film("10001", ("아\t\"하\"  ㅋㅋ", "15.08.24", "1", "yuns****", "10"), ("", "15.08.23", "8", "a***", "9")),
    "9": film("9"),
}  # fmt: skip
ROWS = [
    ["10", "10001", 1, "15.08.24", "아\t\"하\"  ㅋㅋ"],
    ["9", "10001", 8, "15.08.23", ""],
    ["7", "100015", 10, "15.08.25", "좋다\r\n정말"],
]  # fmt: skip


def archive(films=FILMS, extra=()) -> bytes:
    """A zip as GitHub makes it: everything under REPOSITORY-COMMIT/."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("nsmc-b6232e6/README.md", "# Naver sentiment movie corpus v1.0")
        file.writestr("nsmc-b6232e6/ratings_test.txt", "id\tdocument\tlabel\n")
        for number, content in films.items():
            file.writestr(f"nsmc-b6232e6/raw/{number}.json", content)
        for name, content in extra:
            file.writestr(name, content)
    return memory.getvalue()


def digest_of(rows) -> str:
    digest = fetch.Digest()
    for row in rows:
        digest.add(row)
    return digest.hex()


@pytest.fixture
def file(server):
    server.files["ratings_train.txt"] = TRAIN
    return File(server.url("ratings_train.txt"), "ratings_train.txt", len(TRAIN), git_blob(TRAIN))


def whole(folder) -> bool:
    """Only the file itself is left, and it is right."""
    return [p.name for p in folder.iterdir()] == ["ratings_train.txt"] and (
        folder / "ratings_train.txt"
    ).read_bytes() == TRAIN


# ---- one file


def test_a_file_is_fetched_once(server, file, tmp_path):
    assert download.download(file, tmp_path, show=False) == tmp_path / "ratings_train.txt"
    assert download.download(file, tmp_path, show=False) and len(server.seen) == 1 and whole(tmp_path)


@pytest.mark.parametrize("tag", [None, '"v1"', 'W/"weak"'])
def test_a_cut_download_goes_on_where_it_was(server, file, tmp_path, tag):
    if tag:
        server.tags["ratings_train.txt"] = tag
    cuts = [100_000, 70_000, 1, 65_536]
    server.faults = [("cut", n) for n in cuts]
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path)
    assert [asked for _, asked, _ in server.seen] == [
        None, "bytes=100000-", "bytes=170000-", "bytes=170001-", "bytes=235537-",
    ]  # fmt: skip
    assert sum(sent for _, _, sent in server.seen) == len(TRAIN), "no byte came twice"


def test_many_cuts_are_no_reason_to_give_up_as_long_as_something_comes(server, file, tmp_path):
    server.faults = [("cut", 20_000)] * 12
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path) and len(server.seen) == 13


def test_another_process_goes_on_with_what_an_earlier_one_has_left(server, file, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    server.faults = [("cut", 1000), 500]
    with pytest.raises(DataError, match="the server answers 500"):
        download.download(file, tmp_path, show=False)
    assert not (tmp_path / "ratings_train.txt").exists(), "never a half file under the real name"
    assert (tmp_path / "ratings_train.txt.part").stat().st_size == 1000
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path) and server.seen[-1][1] == "bytes=1000-"


def test_without_ranges_it_begins_anew(server, file, tmp_path):
    server.ranges = False
    server.faults = [("cut", 100_000), ("chunked", 50_000)]
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path) and server.seen[-1][2] == len(TRAIN)


def test_a_file_that_changed_on_the_server_is_not_patched_together(server, file, tmp_path):
    server.files["ratings_train.txt"], server.tags["ratings_train.txt"] = b"x" * len(TRAIN), '"old"'
    server.faults = [("cut", 5000), 503]

    def change(*_):
        server.files["ratings_train.txt"], server.tags["ratings_train.txt"] = TRAIN, '"new"'

    download.time.sleep, kept = change, download.time.sleep
    try:
        download.download(file, tmp_path, show=False)
    finally:
        download.time.sleep = kept
    assert whole(tmp_path) and server.seen[-1][1:] == ("bytes=5000-", len(TRAIN))


def test_a_download_killed_just_before_the_end_asks_for_nothing(server, file, tmp_path):
    (tmp_path / "ratings_train.txt.part").write_bytes(TRAIN)
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path) and not server.seen


def test_a_rest_that_is_too_long_is_thrown_away(server, file, tmp_path):
    (tmp_path / "ratings_train.txt.part").write_bytes(TRAIN + b"more")
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path) and server.seen[0][1] == f"bytes={len(TRAIN) + 4}-"


@pytest.mark.parametrize("content", [TRAIN[:-1] + b"\r", TRAIN + b"\n", TRAIN[: len(TRAIN) // 2], b""])
def test_a_wrong_file_is_thrown_away_and_both_hashes_are_named(server, file, tmp_path, content):
    server.files["ratings_train.txt"] = content
    with pytest.raises(
        DataError, match=f"{len(content):,} bytes instead of {len(TRAIN):,}.*{git_blob(TRAIN)[:12]}"
    ):
        download.download(file, tmp_path, show=False)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_of_an_earlier_day_is_replaced(server, file, tmp_path):
    (tmp_path / "ratings_train.txt").write_bytes(TRAIN[:-5])
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path)


def test_line_ends_that_were_changed_on_the_way_are_changed_back(server, file, tmp_path):
    server.files["ratings_train.txt"] = TRAIN.replace(b"\n", b"\r\n")
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path)


@pytest.mark.parametrize("fault", ["page", "disguised"])
def test_a_page_is_no_data(server, file, tmp_path, fault):
    server.faults = [fault]
    with pytest.raises(DataError, match=r"gives a web page instead of ratings_train\.txt"):
        download.download(file, tmp_path, show=False)
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_answers_is_said_and_passing_trouble_is_waited_out(server, file, tmp_path):
    server.faults = [503, 429, None]
    download.download(file, tmp_path, show=False)
    assert whole(tmp_path)
    gone = dataclasses.replace(file, url=server.url("gone.txt"), name="gone.txt")
    with pytest.raises(
        DataError, match=r"gone\.txt cannot be downloaded: the server answers 404 Not Found\. Ask him"
    ):
        download.download(gone, tmp_path, show=False, cure="Ask him.")
    assert [path for path, _, _ in server.seen].count("gone.txt") == 1, (
        "404 is an answer; asking again is no use"
    )


def test_no_connection_is_explained(file, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0)
    nobody = dataclasses.replace(file, url="http://127.0.0.1:9/x", name="x")
    with pytest.raises(DataError, match="http://127.0.0.1:9/x cannot be downloaded: .*refused"):
        download.download(nobody, tmp_path, show=False)


# ---- NSMC


@pytest.fixture
def nsmc(server, monkeypatch):
    """Both forms of the corpus, served by `server`."""
    server.files |= {"ratings_train.txt": TRAIN, "ratings_test.txt": TRAIN[:500], "nsmc.zip": archive()}
    files = tuple(
        File(server.url(name), name, len(server.files[name]), git_blob(server.files[name]))
        for name in ("ratings_train.txt", "ratings_test.txt")
    )
    zipped = (File(server.url("nsmc.zip"), "nsmc.zip"),)
    raw = fetch.Source("nsmc", "CC0", zipped, "nsmc_raw.parquet", len(ROWS), digest_of(ROWS))
    monkeypatch.setattr(fetch, "SOURCES", {"nsmc": fetch.Source("nsmc", "CC0", files), "nsmc --raw": raw})
    return server


def test_what_is_pinned():
    """Two files by size and git hash, the raw reviews by their number and the hash of what they say."""
    train, test = fetch.SOURCES["nsmc"].files
    assert (train.size, test.size) == (14_628_807, 4_893_335) and len(train.blob) == len(test.blob) == 40
    raw = fetch.SOURCES["nsmc --raw"]
    assert raw.rows == 712_404 and len(raw.digest) == 64 and len(raw.files) == 1
    assert all(f.url.startswith("https://") for s in fetch.SOURCES.values() for f in s.files)


def test_the_two_files(nsmc, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path))
    assert fetch.main(["nsmc"]) == 0
    assert (tmp_path / "data" / "nsmc" / "ratings_train.txt").read_bytes() == TRAIN
    assert capsys.readouterr().out.count("ratings_") == 2


def test_the_raw_reviews_become_one_table(nsmc, tmp_path):
    nsmc.tags["nsmc.zip"] = '"zip"'
    nsmc.faults = [("cut", 300)]
    (path,) = fetch.fetch("nsmc", raw=True, folder=tmp_path, show=False)
    table = pq.read_table(path)
    assert table.column_names == list(fetch.COLUMNS) and [list(r.values()) for r in table.to_pylist()] == ROWS
    kinds = {
        "id": "large_string",
        "movie": "large_string",
        "rating": "int64",
        "date": "large_string",
        "text": "large_string",
    }
    assert {f.name: str(f.type) for f in table.schema} == kinds
    assert nsmc.seen[-1][1] == "bytes=300-"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != ".lock") == [
        path.name,
        f"{path.name}.sha256",
    ]
    before = len(nsmc.seen)
    fetch.fetch("nsmc", raw=True, folder=tmp_path, show=False)
    assert len(nsmc.seen) == before, "it is there"
    path.write_bytes(path.read_bytes()[:-10])
    fetch.fetch("nsmc", raw=True, folder=tmp_path, show=False)
    assert len(nsmc.seen) == before + 1 and pq.read_table(path).num_rows == 3, "a damaged table is made anew"


@pytest.mark.parametrize(
    "content, words",
    [
        (archive({"10001": FILMS["10001"]}), "2 of 3, SHA-256 over them"),
        (archive(FILMS | {"9": film("9", ("안녕", "1", "5", "a", "3"))}), "4 of 3, SHA-256"),
        (archive(FILMS | {"100015": FILMS["100015"].replace("정말".encode(), "정멀".encode())}), "3 of 3, SHA-256"),
        (archive({}), "holds no raw/NUMBER.json"),
        (archive(extra=[("nsmc-b6232e6/raw/../../../.bashrc", b"rm")]), "points outside of its folder"),
        (archive(extra=[("/etc/passwd", b"root")]), "points outside of its folder"),
        (archive(extra=[("a\\..\\..\\b", b"")]), "points outside of its folder"),
        (archive(extra=[("nsmc-b6232e6/raw/5.json", b" " * (11 * 2**20))]), "would take 11,534,336 bytes"),
        (archive(extra=[("nsmc-b6232e6/raw/5.json", b"{}[")]), "5.json is not a list of reviews"),
        (archive(extra=[("nsmc-b6232e6/raw/5.json", b'[{"rating": "7"}]')]), "the field 'review_id' is missing"),
        (archive(extra=[("nsmc-b6232e6/raw/5.json", film("5", ("a", "1", "11", "b", "2")))]), "of the wrong kind"),
        (archive(extra=[("nsmc-b6232e6/raw/5.json", "한글".encode("cp949"))]), "5.json is not a list of reviews"),
        (archive()[:-100], "no whole zip archive"),
        (b"PK\x03\x04 and nothing more", "no whole zip archive"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_the_expected_one_leaves_nothing_behind(nsmc, tmp_path, content, words):
    nsmc.files["nsmc.zip"] = content
    folder = tmp_path / "cache"
    with pytest.raises(DataError, match=words.replace("(", r"\(")):
        fetch.fetch("nsmc", raw=True, folder=folder, show=False)
    assert [p.name for p in folder.iterdir() if p.name != ".lock"] == []
    assert [p.name for p in tmp_path.iterdir()] == ["cache"], "nothing was written anywhere else"


def test_a_damaged_byte_inside_an_archive_is_found(nsmc, tmp_path):
    content = bytearray(archive())
    at = content.index(b"raw/10001.json") + 40
    content[at] ^= 0xFF
    nsmc.files["nsmc.zip"] = bytes(content)
    with pytest.raises(DataError, match=r"nsmc\.zip"):
        fetch.fetch("nsmc", raw=True, folder=tmp_path, show=False)


def test_files_that_were_downloaded_elsewhere(nsmc, tmp_path):
    """A clone that git on Windows made, and the archive of another day, packed otherwise."""
    clone, cache = tmp_path / "clone", tmp_path / "cache"
    clone.mkdir()
    for name in ("ratings_train.txt", "ratings_test.txt"):
        (clone / name).write_bytes(nsmc.files[name].replace(b"\n", b"\r\n"))
    fetch.fetch("nsmc", folder=cache, given=clone, show=False)
    assert (cache / "ratings_train.txt").read_bytes() == TRAIN
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w", zipfile.ZIP_STORED) as file:
        for number, content in reversed(FILMS.items()):
            file.writestr(f"nsmc-master/raw/{number}.json", content)
    (tmp_path / "master.zip").write_bytes(other.getvalue())
    (path,) = fetch.fetch("nsmc", raw=True, folder=cache, given=tmp_path / "master.zip", show=False)
    assert pq.read_table(path).num_rows == 3 and (tmp_path / "master.zip").exists() and not nsmc.seen
    with pytest.raises(DataError, match="There is no file .*nowhere"):
        fetch.fetch("nsmc", folder=tmp_path / "c", given=tmp_path / "nowhere", show=False)


def test_from_the_command_line(nsmc, tmp_path, capsys):
    assert cli.main(["fetch", "nsmc", "--raw", "--folder", str(tmp_path)]) == 0
    assert str(tmp_path / "nsmc_raw.parquet") in capsys.readouterr().out
    assert cli.main(["fetch", "imdb"]) == 1 and "There is no corpus 'imdb'" in capsys.readouterr().err


def test_what_cannot_be_fetched_is_said(tmp_path):
    with pytest.raises(ConfigError, match="There is no corpus 'imdb' to fetch. There is: `kolab fetch nsmc`"):
        fetch.fetch("imdb")
    with pytest.raises(ConfigError, match="Did you mean 'unsmile'"):
        fetch.fetch("unsmil")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        fetch.fetch("nsmc", folder=tmp_path / "file" / "sub")
