"""What the compiler says reaches the cell: errors, warnings, and its progress with dependencies."""

import re


def plain(text):
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def test_a_compile_error_is_rustc_s_own_with_the_lines_of_the_cell(kernel):
    code = 'let one = 1;\nfn unused(x: u8) {}\nlet text: String = one;\n'
    failed = kernel.run(code)
    content = failed.reply["content"]
    assert (content["ename"], content["evalue"]) == ("CompileError", "mismatched types [E0308]")
    first = content["traceback"][0]
    assert "\x1b[" in first, "it has colours"
    assert "cell:3:20" in plain(first) and "3  " in plain(first), first
    assert "expected `String`, found" in plain(first)
    assert "src/lib.rs" not in "".join(content["traceback"])


def test_warnings_of_a_cell_are_shown_once(kernel):
    ran = kernel.ok("fn wanting(x: u8) -> Result<u8, u8> { Ok(7) }\n\nwanting(1);")
    warnings = plain(ran.stderr)
    assert warnings.count("unused variable: `x`") == 1 and "cell:1:12" in warnings, warnings
    assert warnings.count("unused `Result` that must be used") == 1 and "cell:3:1" in warnings
    assert "\x1b[" in ran.stderr
    # The function is compiled again with every later cell.
    assert kernel.ok("wanting(2)?").stderr == ""
    assert "%time wanting(3)" in plain(kernel.ok("%time wanting(3);").stderr)
    assert kernel.ok("%warnings off").stdout == "warnings are not shown\n"
    assert kernel.ok("wanting(4);").stderr == ""
    assert kernel.ok("%warnings on\nwanting(5);").stderr != ""


def test_a_cell_that_does_not_compile_repeats_no_warning_of_an_earlier_one(kernel):
    assert "`earlier_x`" in kernel.ok("fn earlier(earlier_x: u8) {}").stderr
    cell = "fn later(later_y: u8) {}\nlet text: String = 5;"
    traceback = lambda: plain("".join(kernel.run(cell).reply["content"]["traceback"]))
    shown = traceback()
    assert "mismatched types" in shown and "`later_y`" in shown and "earlier" not in shown, shown
    kernel.ok("%warnings off")
    shown = traceback()
    kernel.ok("%warnings on")
    assert "mismatched types" in shown and "`later_y`" not in shown, shown
    # What an earlier cell's item has to do with an error is said.
    kernel.ok("struct Point { x: u8 }\nfn point() -> Point { Point { x: 1 } }")
    failed = kernel.run("struct Point { x: u8, y: u8 }")
    assert "--> an earlier cell" in plain("".join(failed.reply["content"]["traceback"])), failed
    # One that compiles and then fails has nothing to repeat either.
    assert "unused" not in kernel.run('panic!("on purpose")').stderr


def test_a_dependency_s_compile_is_seen_in_the_cell(kernel, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "tiny"\nversion = "0.1.2"\nedition = "2024"\n')
    (tmp_path / "src/lib.rs").write_text("pub fn seven() -> u8 { 7 }\n")
    kernel.ok("let pool = forklore::Pool::with_workers(1)?;")
    ran = kernel.ok(f':dep tiny = {{ path = "{tmp_path}" }}\nprintln!("{{}}", tiny::seven());')
    # The library is not compiled again: its versions are still those of the session's start.
    compiling, output = ran.stdout.splitlines()[-2:]
    assert compiling.split()[:3] == ["Compiling", "tiny", "v0.1.2"] and ran.stdout.count("Compiling") == 1, ran.stdout
    assert output == "7"
    assert kernel.ok("tiny::seven()").stdout == ""
    assert kernel.ok("pool.map(|x: u8| x + tiny::seven(), [1])").result == "[8]"


def test_a_dependency_that_does_not_exist_is_an_error_and_nothing_is_lost(kernel, tmp_path):
    kernel.ok("let kept = 1;")
    failed = kernel.run(f':dep nothing = {{ path = "{tmp_path}/nothing" }}')
    assert failed.status == "error" and "nothing" in "".join(failed.reply["content"]["traceback"])
    assert kernel.ok("kept").result == "1"
