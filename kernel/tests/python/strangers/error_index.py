"""The toolchain's error index as cells: each `compile_fail` example has to be an error with its code, placed in the cell.

An example counts where rustc itself, in the cells' edition, rejects it with the code that the page promises: some need
a nightly compiler, or an edition that cells do not have.

All of them, with this kernel or another (`python3 error_index.py --help`; needs `jupyter_client` and an installed kernel):

    python3 kernel/tests/python/strangers/error_index.py --kernel forklore
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from strangers import pages

EDITION = "2024"
# What is no error in a cell, or another one, and why.
KNOWN = {
    "error_codes/E0365.html#1": "what a cell defines is public, so that later cells can use it",
    "error_codes/E0463.html#1": "`extern crate` adds a crate of the registry",
    "error_codes/E0577.html#1": "evcxr gives a crate's items to rustc in any order, and the other error comes first",
    "error_codes/E0625.html#1": "a stable compiler refuses the feature first",
    "error_codes/E0636.html#1": "a stable compiler refuses the feature first",
    "error_codes/E0742.html#1": "as E0577",
    "error_codes/E0752.html#1": "a cell runs an async `main`",
}
PLACE = re.compile(r"(?:cell|command_\d+):(\d+):(\d+)")
# A line of a program as rustc shows it: number, bar, text.
SOURCE_LINE = re.compile(r"^ *(\d+) +\| ?(.*)$")
FILE = re.compile(r"^ *(?:-->|:::) (.*)$")
# What no learner has written.
GENERATED = re.compile(
    r"evcxr_|Evcxr|run_user_code|src/lib\.rs|/\.cache/|/\.rustup/|/\.cargo/|/tmp/|_clock\b|catch_unwind"
    r"|that the kernel generated|forklore::display"
)


def examples(folder):
    """Examples that promise an error with a code."""
    found = pages.examples(folder, pages.ERROR_INDEX)
    return [example for example in found if "compile_fail" in example.classes and example.code]


def rejected_by_rustc(found):
    """Those that rustc rejects with the code that they promise."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
        is_rejected = list(threads.map(lambda example: rejects(example, Path(folder)), found))
    return [example for example, is_so in zip(found, is_rejected) if is_so]


def rejects(example, folder):
    source = folder / (re.sub(r"\W", "_", example.name) + ".rs")
    source.write_text(example.program, encoding="utf-8")
    command = ["rustc", "--edition", EDITION, "--emit=obj", "-o", f"{source}.o", str(source)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    return f"[{example.code}]" in said.stderr


def complaints(example, ran):
    """What is wrong with a kernel's answer to an example; nothing if all is well."""
    text = "\n".join(error_texts(ran))
    if not text:
        return ["no error"]
    found = []
    if not re.search(rf"\b{example.code}\b", text):
        others = sorted(set(re.findall(r"\bE\d{4}\b", text)))
        found.append(f"not {example.code} but {', '.join(others) or 'no code'}")
    n_lines = len(example.cell.splitlines())
    places = PLACE.findall(text)
    if not any(1 <= int(line) <= n_lines for line, _ in places):
        found.append("no place in the cell")
    if generated := GENERATED.search(text):
        found.append(f"generated code: {generated.group()}")
    found += wrong_lines(example.cell, text)
    return found


def error_texts(ran):
    """All that a cell's errors say, without colours."""
    errors = ran.of_type("error")
    if ran.status == "error":
        errors.append(ran.reply["content"])
    texts = [text for error in errors for text in [error.get("evalue", ""), *error.get("traceback", [])]]
    return [re.sub("\x1b\\[[0-9;]*m", "", text) for text in texts]


def wrong_lines(cell, text):
    """Lines with a number that are not the cell's lines of that number."""
    lines = cell.splitlines()
    is_cell = True
    for line in text.splitlines():
        # A suggestion shows what the line would be.
        if line.startswith("help: "):
            is_cell = False
        elif place := FILE.match(line):
            is_cell = place.group(1).startswith("cell") and not place.group(1).startswith("cell [")
        shown = SOURCE_LINE.match(line)
        if not shown or not is_cell or "..." in line:
            continue
        number, rest = int(shown.group(1)), shown.group(2)
        # rustc draws a multi-line place between the bar and the text.
        if number > len(lines) or bare(lines[number - 1]) not in bare(rest.replace("/", "", 1)):
            if number > len(lines) or bare(lines[number - 1]) not in bare(rest):
                return [f"not the cell's line: {line.strip()}"]
    return []


def bare(line):
    return re.sub(r"\s+", "", line)


def compare(kernel, found):
    """How many examples count, and what is wrong with a kernel's answers, by their names."""
    judged = rejected_by_rustc(found)
    wrong = {}
    for example in judged:
        ran = kernel.run(example.cell)
        if complained := complaints(example, ran):
            wrong[example.name] = complained
        # What it has defined in spite of all is forgotten.
        if not error_texts(ran):
            kernel.run(":clear")
    return len(judged), wrong


def main():
    from conftest import Kernel

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="forklore", help="a kernelspec's name, such as rust-evcxr")
    parser.add_argument("--only", default="", help="pages whose names contain this")
    parser.add_argument("--sample", type=int, help="how many, chosen by --seed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = pages.documentation()
    if folder is None:
        parser.error("there is no documentation: rustup component add rust-docs")
    found = [example for example in examples(folder) if options.only in example.name]
    if options.sample:
        found = random.Random(options.seed).sample(found, options.sample)
    kernel = Kernel(options.kernel)
    n_judged, wrong = compare(kernel, found)
    kernel.stop()
    for name, complained in wrong.items():
        reason = f" (known: {KNOWN[name]})" if name in KNOWN else ""
        print(f"{name}: {'; '.join(complained)}{reason}")
    print(f"error index: {n_judged - len(wrong)} of {n_judged} are right ({options.kernel})")


if __name__ == "__main__":
    main()
