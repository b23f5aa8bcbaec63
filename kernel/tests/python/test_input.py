"""A cell asks the front end: by the library's `input`, or by reading standard input in any other way."""

import pytest

from conftest import DEADLINE

READ_LINE = "let mut line = String::new(); std::io::stdin().read_line(&mut line)?; "


def asked(kernel):
    """Waits for what a cell asks."""
    request = kernel.client.get_stdin_msg(timeout=DEADLINE)
    assert request["msg_type"] == "input_request", request
    return request


def test_the_library_asks_with_a_prompt(kernel):
    cell = kernel.start('println!("before"); let name = forklore::input("name? ")?; println!("hello {name}");')
    request = asked(kernel)
    assert request["content"] == {"prompt": "name? ", "password": False}
    assert request["parent_header"]["msg_id"] == cell
    kernel.client.input("Ada ♥")
    assert kernel.finish(cell).stdout == "before\nhello Ada ♥\n"


def test_a_password_is_hidden(kernel):
    cell = kernel.start('forklore::password("secret? ")?.len()')
    assert asked(kernel)["content"] == {"prompt": "secret? ", "password": True}
    kernel.client.input("12345")
    assert kernel.finish(cell).result == "5"


def test_plain_reads_ask_too_each_for_its_line(kernel):
    cell = kernel.start(
        f"{{ {READ_LINE} }}\n"
        'let (a, b) = (forklore::input("a ")?, forklore::input("b ")?);\n'
        f"{READ_LINE} format!(\"{{a}} {{b}} {{line:?}}\")"
    )
    for prompt, answer in (("", "dropped"), ("a ", "1"), ("b ", ""), ("", "3")):
        assert asked(kernel)["content"]["prompt"] == prompt
        kernel.client.input(answer)
    assert kernel.finish(cell).result == '"1  \\"3\\\\n\\""'


def test_what_was_printed_is_shown_before_the_question(kernel):
    cell = kernel.start(f'use std::io::Write; print!("line? "); std::io::stdout().flush()?; {READ_LINE} line')
    assert kernel.next_output(cell)["text"] == "line? "
    asked(kernel)
    kernel.client.input("x" * 200_000)
    assert len(kernel.finish(cell).result) == 200_000 + len('"\\n"')


def test_a_child_that_the_cell_waits_for_may_ask(kernel):
    cell = kernel.start('std::process::Command::new("head").arg("-n1").status()?.success()')
    asked(kernel)
    kernel.client.input("to the child")
    ran = kernel.finish(cell)
    assert (ran.stdout, ran.result) == ("to the child\n", "true")


def test_a_front_end_that_gives_no_input(kernel):
    ran = kernel.ok(f"{READ_LINE} line.len()", allow_stdin=False)
    assert ran.result == "0"
    failed = kernel.run('forklore::input("name? ")?', allow_stdin=False)
    assert failed.status == "error" and "no answer to" in failed.reply["content"]["evalue"], failed


@pytest.mark.parametrize("read", [READ_LINE, 'forklore::input("name? ")?;'], ids=["plain", "library"])
def test_an_interrupt_ends_the_wait_and_the_next_cell_gets_no_answer_of_it(kernel, read):
    kernel.ok("let before = 1;")
    cell = kernel.start(f"let before = 2; {read}")
    asked(kernel)
    kernel.interrupt()
    assert kernel.finish(cell, timeout=20).reply["content"]["ename"] == "Interrupt"
    kernel.client.input("too late")
    cell = kernel.start(f"{READ_LINE} (before, &line)")
    asked(kernel)
    kernel.client.input("in time")
    assert kernel.finish(cell).result == '(1, "in time\\n")'


def test_what_a_cell_did_not_read_is_not_the_next_one_s(kernel):
    cell = kernel.start("use std::io::Read; let mut byte = [0]; std::process::Command::new(\"head\").arg(\"-c1\").status()?;")
    asked(kernel)
    kernel.client.input("a long answer")
    assert kernel.finish(cell).stdout == "a"
    cell = kernel.start(f"{READ_LINE} line")
    asked(kernel)
    kernel.client.input("fresh")
    assert kernel.finish(cell).result == '"fresh\\n"'


READ_ALL = "use std::io::Read; let mut text = String::new(); std::io::stdin().read_to_string(&mut text)?; text"
LINES = "std::io::stdin().lines().map(|line| line.unwrap()).collect::<Vec<_>>()"


@pytest.mark.parametrize("end", ["\x04", "^D"])
@pytest.mark.parametrize("cell, result", [(READ_ALL, '"a\\n\\nb\\n"'), (LINES, '["a", "", "b"]')], ids=["all", "lines"])
def test_an_answer_ends_the_input(kernel, cell, result, end):
    msg_id = kernel.start(cell)
    for answer in ("a\n\nb", end):
        asked(kernel)
        kernel.client.input(answer)
    assert kernel.finish(msg_id).result == result


def test_an_empty_answer_ends_what_is_read_to_its_end(kernel):
    msg_id = kernel.start(READ_ALL)
    for answer in ("a", "b", ""):
        asked(kernel)
        kernel.client.input(answer)
    assert kernel.finish(msg_id).result == '"a\\nb\\n"'


SCRIPTS = {
    "shell": ("!cat", "a\nb\n"),
    "shell builtin": ("!read -r a; read -r b; echo $a; echo $b", "a\nb\n"),
    "bash": ("%%bash\nread a\nfor i in 1; do head -n1 | sed s/b/B/; done; echo $a", "B\na\n"),
    "python": ("%%python\na = input()\nprint(a)\nprint(input('more? '))", "a\nmore? b\n"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_asks_too(kernel, script):
    code, output = SCRIPTS[script]
    msg_id = kernel.start(code)
    for answer in ["a", "b"] + ["\x04"] * (script == "shell"):
        asked(kernel)
        kernel.client.input(answer)
    assert kernel.finish(msg_id).stdout == output


def test_a_script_that_cannot_ask_finds_the_end(kernel):
    assert kernel.ok("!cat; echo done", allow_stdin=False).stdout == "done\n"
    msg_id = kernel.start("!cat")
    asked(kernel)
    kernel.interrupt()
    assert kernel.finish(msg_id, timeout=20).reply["content"]["ename"] == "Interrupt"


def test_a_negated_variable_is_no_command(kernel):
    kernel.ok("let done = false; let mask = 5_u8; struct Job { ended: bool } let job = Job { ended: true }; let echo = vec![1];")
    for cell, result in {"!done": "true", "!done && !job.ended": "false", "!mask": "250", "!job.ended": "false"}.items():
        assert kernel.ok(cell).result == result, cell
    assert kernel.ok("!echo a").stdout == "a\n"
    assert kernel.run("! done").reply["content"]["ename"] == "ScriptError"
