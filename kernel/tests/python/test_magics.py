"""Cells that begin with a percent sign, and what a cell shows without one."""

import os
import re
import subprocess
from pathlib import Path

MILLISECONDS_80 = "std::thread::sleep(std::time::Duration::from_millis(80))"


def wall_ms(text):
    """The wall time that a magic printed, in milliseconds."""
    found = re.search(r"Wall time: ([0-9.]+) (ns|µs|ms|s)", text)
    assert found, text
    return float(found[1]) * {"ns": 1e-6, "µs": 1e-3, "ms": 1, "s": 1000}[found[2]]


def test_time_measures_the_run_and_not_the_compile(kernel):
    ran = kernel.ok(f"%time {{ {MILLISECONDS_80}; 6 * 7 }}")
    assert "CPU times: user" in ran.stdout
    assert 80 <= wall_ms(ran.stdout)
    assert ran.result == "42"
    # A compile takes tens of milliseconds at the least; the time of nothing shows that it is not in there.
    assert wall_ms(kernel.ok("%time 1 + 1").stdout) < 20


def test_time_of_a_let_keeps_the_variable(kernel):
    ran = kernel.ok("%time let timed: Vec<u32> = (0..10).collect();")
    assert wall_ms(ran.stdout) < 20
    assert ran.result is None
    assert kernel.ok("timed.len()").result == "10"
    assert kernel.ok("%time timed").result == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
    assert kernel.ok("timed.len()").result == "10"


def test_time_of_a_cell(kernel):
    ran = kernel.ok(f"%%time\nlet first = 1;\n{MILLISECONDS_80};\nlet second = first + 1;\nsecond")
    assert 80 <= wall_ms(ran.stdout)
    assert ran.result == "2"
    assert kernel.ok("first + second").result == "3"
    assert 80 <= wall_ms(kernel.ok(f"%%time\n{MILLISECONDS_80};").stdout)


def test_timeit(kernel):
    assert "per call" in kernel.ok("%timeit (0..100u64).sum::<u64>()").stdout
    assert "per call" in kernel.ok("%%timeit\nlet n = 100u64;\n(0..n).sum::<u64>()").stdout


def test_timeit_as_often_as_it_is_told(kernel):
    assert "2 runs of 10 calls" in kernel.ok("%timeit -n 10 -r 2 (0..100u64).sum::<u64>()").stdout
    assert "3 runs of 5 calls" in kernel.ok("%%timeit -n5 -r3\nlet n = 100u64;\n(0..n).sum::<u64>()").stdout


def test_a_cell_of_another_kind_is_shown(kernel):
    for magic, mime in {
        "html": "text/html",
        "latex": "text/latex",
        "markdown": "text/markdown",
        "svg": "image/svg+xml",
        "javascript": "application/javascript",
    }.items():
        [shown] = kernel.ok(f"%%{magic}\n<b>1 % 2</b>\n").of_type("display_data")
        assert shown["data"][mime].strip() == "<b>1 % 2</b>", shown


def test_rust_that_begins_like_a_command_is_rust(kernel):
    kernel.ok("let mut a = 1; let mut b = 2;")
    kernel.ok("::std::mem::swap(&mut a, &mut b);")
    for cell, result in {"(a, b)": "(2, 1)", "!true": "false", "!0u8": "255", "!(a > b)": "false"}.items():
        assert kernel.ok(cell).result == result, cell
    assert "rust" in str(kernel.ok("!echo rust").messages)


def test_errors_in_timed_code_point_into_the_cell(kernel):
    for cell in ("%time nowhere(1)", "%%time\nlet a = 1;\nnowhere(1)"):
        failed = kernel.run(cell)
        assert failed.status == "error"
        assert "nowhere" in "\n".join(failed.reply["content"]["traceback"])


def test_unknown_magics_name_the_nearest(kernel):
    failed = kernel.run("%tiem 1")
    content = failed.reply["content"]
    assert (failed.status, content["ename"]) == ("error", "UnknownMagic")
    assert "`%time`" in content["evalue"]


def test_lsmagic_and_commands(kernel):
    assert "%%timeit" in kernel.ok("%lsmagic").stdout
    assert ":dep" in str(kernel.ok(":help").messages)


def test_values(kernel):
    for cell, result in {
        "1 + 1": "2",
        '"text"': '"text"',
        "[1, 2][0..1]": None,
        "vec![1, 2][..1]": "[1]",
        "let shown = 3; shown": "3",
        "let hidden = 3;": None,
        "()": None,
        "if true { 1 } else { 2 }": "1",
        "for _ in 0..2 {}": None,
        "fn function() {}": None,
        "function()": None,
        "Some(String::from(\"x\"))": 'Some("x")',
    }.items():
        if result is not None or not cell.startswith("["):
            assert kernel.ok(cell).result == result, cell


def test_a_value_that_moves_a_variable_away_is_the_result(kernel):
    kernel.ok('let moved = vec![1, 2]; let text = String::from("x");')
    ran = kernel.ok("moved.into_iter().map(|x| x + 1).collect::<Vec<i32>>()")
    assert ran.result == "[2, 3]" and ran.of_type("display_data") == [], ran
    assert kernel.ok("text + \"y\"", silent=True).messages == []
    assert kernel.run("moved").status == "error"
    kernel.ok("let dropped = vec![1];")
    assert kernel.ok("drop(dropped)").result is None


def test_commands_of_evcxr_say_how_values_are_shown(kernel):
    kernel.ok("let pair = (1, vec![2]); let moved = vec![3];")
    assert kernel.ok(":fmt {:#?}").of_type("display_data")[0]["data"]["text/plain"] == "Output format: {:#?}\n"
    assert kernel.ok("pair.1").result == "[\n    2,\n]"
    kernel.ok(":fmt\n:types")
    assert kernel.ok("pair.clone()").result == ": (i32, Vec<i32>) = (1, [2])"
    assert kernel.ok("moved.into_iter().next()").result == ": Option<i32> = Some(3)"
    kernel.ok(":types")
    assert kernel.ok("pair").result == "(1, [2])"
    assert "Took" in kernel.ok(":timing\n1 + 1").stdout
    kernel.ok(":timing")
    assert "Shut Down" in kernel.run(":quit").reply["content"]["evalue"]


def test_a_value_without_debug_gets_the_usual_error(kernel):
    failed = kernel.run("struct NoDebug; NoDebug")
    assert failed.status == "error"
    assert "doesn't implement `Debug`" in failed.reply["content"]["evalue"]


def test_the_last_lines_of_help_are_ours(kernel):
    shown = kernel.ok(":help")
    assert ":dep" in str(shown.messages) and "%%bash" in shown.stdout


def test_a_script_is_live_and_fails_with_its_status(kernel):
    cell = kernel.start("%%bash\necho first; sleep 600")
    assert kernel.next_output(cell)["text"] == "first\n"
    kernel.interrupt()
    assert kernel.finish(cell).reply["content"]["ename"] == "Interrupt"
    failed = kernel.run("%%bash\necho out; echo err >&2; exit 3")
    assert (failed.status, failed.stdout, failed.stderr) == ("error", "out\n", "err\n")
    assert "status 3" in failed.reply["content"]["evalue"]
    assert kernel.ok("%%python\nprint(6 * 7)").stdout == "42\n"


def test_what_a_script_prints_becomes_a_variable(kernel):
    cell = kernel.ok("%%python --out printed_by_python\nimport sys\nprint(6 * 7)\nprint('seen', file=sys.stderr)")
    assert (cell.stdout, cell.stderr) == ("", "seen\n")
    assert kernel.ok("printed_by_python").result == '"42\\n"'
    kernel.ok("%%capture printed_in_capture\n%%bash\necho nested")
    assert kernel.ok("printed_in_capture").result == '"nested\\n"'
    refused = kernel.run("%%python --out Not-a-name\nprint(1)")
    assert refused.reply["content"]["ename"] == "UsageError" and "--out NAME" in refused.reply["content"]["evalue"]


def test_a_script_may_fail_if_the_cell_says_so(kernel):
    cell = kernel.ok("%%bash --out printed_before_failing --no-raise-error\necho before\nexit 3")
    assert "status 3" in cell.stderr
    assert kernel.ok("printed_before_failing").result == '"before\\n"'
    failed = kernel.run("%%bash --out never_assigned\necho why; exit 3")
    assert (failed.status, failed.stdout) == ("error", "why\n")
    started = kernel.start("%%bash --no-raise-error\necho first; sleep 600")
    assert kernel.next_output(started)["text"] == "first\n"
    kernel.interrupt()
    assert kernel.finish(started).reply["content"]["ename"] == "Interrupt"


def test_what_a_script_leaves_may_end_by_itself(kernel):
    left = kernel.ok("%%bash\n(read -r line <&3; exit) 3< <(sleep 0.02) >/dev/null 2>&1 &\necho done")
    assert (left.stdout, left.stderr) == ("done\n", "")
    killed = kernel.ok("%%bash\nsleep 600 >/dev/null 2>&1 &\necho done")
    assert "1 process(es) of the script were still running and were killed" in killed.stderr


def test_writefile(kernel, tmp_path):
    file = tmp_path / "a file.txt"
    assert str(file) in kernel.ok(f"%%writefile {file}\none\n%two").stdout
    kernel.ok(f"%%writefile -a {file}\nthree")
    assert file.read_text() == "one\n%two\nthree\n"
    kernel.ok(f'%%writefile "{file}"\nquoted')
    assert file.read_text() == "quoted\n"
    failed = kernel.run("%%writefile /nowhere/at/all\nx")
    assert failed.reply["content"]["ename"] == "WriteError"


def test_questions_are_answered_in_the_pager(kernel):
    kernel.ok("/// Adds one.\nfn add_one(x: i32) -> i32 { x + 1 }")
    for cell in ("?add_one", "add_one?"):
        [page] = kernel.ok(cell).reply["content"]["payload"]
        assert page["source"] == "page" and "fn add_one" in page["data"]["text/plain"]
    [page] = kernel.ok("println!?").reply["content"]["payload"]
    assert "standard output" in page["data"]["text/plain"]
    assert "512M" in kernel.ok("?%limit").stdout
    assert kernel.run("?no_such_name").reply["content"]["ename"] == "NotFound"


def test_magics_complete(kernel):
    kernel.client.complete("%%b", 3)
    reply = kernel.client.get_shell_msg(timeout=60)
    assert reply["content"]["matches"] == ["%%bash"]


def test_the_environment_is_the_cells(kernel):
    kernel.ok("%env FORKLORE_PY_TRIAL=a b\nlet trial = std::env::var(\"FORKLORE_PY_TRIAL\")?;")
    assert kernel.ok("trial").result == '"a b"'
    assert "FORKLORE_PY_TRIAL=a b" in kernel.ok("%env").stdout


def test_settings_are_told(kernel):
    assert kernel.ok("%checkpoint status").stdout.startswith("auto")
    assert "are in use" in kernel.ok("%limit").stdout
    assert kernel.ok("let told_type = 7_u8;\n%who").stdout.count("told_type") == 1


def test_an_exported_notebook_builds_and_runs(new_kernel, tmp_path):
    kernel = new_kernel()
    kernel.ok("use forklore::*;\n/// Squares.\nfn square(x: u64) -> u64 { x + x }")
    kernel.ok("fn square(x: u64) -> u64 { x * x }\nlet pool = Pool::with_workers(2)?;")
    kernel.run('let lost = 1;\npanic!("not exported")')
    kernel.ok("let squares = pool.map(square, 0..4_u64);\n%time squares.len()")
    kernel.ok("squares")
    folder = tmp_path / "My notebook"
    assert "cargo run" in kernel.ok(f"%export {folder}").stdout
    # Beside the kernel, where the crates stay compiled from one run of the tests to the next.
    target = Path(os.environ["FORKLORE_PROGRAM"]).parent.parent / "exported"
    environment = os.environ | {
        "CARGO_TARGET_DIR": str(target),
        "CARGO_PROFILE_DEV_OPT_LEVEL": "0",
        "CARGO_PROFILE_DEV_DEBUG": "false",
    }
    command = ["cargo", "build", "--offline", "--quiet"]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)
    ran = subprocess.run(
        [target / "debug/my-notebook"], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert "Wall time" in ran.stdout and ran.stdout.endswith("4\n[0, 1, 4, 9]\n")
    # It may be exported again, but not over something else.
    kernel.ok(f"%export {folder}")
    assert kernel.run(f"%export {tmp_path}").reply["content"]["ename"] == "ExportError"
