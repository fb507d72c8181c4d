"""Write the bundled review corpus, dirt included: data/source/it_reviews.jsonl → data/it_reviews/.

    python data/build_reviews.py [SOURCE] [FOLDER]

The source holds the reviews as they were written, one JSON object a line; mend a review there, and run this script.
It writes them in the shape of AI Hub's aspect-based sentiment corpus and adds the kinds of dirt that such corpora have,
in the numbers below. The same source and seed give the same bytes; a test runs the script and compares.

What a learner meets as dirt is made like this:
- A row with a broken polarity, and both copies of a contradiction, hold one sentence cut out of a longer review, so
  that their texts stand nowhere else. (They are dropped, so nobody trains on half a review.)
- A duplicate repeats a review of the same category further on; a near duplicate changes its spacing or punctuation.
- HTML, the BOM and decomposed Hangul change how a row is written, not what it says; those rows are kept and mended.
"""

import datetime
import json
import random
import re
import shutil
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from kolab.text import clean, has_html, near_key  # noqa: E402 (runs from a clone, installed or not)

SEED = 20240229
DOMAIN, DOMAIN_FOLDER = "IT기기", "04. IT기기"
SOURCES = ("SNS", "쇼핑몰")

# Rows on top of the clean ones: 528 to 4,398, that is 12 %.
BROKEN = {"missing": 62, "null": 47, "empty": 118, "unknown": 31, "padded": 26}
EMPTY, BLANK = 23, 19
EXACT, NEAR = 96, 66
CONFLICTS = 20  # texts; each stands twice, with two polarities
# Rows written differently.
HTML = 60
NFD_GROUP = (
    "SNS",
    "스마트워치",
)  # its one file holds decomposed Hangul, and no other dirt, so that counts stay plain
BOM_GROUP = ("쇼핑몰", "모니터")

SCORES = {1: (100, 100, 100, 80, 80, 60), 0: (60, 60, 60, 40, 80), -1: (20, 20, 0, 40, 40)}


def build(source: Path, folder: Path) -> None:
    """Write the corpus under `folder`, which is emptied first."""
    rng = random.Random(SEED)
    reviews = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    groups = defaultdict(list)  # (source, category) → rows, in the order in which they will be read
    for review in reviews:
        row = review | {"source": SOURCES[rng.random() < 0.55], "raw": review["text"]}
        groups[row["source"], row["category"]].append(row)
    dirty = {key: rows for key, rows in sorted(groups.items()) if key != NFD_GROUP}
    add_html(rng, dirty)
    add_repetitions(rng, dirty)
    add_broken(rng, dirty, sentences(rng, reviews))
    if folder.exists():
        shutil.rmtree(folder)
    write(rng, dict(sorted(groups.items())), folder)


# ---- dirt


def add_html(rng: random.Random, groups: dict) -> None:
    """Write residue of a web page into HTML reviews, around what they say."""
    rows = [
        row
        for rows in groups.values()
        for row in rows
        if not has_html(row["text"]) and "<" not in row["text"]
    ]
    for number, row in enumerate(rng.sample(rows, HTML)):
        text = row["text"]
        ways = [
            f"<p>{text}</p>",
            f"{text}<br>",
            f"{text}&nbsp;",
            f'<span class="review">{text}</span>',
            f"{text}<br/><br/>",
        ]
        if ". " in text:
            ways += [text.replace(". ", ".<br>", 1), text.replace(". ", ".&nbsp;", 1)]
        if '"' in text:
            ways = [text.replace('"', "&quot;")]
        row["raw"] = ways[number % len(ways)]
        assert clean(row["raw"]) == text, row


def add_repetitions(rng: random.Random, groups: dict) -> None:
    """Repeat EXACT rows as they are and NEAR rows with other spacing or punctuation, somewhere after the original."""
    pool = [
        (key, row)
        for key, rows in groups.items()
        for row in rows
        if row["raw"] == row["text"] and not has_html(row["raw"])
    ]
    chosen = rng.sample(pool, EXACT + NEAR)
    for number, (key, row) in enumerate(chosen):
        copy = row | {"raw": row["text"] if number < EXACT else vary(rng, row["text"])}
        rows = groups[key]
        rows.insert(rng.randint(rows.index(row) + 1, len(rows)), copy)


def vary(rng: random.Random, text: str) -> str:
    """The text with other spacing or punctuation."""
    ways = [
        text + "!",
        text + "~",
        text + "...",
        text.rstrip(".!?~") + "!!",
        text.replace(". ", ".. "),
        text.replace(",", ""),
    ]
    blanks = [match.start() for match in re.finditer(" ", text)]
    if blanks:
        at = rng.choice(blanks)
        ways += [text[:at] + text[at + 1 :]] * 4
    ways = [way for way in ways if clean(way) != text and near_key(way) == near_key(text)]
    return rng.choice(ways)


def add_broken(rng: random.Random, groups: dict, pieces: list) -> None:
    """Rows without a usable polarity or text, and pairs that contradict each other."""
    broken = [kind for kind, number in BROKEN.items() for _ in range(number)]
    for kind in broken:
        place(rng, groups, pieces.pop() | {"broken": kind})
    for number in range(EMPTY + BLANK):
        raw = "" if number < EMPTY else rng.choice([" ", "  ", "\n", "\t", " \n "])
        place(rng, groups, pieces.pop() | {"raw": raw, "aspects": []})
    for _ in range(CONFLICTS):
        piece = pieces.pop()
        other = rng.choice([polarity for polarity in (-1, 0, 1) if polarity != piece["polarity"]])
        for polarity in (piece["polarity"], other):
            place(rng, groups, piece | {"polarity": polarity})


def sentences(rng: random.Random, reviews: list[dict]) -> list[dict]:
    """Rows that hold one sentence of a longer review, each different from every review and from each other."""
    taken = {near_key(review["text"]) for review in reviews}
    pieces = []
    for review in reviews:
        parts = [] if has_html(review["text"]) else re.split(r"(?<=[.!?~])\s+", review["text"])
        if len(parts) < 2:
            continue
        part = max(parts, key=len)
        key = near_key(part)
        if 10 <= len(part) <= 60 and key not in taken:
            taken.add(key)
            aspects = [aspect for aspect in review["aspects"] if aspect[2] in part]
            pieces.append(review | {"raw": part, "aspects": aspects})
    rng.shuffle(pieces)
    return pieces


def place(rng: random.Random, groups: dict, row: dict) -> None:
    """Insert a row anywhere among the rows of its category."""
    keys = [key for key in groups if key[1] == row["category"]]
    rows = groups[rng.choice(keys)]
    rows.insert(rng.randint(0, len(rows)), row)


# ---- files


def write(rng: random.Random, groups: dict, folder: Path) -> None:
    """Write files of about 100 records and the sidecar that says which reviews are hard."""
    categories = sorted({category for _, category in groups})
    styles = ["Index,style"]
    index = 0
    for (source, category), rows in groups.items():
        parts = max(1, round(len(rows) / 100))
        for part in range(parts):
            chunk = rows[len(rows) * part // parts : len(rows) * (part + 1) // parts]
            records = []
            for row in chunk:
                index += 1
                records.append(record(rng, row, source, str(index)))
                styles.append(f"{index},{row['style']}")
            name = f"4-{categories.index(category) + 1}.{category.replace('/', '·')}({part + 1}).json"
            lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in records)
            text = f"[\n{lines}\n]\n"
            if (source, category) == NFD_GROUP:
                assert parts == 1
                text = unicodedata.normalize("NFD", text)
            bom = (source, category) == BOM_GROUP and part == 0
            path = folder / source / DOMAIN_FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))
    (folder / "style.csv").write_bytes("\n".join([*styles, ""]).encode())


def record(rng: random.Random, row: dict, source: str, index: str) -> dict[str, object]:
    """One record of the corpus. Syllable counts the characters without white space, Word the parts between it."""
    raw = row["raw"]
    day = datetime.date(2021, 1, 1) + datetime.timedelta(days=rng.randrange(730))
    score = rng.choice(SCORES[row["polarity"]])
    broken = {"null": None, "empty": "", "unknown": "2", "padded": f" {row['polarity']}"}
    made = {
        "Index": index,
        "RawText": raw,
        "Source": source,
        "Domain": DOMAIN,
        "MainCategory": row["category"],
        "ProductName": row["product"],
        "ReviewScore": str(score) if source == "쇼핑몰" else "",  # a post in a social network has no stars
        "Syllable": str(len("".join(raw.split()))),
        "Word": str(len(raw.split())),
        "RDate": day.strftime("%Y%m%d"),
        "GeneralPolarity": broken.get(row.get("broken"), str(row["polarity"])),
        "Aspects": [
            {
                "Aspect": aspect,
                "SentimentText": span,
                "SentimentWord": str(len(span.split())),
                "SentimentPolarity": str(sign),
            }
            for aspect, sign, span in row["aspects"]
        ],
    }
    if row.get("broken") == "missing":
        del made["GeneralPolarity"]
    return made


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:3]]
    build(*arguments, *(HERE / "source" / "it_reviews.jsonl", HERE / "it_reviews")[len(arguments) :])
