"""The public suite for Jupyter kernels, `jupyter_kernel_test`, with every one of its optional sections.

With the same sections filled in, ipykernel 7.4.0 fails one: `history` of a range, where it answers with session 0
whatever session was asked for.
"""

import jupyter_kernel_test as public

DISPLAY = "forklore::display::show(&forklore::display::Bundle::{}({}));"


class TestSuite(public.KernelTests):
    kernel_name = "forklore"
    language_name = "rust"
    file_extension = ".rs"

    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("an error");'
    completion_samples = [
        {"text": "%tim", "matches": {"%time", "%timeit"}},
        {"text": '"text".char_indi', "matches": {"char_indices()"}},
        {"text": "let äöü = 1; äö", "matches": {"äöü"}},
    ]
    complete_code_samples = ["1 + 1", "fn f() {}", "let x = 5;", 'println!("}");', "%time 1 + 1", "// {"]
    incomplete_code_samples = ["fn f() {", "let x =", "(1,", '"text', "/* comment", "%%time\nif true {"]
    invalid_code_samples = ["}", "f(]", "let = 3;"]
    code_page_something = "?println"
    code_generate_error = "undefined_name"
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": '"text".len() + 1', "result": "5"},
        {"code": "let value = vec![1, 2]; value", "result": "[1, 2]"},
    ]
    code_display_data = [
        {"code": DISPLAY.format("html", '"<b>bold</b>"'), "mime": "text/html"},
        {"code": DISPLAY.format("svg", '"<svg/>"'), "mime": "image/svg+xml"},
        {"code": DISPLAY.format("png", "&[0x89, 0x50]"), "mime": "image/png"},
        {"code": DISPLAY.format("markdown", '"*a*"'), "mime": "text/markdown"},
    ]
    supported_history_operations = ("tail", "range", "search")
    code_history_pattern = "6*7"
    code_inspect_sample = "println"
    code_clear_output = "forklore::display::clear(false);"


class TestWelcome(public.IopubWelcomeTests):
    kernel_name = "forklore"
    support_iopub_welcome = True


# What is only inherited from is not to be run itself.
del public
