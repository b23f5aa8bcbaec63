"""Cells whose output is kept, and notebooks that keep the versions of their crates."""

import re
from pathlib import Path

import pytest


def test_a_captured_cell_shows_nothing_and_its_text_is_a_variable(kernel):
    ran = kernel.ok('%%capture captured_text\nlet captured_n = 3;\nprintln!("n = {captured_n} \\"ä\\"");\neprintln!("aside");\ncaptured_n + 1')
    assert [m["msg_type"] for m in ran.messages] == ["execute_input"], ran
    assert kernel.ok("captured_text").result == r'"n = 3 \"ä\"\n"'
    assert kernel.ok("captured_n").result == "3"
    assert kernel.ok("%%capture\n%time 1 + 1").messages[1:] == []
    # What fails is shown, with what it has written.
    failed = kernel.run('%%capture captured_lost\nprintln!("before");\npanic!("on purpose")')
    assert failed.reply["content"]["evalue"] == "on purpose" and failed.stdout == "before\n", failed
    assert kernel.run("captured_lost").status == "error"
    assert kernel.ok('println!("shown again")').stdout == "shown again\n"
    assert kernel.run("%%capture 1x\n1").reply["content"]["ename"] == "UsageError"


def locked_version(name):
    lock = Path(__file__).resolve().parents[3] / "Cargo.lock"
    return re.search(rf'name = "{name}"\nversion = "([^"]+)"', lock.read_text())[1]


def test_a_locked_notebook_has_the_same_versions_when_it_runs_again(new_kernel):
    version = locked_version("fastrand")
    crate = ':dep fastrand = "2"\nfastrand::Rng::with_seed(7).u8(..) < 255'
    first = new_kernel()
    assert first.run("%lock").reply["content"]["ename"] == "UsageError"
    assert first.ok(f"%%lock\n# A comment.\nfastrand {version}\n").stdout == "1 crate is pinned\n"
    assert first.ok(crate).status == "ok"
    # The front end puts this into the cell.
    [payload] = first.ok("%lock").reply["content"]["payload"]
    assert (payload["source"], payload["replace"]) == ("set_next_input", True)
    cell = payload["text"]
    assert cell.startswith("%%lock\n#") and cell.splitlines()[2:] == [f"fastrand {version}"], cell
    # It may run where it is, behind the `:dep`; another version may not.
    assert first.ok(cell).status == "ok"
    other = first.run("%%lock\nfastrand 2.0.0")
    assert f"the session has `fastrand {version}`" in other.reply["content"]["evalue"], other

    again = new_kernel()
    again.ok(cell)
    again.ok(crate)
    assert again.ok("%lock").reply["content"]["payload"][0]["text"] == cell


@pytest.mark.parametrize("line", ["fastrand", "fastrand = 2", "fastrand x.y"])
def test_what_is_no_version_is_refused(kernel, line):
    failed = kernel.run(f"%%lock\n\n{line}")
    assert failed.reply["content"]["ename"] == "UsageError"
    assert "line 3" in failed.reply["content"]["evalue"]
