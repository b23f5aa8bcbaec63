"""Output appears as it is written, in order, whatever it is; none of it can wedge the kernel."""

import time

import pytest


def test_text_appears_without_a_newline_while_the_cell_runs(kernel):
    cell = kernel.start(
        'use std::io::Write; print!("50 %\\r"); std::io::stdout().flush().unwrap(); '
        "std::thread::sleep(std::time::Duration::from_secs(600));"
    )
    assert kernel.next_output(cell) == {"name": "stdout", "text": "50 %\r"}
    kernel.interrupt()
    assert kernel.finish(cell).status == "error"


def test_stdout_stderr_and_rich_output_keep_their_order(kernel):
    ran = kernel.ok(
        'println!("one"); forklore::display::show(&forklore::display::Bundle::html("<b>two</b>")); println!("three");'
    )
    kinds = [m["msg_type"] for m in ran.messages]
    assert kinds == ["execute_input", "stream", "display_data", "stream"], ran
    assert ran.of_type("display_data")[0]["data"] == {"text/html": "<b>two</b>"}
    both = kernel.ok('println!("out"); eprintln!("err");')
    assert (both.stdout, both.stderr) == ("out\n", "err\n")


def test_output_that_changes_in_place(kernel):
    ran = kernel.ok(
        "use forklore::display::{Bundle, Live};\n"
        'let mut live = Live::new(&Bundle::text("0"));\n'
        'for i in 1..=3 { live.update(&Bundle::text(i.to_string())); }\n'
        "forklore::display::clear(true);"
    )
    shown = ran.of_type("display_data")[0]
    updates = ran.of_type("update_display_data")
    assert shown["transient"]["display_id"]
    assert updates[-1]["transient"] == shown["transient"]
    assert updates[-1]["data"]["text/plain"] == "3"
    assert ran.of_type("clear_output") == [{"wait": True}]


def test_forked_workers_show_too(kernel):
    ran = kernel.ok(
        "use forklore::display::{Bundle, show};\n"
        "forklore::Pool::with_workers(2)?.map(|x: u64| show(&Bundle::html(format!(\"<b>{x}</b>\"))), 0..4);"
    )
    shown = [content["data"]["text/html"] for content in ran.of_type("display_data")]
    assert sorted(shown) == [f"<b>{x}</b>" for x in range(4)], ran


def test_a_large_bundle_arrives_whole(kernel):
    ran = kernel.ok('forklore::display::show(&forklore::display::Bundle::html("x".repeat(1_000_000)));')
    assert ran.of_type("display_data")[0]["data"]["text/html"] == "x" * 1_000_000


def test_evcxr_blocks_are_shown_all_of_them(kernel):
    ran = kernel.ok(
        'for i in 0..2 { println!("EVCXR_BEGIN_CONTENT text/html\\n<i>{i}</i>\\nEVCXR_END_CONTENT"); }'
    )
    assert [d["data"]["text/html"] for d in ran.of_type("display_data")] == ["<i>0</i>", "<i>1</i>"]


def test_an_own_display_comes_before_debug(kernel):
    ran = kernel.ok(
        "#[derive(Debug)] struct Own;\n"
        "impl Own { fn evcxr_display(&self) {\n"
        'println!("EVCXR_BEGIN_CONTENT text/html\\n<hr>\\nEVCXR_END_CONTENT"); } }\n'
        "Own"
    )
    assert ran.of_type("display_data")[0]["data"] == {"text/html": "<hr>"}
    assert ran.result is None


HOSTILE = {
    "an unterminated block": 'println!("EVCXR_BEGIN_CONTENT text/html\\nnever ended");',
    "the end of a cell": 'println!("EVCXR_EXECUTION_COMPLETE");',
    "a panic's notification": 'println!("EVCXR_PANIC_NOTIFICATION");',
    "a lost variable": 'println!("EVCXR_VARIABLE_CHANGED_TYPE:kept");',
    "a request for input": 'println!("EVCXR_INPUT_REQUEST:x");',
    "bytes that are not UTF-8": 'use std::io::Write; std::io::stdout().write_all(b"\\xff\\xfe\\n").unwrap();',
    "half a frame": 'use std::io::Write; std::io::stdout().write_all(b"\\x1b]7717;1;1;QUJD").unwrap(); std::io::stdout().flush().unwrap();',
    "control characters": 'print!("\\0\\x08\\x1b[2J\\x1b]0;title\\x07");',
    "no newline at the end": 'print!("end");',
    "a line of ten megabytes": 'println!("{}", "x".repeat(10_000_000));',
}


@pytest.mark.parametrize("what", HOSTILE)
def test_no_output_wedges_the_kernel(kernel, what):
    kernel.ok("let kept = 41;")
    kernel.run(HOSTILE[what])
    assert kernel.ok("kept + 1").result == "42"


def test_what_looks_like_the_protocol_is_shown_as_text(kernel):
    ran = kernel.ok('println!("EVCXR_EXECUTION_COMPLETE"); println!("after");')
    assert ran.stdout == "EVCXR_EXECUTION_COMPLETE\nafter\n"
    unterminated = kernel.ok('println!("EVCXR_BEGIN_CONTENT text/html\\nnever ended");')
    assert "never ended" in unterminated.stdout


def test_bytes_that_are_not_utf8_are_replaced_and_characters_joined(kernel):
    ran = kernel.ok('use std::io::Write; let mut out = std::io::stdout(); out.write_all(b"a\\xffb\\n").unwrap();')
    assert ran.stdout == "a\ufffdb\n"
    split = kernel.ok(
        'use std::io::Write; for byte in "€ä🦀".bytes() '
        "{ std::io::stdout().write_all(&[byte]).unwrap(); std::io::stdout().flush().unwrap(); }"
    )
    assert split.stdout == "€ä🦀"


def test_many_lines_are_few_messages(kernel):
    started = time.monotonic()
    ran = kernel.ok('for i in 0..200_000 { println!("{i}"); }')
    elapsed = time.monotonic() - started
    assert ran.stdout == "".join(f"{i}\n" for i in range(200_000))
    n_messages = len(ran.of_type("stream"))
    print(f"200,000 lines: {n_messages} messages, {elapsed:.2f} s")
    assert n_messages <= 1_000


def test_a_slow_front_end_loses_nothing(kernel):
    # Nothing is read for a while, in which the cell could write far more than any buffer on the way holds.
    cell = kernel.start('for i in 0..400_000 { println!("{i:050}"); }')
    replied_early = kernel.client.shell_channel.socket.poll(1000)
    ran = kernel.finish(cell)
    assert ran.status == "ok"
    assert ran.stdout == "".join(f"{i:050}\n" for i in range(400_000)), f"replied early: {replied_early}"
