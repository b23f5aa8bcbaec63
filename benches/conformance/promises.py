"""What was promised for each case, and how the words that a case answers with are held against it."""

import re

import cases
from cases import DEEP, SLEEP, SLOW, SPAWN, ends, interrupted


def says(pattern, *limits):
    """Whether an answer has these words, and numbers in the brackets that are at most so large."""

    def keeps(answer):
        found = re.fullmatch(pattern, answer)
        numbers = [float(number.replace(",", "")) for number in found.groups()] if found else []
        return found is not None and all(number <= limit for number, limit in zip(numbers, limits, strict=True))

    return keeps


STOPPED = says(r"stopped in ([\d.]+) s \(error\), variables kept", 1)
ERROR = says(r"error: .+; variables kept")
KEPT = says("variables kept")

# What is promised, and the cases in which that is seen: name, function, what keeps the promise.
PROMISES = {
    "nothing lost, at most 1 s": [
        (
            "interrupt `loop {}`",
            interrupted('println!("runs"); loop {}', "print('runs')\nwhile True: pass", cases.after_output),
            STOPPED,
        ),
        ("interrupt a compile", interrupted(SLOW, None, cases.after_a_second), STOPPED),
        ("interrupt `:dep`", cases.interrupt_dependency, STOPPED),
        ("interrupt a shell command", interrupted("!sleep 600", "!sleep 600", cases.after_a_second), STOPPED),
        (
            "interrupt, a child alive",
            interrupted(
                SPAWN + SLEEP,
                "import subprocess, time; subprocess.Popen(['sleep', '600']); print('runs')\ntime.sleep(600)",
                cases.after_output,
            ),
            STOPPED,
        ),
    ],
    "nothing happens": [("interrupt when idle", cases.interrupt_when_idle, KEPT)],
    "aborted": [("cells queued behind an error", cases.queued, says("error, aborted, aborted"))],
    "an error, variables kept": [
        ("panic", ends('panic!("boom")', "raise ValueError('boom')"), ERROR),
        ("`?` meets an error", ends('"x".parse::<i32>()?;', "int('x')"), ERROR),
        ("exit", ends("std::process::exit(3)", "import os; os._exit(3)"), ERROR),
        ("abort", ends("std::process::abort()", "import os; os.abort()"), ERROR),
        ("segmentation fault", ends("unsafe { *(8 as *mut u8) = 1; }", "import ctypes; ctypes.string_at(8)"), ERROR),
        ("out of memory", ends("std::hint::black_box(vec![1_u8; 1 << 46]).len()", "len(bytearray(1 << 46))"), ERROR),
        ("stack overflow", ends(DEEP, "def deep(n): return deep(n + 1)\ndeep(0)"), ERROR),
    ],
    "shown within 50 ms": [("text without a newline", cases.no_newline, says(r"shown after (\d+) ms", 50))],
    "live": [("`\\r` progress", cases.progress_bar, says("live"))],
    "replaced, nothing else happens": [
        ("not UTF-8", cases.not_utf8, says(r"shows 'a\ufffdb\\n'; the cells after it show '1\\n', '2\\n'")),
    ],
    "live, all of it, in order": [
        ("rich output between text", cases.rich, says("text rich text rich text rich")),
        ("an unterminated block", cases.unterminated, says("shown as text")),
    ],
    "at most 3 s, 1,000 messages": [
        ("200,000 lines", cases.many_lines, says(r"([\d.]+) s, ([\d,]+) messages, whole", 3, 1000)),
    ],
    "the child ends there": [("a forked child returns", cases.fork_returns, KEPT)],
    "asks, or end of file": [("reading a line", cases.read_line, says("asked, answered: .+"))],
    "no process left": [
        ("shutdown, a child alive", cases.shutdown, says(r"([\d.]+) s, 0 processes left", 1)),
        ("restart, a child alive", cases.restart, says(r"([\d.]+) s, 0 processes left", 1)),
        ("the kernel is killed", cases.killed, says("0 processes left")),
    ],
    "dropped; served": [("bad messages", cases.bad_messages, says("bad signature: dropped, then ok; binary buffer: ok"))],
    "as ipykernel": [("the protocol's small print", cases.protocol, says("all right"))],
    "in the cell": [
        ("`:dep` progress", cases.dependency, says(r"shown \(.+\)")),
        ("warnings", cases.warnings, says("shown")),
    ],
    "at most 3 s": [("start to a pool's first result", cases.first_result, says(r"([\d.]+) s", 3))],
    "less than the stock kernel's 480": [("memory after five cells", cases.memory, says(r"([\d.]+) MB", 480))],
}
