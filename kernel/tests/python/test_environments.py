"""Machines that others have set up: a session works there, or says in one sentence what is missing and what to do."""

import os
import subprocess
from pathlib import Path

import pytest

SETTINGS = """
[evcxr]
opt_level = 1
tmpdir = "/nonexistent"
offline_mode = false
"""


def without_home():
    """An environment without HOME, in which rustup still finds its own."""
    home = Path.home()
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    environment.setdefault("CARGO_HOME", str(home / ".cargo"))
    environment.setdefault("RUSTUP_HOME", str(home / ".rustup"))
    environment.setdefault("XDG_CACHE_HOME", str(home / ".cache"))
    return environment


def test_what_a_user_has_told_cargo_is_for_the_cells_and_not_for_their_compiler(new_kernel, tmp_path):
    (tmp_path / "evcxr.toml").write_text(SETTINGS)
    told = {"CARGO_INCREMENTAL": "1", "RUSTC_WRAPPER": "no-such-sccache", "RUSTFLAGS": "-C opt-level=1"}
    kernel = new_kernel(cwd=tmp_path, env=without_home() | told)
    first = kernel.ok("use forklore::*;\nPool::with_workers(1)?.map(|x: u8| x + 1, [1, 2])")
    assert first.result == "[2, 3]"
    assert "Compiling" not in first.stderr, "the library is not compiled again"
    # Once, and with its name.
    assert first.stderr.count("RUSTC_WRAPPER names a program that is not there") == 1, first.stderr
    assert kernel.ok('let typed = "a b".split(\' \').map(str::len).collect::<Vec<_>>(); typed').result == "[1, 1]"
    assert kernel.ok('(std::env::var("CARGO_INCREMENTAL")?, std::env::current_dir()?.join("evcxr.toml").exists())').result == '("1", true)'


def test_a_cache_that_cannot_be_written_does_not_matter_where_an_administrator_made_one(new_kernel, tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": "/proc/self", "FORKLORE_WARM": os.environ["FORKLORE_SHARED"]}
    kernel = new_kernel(env=environment | {"TMPDIR": str(tmp_path)})
    assert kernel.ok("forklore::Pool::with_workers(1)?.map(|x: u8| x + 1, [1])").result == "[2]"
    assert kernel.run('panic!("said")').reply["content"]["evalue"] == "said"


def test_a_folder_in_a_workspace_is_refused_in_a_sentence(new_kernel, tmp_path):
    (tmp_path / "Cargo.toml").write_text("[workspace]\nmembers = []\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    kernel = new_kernel(env=os.environ | {"TMPDIR": str(temporary)})
    said = kernel.run("1 + 1").reply["content"]["evalue"]
    assert f"{temporary} is in a cargo workspace, that of {tmp_path}/Cargo.toml" in said and "set TMPDIR" in said


@pytest.mark.parametrize(
    "programs, missing",
    [((), "no Rust compiler"), (("rustc", "cc"), "no `cargo`"), (("rustc", "cargo"), "no `cc`")],
)
def test_a_missing_program_is_named_in_a_sentence(new_kernel, tmp_path, programs, missing):
    for name in programs:
        (tmp_path / name).symlink_to("/bin/false")
    kernel = new_kernel(env=os.environ | {"PATH": str(tmp_path), "CARGO_HOME": str(tmp_path)})
    ran = kernel.run("1 + 1")
    error = ran.reply["content"]
    assert ran.status == "error" and missing in error["evalue"] and "install" in error["evalue"], ran
    assert "\n" not in error["evalue"] and ran.stderr == "", ran


def test_programs_that_only_a_shell_would_find_are_found(new_kernel, tmp_path):
    """Jupyter may be started by what has not read a shell's profile."""
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    if not (home / "bin/rustc").exists():
        pytest.skip("the toolchain is not rustup's")
    kernel = new_kernel(env=os.environ | {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    assert kernel.ok("let list = vec![1]; list.len()").result == "1"


def test_a_full_disk_is_named_and_the_session_goes_on_when_there_is_room(new_kernel, tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can make a small disk")
    try:
        kernel = new_kernel(env=os.environ | {"TMPDIR": str(tmp_path)})
        kernel.ok("let kept = 7;")
        full = tmp_path / "full"
        with full.open("wb") as file, pytest.raises(OSError):
            while True:
                file.write(bytes(1 << 20))
        failed = kernel.run("let more = kept + 1;").reply["content"]
        assert failed["ename"] == "DiskFull" and str(tmp_path) in failed["evalue"], failed
        assert kernel.ok(f"!rm {full} && echo gone").stdout == "gone\n"
        assert kernel.ok("let more = kept + 1; more").result == "8"
        kernel.stop()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
