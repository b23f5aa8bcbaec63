"""What a failed cell costs: what earlier cells started lives on where it can, and what cannot is named."""

import re

import pytest

CHANNELS = """use std::sync::{Arc, Mutex, mpsc};
let (ask, asked) = mpsc::channel::<i32>(); let (answer, answers) = mpsc::channel::<i32>();
let (held, is_held) = mpsc::channel::<()>(); let (release, released) = mpsc::channel::<()>();
let shared = Arc::new(Mutex::new(0)); let also = shared.clone();
let consumer = std::thread::Builder::new().name("consumer".into()).spawn(move || for n in asked { answer.send(n * 10).unwrap(); })?;
let holder = std::thread::spawn(move || { let mut value = also.lock().unwrap(); held.send(()).unwrap(); released.recv().unwrap(); *value += 1; 7 });
is_held.recv()?;
let mut list = vec![1, 2]; let mut count = 0; let text = String::from("a");
struct Own(Vec<u8>); let mut own = Own(vec![1]); let (kept, moved) = mpsc::channel::<u8>();"""

FAILURES = {
    "panic": ('list.push(3); count += 1; drop(text); panic!("on purpose");', "Panic"),
    "question mark": ('list.push(3); count += 1; let text = 5; "x".parse::<i32>()?;', "QuestionMark"),
    "panic of an earlier item": ("struct Fresh; list.clear(); fails(&list)", "Panic"),
}


def last_line(failed):
    return failed.reply["content"]["traceback"][-1]


def assert_alive(kernel):
    assert kernel.ok("ask.send(2)?; answers.recv()?").result == "20"
    assert kernel.ok("(&list, count, &text, own.0.len())").result == '([1, 2], 0, "a", 1)'


@pytest.fixture(scope="module")
def threads(kernel):
    """Threads of earlier cells: one behind a channel, one that holds a mutex."""
    kernel.ok("fn fails(list: &[i32]) -> i32 { list[5] }")
    kernel.ok(CHANNELS)
    yield
    kernel.ok("%reset")


@pytest.mark.parametrize("failure", FAILURES)
def test_threads_of_earlier_cells_live_on_and_variables_are_as_they_were(kernel, threads, failure):
    cell, ename = FAILURES[failure]
    failed = kernel.run(cell)
    assert failed.reply["content"]["ename"] == ename, failed
    assert "What earlier cells started still runs." in last_line(failed), failed
    assert "changed" not in last_line(failed) and "lost" not in last_line(failed), failed
    assert_alive(kernel)
    assert kernel.run("Fresh").status == "error"


def test_what_cannot_be_put_back_is_named(kernel, threads):
    failed = kernel.run('own.0.push(2); drop(moved); panic!("on purpose")')
    assert "`own`" in last_line(failed) and "`moved` is lost" in last_line(failed), failed
    assert "list" not in last_line(failed), failed
    kernel.ok("own.0.truncate(1);")
    assert_alive(kernel)
    assert kernel.run("moved").status == "error"


def test_a_mutex_that_a_thread_held_is_given_back(kernel, threads):
    assert kernel.run("shared.try_lock().unwrap();").status == "error"
    assert kernel.ok("release.send(())?; holder.join().unwrap()").result == "7"
    assert kernel.ok("*shared.lock().unwrap()").result == "1"


def test_a_crash_after_a_failure_keeps_the_variables(kernel, threads):
    """The last of the threads: it ends them."""
    assert kernel.run('list.push(4); panic!("on purpose")').status == "error"
    failed = kernel.run("list.push(5); std::process::exit(3)")
    assert "1 thread of earlier cells ended" in last_line(failed) and "`consumer`" in last_line(failed), failed
    assert kernel.ok("&list").result == "[1, 2]"
    failed = kernel.run("list.push(5); std::process::exit(3)")
    assert "thread" not in last_line(failed), failed


def test_a_cell_that_waits_for_a_thread_that_a_rollback_ended_is_told(kernel):
    kernel.ok("let (keep, never) = std::sync::mpsc::channel::<u8>();\n"
              "let waiting = std::thread::spawn(move || { let _keep = keep; loop { std::thread::park(); } });")
    assert "1 thread of earlier cells ended" in last_line(kernel.run("std::process::exit(3)"))
    msg_id = kernel.start("never.recv()")
    told = kernel.next_output(msg_id)["text"]
    kernel.interrupt()
    failed = kernel.finish(msg_id)
    # Those that other tests have lost are named as well.
    assert re.search(r"nothing in this session can wake it; interrupt it\. \d+ threads? of earlier cells ended", told), told
    assert re.search(r"1 of cell \[\d+\]", told), told
    assert failed.reply["content"]["ename"] == "Interrupt", failed
    assert kernel.ok("never.try_recv().is_err()").result == "true"


def test_a_failure_is_shown_once_and_placed(kernel):
    failed = kernel.run('let a = 1;\nlet n: i32 = "x".parse()?;')
    content = failed.reply["content"]
    assert content["evalue"] == "invalid digit found in string" and not failed.stderr, failed
    assert any("cell:2" in line for line in content["traceback"]), content
    failed = kernel.run('let a = 1;\n\npanic!("on purpose {a}")')
    assert not failed.stderr and "on purpose 1" in failed.reply["content"]["evalue"], failed
    assert any("cell:3" in line for line in failed.reply["content"]["traceback"]), failed


def test_a_panic_that_a_cell_catches_is_shown_where_std_shows_it(kernel):
    ran = kernel.ok(
        'for n in 0..2 { let _ = std::panic::catch_unwind(|| panic!("caught {n}")); }\n'
        'std::thread::spawn(|| panic!("in a thread")).join().is_err()'
    )
    for text in ("caught 0", "caught 1", "in a thread"):
        assert ran.stderr.count(text) == 1, ran


def plain(failed):
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failed.reply["content"]["traceback"]))


def in_order(text, parts):
    """Whether the text has these parts, one behind the other."""
    at = 0
    for part in parts:
        at = text.find(part, at) + 1
        if at == 0:
            return False
    return True


DEFINITIONS = """fn beyond(list: &[i32]) -> i32 {
    let n = list.len();
    list[n + 1]
}

fn outer(list: &[i32]) -> i32 {
    beyond(list) + 1
}
struct Bomb;
impl Drop for Bomb { fn drop(&mut self) { panic!("dropped") } }
fn sums(list: &[i32]) -> i32 { list.iter().map(|n| n / (n - n)).sum() }
let list = vec![1, 2, 3];"""

# The cell, and parts of its traceback in their order.
PLACES = {
    "function": ("let a = 1;\nouter(&list) + a", ["cell [", "]:3:5", "list[n + 1]"]),
    "iterator": ("sums(&list)", ["cell [", "]:11:52"]),
    "drop": ("{\n    let bomb = Bomb;\n}", ["dropped", "cell [", "]:10:43"]),
    "crate": ("let mut text = String::from(\"é\");\ntext.truncate(1);", ["cell:2:6", "text.truncate(1)"]),
    "top": ("\nlist[7]", ["len is 3", "cell:2"]),
}


@pytest.fixture(scope="module")
def definitions(kernel):
    kernel.ok(DEFINITIONS)


@pytest.mark.parametrize("case", PLACES)
def test_a_panic_has_the_line_of_the_cell_that_it_is_in(kernel, definitions, case):
    cell, parts = PLACES[case]
    failed = kernel.run(cell)
    text = plain(failed)
    assert failed.reply["content"]["ename"] == "Panic" and in_order(text, parts), text
    assert not failed.stderr and "src/lib.rs" not in text and "run_user_code" not in text, failed


def test_a_thread_that_panicked_is_in_the_error_of_who_joins_it(kernel, definitions):
    failed = kernel.run("let thread = std::thread::spawn(|| beyond(&[1]));\nthread.join().unwrap()")
    content = failed.reply["content"]
    assert content["evalue"].endswith("; the thread panicked: index out of bounds: the len is 1 but the index is 2"), failed
    assert "cell:2:15" in plain(failed) and "src/lib.rs" not in failed.stderr, failed


def test_a_panic_in_a_worker_has_the_line_of_the_cell(kernel, definitions):
    failed = kernel.run("let pool = forklore::Pool::with_workers(2)?;\npool.map(|n: usize| beyond(&[1][..n]), [1])")
    text = plain(failed)
    assert "item 0" in text and "index out of bounds" in text, text
    assert re.search(r"panicked at cell \[\d+\]:3:5: index", text) and "src/lib.rs" not in text, text
    assert "cell:2:6" in text, text


def test_a_closure_of_an_earlier_cell_has_no_line_of_this_one(kernel, definitions):
    kernel.ok("let kept: fn(i32) -> i32 = |n| n / (n - n);\n1")
    failed = kernel.run("let a = 1;\nlet b = 2;\nkept(a + b)")
    text = plain(failed)
    assert "attempt to divide by zero" in text, text
    assert "let a" not in text and "let b" not in text, text


def test_rust_backtrace_floods_no_cell(kernel, definitions):
    kernel.ok("%env RUST_BACKTRACE=1")
    failed = kernel.run("let _ = std::thread::spawn(|| panic!(\"aside\")).join();\nouter(&list)")
    kernel.ok("unsafe { std::env::remove_var(\"RUST_BACKTRACE\") };")
    assert failed.stderr == "thread '<unnamed>' panicked at cell:1:31:\naside\n", failed
    assert "list[n + 1]" in plain(failed), failed
