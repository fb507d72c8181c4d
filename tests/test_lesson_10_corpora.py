"""Lesson 10 on UnSmile and on KOTE: its first line changed, as it says, and every cell runs.

Slow: about a minute of one core for each corpus.
"""

import os

import numpy as np
import pytest
from nbclient import NotebookClient

from kolab.corpus_files import KOTE_EMOTIONS, UNSMILE_LABELS
from tests.test_corpora import kote_bytes, unsmile_bytes

CHANGED = 'DATA = "aspects"'
WORDS = [
    "정말",
    "너무",
    "그냥",
    "진짜",
    "조금",
    "많이",
    "오늘",
    "어제",
    "우리",
    "저런",
    "댓글",
    "기사",
    "사람",
    "얘기",
]


def rows(count: int, labels: int, seed: int, most: int = 3) -> list[tuple[str, list[int]]]:
    """Texts of which each label has a word of its own, and the labels that they carry."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        on = sorted(chance.choice(labels, chance.integers(1, most + 1), replace=False).tolist())
        words = [*chance.choice(WORDS, 5), *(f"낱말{label}" for label in on), f"{seed}-{number}번"]
        found.append((" ".join(chance.permutation(words)), on))
    return found


def write_unsmile(folder):
    for number, (part, count) in enumerate({"train": 500, "valid": 120}.items()):
        made = rows(count, len(UNSMILE_LABELS), number, most=2)
        (folder / f"unsmile_{part}_v1.0.tsv").write_bytes(unsmile_bytes(made))


def write_kote(folder):
    for number, (part, count) in enumerate({"train": 450, "val": 110, "test": 110}.items()):
        made = [
            (text, ",".join(map(str, on))) for text, on in rows(count, len(KOTE_EMOTIONS), number, most=8)
        ]
        (folder / f"{part}.tsv").write_bytes(kote_bytes(made))


@pytest.mark.slow
@pytest.mark.parametrize(("corpus", "write"), [("unsmile", write_unsmile), ("kote", write_kote)])
def test_the_lesson_runs_when_its_one_line_is_changed(builder, corpus, write, tmp_path):
    folder = tmp_path / "data" / corpus  # where `kolab fetch` puts it
    folder.mkdir(parents=True)
    write(folder)
    settings = {"KOLAB_HOME": str(tmp_path), "KOLAB_QUICK": "1", "KOLAB_STRICT": "1", "HF_HUB_OFFLINE": "1"}
    (source,) = builder.sources(["10"])
    notebook = builder.assemble(source, "solutions")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and CHANGED in cell.source]
    assert len(cells) == 1 and cells[0].source.count(CHANGED) == 1, "one line, and nowhere else"
    cells[0].source = cells[0].source.replace(CHANGED, f'DATA = "{corpus}"')
    where = {"metadata": {"path": str(source.parent.parent)}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=900, resources=where)
    client.execute(env={**os.environ, **settings})
    shown = "".join(output.get("text", "") for cell in cells for output in cell.outputs)
    labels = {"unsmile": len(UNSMILE_LABELS), "kote": len(KOTE_EMOTIONS)}[corpus]
    assert f"'train': (400, {labels})" in shown, shown
