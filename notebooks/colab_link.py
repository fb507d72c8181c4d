"""The course's public address in its notebooks: the 'Open in Colab' badge and the set-up cell's default source."""

from __future__ import annotations

import argparse
import re

import nbformat

BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
ASK_FOR_SOURCE = 'os.environ.get("KOLAB_SOURCE", "")'  # in the set-up cell; --repo writes a default into it


def repository(text: str) -> str:
    """A repository's `owner/name` as GitHub allows it; empty for "none". Raises ArgumentTypeError with the cure."""
    if text == "none":
        return ""
    found = re.fullmatch(r"(?:[a-z+]+://|git@)?(?:www\.)?github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?", text)
    if found:
        raise argparse.ArgumentTypeError(f"wants owner/name, not an address: write {found[1]} for {text}")
    good = re.fullmatch(r"[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*/(?!\.{1,2}$)[a-zA-Z0-9._-]+", text)
    if not good or text.endswith(".git"):
        raise argparse.ArgumentTypeError(
            f"wants owner/name of a repository on GitHub, such as jupyter/notebook, not {text!r}"
        )
    return text


def branch_name(text: str) -> str:
    """A branch that can stand in an address. Raises ArgumentTypeError."""
    if not re.fullmatch(r"[a-zA-Z0-9_][a-zA-Z0-9._/-]*", text):
        raise argparse.ArgumentTypeError(f"wants the name of a branch, such as main, not {text!r}")
    return text


def write_link(notebook: nbformat.NotebookNode, path: str, repo: str, branch: str) -> None:
    """Put the 'Open in Colab' badge under the title, and the repository into the set-up cell as the default source."""
    link = f"https://colab.research.google.com/github/{repo}/blob/{branch}/{path}"
    badge = nbformat.v4.new_markdown_cell(
        f"[![Open in Colab]({BADGE})]({link})", metadata={"tags": ["colab"]}
    )
    notebook.cells.insert(1, badge)
    setup = next(c for c in notebook.cells if "setup" in c.metadata.get("tags", []))
    address = f"git+https://github.com/{repo}" + ("" if branch == "main" else f"@{branch}")
    setup.source = setup.source.replace(ASK_FOR_SOURCE, f'os.environ.get("KOLAB_SOURCE", "{address}")')


def without_link(code: str) -> str:
    """A cell's code as it is without the address that --repo writes."""
    return re.sub(r'(?<=os\.environ\.get\("KOLAB_SOURCE", ")git\+https://github\.com/[^"]+', "", code)
