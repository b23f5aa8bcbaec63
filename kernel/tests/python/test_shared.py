"""A library that is compiled once for many users, and what users can see of each other's."""

import json
import os
import resource
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

PROGRAM = os.environ["FORKLORE_PROGRAM"]
SHARED = Path(os.environ["FORKLORE_SHARED"])


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def learner(tmp_path, **more):
    """The environment of a user who has never compiled anything."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    rustup = os.environ.get("RUSTUP_HOME") or str(Path.home() / ".rustup")
    own = {"HOME": str(home), "TMPDIR": str(temporary), "RUSTUP_HOME": rustup}
    inherited = {k: v for k, v in os.environ.items() if k not in ("CARGO_HOME", "XDG_CACHE_HOME")}
    return inherited | own | {"FORKLORE_WARM": str(SHARED)} | more


def session_folder(tmp_path):
    [folder] = (tmp_path / "tmp").glob("forklore-*-*")
    return folder


def doctor(**environment):
    ran = subprocess.run(
        [PROGRAM, "doctor", "--json"], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )
    findings = {finding["check"]: finding for finding in json.loads(ran.stdout)["findings"]}
    return findings["shared library"], findings["library"]


def test_nobody_else_can_change_what_all_users_load():
    everything = [SHARED, *SHARED.rglob("*")]
    assert len(everything) > 1000
    for path in everything:
        if not path.is_symlink():
            assert mode(path) & 0o022 == 0 and mode(path) & 0o044 == 0o044, path


def test_a_learner_starts_without_compiling_and_what_is_made_is_private(tmp_path, new_kernel):
    kernel = new_kernel(env=learner(tmp_path), preexec_fn=lambda: os.umask(0))
    cells = "forklore::Pool::with_workers(2)?.map(|x: u64| x * x, 0..4)"
    assert kernel.ok(cells).result == "[0, 1, 4, 9]"
    # What cells start is not told of cargo's home in the shared folder, nor is the user's mask changed.
    assert kernel.ok('std::env::var("CARGO_HOME").is_err()').result == "true"
    assert kernel.ok("%%bash\numask").stdout.strip() == "0000"
    assert not list((tmp_path / "home").rglob("warm-*")) and not list((tmp_path / "home").rglob("*.rlib"))
    folder = session_folder(tmp_path)
    assert mode(folder) == 0o700
    libraries = list(folder.rglob("deps/libforklore-*.rlib"))
    assert libraries and all(SHARED in library.readlink().parents for library in libraries)
    # The connection file is Jupyter's, and lies where Jupyter puts it.
    assert mode(Path(kernel.manager.connection_file)) & 0o077 == 0


def test_a_learner_without_a_network_can_go_on_after_asking_for_a_crate(tmp_path, new_kernel):
    # No server listens at this address.
    kernel = new_kernel(env=learner(tmp_path, CARGO_HTTP_PROXY="http://127.0.0.1:9", CARGO_NET_RETRY="0"))
    kernel.ok("let kept = 5usize;")
    ran = kernel.run(':dep no_such_crate_at_all = "1"')
    assert ran.status == "error" and "offline" not in str(ran.messages).lower(), ran
    assert kernel.ok("forklore::Pool::with_workers(1)?.map(|x: u64| x, 0..1).len() + kept").result == "6"


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_a_users_own_cache_is_private(tmp_path, umask):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "FORKLORE_WARM": ""}
    limits = lambda: (os.umask(umask), resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
    # It fails after it has made the folder, or it would compile.
    subprocess.run([PROGRAM, "warm"], env=environment, preexec_fn=limits, capture_output=True, timeout=60)
    assert mode(tmp_path / "cache/forklore") == 0o700


def test_doctor_knows_the_shared_library_and_why_one_is_not_used(tmp_path):
    shared, library = doctor(FORKLORE_WARM=str(SHARED), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert shared["status"] == library["status"] == "ok" and str(SHARED) in shared["found"]
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)
    shared, library = doctor(FORKLORE_WARM=str(empty))
    assert shared["status"] == "warning" and "not made with this compiler" in shared["found"]
    assert library["status"] == "ok"


def test_another_compiler_has_its_own(tmp_path):
    real = shutil.which("rustc")
    for name, script in [
        ("rustup", "exit 1"),
        ("rustc", f'[ "$*" = -vV ] || exec {real} "$@"; {real} -vV; echo "commit-hash: another"'),
    ]:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    shared, library = doctor(FORKLORE_WARM=str(SHARED), PATH=path)
    assert "not made with this compiler" in shared["found"] and "as root" in shared["remedy"]
    assert library["status"] == "warning"


def test_a_library_that_others_could_have_changed_is_refused(tmp_path, new_kernel):
    # The folder's names are enough to be taken for the real one.
    forged = tmp_path / "forged"
    for path in SHARED.glob("*-*"):
        (forged / path.name / "target").mkdir(parents=True)
        for marker in ("Cargo.lock", "Cargo.toml"):
            (forged / path.name / marker).write_text("")
    (forged / "cargo").mkdir()
    forged.chmod(0o777)
    shared, _ = doctor(FORKLORE_WARM=str(forged))
    assert shared["status"] == "warning" and "can be changed by others" in shared["found"], shared
    # The session says so, and uses the user's own.
    kernel = new_kernel(env=os.environ | {"FORKLORE_WARM": str(forged)})
    assert kernel.ok("forklore::cpu_count() > 0").result == "true"


def test_warm_names_what_keeps_it_from_making_a_library_for_all(tmp_path):
    wide = tmp_path / "wide"
    wide.mkdir()
    wide.chmod(0o777)
    for folder, word in [(wide / "warm", "can be changed by others"), (Path("/proc/self/warm"), "/proc/self/warm")]:
        ran = subprocess.run([PROGRAM, "warm", "--system", folder], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 1 and word in ran.stderr, ran.stderr
