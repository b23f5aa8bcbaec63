"""`forklore install` and what a user can get wrong with it and with the other commands."""

import json
import os
import socket
import subprocess

import pytest

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
    nothing = {"PATH": str(tmp_path), "VIRTUAL_ENV": "", "CONDA_PREFIX": ""}
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


def test_help_names_every_command():
    code, out, _ = forklore("--help")
    assert code == 0
    for command in ("install", "uninstall", "kernel", "evcxr"):
        assert command in out
