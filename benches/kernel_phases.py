"""What a typical cell spends where: analysis, cargo, rustc, linker, and the rest (load, run, reply).

    ~/.cache/forklore/python-*/bin/python benches/kernel_phases.py [SESSIONS]

The kernel is started with small scripts first on its PATH that note when cargo, rustc and the linker start and end;
what they themselves cost, some milliseconds each, counts with cargo. Medians over the sessions. The last row is the
floor: a library without code, compiled with the flags of a cell by rustc alone.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from kernel import CELLS, FIRST_CELL, Session

PHASES = ["analysis", "cargo", "rustc", "link", "load, run, reply"]
NOTE = """#!/bin/sh
started=$(date +%s%N)
{real} "$@"
status=$?
echo "{name} $started $(date +%s%N)" >>{log}
exit $status
"""
RUSTUP = """#!/bin/sh
if [ "$1" = which ] && [ -x {folder}/"$2" ]; then echo {folder}/"$2"; else exec {real} "$@"; fi
"""


def real_path(tool):
    found = subprocess.run(["rustup", "which", tool], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else shutil.which(tool)


def write_scripts(folder, log):
    real = {"cargo": real_path("cargo"), "rustc": real_path("rustc"), "cc": shutil.which("cc")}
    for name, path in real.items():
        (folder / name).write_text(NOTE.format(real=path, name=name, log=log))
    (folder / "rustup").write_text(RUSTUP.format(real=shutil.which("rustup"), folder=folder))
    for script in folder.iterdir():
        script.chmod(0o755)


def spent(log, started, ended):
    """The seconds of each phase, from what the scripts noted while the cell ran."""
    intervals = {"cargo": [], "rustc": [], "cc": []}
    for line in log.read_text().splitlines():
        name, begin, end = line.split()
        intervals[name].append((int(begin) / 1e9, int(end) / 1e9))
    total = {name: sum(end - begin for begin, end in found) for name, found in intervals.items()}
    # Where nothing but the cell has changed, the kernel runs rustc without cargo.
    compiles = intervals["cargo"] or intervals["rustc"]
    compiling = sum(end - begin for begin, end in compiles)
    before = min((begin for begin, _ in compiles), default=ended) - started
    after = ended - started - before - compiling
    phases = [before, compiling - total["rustc"], total["rustc"] - total["cc"], total["cc"], after]
    return dict(zip(PHASES, phases))


def measure(log):
    session = Session("forklore")
    rows = {}
    try:
        session.execute(FIRST_CELL)
        for name, code in CELLS.items():
            log.write_text("")
            started = time.time()
            session.execute(code)
            rows[name] = spent(log, started, time.time())
    finally:
        session.shutdown()
    return rows


FLOOR = "a library without code"
FLAGS = "--crate-name floor --edition 2024 --crate-type cdylib -Copt-level=2 -Ccodegen-units=1 -Cembed-bitcode=no"
FLAGS += " -Cstrip=debuginfo -Cprefer-dynamic -Clink-arg=-Wl,-O0"


def measure_floor(folder, log):
    """What the compiler takes for nothing at all."""
    source = folder / "floor.rs"
    source.write_text("")
    command = [real_path("rustc"), *FLAGS.split(), f"-Clinker={folder}/cc", "--out-dir", folder, source]
    log.write_text("")
    started = time.time()
    subprocess.run(command, check=True)
    ended = time.time()
    with log.open("a") as notes:
        notes.write(f"rustc {started * 1e9:.0f} {ended * 1e9:.0f}\n")
    return {FLOOR: spent(log, started, ended)}


def main():
    n_sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        log = folder / "log"
        write_scripts(folder, log)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        runs = [measure(log) | measure_floor(folder, log) for _ in range(n_sessions)]
    print("| cell, ms | " + " | ".join(PHASES) + " | total |")
    print("| --- |" + " ---: |" * (len(PHASES) + 1))
    for cell in [*CELLS, FLOOR]:
        medians = [1000 * statistics.median(run[cell][phase] for run in runs) for phase in PHASES]
        print(f"| {cell} | " + " | ".join(f"{ms:.0f}" for ms in medians) + f" | {sum(medians):.0f} |")


if __name__ == "__main__":
    main()
