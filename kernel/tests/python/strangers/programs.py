"""Programs by authors outside this project, each pasted into one cell: does it print what it prints without a notebook?

The programs are those of Rust by Example and of the Book, as the toolchain's documentation has them. rustc says what is
right: each is compiled and run, and what it prints, and whether it fails, is what the cell has to do. A program that is
not the same twice, such as one that prints addresses, is asked only to end in the same way.

All of them, with this kernel or another (`python3 programs.py --help`; needs `jupyter_client` and an installed kernel):

    python3 kernel/tests/python/strangers/programs.py rust-by-example book --kernel forklore
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

sys.path.insert(0, str(Path(__file__).parent.parent))

from strangers import pages

# The cells' edition.
EDITION = "2024"
# What a program of the documentation may take. Those that take longer are servers, which do not end.
SECONDS = 10
# How often a program is run to see whether it is the same each time: the order of two keys in a `HashMap` is the same
# in all of these once in two thousand times. Those that take their time run twice.
RUNS, AT_LEAST, ENOUGH_SECONDS = 12, 2, 1
# What the kernel may take for a cell, also where all processors are busy: a deadline only catches hangs.
DEADLINE = 300
# Errors of a program that needs a crate, a file beside it, or another kind of crate.
NEEDS_MORE = ("E0432", "E0433", "E0463", "E0583", "E0554", "E0601")


@dataclass(frozen=True)
class Expected:
    """What a program does without a notebook."""

    # "ok", "fails" when it runs, or "refused" by the compiler.
    end: str
    # Of several runs: more than one where the program is not the same twice.
    outputs: frozenset


def programs(book):
    """The programs of a book, in its order."""
    folder = pages.documentation()
    if folder is None:
        return None
    found = pages.examples(folder, book)
    return [example for example in found if re.search(r"\bfn main\b", example.program)]


def expected(example, folder):
    """Compiles and runs a program in a folder. None if it cannot be compared."""
    if "TcpListener::bind" in example.program:
        # A server does not end, unless its port is taken.
        return None
    source, program = Path(folder, "program.rs"), Path(folder, "program")
    source.write_text(example.program)
    command = ["rustc", "--edition", EDITION, "-A", "warnings", "-o", program, source]
    compiled = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if compiled.returncode:
        codes = re.findall(r"^error\[(E\d+)\]", compiled.stderr, re.MULTILINE)
        return None if set(codes) & set(NEEDS_MORE) or not codes else Expected("refused", frozenset())
    if not program.exists():
        # A library.
        return None
    outputs, ends = set(), set()
    began = time.monotonic()
    for run in range(RUNS):
        if len(outputs) > 1 or (run >= AT_LEAST and time.monotonic() - began > ENOUGH_SECONDS):
            break
        place = Path(folder, str(run))
        place.mkdir()
        # What says where it is, is not the same twice.
        program = program.rename(Path(place, "program"))
        try:
            ran = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, cwd=place, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return None
        outputs.add(ran.stdout.decode(errors="replace"))
        ends.add("ok" if ran.returncode == 0 else "fails")
    return Expected(ends.pop(), frozenset(outputs)) if len(ends) == 1 else None


def wrong(example, right, kernel):
    """Pastes the program into a cell. Says what is wrong with what the cell does, or None."""
    kernel.run(":clear", timeout=DEADLINE)
    with tempfile.TemporaryDirectory() as folder:
        # The files of the programs before it are not there.
        kernel.run(f'std::env::set_current_dir("{folder}")?;', timeout=DEADLINE)
        return wrong_here(example, right, kernel)


def wrong_here(example, right, kernel):
    """The same, in the folder in which the cells are."""
    # A `return` leaves the `main` that the page does not show.
    code = example.program if re.search(r"\breturn\b", example.cell) else example.cell
    try:
        # Without a terminal a program that asks finds the end of its input.
        ran = kernel.run(code, timeout=DEADLINE, allow_stdin=False)
    except Empty:
        kernel.restart()
        return f"the cell has not ended after {DEADLINE} s, the program {right.end}"
    content = ran.reply["content"]
    end = "ok" if ran.status == "ok" else "fails"
    # The stock kernel names every error alike.
    if end == "fails" and content.get("ename", "Error") in ("CompileError", "Error"):
        end = "refused"
    if end != right.end:
        return f"the cell {end}, the program {right.end}: {content.get('evalue', '')[:200]!r}"
    if len(right.outputs) == 1 and end != "refused":
        [output] = right.outputs
        if ran.stdout != output:
            return f"the cell prints {ran.stdout[-300:]!r}, the program {output[-300:]!r}"
    return None


def compare(examples, kernel):
    """The number of programs that can be compared, and what is wrong with which, which is also printed."""

    def ask(example):
        with tempfile.TemporaryDirectory() as folder:
            return expected(example, folder)

    faults, n_compared = {}, 0
    with ThreadPoolExecutor(2) as pool:
        for example, right in zip(examples, pool.map(ask, examples)):
            if right is None:
                continue
            n_compared += 1
            fault = wrong(example, right, kernel)
            if fault:
                faults[example.name] = fault
                print(f"{example.name}: {fault}", flush=True)
    return n_compared, faults


def sample(book, n, seed):
    """Some programs of a book, in its order."""
    found = programs(book)
    if found is None:
        return None
    chosen = set(random.Random(seed).sample(range(len(found)), min(n, len(found))))
    return [example for at, example in enumerate(found) if at in chosen]


def main():
    from conftest import Kernel

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("books", nargs="+", choices=[pages.BY_EXAMPLE, pages.THE_BOOK])
    parser.add_argument("--kernel", default="forklore", help="a kernelspec's name, such as rust-evcxr")
    parser.add_argument("--only", default="", help="pages whose names contain this")
    options = parser.parse_args()
    for book in options.books:
        found = programs(book)
        if found is None:
            parser.error("there is no documentation: rustup component add rust-docs")
        with tempfile.TemporaryDirectory() as folder:
            kernel = Kernel(options.kernel, cwd=folder)
            chosen = [example for example in found if options.only in example.name]
            n_compared, faults = compare(chosen, kernel)
            kernel.stop()
        print(f"{book}: {n_compared - len(faults)} of {n_compared} do what they do without a notebook ({options.kernel})")


if __name__ == "__main__":
    main()
