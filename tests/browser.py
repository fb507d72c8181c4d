"""A learner at the screen: JupyterLab as `make lab` starts it, and Chromium that opens a lesson in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pylopdf_fonts_ko

if TYPE_CHECKING:  # not needed where only the quick tests are run
    from playwright.sync_api import BrowserContext, Locator, Page, Playwright

ROOT = Path(__file__).resolve().parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
VIEW = "application/vnd.jupyter.widget-view+json"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Milliseconds that an answer, or a whole lesson, may take on a slow and busy machine; nothing is measured by them.
WAIT, LESSON = 300_000, 1_800_000
ADDRESS = re.compile(r"http://localhost:(\d+)/lab\S*\?token=(\w+)")

# What the tests ask of a notebook that JupyterLab shows (through its own object, which --expose-app-in-browser gives).
HELPERS = """
window.kolab = {
  ready() {
    const panel = window.jupyterapp?.shell.currentWidget;
    return !!panel?.content?.widgets?.length && panel.sessionContext?.session?.kernel?.status === 'idle';
  },
  cells() { return window.jupyterapp.shell.currentWidget.content.widgets; },
  // Notes which code cells come to their end from now on. (The prompts of the saved run say nothing about this one.)
  watch() {
    this.done = new Set();
    this.code = this.cells().filter(c => c.model.type === 'code').map(c => c.model);
    for (const model of this.code) model.stateChanged.connect((m, change) => {
      if (change.name === 'executionCount' && change.newValue) this.done.add(m);
    });
  },
  outputs(model) { return Array.from({length: model.outputs?.length ?? 0}, (_, place) => model.outputs.get(place)); },
  errors() {
    return this.cells().flatMap(c => this.outputs(c.model)).filter(o => o.type === 'error')
      .map(o => o.toJSON()).map(o => o.ename + ': ' + o.evalue);
  },
  ended() { return this.done.size === this.code.length || this.errors().length > 0; },
  read() {
    return this.cells().map((cell, number) => {
      cell.node.dataset.number = number;
      return {number, code: cell.model.type === 'code', source: cell.model.sharedModel.getSource(),
              outputs: this.outputs(cell.model).map(o => Object.keys(o.data))};
    });
  },
  async go(number) {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = number;
    notebook.deselectAll();
    await notebook.scrollToItem(number, 'start');
    notebook.node.focus();
  },
  // Every state of every progress bar, as the page shows it.
  bars() {
    this.seen = [];
    new MutationObserver(() => {
      for (const bar of document.querySelectorAll('.jp-OutputArea progress'))
        if (!this.seen.length || this.seen.at(-1).value !== bar.value || this.seen.at(-1).max !== bar.max)
          this.seen.push({value: bar.value, max: bar.max, width: bar.offsetWidth});
    }).observe(document.body, {childList: true, subtree: true, attributes: true});
  },
};
"""


class Lab:
    """JupyterLab, started by `make lab` in a copy of the notebooks, for a learner whose home is empty."""

    def __init__(self, folder: Path, *, quick: bool):
        self.folder, self.log = folder, folder / "lab.log"
        self.figures = folder / "figures"  # what the kernels have drawn (tests/browser_recorder.py)
        home, course = folder / "home", folder / "course"
        for path in (home, course, self.figures):
            path.mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy2(ROOT / name, course / name)
        shutil.copytree(
            ROOT / "notebooks", course / "notebooks", ignore=shutil.ignore_patterns("__pycache__")
        )
        (course / ".venv").symlink_to((ROOT / ".venv").resolve())
        startup = home / ".ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        shutil.copy(ROOT / "tests" / "browser_recorder.py", startup / "00-figures.py")
        keep = {
            k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "XDG_", "MPL"))
        }
        environment = {
            **keep, "HOME": str(home), "KOLAB_HOME": str(folder / "kolab"), "KOLAB_QUICK": str(int(quick)),
            "KOLAB_STRICT": "0", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "FIGURES": str(self.figures),
        }  # fmt: skip
        # What stands in .venv is not made again (-o), so that pip leaves it alone: the rest is the target's own.
        command = [
            "make",
            "-o",
            ".venv/.ready",
            "lab",
            "LAB_ARGS=--no-browser --port=0 --expose-app-in-browser",
        ]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=course, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.start, self.port, self.token = self._address()

    def _address(self) -> tuple[str, str, str]:
        """The address that JupyterLab prints for the learner, its port and its token."""
        for _ in range(WAIT // 200):
            found = ADDRESS.search(self.log.read_text())
            if found:
                return found[0], found[1], found[2]
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.close()
        raise RuntimeError(f"`make lab` did not come up:\n{self.log.read_text()}")

    def address(self, lesson: str) -> str:
        """Of lesson 00 as the learner is told it; of another in a workspace of its own, with no other notebook open."""
        if f"/{lesson}.ipynb" in self.start:
            return self.start
        return f"http://localhost:{self.port}/lab/workspaces/{lesson[:2]}/tree/notebooks/{lesson}.ipynb?token={self.token}"

    def ask(self, method: str, path: str) -> Any:
        """The server's REST API."""
        request = urllib.request.Request(
            f"http://localhost:{self.port}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=WAIT / 1000) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def end_kernels(self) -> None:
        for session in self.ask("GET", "sessions"):
            self.ask("DELETE", f"sessions/{session['id']}")

    def progress(self) -> dict:
        """The learner's progress file."""
        return json.loads((self.folder / "kolab" / "progress.json").read_text(encoding="utf-8"))

    def close(self) -> None:
        """End JupyterLab, which ends its kernels; what remains of its group is killed."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def start_chromium(playwright: Playwright, folder: Path) -> BrowserContext:
    """Debian's Chromium without a screen. It gets the course's Hangul font, or pages on a bare machine hold boxes.

    All lessons are opened in one window, so that JupyterLab's own code is fetched and read once.
    """
    fonts = folder / "fonts"
    fonts.mkdir(parents=True)
    shutil.copy(pylopdf_fonts_ko.sans_path(), fonts)
    path = shutil.which("chromium")
    assert path, "Chromium is not here: apt-get install chromium"
    environment = {**os.environ, "XDG_DATA_HOME": str(folder), "HOME": str(folder)}
    browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), env=environment)
    window = browser.new_context(viewport={"width": 1360, "height": 900}, locale="en-GB")
    window.set_default_timeout(WAIT)
    window.add_init_script(HELPERS)
    return window


class Lesson:
    """A notebook that is open in the browser."""

    def __init__(self, window: BrowserContext, lab: Lab, name: str):
        self.lab, self.name = lab, name
        self.page: Page = window.new_page()
        self.page.goto(lab.address(name))
        self.wait("window.kolab?.ready()")

    def wait(self, condition: str, argument: Any = None, limit: int = WAIT) -> None:
        """Until a condition holds in the page; a picture of the window is kept when it never does."""
        try:
            self.page.wait_for_function(condition, arg=argument, polling=100, timeout=limit)
        except Exception:
            self.shoot("stuck")
            raise

    def close(self) -> None:
        """Keep what the window shows at the end, close it, and end its kernel."""
        try:
            self.shoot("end")
        finally:
            self.page.close()
            self.lab.end_kernels()

    # ---- what a learner does

    def menu(self, title: str, command: str) -> None:
        """Choose an entry of the menu bar; `command` is JupyterLab's name for it."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{title}$")).click()
        self.page.locator(f'.lm-Menu-item[data-command="{command}"]').click()

    def run_all(self) -> None:
        """Run → Run All Cells, and wait for the last cell. Raises AssertionError with what went wrong in a cell."""
        self.page.evaluate("window.kolab.watch()")
        self.menu("Run", "runmenu:run-all")
        self.wait("window.kolab.ended()", limit=LESSON)
        errors = self.page.evaluate("window.kolab.errors()")
        if errors:
            self.shoot("error")
        assert not errors, f"{self.name}: {errors}"

    def restart(self) -> None:
        """Kernel → Restart Kernel."""
        self.menu("Kernel", "kernelmenu:restart")
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait("window.kolab.ready()")

    def run(self, number: int) -> None:
        """Shift+Enter on one cell, and wait until it is done."""
        self.page.evaluate("window.kolab.watch()")
        self.go(number)
        self.page.keyboard.press("Shift+Enter")
        self.wait("number => window.kolab.done.has(window.kolab.cells()[number].model)", number)

    def write(self, number: int, code: str) -> None:
        """Replace the code of a cell, as one pastes it."""
        self.go(number)
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Escape")
        assert self.source(number) == code

    # ---- what a learner sees

    def read(self) -> list[dict[str, Any]]:
        """Number, kind, source and the outputs' MIME types of every cell."""
        return self.page.evaluate("window.kolab.read()")

    def source(self, number: int) -> str:
        return self.read()[number]["source"]

    def find(self, code: str, after: int = -1) -> int:
        """The number of the first code cell that contains `code`."""
        return next(
            c["number"] for c in self.read() if c["code"] and code in c["source"] and c["number"] > after
        )

    def go(self, number: int) -> None:
        self.page.evaluate("number => window.kolab.go(number)", number)

    def cell(self, number: int) -> Locator:
        return self.page.locator(f'.jp-Cell[data-number="{number}"]')

    def output(self, number: int) -> Locator:
        """The outputs of a cell, scrolled to."""
        self.go(number)
        return self.cell(number).locator(".jp-Cell-outputArea")

    def shoot(self, what: str) -> Path:
        """Keep what the window shows."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{self.name[:2]}_{what}.png"
        self.page.screenshot(path=path)
        return path
