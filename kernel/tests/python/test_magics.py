"""Cells that begin with a percent sign, and what a cell shows without one."""

import re

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


def test_a_value_without_debug_gets_the_usual_error(kernel):
    failed = kernel.run("struct NoDebug; NoDebug")
    assert failed.status == "error"
    assert "doesn't implement `Debug`" in failed.reply["content"]["evalue"]
