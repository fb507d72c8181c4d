"""What the tests of killed, torn and full runs share: processes that die, or run out of disk, where they are told to.

Each runs in a process of its own, forked from one that has imported everything: it can be killed as a user's can, and
costs a second instead of ten. `where` is a file operation of the process inside a folder: its number, or its name, as
"os.rename .saving-best" (the first one of that name counts).
"""

import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context, set_start_method
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from kolab import checkpoint, cli
from kolab.pretrain import pretrain
from kolab.pretrain_config import PretrainConfig
from kolab.tokenizer_training import save_tokenizer, train_tokenizer
from kolab.train import fit
from tests import tiny
from tests.test_train import config

OPERATIONS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")
CONTEXT = get_context("forkserver" if os.name == "posix" else "spawn")
CONTEXT.set_forkserver_preload(["tests.survival"])


# ---- what is run


def train(folder: str, **changes: Any) -> None:
    """Ten steps in two epochs, saved at steps 5 and 10, and at the end once more: there is one checkpoint at a time."""
    settings = {
        "epochs": 2,
        "lr": 2e-2,
        "save_every": 5,
        "keep": 1,
        "folder": folder,
        "device": "cpu",
        **changes,
    }
    fit(tiny.model(), tiny.loaders(40, 8), config(**settings))


def kolab(folder: str, *words: str) -> int:
    """A command, as in a terminal; its words for the folder and for what it shows are the caller's."""
    return cli.main(list(words))


def pretraining(folder: str, corpus: str, tokenizer: str, resume: bool = False) -> None:
    """Some ten steps with three evaluations. (A tokenizer of its own would be another one by its last digits.)"""
    shape = {"tokenizer": tokenizer, "layers": 1, "width": 16, "heads": 2, "positions": 48, "max_length": 32}
    plan = {"tokens": 6000, "batch_tokens": 512, "evaluations": 3, "lr": 3e-3, "precision": "fp32"}
    made = PretrainConfig(corpus=corpus, folder=folder, device="cpu", **shape, **plan)
    pretrain(made, resume=resume, progress=False)


def small_encoder(folder: Path, texts: list[str]) -> Path:
    """A one-layer BERT with a tokenizer of its own, which `load_encoder` takes."""
    tokenizer = train_tokenizer(texts, 700, max_length=32)
    save_tokenizer(tokenizer, folder)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    BertModel(shape).save_pretrained(folder)
    return folder


def end_of(folder: Path) -> dict[str, Any]:
    """All that a finished run leaves, but for what is measured by a clock: files, history, weights, optimizer."""
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.name != ".lock")
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    weights = {n: (folder / n).read_bytes() for n in names if n.endswith(".safetensors")}
    return {"names": names, "history": rows, **weights}


# ---- processes


class Started:
    """A process that runs one of the functions above in `folder`; what it prints is in `folder`.out."""

    def __init__(self, job: Callable, folder: Path, *args: Any, how: Callable | None = None, **more: Any):
        self.folder, self.printed = folder, Path(f"{folder}.out")
        self.ours, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(
            target=_work, args=(theirs, str(self.printed), how, job, str(folder), args, more)
        )
        self.process.start()
        theirs.close()

    def result(self, timeout: float = 300) -> Any:
        """What the process returns; None if it was killed. An error in it is an error here."""
        if not self.ours.poll(timeout):
            self.process.kill()
            raise TimeoutError(f"{self.folder}: {self.text()}")
        try:
            kind, value = self.ours.recv()
        except EOFError:
            value, kind = None, "killed"
        self.process.join()
        if kind == "error":
            raise AssertionError(value)
        return value

    def text(self) -> str:
        """What it has printed so far."""
        return self.printed.read_text(encoding="utf-8")

    def wait_until(self, true: Callable[[], Any], seconds: float = 300) -> None:
        """Waits for something that the process is going to do."""
        waited = self.ours  # poll() on the pipe is a sleep that ends when the process does
        while not true():
            assert not waited.poll(0.002), f"it ended too early: {self.text()}"
            seconds -= 0.002
            assert seconds > 0, f"it never came: {self.text()}"


def _work(pipe, printed: str, how, job, folder: str, args: tuple, more: dict) -> None:
    gc.freeze()  # the loop collects garbage; what was imported is none
    set_start_method(
        "fork", force=True
    )  # as in an ordinary process; a child has its parent's way, which is ours here
    where = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(where, 1)
    os.dup2(where, 2)
    # pytest's own, of the process that this one was forked from, hold nothing of ours
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    try:
        pipe.send(("done", how(job, folder, *args, **more) if how else job(folder, *args, **more)))
    except BaseException as error:
        import traceback

        pipe.send(("error", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))


def at(where: int | str, folder: str, act: Callable[[], None]) -> list[str]:
    """Calls `act` right before a file operation in a folder. Returns the list that the operations' names go to."""
    seen: list[str] = []

    def hook(event: str, args: tuple) -> None:
        if event not in OPERATIONS or not isinstance(args[0], str | os.PathLike):
            return
        path = os.fspath(args[0])
        by_handle = event in ("os.remove", "os.rmdir") and args[1] != -1  # rmtree's way
        if not (by_handle or str(path).startswith(folder)) or str(path).endswith(".lock"):
            return
        name = f"{event} {os.path.basename(path)}"
        if where == len(seen) + 1 or (where == name and name not in seen):
            seen.append(name)
            act()
        else:
            seen.append(name)

    sys.addaudithook(hook)
    return seen


def killed(job: Callable, folder: str, where: int | str, *args: Any, **more: Any) -> list[str]:
    """Runs a job that kills itself at `where`; with 0 it lives, and the names of its operations are returned."""
    seen = at(where, folder, lambda: os.kill(os.getpid(), signal.SIGKILL))
    job(folder, *args, **more)
    return seen


# ---- disks


class Disk:
    """A disk of a few megabytes, for this process alone and for as long as it lives: it goes with its namespace."""

    def __init__(self, path: str, megabytes: int = 8):
        self.path, self.filler = path, f"{path}/filler"
        self.libc = ctypes.CDLL(None, use_errno=True)
        namespaces = 0x20000 | (0x10000000 if os.getuid() else 0)  # NEWNS; NEWUSER, for who is not root
        user, group = os.getuid(), os.getgid()
        self._must(self.libc.unshare(namespaces))
        if user:
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"0 {user} 1"),
                ("gid_map", f"0 {group} 1"),
            ):
                Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
        self._mount(None, "/", 0x4000 | 0x40000)  # REC | PRIVATE: nobody else sees it
        os.makedirs(path, exist_ok=True)
        self._mount("tmpfs", path, 0, f"size={megabytes}m")

    def read_only(self, yes: bool = True) -> None:
        """Makes it read-only, or writable again."""
        self._mount(None, self.path, 32 | int(yes))  # REMOUNT | RDONLY

    def fill(self, pages: int = 0) -> None:
        """Leaves so many pages of 4,096 bytes, and no more."""
        with open(self.filler, "wb") as file:
            found = os.fstatvfs(file.fileno())
            size = found.f_bavail * found.f_bsize - 4096 * pages
            os.posix_fallocate(file.fileno(), 0, size)

    def free(self) -> None:
        """Makes room again."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.filler)

    def _mount(self, kind: str | None, path: str, flags: int, options: str = "") -> None:
        name = kind and kind.encode()
        self._must(self.libc.mount(name, path.encode(), name, ctypes.c_ulong(flags), options.encode()))

    @staticmethod
    def _must(code: int) -> None:
        if code:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def on_a_disk(job: Callable, folder: str, *args: Any, **more: Any) -> Any:
    """Runs job(disk, …) with a small disk of its own; "not permitted: …" where that is not allowed."""
    try:
        disk = Disk(folder)
    except OSError as error:
        return f"not permitted: {error}"
    return job(disk, *args, **more)


@contextlib.contextmanager
def caught() -> Iterator[list[str]]:
    """A list that gets the message of the CheckpointError that the block raises, if it raises one."""
    found: list[str] = []
    try:
        yield found
    except checkpoint.CheckpointError as error:
        found.append(str(error))


def result_on_a_disk(job: Callable, folder: Path, *args: Any, **more: Any) -> tuple[Any, str]:
    """As `on_a_disk`, in a process of its own, with what it prints; skips the test where no disk may be mounted."""
    started = Started(job, folder, *args, how=on_a_disk, **more)
    found = started.result()
    if isinstance(found, str) and found.startswith("not permitted"):
        pytest.skip(f"mounting a small disk is {found}")
    return found, started.text()
