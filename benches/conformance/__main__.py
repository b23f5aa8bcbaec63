"""What kernels do in the cases that matter: ours, the stock Rust kernel, and Python's, each measured here.

    cargo lab --bench conformance [WORD ...]

First the public suite `jupyter_kernel_test`, test by test; then each promise that was made of our kernel, held against what
is seen. Every case gets a fresh kernel, because some kernels do not survive some of them. With words, only the cases with one
of them in their names run. It takes about 15 minutes, most of them spent waiting for kernels that hang.
"""

import os
import sys

import cases
import public
from promises import PROMISES

KERNELS = {"forklore": "forklore", "rust-evcxr": "stock", "python3": "ipykernel"}


def row(*cells):
    shown = ["–" if cell is None else cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    print("| " + " | ".join(shown) + " |", flush=True)


def header(*cells):
    row(*cells)
    row(*["---"] * len(cells))


def print_public(is_asked):
    header("test of the public suite", *KERNELS.values())
    for number, name in public.TESTS:
        if is_asked(name):
            row(f"`{name}`", *(public.measure(number, name, kernel) for kernel in KERNELS))


def print_promises(is_asked):
    """Returns how many promises were kept, of how many."""
    header("case", "promised", "kept", *(f"{name}, measured here" for name in KERNELS.values()))
    n_kept, n_measured = 0, 0
    for promise, rows in PROMISES.items():
        for name, case, keeps in rows:
            if not is_asked(name):
                continue
            answers = [cases.measure(case, kernel) for kernel in KERNELS]
            is_kept = answers[0] is not None and keeps(answers[0])
            n_kept, n_measured = n_kept + is_kept, n_measured + 1
            row(name, promise, "yes" if is_kept else "NO", *answers)
    return n_kept, n_measured


def main():
    words = sys.argv[1:] or [""]
    is_asked = lambda name: any(word in name for word in words)
    load = os.getloadavg()[0]
    print_public(is_asked)
    print()
    n_kept, n_measured = print_promises(is_asked)
    print(f"\n{n_kept} of {n_measured} promises kept; load {load:.1f} before the run, {os.getloadavg()[0]:.1f} after it.")


if __name__ == "__main__":
    main()
