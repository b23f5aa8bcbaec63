"""The public suite `jupyter_kernel_test`, test by test, on each kernel: with what each can do filled in."""

import pathlib
import signal
import subprocess
import sys
import unittest

from jupyter_client.manager import KernelManager, start_new_kernel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "kernel/tests/python"))
import test_conformance as ours

# Some kernels do not answer some requests, for which the suite waits without an end.
PATIENCE = 60
BLOCK = 'println!("EVCXR_BEGIN_CONTENT {}\\n{}\\nEVCXR_END_CONTENT");'
# What a kernel writes to its terminal is no part of the table.
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Quiet:
    @classmethod
    def setUpClass(cls):
        cls.km, cls.kc = start_new_kernel(kernel_name=cls.kernel_name, startup_timeout=120, **QUIET)


class Forklore(Quiet, ours.TestSuite):
    pass


class Stock(Quiet, ours.TestSuite):
    kernel_name = "rust-evcxr"
    completion_samples = ours.TestSuite.completion_samples[1:]
    complete_code_samples = [code for code in ours.TestSuite.complete_code_samples if not code.startswith("%")]
    incomplete_code_samples = [code for code in ours.TestSuite.incomplete_code_samples if not code.startswith("%")]
    code_display_data = [
        {"code": BLOCK.format(mime, content), "mime": mime}
        for mime, content in (("text/html", "<b>bold</b>"), ("image/svg+xml", "<svg/>"), ("text/markdown", "*a*"))
    ]
    # It has no means for this one.
    code_clear_output = ""


class Python(Quiet, ours.TestSuite):
    kernel_name = "python3"
    language_name = "python"
    file_extension = ".py"

    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('an error', file=sys.stderr)"
    completion_samples = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x * 2\n\n\n"]
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x * 2"]
    invalid_code_samples = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = [{"code": "6*7", "result": "42"}, {"code": "1+2", "result": "3"}, {"code": "[1]", "result": "[1]"}]
    code_display_data = [
        {"code": "from IPython.display import HTML, display; display(HTML('<b>'))", "mime": "text/html"},
        {"code": "from IPython.display import Math, display; display(Math('a'))", "mime": "text/latex"},
    ]
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class Welcome(ours.TestWelcome):
    @classmethod
    def setUpClass(cls):
        cls.km = KernelManager(kernel_name=cls.kernel_name)
        cls.km.start_kernel(**QUIET)
        cls.kc = cls.km.client()


class StockWelcome(Welcome):
    kernel_name = "rust-evcxr"


class PythonWelcome(Welcome):
    kernel_name = "python3"


SUITES = {
    "forklore": (Forklore, Welcome),
    "rust-evcxr": (Stock, StockWelcome),
    "python3": (Python, PythonWelcome),
}
# Which of the two suites, and the test's name.
TESTS = [
    (number, name)
    for number, suite in enumerate(SUITES["forklore"])
    for name in unittest.TestLoader().getTestCaseNames(suite)
]


def measure(number, name, kernel):
    """What becomes of one test on a kernel of its own, in words."""
    result = unittest.TestResult()

    def give_up(*_):
        raise TimeoutError(f"no answer in {PATIENCE} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        unittest.TestSuite([SUITES[kernel][number](name)]).run(result)
    except TimeoutError as error:
        return f"fails: {error}"
    finally:
        signal.alarm(0)
    wrong = result.failures + result.errors
    if wrong:
        last_line = wrong[0][1].strip().splitlines()[-1]
        return f"fails: {last_line.removeprefix('AssertionError: ')[:70]}"
    return "–" if result.skipped else "passes"
