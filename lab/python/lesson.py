"""Runs a lesson without a browser, and proves its exercises on the way.

    lesson.py NOTEBOOK --kernel NAME --notebook OUT.ipynb --page OUT.html [--prove EXERCISES.json] [--offline]

`--offline` makes sure that there is no network. How long the cells took is noted in the executed notebook's metadata.

Progress goes to stderr, one line per cell. The exit status is 1 when a cell failed, or when an
exercise does not do what its file says: its starter must be answered with "not yet", its solution
with "solved", and each typical wrong answer with its own message. They are tried in the place of
the check cell, so that they find all that a learner has defined by then.

On the stock kernel (any name but `forklore`), raw cells tagged `stock-kernel` are run as code
and code cells tagged `forklore-only` are left out.
"""

import argparse
import html
import json
import re
import socket
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

# No lesson's cell takes over 60 s; on the stock kernel the first one compiles the library.
CELL_TIMEOUT_S = 180
FIRST_CELL_TIMEOUT_S = 900
# A learner who waits for longer than this is told before.
ANNOUNCED_S = 10

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def say(text):
    print(text, file=sys.stderr, flush=True)


def adapt(notebook, kernel):
    """Makes the cells that are to run on `kernel` the notebook's code cells."""
    notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "rust"}
    if kernel == "forklore":
        return notebook
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "raw" and "stock-kernel" in tags:
            cell = nbformat.v4.new_code_cell(cell.source, id=cell.id, metadata={"tags": tags})
        elif cell.cell_type == "code" and "forklore-only" in tags:
            cell = nbformat.v4.new_markdown_cell(
                f"*Left out on this kernel:*\n\n```\n{cell.source}\n```", id=cell.id
            )
        cells.append(cell)
    notebook.cells = cells
    return notebook


def plain(page):
    """The text of some HTML."""
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def text_of(cell):
    """Everything that a cell has put out, as plain text."""
    parts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append(f"{output.ename}: {output.evalue}")
        else:
            data = output.get("data", {})
            parts.append(data.get("text/plain") or plain(data.get("text/html", "")))
    return ANSI.sub("", "\n".join(parts))


class Run(NotebookClient):
    """A client that says which cell is running, and stops at the first that fails."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.seconds = {}

    def note_times(self):
        """Notes how long the cells took, for the table of `cargo lab`."""
        if self.seconds:
            slowest = max(self.seconds, key=self.seconds.get)
            self.nb.metadata["forklore_run"] = {
                "seconds": sum(self.seconds.values()),
                "slowest": slowest,
                "slowest_seconds": self.seconds[slowest],
                "unannounced": [
                    name for name, seconds in self.seconds.items() if seconds > ANNOUNCED_S and not self.announces(name)
                ],
            }

    def announces(self, name):
        """Whether the text in front of a cell says that it takes a while."""
        place = next(index for index, cell in enumerate(self.nb.cells) if cell.id == name)
        texts = [cell.source for cell in self.nb.cells[:place] if cell.cell_type == "markdown"]
        return bool(texts) and "second" in texts[-1]

    def code_cells(self):
        return [cell for cell in self.nb.cells if cell.cell_type == "code" and cell.source.strip()]

    def execute_followed(self, cell, number, total):
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        label = f"  cell {number:>2} of {total}  {first[:60]:<60}"
        if sys.stderr.isatty():
            print(label, end="", file=sys.stderr, flush=True)
        self.timeout = FIRST_CELL_TIMEOUT_S if number == 1 else CELL_TIMEOUT_S
        started = time.monotonic()
        try:
            self.execute_cell(cell, self.nb.cells.index(cell))
        finally:
            seconds = time.monotonic() - started
            self.seconds[cell.id] = seconds
            took = f"{seconds:6.1f} s"
            say(took if sys.stderr.isatty() else f"{label}{took}")
        # The stock kernel answers `ok` to a panic; what it wrote tells the truth.
        if "panicked at" in text_of(cell) and "raises-exception" not in cell.metadata.get("tags", []):
            raise PanicInCell(text_of(cell))


class PanicInCell(Exception):
    """A cell panicked and the kernel did not report it as an error."""


def client(path, kernel):
    notebook = adapt(nbformat.read(path, as_version=4), kernel)
    # A session that is ready after its kernel has compiled a first cell may take its time.
    run = Run(
        notebook,
        kernel_name=kernel,
        startup_timeout=120,
        resources={"metadata": {"path": str(path.parent)}},
    )
    return run


def reason(error):
    """Why a cell failed, in words that are not a Python traceback."""
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {ANSI.sub('', error.evalue)}"
    if isinstance(error, CellTimeoutError):
        return "it took too long and was given up"
    if isinstance(error, DeadKernelError):
        return "the kernel died"
    return str(error)


FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError, PanicInCell)


def run_lesson(arguments):
    started = time.monotonic()
    if arguments.offline:
        interfaces = [name for _, name in socket.if_nameindex()]
        if interfaces != ["lo"]:
            say(f"  this is not without a network: there are {interfaces}")
            return 1
    run = client(arguments.lesson, arguments.kernel)
    exercises = exercises_by_check(arguments.prove)
    cells = run.code_cells()
    say(f"  {arguments.lesson.stem} on the kernel `{arguments.kernel}`: {len(cells)} cells")
    failure = None
    complaints = []
    with run.setup_kernel():
        say(f"  kernel ready  {time.monotonic() - started:.1f} s")
        for number, cell in enumerate(cells, 1):
            try:
                run.execute_followed(cell, number, len(cells))
                if cell.id in exercises:
                    complaints += prove(run, exercises.pop(cell.id), cell)
            except FAILURES as error:
                failure = (number, cell, error)
                break
    run.note_times()
    nbformat.write(run.nb, arguments.notebook)
    # Loaded now: no cell should wait for what makes pages.
    from page import write_page

    write_page(run.nb, arguments.page, arguments.lesson)
    for complaint in complaints:
        say(f"  {complaint}")
    if failure is None:
        for exercise in exercises.values():
            complaints.append("not tried")
            say(f"  {exercise['id']}: there is no check cell {exercise['check']}")
        say(f"  all {len(cells)} cells ran in {time.monotonic() - started:.1f} s")
        return 1 if complaints else 0
    number, cell, error = failure
    say(f"\n  cell {number} of {len(cells)} (id {cell.id}) failed: {reason(error)}\n")
    for line in cell.source.splitlines():
        say(f"    | {line}")
    said = text_of(cell).strip()
    if said:
        say("\n  it said:\n" + "\n".join(f"    {line}" for line in said.splitlines()[-40:]))
    say(f"\n  {len(cells) - number} cells were not run")
    return 1


def source(lines):
    return lines if isinstance(lines, str) else "\n".join(lines)


def exercises_by_check(path):
    """The exercises of a file, by the id of the cell that checks them."""
    if path is None:
        return {}
    exercises = json.loads(path.read_text(encoding="utf-8"))["exercises"]
    return {exercise["check"]: exercise for exercise in exercises}


def prove(run, exercise, check):
    """Tries one exercise, whose check cell has just judged the starter; answers with what is wrong
    with it. The solution comes last and stays."""
    name = exercise["id"]
    by_id = {cell.id: cell for cell in run.nb.cells}
    solution = source(exercise["solution"])
    complaints = []
    if solution not in by_id[exercise["solution_cell"]].source:
        complaints.append(f"{name}: the notebook's folded solution is not the one in the file")
    trials = [("unsolved", None, "not yet", None)]
    for wrong in exercise["wrong"]:
        trials.append((wrong["name"], source(wrong["source"]), "not yet", wrong["says"]))
    trials.append(("solved", solution, "solved", None))
    messages = set()
    for trial, answer, verdict, says in trials:
        said = text_of(check) if answer is None else judge(run, check, answer)
        shown = " ".join(said.split())
        say(f"    {name} {trial}: {shown[:100]}")
        if f"exercise {name}: {verdict}" not in shown:
            complaints.append(f"{name} {trial}: expected `{verdict}`, it said: {shown}")
        elif says is not None and says not in shown:
            complaints.append(f"{name} {trial}: expected a message with `{says}`, it said: {shown}")
        elif shown in messages:
            complaints.append(f"{name} {trial}: it has no message of its own: {shown}")
        messages.add(shown)
    return complaints


def judge(run, check, answer):
    """What the check cell says when the starter cell holds `answer`; both in one cell, which is
    compiled once."""
    kept = check.source, check.outputs
    check.source = f"{answer}\n{check.source}"
    try:
        run.execute_cell(check, run.nb.cells.index(check))
        return text_of(check)
    except FAILURES as error:
        return f"the cell failed: {reason(error)}"
    finally:
        check.source, check.outputs = kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lesson", type=Path)
    parser.add_argument("--kernel", default="forklore")
    parser.add_argument("--notebook", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--prove", type=Path)
    parser.add_argument("--offline", action="store_true")
    return run_lesson(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
