"""Three published Korean corpora as files: NSMC, KOTE and UnSmile, read line by line, every line accounted for.

Nothing heavy is imported here: `kolab fetch` uses the same readers to prove a download right. What is read is returned
as it stands; cleaning and splitting is `kolab.corpora`'s.
"""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path

from kolab.errors import DataError

NSMC_HEADER = ("id", "document", "label")
KOTE_EMOTIONS = (
    "불평/불만", "환영/호의", "감동/감탄", "지긋지긋", "고마움", "슬픔", "화남/분노", "존경",
    "기대감", "우쭐댐/무시함", "안타까움/실망", "비장함", "의심/불신", "뿌듯함", "편안/쾌적", "신기함/관심",
    "아껴주는", "부끄러움", "공포/무서움", "절망", "한심함", "역겨움/징그러움", "짜증", "어이없음",
    "없음", "패배/자기혐오", "귀찮음", "힘듦/지침", "즐거움/신남", "깨달음", "죄책감", "증오/혐오",
    "흐뭇함(귀여움/예쁨)", "당황/난처", "경악", "부담/안_내킴", "서러움", "재미없음", "불쌍함/연민", "놀람",
    "행복", "불안/걱정", "기쁨", "안심/신뢰",
)  # fmt: skip
NSMC_CLASSES = {2: ("부정", "긍정"), 3: ("부정", "중립", "긍정")}
#: KOTE's 44 emotions in seven groups: Ekman's six and none. The grouping is ours; it follows what GoEmotions (Demszky
#: et al., 2020) did with its 27. A text carries a group when it carries one of its emotions.
KOTE_GROUPS: dict[str, tuple[str, ...]] = {
    "기쁨": ("환영/호의", "감동/감탄", "고마움", "존경", "기대감", "뿌듯함", "편안/쾌적", "아껴주는", "즐거움/신남",
            "흐뭇함(귀여움/예쁨)", "행복", "기쁨", "안심/신뢰"),
    "슬픔": ("슬픔", "안타까움/실망", "비장함", "부끄러움", "절망", "패배/자기혐오", "힘듦/지침", "죄책감", "서러움",
            "불쌍함/연민"),
    "분노": ("불평/불만", "지긋지긋", "화남/분노", "짜증", "어이없음", "귀찮음"),
    "두려움": ("공포/무서움", "부담/안_내킴", "불안/걱정"),
    "혐오": ("우쭐댐/무시함", "의심/불신", "한심함", "역겨움/징그러움", "증오/혐오", "재미없음"),
    "놀람": ("신기함/관심", "깨달음", "당황/난처", "경악", "놀람"),
    "없음": ("없음",),
}  # fmt: skip
UNSMILE_LABELS = (
    "여성/가족", "남성", "성소수자", "인종/국적", "연령", "지역", "종교", "기타 혐오", "악플/욕설", "clean",
)  # fmt: skip
UNSMILE_PERSON = "개인지칭"
UNSMILE_HEADER = ("문장", *UNSMILE_LABELS, UNSMILE_PERSON)


def read_nsmc(path: Path) -> list[tuple[str, int]]:
    """(text, 0 or 1) of each row of ratings_train.txt or ratings_test.txt; texts may be empty.

    Quotes are literal here: a reader that takes them for CSV's swallows the rows up to the next one.

    Raises DataError, naming file and line: another header, a row with too few columns or too many, another label.
    """
    (line, header), *rows = _rows(path, {3}, quoted=False) or [(1, [])]
    if tuple(header) != NSMC_HEADER:
        raise DataError(f"{path}: line {line} is {_show(header)}; NSMC's begins with id, document, label.")
    for line, row in rows:
        if row[2] not in ("0", "1"):
            raise DataError(f"{path}: line {line} has the label {row[2]!r}; NSMC's are 0 and 1.")
    return [(text, int(label)) for _, (_, text, label) in rows]


def read_kote(path: Path) -> list[tuple[str, list[int]]]:
    """(text, numbers of its emotions) of each row of train.tsv, val.tsv or test.tsv.

    Three columns, no header; the fourth column of the first release, the same labels as 0 and 1, is passed over.

    Raises DataError, naming file and line: too few columns, or a number that is none of the 44.
    """
    found = []
    for line, row in _rows(path, {3, 4}, quoted=True):
        try:
            ids = sorted({int(word) for word in row[2].split(",") if word.strip()})
        except ValueError:
            ids = [-1]
        if ids and not 0 <= ids[0] <= ids[-1] < len(KOTE_EMOTIONS):
            raise DataError(
                f"{path}: line {line} has the labels {_show(row[2:3])}; KOTE's are numbers from 0 to 43."
            )
        found.append((row[1], ids))
    return found


def read_unsmile(path: Path) -> list[tuple[str, list[int], int]]:
    """(text, ten labels as 0 and 1, whether a person is named) of each row of unsmile_train_v1.0.tsv or …valid….

    Raises DataError, naming file and line: another header, another number of columns, a cell that is not 0 or 1.
    """
    (line, header), *rows = _rows(path, {len(UNSMILE_HEADER)}, quoted=True) or [(1, [])]
    if [name.replace(" ", "") for name in header] != [name.replace(" ", "") for name in UNSMILE_HEADER]:
        raise DataError(f"{path}: line {line} is {_show(header)}; UnSmile's is {', '.join(UNSMILE_HEADER)}.")
    for line, row in rows:
        odd = [cell for cell in row[1:] if cell not in ("0", "1")]
        if odd:
            raise DataError(f"{path}: line {line} has the label {odd[0]!r}; UnSmile's are 0 and 1.")
    return [(row[0], [int(cell) for cell in row[1:-1]], int(row[-1])) for _, row in rows]


def wrong_content(path: Path, reader: Callable[[Path], list], rows: int) -> str | None:
    """What is wrong with a file whose bytes nobody has published a hash of: that it cannot be read, or other rows."""
    try:
        found = len(reader(path))
    except DataError as error:
        return str(error)
    return None if found == rows else f"it holds {found:,} rows instead of {rows:,}"


def _rows(path: Path, columns: set[int], *, quoted: bool) -> list[tuple[int, list[str]]]:
    """Each row with its line number.

    quoted: as in CSV, unless that does not come out even, or a quote that somebody only opened would swallow the lines
    up to the next one (there is a tab in a cell then): in such a file quotes are literal.
    """
    text = _text(path)
    ways = [_csv, _literal] if quoted else [_literal]
    complaint = ""
    for way in ways:
        try:
            rows = [(line, row) for line, row in way(text) if row not in ([], [""])]
        except csv.Error as error:
            complaint = complaint or f"{path}: {error}."
            continue
        bad = next((at for at in rows if len(at[1]) not in columns or "\t" in "".join(at[1])), None)
        if bad is None:
            return rows
        complaint = complaint or (
            f"{path}: line {bad[0]} has {len(bad[1])} columns instead of {min(columns)}: {_show(bad[1])}. The file is "
            "cut short, or not the published one: fetch it again."
        )
    raise DataError(complaint)


def _csv(text: str) -> Iterable[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
    return [(reader.line_num, row) for row in reader]


def _literal(text: str) -> Iterable[tuple[int, list[str]]]:
    # Not str.splitlines: it also parts at U+0085 and U+2028, which people's texts contain.
    return [(n, line.removesuffix("\r").split("\t")) for n, line in enumerate(text.split("\n"), 1)]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if content[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        raise DataError(
            f"{path} is a web page, not the data: what was saved is a login or error page. Fetch it again."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte {error.start} is 0x{content[error.start]:02x}). The published file is: somebody "
            "has saved it in another encoding. Fetch it again, or save it as UTF-8."
        ) from error


def _show(row: list[str]) -> str:
    text = "\t".join(row)
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
