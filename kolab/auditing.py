"""What is wrong with a table of labelled texts, counted kind by kind.

Ten kinds cost a row its place, and every row is counted under the first that fits; three are mended by
:func:`kolab.text.clean` and the row stays. `kolab.data.audit` is the way in.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from .errors import DataError
from .text import clean, has_html, near_key

#: Kinds that drop a row, in the order in which they are looked for, and what each means.
DROPPED = {
    "polarity missing": "the record has no GeneralPolarity",
    "polarity null": "GeneralPolarity is null",
    "polarity empty": "GeneralPolarity is an empty or blank string",
    "polarity unknown": "GeneralPolarity is none of the known labels, for example '2'",
    "polarity padded": "GeneralPolarity is a known label with blanks around it, for example ' 1'",
    "text empty": "RawText is absent, null or an empty string",
    "text blank": "RawText holds white space only",
    "exact duplicate": "the same text, with the same label, stands in an earlier row",
    "near duplicate": "an earlier row differs only in spacing, punctuation or case, and has the same label",
    "conflicting label": "the same text, or a near duplicate, carries another label elsewhere: no copy can be trusted",
}
#: Kinds that `clean` mends. 'bom' counts files, all the others count rows.
MENDED = {
    "html residue": "RawText holds HTML tags or entities",
    "bom": "the file starts with a byte-order mark (files, not rows)",
    "nfd": "RawText is decomposed Unicode: Hangul stored as separate jamo",
}
KINDS = DROPPED | MENDED
NOT_A_RECORD = "not a record"  # an array element that is no JSON object; counted only where it occurs


class Located(NamedTuple):
    """A raw record and where it stands: the file's name and the position in it, counted from 0."""

    file: str
    row: int
    record: object


class Finding(NamedTuple):
    """One problem: its kind, where it stands, and the field and value that show it."""

    kind: str
    file: str
    row: int
    index: str
    field: str
    value: object


@dataclass
class Audit:
    """What :func:`kolab.data.audit` found. Prints as a table; `counts` maps each kind to its number."""

    rows: int
    kept: int
    findings: list[Finding] = field(repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Kind → number, all kinds, zeros too."""
        counts = dict.fromkeys(KINDS, 0)
        for finding in self.findings:
            counts[finding.kind] = counts.get(finding.kind, 0) + 1
        return counts

    @property
    def dropped(self) -> int:
        """How many rows a loader leaves out: `rows` - `kept`."""
        return self.rows - self.kept

    def examples(self, kind: str, n: int = 5) -> list[Finding]:
        """The first n findings of one kind. Raises DataError for a kind there is not."""
        if kind not in self.counts:
            raise DataError(
                f"no kind of problem is called {kind!r}; the kinds are: {', '.join(self.counts)}."
            )
        return [finding for finding in self.findings if finding.kind == kind][:n]

    def to_pandas(self) -> pd.DataFrame:
        """One line a kind: how many, what becomes of the row, what it means."""
        counts = self.counts
        lines = [
            (
                kind,
                count,
                "mended" if kind in MENDED else "dropped",
                KINDS.get(kind, "an element that is no object"),
            )
            for kind, count in counts.items()
        ]
        return pd.DataFrame(lines, columns=["kind", "count", "row is", "meaning"]).set_index("kind")

    def summary(self) -> str:
        """One line: rows read, kept and dropped, and why."""
        why = ", ".join(
            f"{kind} {count}" for kind, count in self.counts.items() if count and kind not in MENDED
        )
        mended = ", ".join(
            f"{kind} {count}" for kind, count in self.counts.items() if count and kind in MENDED
        )
        line = f"{self.rows:,} rows read, {self.kept:,} kept, {self.dropped:,} dropped"
        return line + (f" ({why})" if why else "") + (f"; mended: {mended}" if mended else "")

    def __str__(self) -> str:
        width = max(map(len, self.counts))
        lines = [f"{kind:<{width}}  {count:>6,}" for kind, count in self.counts.items()]
        return "\n".join(
            [f"{'rows':<{width}}  {self.rows:>6,}", *lines, f"{'kept':<{width}}  {self.kept:>6,}"]
        )

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            table = self.to_pandas().to_html(justify="left")
        return f"<p>{self.rows:,} rows, {self.kept:,} kept, {self.dropped:,} dropped</p>{table}"


def inspect(
    rows: Iterable[Located],
    valid: Collection = ("-1", "0", "1"),
    *,
    text_field: str = "RawText",
    label_field: str = "GeneralPolarity",
    bom_files: Iterable[str] = (),
    strict: bool = False,
) -> tuple[list[Located], Audit]:
    """Judge every row; return the rows to keep, in order, and the audit.

    With `strict` the first row that would be dropped raises DataError instead, naming file, index, field and value.
    """
    rows = list(rows)
    findings = [Finding("bom", name, 0, "", "", "\ufeff") for name in bom_files]
    usable: list[Located] = []
    for at in rows:
        problem = _row_problem(at.record, valid, text_field, label_field)
        if problem:
            findings.append(_finding(at, *problem))
        else:
            usable.append(at)
    repeated = _repetitions(usable, text_field, label_field)
    findings += (_finding(at, kind, text_field, at.record[text_field]) for at, kind in repeated.values())
    if strict:
        _raise_first(rows, findings)
    kept = [at for at in usable if id(at) not in repeated]
    for at in rows:
        text = at.record.get(text_field) if isinstance(at.record, dict) else None
        if not isinstance(text, str):
            continue
        if has_html(text):
            findings.append(_finding(at, "html residue", text_field, text))
        if unicodedata.normalize("NFC", text) != text:
            findings.append(_finding(at, "nfd", text_field, text))
    return kept, Audit(len(rows), len(kept), findings)


def _row_problem(record: object, valid: Collection, text_field: str, label_field: str) -> tuple | None:
    """(kind, field, value) of the first thing wrong with a row by itself, or None."""
    if not isinstance(record, dict):
        return NOT_A_RECORD, "", record
    if label_field not in record:
        return "polarity missing", label_field, None
    label = record[label_field]
    if label is None:
        return "polarity null", label_field, label
    if isinstance(label, str) and not label.strip():
        return "polarity empty", label_field, label
    if not any(type(label) is type(known) and label == known for known in valid):
        padded = isinstance(label, str) and label.strip() in valid
        return "polarity padded" if padded else "polarity unknown", label_field, label
    text = record.get(text_field)
    if not isinstance(text, str) or not text:
        return "text empty", text_field, text
    if not clean(text):
        return "text blank", text_field, text
    return None


def _repetitions(rows: list[Located], text_field: str, label_field: str) -> dict[int, tuple[Located, str]]:
    """id(row) → (row, kind) for all rows that repeat or contradict another one."""
    groups: dict[str, list[Located]] = defaultdict(list)
    for at in rows:
        groups[near_key(at.record[text_field])].append(at)
    repeated = {}
    for group in groups.values():
        if len({at.record[label_field] for at in group}) > 1:
            repeated |= {id(at): (at, "conflicting label") for at in group}
            continue
        seen = {clean(group[0].record[text_field])}
        for at in group[1:]:
            text = clean(at.record[text_field])
            repeated[id(at)] = (at, "exact duplicate" if text in seen else "near duplicate")
            seen.add(text)
    return repeated


def _finding(at: Located, kind: str, field_name: str, value: object) -> Finding:
    index = at.record.get("Index", "") if isinstance(at.record, dict) else ""
    return Finding(kind, at.file, at.row, str(index), field_name, value)


def _raise_first(rows: list[Located], findings: list[Finding]) -> None:
    order = {(at.file, at.row): number for number, at in enumerate(rows)}
    bad = [finding for finding in findings if finding.kind not in MENDED]
    if bad:
        first = min(bad, key=lambda finding: order[finding.file, finding.row])
        meaning = KINDS.get(first.kind, "an element that is no JSON object")
        raise DataError(
            f"{first.file}: row {first.row} (Index {_short(first.index, str) or '?'}): {first.kind}: "
            f"{first.field} is {_short(first.value, repr)} ({meaning}). "
            f"Mend it, or load with strict=False, which leaves such rows out and counts them ({len(bad):,} here)."
        )


def _short(value: object, form: Callable[[object], str]) -> str:
    """A value for a message: one line that any terminal can print, and not all of a long one."""
    text = clean(form(value))
    return text if len(text) <= 80 else f"{text[:80]}…"
