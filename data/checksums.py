"""Write SHA256SUMS, by which `kl.setup()` knows that the bundled data are whole. Run it after any change in them.

`python data/checksums.py` does it.
"""

import hashlib
from pathlib import Path

DATA = Path(__file__).resolve().parent


def listed(folder: Path = DATA) -> list[str]:
    """The files that have a checksum: all but scripts, prose, recorded results and what is not in git's care."""
    names = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    return sorted(
        n.as_posix()
        for n in names
        if n.parts[0] not in ("results", "SHA256SUMS")
        and n.suffix not in (".py", ".pyc", ".md", ".tmp")
        and not any(part.startswith(".") for part in n.parts)
    )


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    lines = [f"{digest(DATA / name)}  {name}\n" for name in listed()]
    (DATA / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines)} files")
