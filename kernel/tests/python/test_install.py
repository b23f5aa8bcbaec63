"""`forklore install` and what a user can get wrong with it and with the other commands."""

import json
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from conftest import DEADLINE, assert_gone, descendants

PROGRAM = os.environ["FORKLORE_PROGRAM"]


def forklore(*arguments, **environment):
    ran = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )
    return ran.returncode, ran.stdout, ran.stderr


def kernels_below(folder):
    return sorted(p.parent.name for p in folder.rglob("kernel.json"))


def test_install_and_uninstall_with_a_prefix(tmp_path):
    code, out, err = forklore("install", "--prefix", tmp_path)
    assert code == 0, err
    assert kernels_below(tmp_path / "share/jupyter/kernels") == ["forklore", "rust-evcxr"]
    for name, title in (("forklore", "Rust (forklore)"), ("rust-evcxr", "Rust (evcxr)")):
        folder = tmp_path / "share/jupyter/kernels" / name
        spec = json.loads((folder / "kernel.json").read_text())
        assert spec["display_name"] == title
        assert os.path.samefile(spec["argv"][0], PROGRAM)
        assert spec["interrupt_mode"] == "message"
        assert (folder / "logo-64x64.png").read_bytes().startswith(b"\x89PNG")
        assert not [p for p in folder.iterdir() if p.name.startswith(".")]
    assert forklore("install", "--prefix", tmp_path)[0] == 0
    assert forklore("uninstall", "--prefix", tmp_path)[0] == 0
    assert kernels_below(tmp_path) == []
    code, _, err = forklore("uninstall", "--prefix", tmp_path)
    assert code == 1 and "neither kernel is installed" in err


def test_install_for_the_user(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "JUPYTER_DATA_DIR": ""}
    assert forklore("install", "--user", **home)[0] == 0
    assert kernels_below(tmp_path / ".local/share/jupyter/kernels") == ["forklore", "rust-evcxr"]
    own = {"JUPYTER_DATA_DIR": str(tmp_path / "own")}
    assert forklore("install", **own)[0] == 0
    assert kernels_below(tmp_path / "own/kernels") == ["forklore", "rust-evcxr"]


def test_install_into_the_environment(tmp_path):
    assert forklore("install", "--sys-prefix", VIRTUAL_ENV=str(tmp_path))[0] == 0
    assert kernels_below(tmp_path / "share/jupyter/kernels") == ["forklore", "rust-evcxr"]


def test_no_jupyter_no_permission_no_home(tmp_path):
    nothing = {"PATH": str(tmp_path), "CARGO_HOME": str(tmp_path), "VIRTUAL_ENV": "", "CONDA_PREFIX": ""}
    code, _, err = forklore("install", "--sys-prefix", **nothing)
    assert code == 1 and "no `jupyter` on the PATH" in err and "--user" in err
    # A folder in the way of one that is needed: root may write anywhere.
    (tmp_path / "share").write_text("a file")
    code, _, err = forklore("install", "--prefix", tmp_path)
    assert code == 1 and str(tmp_path / "share/jupyter/kernels/forklore") in err
    code, out, err = forklore("install", "--prefix", tmp_path / "other", **nothing)
    assert code == 0 and "no `cargo` on the PATH" in err and "rustup" in err


def test_a_missing_rust_source_is_named_with_the_way_out(tmp_path):
    rustc = tmp_path / "bin" / "rustc"
    rustc.parent.mkdir()
    rustc.write_text(f"#!/bin/sh\necho {tmp_path}\n")
    rustc.chmod(0o755)
    path = f"{rustc.parent}:{os.environ['PATH']}"
    code, _, err = forklore("install", "--prefix", tmp_path / "prefix", PATH=path)
    assert code == 0 and "rustup component add rust-src" in err


def test_connection_files_that_are_none(tmp_path):
    missing = tmp_path / "missing.json"
    code, _, err = forklore("kernel", "--connection-file", missing)
    assert code == 1 and str(missing) in err
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    code, _, err = forklore("kernel", "--control_file", bad)
    assert code == 1 and "not a Jupyter connection file" in err


@pytest.mark.parametrize("channel", ["shell", "iopub", "control", "stdin", "hb"])
def test_a_port_that_is_taken_is_named(tmp_path, channel):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free = [socket.socket() for _ in range(5)]
        for s in free:
            s.bind(("127.0.0.1", 0))
        names = ["shell", "iopub", "control", "stdin", "hb"]
        ports = {f"{name}_port": s.getsockname()[1] for name, s in zip(names, free)}
        for s in free:
            s.close()
        port = taken.getsockname()[1]
        ports[f"{channel}_port"] = port
        info = {"ip": "127.0.0.1", "transport": "tcp", "key": "k", "signature_scheme": "hmac-sha256", **ports}
        file = tmp_path / "connection.json"
        file.write_text(json.dumps(info))
        code, _, err = forklore("kernel", "--connection-file", file)
    assert code == 1 and str(port) in err and channel.replace("hb", "heartbeat") in err
    assert "start the kernel again" in err


def no_more_than(n_bytes):
    """As on a disk that is full: every file that would grow beyond this many bytes is refused."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def test_a_full_disk_is_named_and_nothing_half_made_stays(tmp_path):
    ran = subprocess.run(
        [PROGRAM, "warm"],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        preexec_fn=lambda: no_more_than(1000),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert str(tmp_path / "forklore") in ran.stderr and "XDG_CACHE_HOME" in ran.stderr, ran.stderr
    assert list((tmp_path / "forklore").iterdir()) == []


def test_a_cache_folder_that_cannot_be_written_is_named():
    # Not even root can make a folder there.
    code, _, err = forklore("warm", XDG_CACHE_HOME="/proc/self")
    assert code == 1 and "/proc/self/forklore" in err and "XDG_CACHE_HOME" in err


def test_a_build_that_is_killed_leaves_nothing_that_could_be_taken_for_whole(tmp_path):
    folder = tmp_path / "forklore"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    building = subprocess.Popen([PROGRAM, "warm"], env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + DEADLINE
    while not list(folder.glob("building-*/session/Cargo.toml")):
        assert time.monotonic() < deadline and building.poll() is None
        time.sleep(0.01)
    pids = descendants(building.pid)
    os.killpg(building.pid, signal.SIGKILL)
    building.wait()
    assert_gone(pids, timeout=DEADLINE)
    assert not list(folder.glob("warm-*"))
    [left] = folder.glob("building-*")
    # An hour later it is removed by the next installation, here with too little room to build.
    os.utime(left, (time.time() - 7200,) * 2)
    subprocess.run([PROGRAM, "warm"], env=environment, preexec_fn=lambda: no_more_than(1000), capture_output=True)
    assert not left.exists()


def test_doctor_says_what_is_wrong_and_how_to_mend_it(tmp_path):
    code, out, _ = forklore("doctor", "--json")
    report = json.loads(out)
    checks = {finding["check"]: finding for finding in report["findings"]}
    assert code == 0 and report["works"], out
    for check in ("toolchain", "rust-src", "linker", "shared libraries", "Python", "JupyterLab", "kernelspecs"):
        assert check in checks
    for check in ("cores", "memory", "cache folder", "library", "temporary folder"):
        assert check in checks
    assert checks["toolchain"]["status"] == checks["library"]["status"] == "ok"
    assert "asked" in checks["cores"]["found"] and "allowed" in checks["cores"]["found"]
    code, out, _ = forklore("doctor", PATH=str(tmp_path), CARGO_HOME=str(tmp_path), XDG_CACHE_HOME="/proc/self")
    assert code == 1 and "rustup.rs" in out and "no `cc` on the PATH" in out and "XDG_CACHE_HOME" in out


def test_doctor_says_of_memory_what_a_session_says(new_kernel):
    environment = os.environ | {"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "4"}

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))

    doctor = subprocess.run(
        [PROGRAM, "doctor", "--json"], env=environment, preexec_fn=limited, capture_output=True, text=True
    )
    checks = {finding["check"]: finding["found"] for finding in json.loads(doctor.stdout)["findings"]}
    _, limits, cells = checks["memory"].split("; ")
    assert "for 4 CPUs) gives this job 8192 MiB" in limits and "65536 MiB (ulimit)" in limits, limits
    told = new_kernel(env=environment, preexec_fn=limited).ok("%limit").stdout
    assert limits in told and cells == "the cells may use 7424 MiB" and "may use 7.2 GiB" in told, (cells, told)


def test_doctor_finds_a_kernelspec_whose_program_is_gone(tmp_path):
    forklore("install", "--prefix", tmp_path)
    data = tmp_path / "share/jupyter"
    file = data / "kernels/forklore/kernel.json"
    spec = json.loads(file.read_text())
    file.write_text(json.dumps(spec | {"argv": ["/no/such/forklore", *spec["argv"][1:]]}))
    code, out, _ = forklore("doctor", JUPYTER_PATH=str(data))
    assert code == 1 and "/no/such/forklore" in out and "`forklore install` writes it again" in out


def test_lab_names_what_is_in_its_way(tmp_path):
    code, _, err = forklore("lab", PATH=str(tmp_path))
    assert code == 1 and "pip install jupyterlab" in err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = forklore("lab", "--no-browser", "--port", port, PATH=with_jupyter_lab(tmp_path))
    assert code == 1 and f"port {port} is taken" in err
    code, _, err = forklore("lab", tmp_path / "missing", PATH=with_jupyter_lab(tmp_path))
    assert code == 1 and str(tmp_path / "missing") in err


def test_lab_starts_jupyterlab_with_this_very_kernel(tmp_path):
    code, out, err = forklore("lab", "--no-browser", tmp_path, PATH=with_jupyter_lab(tmp_path))
    assert code == 0, err
    arguments, path, folder = out.splitlines()
    assert "--no-browser" in arguments and "--ServerApp.ip=127.0.0.1" in arguments
    spec = json.loads((Path(path.split(":")[0]) / "kernels/forklore/kernel.json").read_text())
    assert os.path.samefile(spec["argv"][0], PROGRAM) and os.path.samefile(folder, tmp_path)


def with_jupyter_lab(folder):
    """A PATH with a JupyterLab that only says how it was started."""
    script = folder / "jupyter-lab"
    script.write_text('#!/bin/sh\necho "$*"\necho "$JUPYTER_PATH"\npwd\n')
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_help_names_every_command():
    code, out, _ = forklore("--help")
    assert code == 0
    for command in ("install", "uninstall", "doctor", "lab", "kernel", "evcxr"):
        assert command in out
