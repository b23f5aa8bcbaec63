"""Where a cell failed: the calls in cells that led there, and what an error is due to."""

import re

import pytest


def plain(failed):
    assert failed.status == "error", failed
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failed.reply["content"]["traceback"]))


def in_order(text, parts):
    """Whether the text has these parts, one behind the other."""
    at = 0
    for part in parts:
        at = text.find(part, at) + 1
        if at == 0:
            return False
    return True


def test_a_panic_shows_the_calls_of_the_cells_and_no_others(kernel):
    third = "fn third_call(n: usize) -> u8 { vec![1, 2, 3][n] }"
    kernel.ok(third)
    kernel.ok("#[inline(never)]\nfn second_call(n: usize) -> u8 {\n    let m = n * 2;\n    third_call(m) + 1\n}")
    text = plain(kernel.run("let from = 5;\nlet all: Vec<u8> = (0..3).map(|i| {\n    second_call(i + from)\n}).collect();"))
    parts = ["Traceback (innermost call last):", "cell:3:5", "3 |     second_call(i + from)", "cell [", ":4:5, in `second_call`",
             "4 |     third_call(m) + 1", "cell [", f":1:{third.index('[n]') + 1}, in `third_call`", f"1 | {third}", "^", "All variables"]
    assert in_order(text, parts), text
    for machinery in ("library", "evcxr", "run_user_code", "forklore", "src/lib.rs"):
        assert machinery not in text, text


def test_the_line_that_panicked_is_marked(kernel):
    text = plain(kernel.run('let a = 1;\n    panic!("{a}");'))
    assert in_order(text, [" --> cell:2:5", '2 |     panic!("{a}")', "  |     ^"]), text
    assert "Traceback" not in text, text


def test_a_value_that_panics_as_it_is_computed_and_shown(kernel):
    kernel.ok("fn at(n: usize) -> u8 { [1, 2, 3][n] }")
    text = plain(kernel.run("let n = 3;\nat(n)"))
    assert in_order(text, ["cell:2:1", "2 | at(n)", "in `at`"]), text
    kernel.ok('struct Shy;\nimpl std::fmt::Debug for Shy {\n    fn fmt(&self, _: &mut std::fmt::Formatter<\'_>) -> std::fmt::Result { panic!("shy") }\n}')
    assert ":3:" in plain(kernel.run("Shy")), text


def test_a_closure_of_an_earlier_cell_has_its_lines(kernel):
    kernel.ok("fn inner(n: usize) -> u8 { [1, 2, 3][n] }")
    kernel.ok("let stored: Box<dyn Fn(usize) -> u8> = Box::new(|n| {\n    let m = n + 1;\n    inner(m)\n});")
    text = plain(kernel.run("let n = 7;\nstored(n)"))
    assert in_order(text, ["cell:2:1", "cell [", ":3:5", "3 |     inner(m)", "cell [", "in `inner`", "^"]), text


def test_a_recursion_is_one_line(kernel):
    kernel.ok('fn deep(n: u64) -> u64 {\n    if n == 0 { panic!("bottom") }\n    std::hint::black_box(deep(n - 1)) + 1\n}')
    text = plain(kernel.run("deep(40)"))
    assert text.count("in `deep`") == 2 and "more calls in this line" in text, text


def test_other_profiles_and_threads_of_earlier_cells_change_nothing(kernel):
    kernel.ok("fn low(n: usize) -> u8 { [1, 2, 3][n] }\nfn high(n: usize) -> u8 { low(n) + 1 }")
    kernel.ok("%profile debug")
    parts = ["cell:2:1", "in `high`", "in `low`", "^"]
    assert in_order(plain(kernel.run("let n = 7;\nhigh(n)")), parts)
    kernel.ok("%profile release")
    kernel.ok("let parked = std::thread::spawn(|| std::thread::park());")
    text = plain(kernel.run("let n = 7;\nhigh(n)"))
    assert in_order(text, [*parts, "still runs"]), text
    kernel.ok("parked.thread().unpark(); parked.join().is_ok()")


def test_a_crate_that_may_change_hinders_no_traceback(kernel, tmp_path):
    """Its session compiles each cell through cargo."""
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "nearby"\nversion = "1.0.0"\nedition = "2021"\n')
    (tmp_path / "src/lib.rs").write_text("pub fn at(n: usize) -> u8 { [1, 2, 3][n] }\n")
    kernel.ok(f':dep nearby = {{ path = "{tmp_path}" }}')
    text = plain(kernel.run("fn far(n: usize) -> u8 { nearby::at(n) }\nfar(std::hint::black_box(7))"))
    assert in_order(text, ["cell:2:1", "1 | fn far", "nearby", "src/lib.rs:1:"]), text
    kernel.ok("%reset")


CHAIN = """use std::{error::Error, fmt};
#[derive(Debug)] struct Reading(std::io::Error);
impl fmt::Display for Reading { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("cannot read the settings") } }
impl Error for Reading { fn source(&self) -> Option<&(dyn Error + 'static)> { Some(&self.0) } }
fn settings() -> Result<u8, Box<dyn Error>> { Err(Reading(std::io::Error::other("the disk is on fire")).into()) }"""


def test_a_failed_question_mark_has_its_line_and_what_it_is_due_to(kernel):
    kernel.ok(CHAIN)
    failed = kernel.run("let a = 1;\nlet b = settings()?;")
    content = failed.reply["content"]
    assert (content["ename"], content["evalue"]) == ("QuestionMark", "cannot read the settings"), failed
    parts = ["cannot read the settings", "caused by: the disk is on fire", "cell:2:9", "2 | let b = settings()?;", "^"]
    assert in_order(plain(failed), parts), failed
    assert not failed.stdout and not failed.stderr, failed


@pytest.mark.parametrize("cell", ['"x".parse::<u8>()?;', 'Err("text")?;', "std::fs::read(\"/nowhere\")?;"])
def test_an_error_without_a_cause_has_none(kernel, cell):
    assert "caused by" not in plain(kernel.run(cell))
