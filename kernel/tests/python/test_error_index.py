"""Errors that no author here has thought of: a sample of the toolchain's error index, each as a cell."""

import os
import random

import pytest

from strangers import error_index, pages

N_SAMPLED = 40


def test_a_sample_of_the_error_index(new_kernel):
    folder = pages.documentation()
    if folder is None:
        pytest.skip("the toolchain's documentation is not installed: `rustup component add rust-docs`")
    seed = int(os.environ.get("FORKLORE_SEED", random.randrange(1 << 32)))
    examples = [example for example in error_index.examples(folder) if example.name not in error_index.KNOWN]
    sample = random.Random(seed).sample(examples, N_SAMPLED)
    n_judged, wrong = error_index.compare(new_kernel(), sample)
    print(f"seed {seed}: {n_judged - len(wrong)} of {n_judged} are right")
    assert not wrong, f"FORKLORE_SEED={seed}: {wrong}"
