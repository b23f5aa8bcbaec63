"""A hub, its learners and a browser, in the machine that `cluster/enter` has made for these tests alone.

Nothing else runs there, so "no process is left" can be read from `/proc`.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

PROFILE = os.environ["FORKLORE_HUB_PROFILE"]
URL = "http://127.0.0.1:8000"
HUB = Path("/srv/forklore/hub")
WORK = Path("/home/hub")
SCREENSHOTS = Path("/srv/forklore/screenshots")
PASSWORD = "rehearsal"
# Only to catch what would hang forever.
DEADLINE_S = 150


def until(condition, what, deadline_s=DEADLINE_S):
    """Asks until the answer is true, and gives it."""
    end = time.monotonic() + deadline_s
    while not (answer := condition()):
        assert time.monotonic() < end, f"gave up waiting for: {what}"
        time.sleep(0.1)
    return answer


def processes(name):
    """The command lines of a user's processes, by their number."""
    uid, found = pwd.getpwnam(name).pw_uid, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == uid:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
    return found


def add_learner(name):
    """An account with a private home and the lessons."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        pass
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", name], check=True)
    home = Path("/home", name)
    shutil.copytree("/srv/forklore/lessons", home / "lessons")
    subprocess.run(["chown", "-R", f"{name}:{name}", home], check=True)
    home.chmod(0o700)
    return pwd.getpwnam(name)


class Hub:
    """The hub as a process that can be restarted, and its log."""

    def __init__(self):
        WORK.mkdir(exist_ok=True, mode=0o700)
        self.log = WORK / "hub.log"
        self.process = None
        self.traits = {}

    def start(self, **traits):
        self.traits = traits or self.traits
        environment = os.environ | {"FORKLORE_HUB_TRAITS": json.dumps(self.traits)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["jupyterhub", "--config", HUB / "tests/session/hub_config.py"],
                cwd=WORK, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        started = self.size()
        until(lambda: self.is_up(started), f"the hub, see {self.log}")

    def size(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def said(self, since=0):
        """The log from a place on."""
        return self.log.read_bytes()[since:].decode()

    def is_up(self, since):
        assert self.process.poll() is None, self.said()[-4000:]
        return "JupyterHub is now running" in self.said(since)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(60)
        # Killed, it could not take its proxy along.
        for pid, command in processes("root").items():
            if "configurable-http-proxy" in command:
                os.kill(pid, signal.SIGKILL)
                until(lambda: pid not in processes("root"), "the proxy's end")

    def restart(self, **traits):
        self.stop()
        self.start(**traits)


@pytest.fixture(scope="session")
def machine():
    """The hub of all tests, which restart it at will."""
    hub = Hub()
    hub.start()
    yield hub
    hub.stop()
    shutil.copy(hub.log, SCREENSHOTS / f"{PROFILE}-hub.log")


@pytest.fixture
def hub(machine):
    """A hub with its own settings, and no session."""
    if machine.traits or machine.process.poll() is not None:
        machine.traits = {}
        machine.restart()
    return machine


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Learner:
    """A learner at a browser."""

    def __init__(self, chromium, name):
        self.account = add_learner(name)
        self.name = name
        self.home = Path(self.account.pw_dir)
        # JupyterLab would open the last test's notebooks again, and ask before it saves a file that was written again.
        shutil.rmtree(self.home / ".jupyter/lab/workspaces", ignore_errors=True)
        self.context = chromium.new_context(viewport={"width": 1280, "height": 900})
        self.page = self.context.new_page()
        self.n_notebooks = 0
        self.page.set_default_timeout(60_000)

    def shot(self, name):
        self.page.screenshot(path=SCREENSHOTS / f"{PROFILE}-{name}.png")
        return self

    def log_in(self, shows):
        self.page.goto(f"{URL}/hub/login?next=/hub/spawn")
        self.page.fill("#username_input", self.name)
        self.page.fill("#password_input", PASSWORD)
        self.page.click("#login_submit")
        self.page.wait_for_selector(shows)
        return self

    def open(self, path):
        self.page.goto(URL + path)
        return self

    def ask(self, **fields):
        """Fills the form in and sends it; what the browser itself would refuse is sent nevertheless."""
        self.page.goto(f"{URL}/hub/spawn")
        self.page.evaluate("document.querySelector('#spawn_form').noValidate = true")
        for name, value in fields.items():
            field = self.page.locator(f"#{name}")
            if field.evaluate("e => e.tagName") == "SELECT":
                field.select_option(str(value))
            else:
                # A field for numbers takes no letters from a keyboard; a script may send them.
                field.evaluate("e => e.type = 'text'")
                field.fill(str(value))
        self.page.click("#spawn_form button[type=submit]")
        return self

    def wait_for_lab(self):
        self.page.wait_for_url("**/user/*/lab**", timeout=DEADLINE_S * 1000)
        self.page.wait_for_selector("#jp-main-dock-panel")
        return self

    def text(self):
        return self.page.inner_text("body")

    def wait_for_text(self, text):
        self.page.wait_for_function("text => document.body?.innerText.includes(text)", arg=text, timeout=DEADLINE_S * 1000)
        return self

    def can_try_again(self):
        """By the form, or by a button that leads to it."""
        self.page.wait_for_selector("#start, #cores")
        return self

    def stop(self):
        """From the hub's own page, as a learner would."""
        self.page.goto(f"{URL}/hub/home")
        self.page.click("#stop")
        self.page.wait_for_selector("#start:not([disabled])")
        until(lambda: not self.page.locator("#stop").is_visible(), "the end of the session")

    def in_terminal(self, line):
        """Types a line into a terminal of the session."""
        self.page.evaluate(
            """async line => {
                const terminal = await window.jupyterapp.serviceManager.terminals.startNew();
                terminal.send({ type: "stdin", content: [line + "\\r"] });
            }""",
            line,
        )

    def run_all(self, path):
        """Opens a notebook in the session's JupyterLab, runs all of it there, saves it, and gives its cells."""
        return self.run_notebook(path, "await commands.execute('notebook:run-all-cells');")

    def run_one_by_one(self, path):
        """The same, but each cell is run when the one before has ended, also by an error, which ends Run All."""
        return self.run_notebook(
            path,
            """for (let i = 0; i < opened.content.widgets.length; i++) {
                opened.content.activeCellIndex = i;
                await commands.execute("notebook:run-cell");
            }""",
        )

    def run_notebook(self, path, how):
        self.page.evaluate(
            """async path => {
                const { commands, shell } = window.jupyterapp;
                const opened = await commands.execute("docmanager:open", { path, factory: "Notebook" });
                await opened.context.ready;
                await opened.sessionContext.ready;
                shell.activateById(opened.id);
                HOW
                await opened.context.save();
            }""".replace("HOW", how),
            path,
        )
        return json.loads((self.home / path).read_text())["cells"]

    def run(self, *sources):
        """Runs cells in the session, and gives what each wrote; an error is written as its name and its value."""
        cells = [
            {"cell_type": "code", "id": f"cell-{i}", "execution_count": None, "outputs": [], "source": source,
             "metadata": {}}
            for i, source in enumerate(sources)
        ]  # fmt: skip
        kernel = {"kernelspec": {"name": "forklore", "display_name": "Rust (forklore)", "language": "rust"}}
        self.n_notebooks += 1
        path = self.home / f"cells-{self.n_notebooks}.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
        os.chown(path, self.account.pw_uid, self.account.pw_gid)
        return [written(cell) for cell in self.run_one_by_one(path.name)]


def written(cell):
    """What a cell wrote, in the order in which it came."""

    def text(output):
        if output["output_type"] == "error":
            return f"{output['ename']}: {output['evalue']}"
        return output.get("text") or output["data"].get("text/plain", "")

    return "".join("".join(text(output)) for output in cell.get("outputs", []))


@pytest.fixture
def learner(chromium, hub):
    """Makes learners; at the end none has a session, and nothing of theirs is left."""
    made = {}

    def make(name, shows="#cores"):
        if name not in made:
            made[name] = Learner(chromium, name)
            made[name].log_in(shows)
        return made[name]

    yield make
    for one in made.values():
        one.shot(f"last-{one.name}")
        one.page.goto(f"{URL}/hub/home")
        if one.page.locator("#stop").is_visible():
            one.stop()
        one.context.close()
    for name in made:
        until(lambda: not processes(name), f"the end of {name}'s processes: {processes(name)}")
