"""A cell either happened or it did not: however it ends, all variables have their values from before."""

import os
import signal
import time

import pytest

from conftest import DEADLINE, MINUTES, assert_gone

# The cell, and words of the sentence that says what happened.
ENDINGS = {
    "exit": ("std::process::exit(3)", "3"),
    "abort": ("std::process::abort()", "abort"),
    "segfault": ("unsafe { *(8 as *mut u8) = 1; }", "null pointer"),
    "stack overflow": (
        "fn deep(n: u64) -> u64 { let a = [n; 64]; if n == u64::MAX { 0 } else { deep(n + 1) + std::hint::black_box(a)[3] } }\ndeep(0)",
        "stack",
    ),
    "panic": ('panic!("on purpose")', "on purpose"),
    "question mark": ('"x".parse::<i32>()?;', "invalid digit"),
}


@pytest.fixture(scope="module")
def variables(kernel):
    """Variables of several kinds, made once; each test finds them again."""
    kernel.ok('let number = 7; let mut list = vec![1, 2, 3]; let text = String::from("kept");')
    kernel.ok("list.push(4);")


def assert_kept(kernel):
    assert kernel.ok("(number, list.len(), &text)").result == '(7, 4, "kept")'


@pytest.mark.parametrize("ending", ENDINGS)
def test_variables_survive(kernel, variables, ending):
    cell, words = ENDINGS[ending]
    failed = kernel.run(cell)
    assert failed.status == "error", failed
    content = failed.reply["content"]
    assert words in content["evalue"].lower(), content
    assert content["ename"] and content["traceback"]
    assert failed.of_type("error")[0]["evalue"] == content["evalue"]
    assert_kept(kernel)


def test_a_cell_that_failed_has_changed_nothing(kernel, variables):
    failed = kernel.run("list.push(99); let fresh = 5; std::process::exit(0)")
    assert failed.status == "error"
    assert_kept(kernel)
    assert kernel.run("fresh").status == "error"


@pytest.mark.parametrize("body", ["loop {}", MINUTES], ids=["busy", "asleep"])
def test_interrupt(kernel, variables, body):
    cell = kernel.start(f'println!("runs"); list.push(5); {body}')
    kernel.next_output(cell)
    interrupted = time.monotonic()
    kernel.interrupt()
    ran = kernel.finish(cell, timeout=20)
    took = time.monotonic() - interrupted
    print(f"interrupt of {body[:7]}: {took:.3f} s")
    assert ran.status == "error" and "interrupt" in ran.reply["content"]["ename"].lower(), ran
    assert_kept(kernel)


def test_interrupt_by_signal(kernel, variables):
    cell = kernel.start('println!("runs"); loop {}')
    kernel.next_output(cell)
    os.kill(kernel.pid, signal.SIGINT)
    assert kernel.finish(cell, timeout=20).status == "error"
    assert_kept(kernel)


def test_interrupt_of_a_dependency_whose_build_does_not_end(kernel, variables, tmp_path):
    mark = tmp_path / "started"
    (tmp_path / "src").mkdir()
    (tmp_path / "src/lib.rs").write_text("")
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "endless"\nversion = "0.1.0"\nedition = "2024"\n')
    (tmp_path / "build.rs").write_text(
        f'fn main() {{ std::fs::write("{mark}", "").unwrap(); loop {{ std::thread::park(); }} }}'
    )
    cell = kernel.start(f':dep endless = {{ path = "{tmp_path}" }}\nlet fresh = 1;')
    deadline = time.monotonic() + DEADLINE
    while not mark.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kernel.interrupt()
    ran = kernel.finish(cell)
    assert "Compiling endless" in ran.stdout and ran.reply["content"]["ename"] == "Interrupt", ran
    assert_kept(kernel)
    assert kernel.run("fresh").status == "error"


def test_interrupt_when_idle_does_nothing(kernel, variables):
    kernel.interrupt_and_hear()
    assert_kept(kernel)


def test_interrupt_ends_the_children_of_the_cell(kernel, variables):
    cell = kernel.start(
        'let child = std::process::Command::new("sleep").arg("600").spawn().unwrap(); '
        f'println!("{{}}", child.id()); {MINUTES}'
    )
    pid = int(kernel.next_output(cell)["text"])
    kernel.interrupt()
    assert kernel.finish(cell, timeout=20).status == "error"
    assert_gone([pid])
    assert_kept(kernel)


def test_an_interrupt_aborts_what_is_queued(kernel, variables):
    cell = kernel.start('println!("runs"); loop {}')
    queued = kernel.start("list.push(6);")
    kernel.next_output(cell)
    kernel.interrupt()
    assert kernel.reply(cell)["content"]["status"] == "error"
    assert kernel.reply(queued)["content"]["status"] == "aborted"
    assert_kept(kernel)


def test_a_forked_child_that_falls_out_of_a_cell_ends_there(kernel, variables):
    ran = kernel.ok(
        'unsafe extern "C" { safe fn fork() -> i32; safe fn getpid() -> i32; }\n'
        'if fork() == 0 { println!("child {}", getpid()); } else { println!("parent"); '
        "std::thread::sleep(std::time::Duration::from_millis(100)); }"
    )
    assert "parent" in ran.stdout and "child" in ran.stdout
    pid = int(ran.stdout.partition("child ")[2].split()[0])
    assert_gone([pid])
    assert kernel.ok('println!("one");').stdout == "one\n"
    assert_kept(kernel)


def test_a_cell_is_held_to_the_memory_that_a_scheduler_gives(new_kernel):
    kernel = new_kernel(env=os.environ | {"SGE_HGR_rmem": "256M", "NSLOTS": "2"})
    kernel.ok("let kept = 41;")
    told = kernel.ok("%limit").stdout
    assert "may use 256 MiB" in told and "SGE_HGR_rmem for 2 slots" in told, told
    failed = kernel.run("std::hint::black_box(vec![1_u8; 400 << 20]).len()")
    content = failed.reply["content"]
    assert content["ename"] == "OutOfMemory" and "SGE_HGR_rmem" in content["evalue"], failed
    assert kernel.ok("kept + 1").result == "42"


def test_a_compile_error_says_where(kernel, variables):
    failed = kernel.run('let good = 1;\nlet bad: i32 = "text";')
    content = failed.reply["content"]
    assert failed.status == "error" and "mismatched types" in content["evalue"]
    shown = "\n".join(content["traceback"])
    assert 'let bad: i32 = "text";' in shown
    assert_kept(kernel)


def test_a_panic_says_where(kernel, variables):
    failed = kernel.run('let a = 1;\npanic!("on line two")')
    assert "on line two" in failed.reply["content"]["evalue"]
