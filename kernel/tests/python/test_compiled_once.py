"""Crates that one session has compiled are there for all others."""

import os
import subprocess

import pytest

PROGRAM = os.environ["FORKLORE_PROGRAM"]
# No server listens at this address.
NO_NETWORK = {"CARGO_HTTP_PROXY": "http://127.0.0.1:9", "CARGO_NET_RETRY": "0"}
POOL = "use forklore::*; let pool: Pool = Pool::with_workers(1)?; pool.map(|x: u64| x + 1, 0..2)"
CRATE = ':dep itertools = "0.14"\nuse itertools::Itertools; (0..4).join("-")'


def test_a_crate_is_compiled_in_one_session_and_needs_no_network_in_the_next(new_kernel):
    first = new_kernel()
    assert first.ok(POOL).result == "[1, 2]"
    ran = first.ok(CRATE)
    assert ran.result == '"0-1-2-3"' and "Compiling forklore" not in ran.stdout, ran
    # Nothing of the library was compiled again.
    assert first.ok("pool.map(|x: u64| x + 2, 0..2)").result == "[2, 3]"
    second = new_kernel(env=os.environ | NO_NETWORK)
    assert second.ok(POOL).result == "[1, 2]"
    ran = second.ok(CRATE)
    assert ran.result == '"0-1-2-3"' and "Compiling" not in ran.stdout, ran
    assert second.ok("pool.map(|x: u64| x + 2, 0..2)").result == "[2, 3]"
    # What no session has had needs the network, and the session goes on without it.
    ran = second.run(':dep no_such_crate_at_all = "1"')
    assert ran.status == "error" and "offline" not in str(ran.messages).lower(), ran
    assert second.ok("(1..3).join(\"+\")").result == '"1+2"'


def test_a_crate_in_a_folder_is_compiled_as_it_is_now(new_kernel, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "mine"\nversion = "0.1.0"\nedition = "2024"\n')
    for value in ["1", "2"]:
        (tmp_path / "src/lib.rs").write_text(f"pub fn value() -> u8 {{ {value} }}")
        kernel = new_kernel()
        assert kernel.ok(f':dep mine = {{ path = "{tmp_path}" }}\nmine::value()').result == value


def cache(*arguments, **environment):
    ran = subprocess.run(
        [PROGRAM, "cache", *arguments], capture_output=True, text=True, timeout=120, env=os.environ | environment
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_the_command_lists_what_is_there(tmp_path):
    code, said = cache("list")
    assert code == 0 and "of at most 4 GiB" in said and "crates-" in said, said
    # Another user's cache: nothing is there, and there is nothing to clear.
    empty = {"XDG_CACHE_HOME": str(tmp_path)}
    for command, words in [("list", "0 crates"), ("clear", "0 bytes were removed")]:
        code, said = cache(command, **empty)
        assert code == 0 and words in said, said


@pytest.mark.parametrize("name", ["", "a\nb"])
def test_a_name_that_is_none_is_refused(name):
    code, said = cache("add", name)
    assert code == 1 and "names no crate" in said, said
