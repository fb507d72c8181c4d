"""Turn the lessons' sources into notebooks: the learner's edition and the solved one, run from top to bottom.

    python notebooks/build.py                 # all lessons
    python notebooks/build.py 02 04 --jobs 2  # those whose names begin so
    python notebooks/build.py 02 --no-run     # only the text has changed: outputs are kept where the code is the same
    python notebooks/build.py --check         # is what is committed what the sources say? (exit 1 if not)
    python notebooks/build.py --repo owner/name   # write the course's public address into the notebooks, without a run
    python notebooks/build.py --repo none     # take it out again

A source is `source/NN_name.py` in jupytext's percent format. Cells tagged `solution` are left out of the learner's
edition, cells tagged `exercise` out of the solved one. A notebook keeps the address it has until --repo says another.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from colab_link import branch_name, repository, without_link, write_link
from nbconvert.preprocessors import TagRemovePreprocessor

NOTEBOOKS = Path(__file__).resolve().parent
LEFT_OUT = {"learner": "solution", "solutions": "exercise"}  # edition → the tag it does not show
WIDGET = "application/vnd.jupyter.widget-view+json"


def sources(names: list[str] | None = None) -> list[Path]:
    """The lessons whose file names begin with one of `names`; all without. Exits when a name fits none."""
    found = sorted((NOTEBOOKS / "source").glob("[0-9]*.py"))
    for name in names or ():
        if not any(path.stem.startswith(name) for path in found):
            sys.exit(f"no lesson begins with {name!r}; there are {', '.join(p.stem for p in found)}")
    return [p for p in found if not names or any(p.stem.startswith(n) for n in names)]


def target(source: Path, edition: str) -> Path:
    """Where an edition of a lesson is written."""
    folder = NOTEBOOKS if edition == "learner" else NOTEBOOKS / "solutions"
    return folder / f"{source.stem}.ipynb"


def assemble(source: Path, edition: str, repo: str = "", branch: str = "main") -> nbformat.NotebookNode:
    """One edition of a lesson, without outputs. The same source always gives the same bytes."""
    notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    remover = TagRemovePreprocessor(remove_cell_tags={LEFT_OUT[edition]})
    notebook, _ = remover.preprocess(notebook, {})
    if repo:
        write_link(notebook, target(source, edition).relative_to(NOTEBOOKS.parent).as_posix(), repo, branch)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        )
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
        seen[digest] = seen.get(digest, 0) + 1  # two equal cells need two ids
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    # python3 is the kernel that exists everywhere: in the environment of `make lab`, on Colab, in VS Code.
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "kolab": {"edition": edition, "source": f"notebooks/source/{source.name}"},
        }
    )
    if repo:
        notebook.metadata.kolab |= {"repo": repo, "branch": branch}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def address_on_disk(path: Path) -> tuple[str, str]:
    """Repository and branch that a built notebook carries; ("", "main") without."""
    about = nbformat.read(path, as_version=4).metadata.get("kolab", {}) if path.is_file() else {}
    return about.get("repo", ""), about.get("branch", "main")


def execute(notebook: nbformat.NotebookNode, *, quick: bool, timeout: int, threads: int | None) -> None:
    """Run all cells, in a fresh kernel whose folder is notebooks/, with no network and no progress file but its own."""
    from nbclient import NotebookClient

    solved = notebook.metadata.kolab.edition == "solutions"
    with tempfile.TemporaryDirectory(prefix="kolab-home-") as home:
        environment = {
            **os.environ,
            "KOLAB_HOME": home,
            "HF_HUB_OFFLINE": "1",
            "KOLAB_QUICK": str(int(quick)),
        }
        environment["KOLAB_STRICT"] = str(int(solved))
        environment.setdefault(
            "OMP_WAIT_POLICY", "PASSIVE"
        )  # waiting threads that spin starve a busy machine
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        client = NotebookClient(
            notebook, kernel_name="python3", timeout=timeout, record_timing=False, coalesce_streams=True,
            store_widget_state=False, resources={"metadata": {"path": str(NOTEBOOKS)}},
        )  # fmt: skip
        client.execute(env=environment)
    tidy(notebook)


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Keep from a run only what a reader sees, so that two runs differ as little as possible."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = nbformat.from_dict({"name": "python"})
    seen: dict[str, str] = {}

    def steady(
        text: str,
    ) -> str:  # pandas names a styled table at random, and an object's address is another each time
        text = re.sub(
            r"\bT_[0-9a-f]{5}(?=[\s_\"#{])", lambda m: seen.setdefault(m[0], f"T_{len(seen):05x}"), text
        )
        return re.sub(r"\b0x[0-9a-f]{8,16}(?=>)", "0x…", text)

    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        kept = []
        for output in cell.outputs:
            data = output.get("data", {})
            output.get("metadata", {}).pop(WIDGET, None)
            if data.pop(WIDGET, None) is not None and set(data) <= {"text/plain"}:
                continue  # a widget without a picture of itself: its text is no use to a reader
            for kind in ("text/html", "text/plain"):
                if isinstance(data.get(kind), str):
                    data[kind] = steady(data[kind])
            kept.append(output)
        cell.outputs = kept


def problems(notebook: nbformat.NotebookNode) -> list[str]:
    """What should not be in a committed notebook: errors, library warnings, missing glyphs, the builder's paths."""
    found = []
    paths = {str(NOTEBOOKS.parent), f"{Path.home()}/", f"{tempfile.gettempdir()}/", sys.prefix}
    code = [c for c in notebook.cells if c.cell_type == "code"]
    if code and not any(c.outputs for c in code):
        found.append("there are no outputs")
    for cell in code:
        for output in cell.outputs:
            where = f"cell {cell.id} ({cell.source.strip().splitlines()[0][:50]!r})"
            if output.output_type == "error":
                found.append(f"{where}: {output.ename}: {output.evalue}")
            text = _text(output)
            if re.search(r"^.*\b\w*Warning:", text, re.MULTILINE):
                found.append(
                    f"{where}: a warning: {re.search(r'^.*Warning:.*', text, re.MULTILINE)[0][:160]}"
                )
            if re.search(r"Glyph \d+ .*missing", text):
                found.append(f"{where}: a glyph is missing from the font")
            found += [f"{where}: the path {p} is in the output" for p in sorted(paths) if p in text]
    return found


def _text(output: nbformat.NotebookNode) -> str:
    """All text of an output; pictures are left out."""
    data = output.get("data", {})
    parts = [output.get("text", ""), *(v for k, v in data.items() if not k.startswith("image/"))]
    return "\n".join(p if isinstance(p, str) else json.dumps(p, ensure_ascii=False) for p in parts)


def without_outputs(notebook: nbformat.NotebookNode) -> dict:
    """All of a notebook but its outputs and execution counts, for comparing."""
    plain = json.loads(nbformat.writes(notebook))
    for cell in plain["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return plain


def difference(source: Path, edition: str) -> str:
    """Why the notebook on disk is not what the source says; empty when it is."""
    path = target(source, edition)
    if not path.is_file():
        return f"{path.name} ({edition}) has not been built"
    wanted = without_outputs(assemble(source, edition, *address_on_disk(path)))
    have = without_outputs(nbformat.read(path, as_version=4))
    if wanted == have:
        return ""
    for number, (left, right) in enumerate(zip(wanted["cells"], have["cells"]), 1):
        if left != right:
            line = ("".join(left["source"]).strip().splitlines() or [""])[0]
            return f"{path.name} ({edition}) differs from its source at cell {number}: {line[:60]!r}"
    return f"{path.name} ({edition}) differs from its source in its number of cells or its metadata"


def _keep_outputs(notebook: nbformat.NotebookNode, path: Path) -> bool:
    """Take the outputs of the notebook on disk if its code is the same, cell by cell, but for the default source."""
    if not path.is_file():
        return False
    old = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    new = [c for c in notebook.cells if c.cell_type == "code"]
    if [without_link(c.source) for c in old] != [without_link(c.source) for c in new]:
        return False
    for cell, before in zip(new, old):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return True


def build(source: Path, edition: str, options: argparse.Namespace) -> str:
    """Build one edition; returns what is wrong with it, or an empty text. The file is written whole or not at all."""
    path = target(source, edition)
    given = options.repo is not None
    notebook = assemble(
        source, edition, *((options.repo, options.branch) if given else address_on_disk(path))
    )
    name = f"{path.relative_to(NOTEBOOKS)}"
    kept = (given or not options.run) and _keep_outputs(notebook, path)  # an address changes no output
    if options.run and not kept:
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        try:
            execute(notebook, quick=options.quick, timeout=options.timeout, threads=options.threads)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return f"{name}: {error}"
        wrong = problems(notebook)
        if wrong:
            return "\n".join(f"{name}: {w}" for w in wrong)
    elif not kept:
        print(f"{name}: written without outputs")
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".ipynb.tmp")
    nbformat.validate(notebook)
    temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    print(f"{name}: written", flush=True)
    return ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="beginnings of lesson names; all without")
    parser.add_argument(
        "--check", action="store_true", help="only compare; exit 1 when a notebook is out of date"
    )
    parser.add_argument(
        "--no-run", dest="run", action="store_false", help="do not run; keep outputs if the code is the same"
    )
    parser.add_argument(
        "--quick", action="store_true", help="run trimmed (for trying out; do not commit that)"
    )
    parser.add_argument("--edition", choices=LEFT_OUT, action="append", help="only this edition")
    parser.add_argument(
        "--repo",
        type=repository,
        help="owner/name on GitHub: writes the Colab badge and the default source, and runs only what else has changed",
    )
    parser.add_argument(
        "--branch", type=branch_name, default="main", help="with --repo: the branch that the badge opens"
    )
    parser.add_argument("--jobs", type=int, default=1, help="how many notebooks run at once")
    parser.add_argument("--timeout", type=int, default=600, help="seconds one cell may take")
    options = parser.parse_args(arguments)
    options.threads = max(1, (os.cpu_count() or 1) // options.jobs) if options.jobs > 1 else None
    work = [(s, e) for s in sources(options.names) for e in options.edition or LEFT_OUT]
    if options.check:
        failures = [text for s, e in work if (text := difference(s, e))]
    else:
        with ThreadPoolExecutor(max(1, options.jobs)) as pool:
            failures = [text for text in pool.map(lambda item: build(*item, options), work) if text]
    for text in failures:
        print(text, file=sys.stderr)
    if failures and options.check:
        print("Run `make notebooks`.", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
