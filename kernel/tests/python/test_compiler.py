"""What the compiler says reaches the cell: errors, warnings, and its progress with dependencies."""

import re

from strangers import error_index


def plain(text):
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def warnings(ran):
    """The compiler's warnings, in colour: not on standard error, which front ends show as if something had failed."""
    shown = [c["data"]["text/plain"] for c in ran.of_type("display_data")]
    return "".join(text for text in shown if "warning" in plain(text))


def test_a_compile_error_is_rustc_s_own_with_the_lines_of_the_cell(kernel):
    code = 'let one = 1;\nfn unused(x: u8) {}\nlet text: String = one;\n'
    failed = kernel.run(code)
    content = failed.reply["content"]
    assert (content["ename"], content["evalue"]) == ("CompileError", "mismatched types [E0308]")
    first = content["traceback"][0]
    assert "\x1b[" in first, "it has colours"
    assert "cell:3:20" in plain(first) and "3 | let text: String = one;" in plain(first), first
    assert "expected `String`, found" in plain(first)
    assert "src/lib.rs" not in "".join(content["traceback"])


def test_warnings_of_a_cell_are_shown_once(kernel):
    ran = kernel.ok("fn wanting(x: u8) -> Result<u8, u8> { Ok(7) }\n\nwanting(1);")
    shown = plain(warnings(ran))
    assert shown.count("unused variable: `x`") == 1 and "cell:1:12" in shown, shown
    # rustc writes the whole path once a crate of the session has a `Result` of its own.
    unused = re.findall("unused `(?:std::result::)?Result` that must be used", shown)
    assert len(unused) == 1 and "cell:3:1" in shown, shown
    assert "\x1b[" in warnings(ran) and ran.stderr == "", ran
    # The function is compiled again with every later cell.
    assert warnings(kernel.ok("wanting(2)?")) == ""
    assert "%time wanting(3)" in plain(warnings(kernel.ok("%time wanting(3);")))
    assert kernel.ok("%warnings off").stdout == "warnings are not shown\n"
    assert warnings(kernel.ok("wanting(4);")) == ""
    assert warnings(kernel.ok("%warnings on\nwanting(5);")) != ""


def test_a_cell_that_does_not_compile_repeats_no_warning_of_an_earlier_one(kernel):
    assert "`earlier_x`" in warnings(kernel.ok("fn earlier(earlier_x: u8) {}"))
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
    assert "--> cell [" in plain("".join(failed.reply["content"]["traceback"])), failed
    # One that compiles and then fails has nothing to repeat either.
    assert "unused" not in plain(repr(kernel.run('panic!("on purpose")')))


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


def failure(kernel, code):
    """All that a cell's error says, without colours; nothing of it may be generated code."""
    failed = kernel.run(code)
    assert failed.status == "error", failed
    content = failed.reply["content"]
    text = plain("\n".join([content["evalue"], *content["traceback"]]))
    assert not error_index.GENERATED.search(text), text
    assert not error_index.wrong_lines(code, text), text
    return content["evalue"], text


DEFINITIONS = """
struct Q; #[derive(Debug)] struct E; enum Coin { Penny, Dime }
fn takes(a: u8) {} fn fails() -> Result<u8, E> { Err(E) }
fn boxed() -> Result<u8, Box<dyn std::error::Error>> { Ok(1) }
let vv = vec![1]; let text = String::from("text"); let mut coins = vec![Q];
"""

# The cell, what the error is called, and what else it says: its place, and what rustc advises.
MISTAKES = [
    # Of a last expression.
    ('takes("x")', "mismatched types [E0308]", ["cell:1:7", "expected `u8`, found `&str`", "function defined here"]),
    ("match Coin::Dime { Coin::Penny => 1 }", "non-exhaustive patterns: `Coin::Dime` not covered [E0004]", ["cell:1:7"]),
    ("Q == Q", "binary operation `==` cannot be applied to type `Q` [E0369]", ["cell:1:3"]),
    ("for x in Q {}", "`Q` is not an iterator [E0277]", ["cell:1:10"]),
    ("coins.sort()", "the trait bound `Q: Ord` is not satisfied [E0277]", ["cell:1:7"]),
    ("Q.nope()", "no method named `nope` found for struct `Q` in the current scope [E0599]", ["cell:1:3"]),
    ("Q", "`Q` doesn't implement `Debug` [E0277]", ["cell:1:1"]),
    ("let arr = [1,2,3];\narr[10]", "this operation will panic at runtime", ["cell:2:1", "index is 10"]),
    ("255u8 + 1", "this arithmetic operation will overflow", ["cell:1:1"]),
    ("fails()?", "`?` couldn't convert the error: `E: std::fmt::Display` is not satisfied", ["cell:1:8"]),
    # About variables, which generated code takes from the store and puts back.
    ("vv.push(2)", "cannot borrow `vv` as mutable, as it is not declared as mutable [E0596]", ["let mut vv = vv;"]),
    ('let mut s = String::from("a");\nlet r1 = &mut s; let r2 = &mut s; r1.clear();', None, ["cell:2:27"]),
    ("let x: i32;", "used binding `x` isn't initialized [E0381]", ["cell:1:5"]),
    ("let n = text; text.len()", "borrow of moved value: `text` [E0382]", ["cell:1:15", "value moved here"]),
    # A place in a line with several statements.
    ("let a = 1; let b: String = a;", "mismatched types [E0308]", ["cell:1:28"]),
    ("use std::collections::{HashMap, Nope};", "unresolved import `std::collections::Nope` [E0432]", ["cell:1:33"]),
    ("use nope_a::b;", "unresolved import `nope_a` [E0432]", ["cell:1:5", "`:dep nope_a`"]),
    # Half a cell, and more than one.
    ("1 +", "expected expression, found the end of the cell", ["cell:1:4"]),
    ("std::", "expected identifier, found the end of the cell", ["cell:1:6"]),
    ("fn f() {\n    1", "the cell contains an unclosed delimiter", ["cell:1:8"]),
    ("1 }", "unexpected closing delimiter: `}`", ["cell:1:3"]),
    ("return;", "`return` on line 1 leaves a function, and a cell is none", ["write a function"]),
    ('let z = 1;\n:dep itoa = "1"', "expected", ["cell:2:1", "commands stand before a cell's Rust"]),
]


def test_an_error_shows_the_cell_and_what_rustc_says_of_it(kernel):
    kernel.ok(DEFINITIONS)
    for code, called, parts in MISTAKES:
        evalue, text = failure(kernel, code)
        assert called is None or evalue.startswith(called), (code, text)
        for part in parts:
            assert part in text, (code, part, text)


def test_an_error_in_an_earlier_cell_s_item_is_placed_there(kernel):
    kernel.ok("struct Place { x: u8 }\n\nfn place() -> Place {\n    Place { x: 1 }\n}")
    failed = kernel.run("struct Place { x: u8, y: u8 }")
    text = plain("".join(failed.reply["content"]["traceback"]))
    assert re.search(r"cell \[\d+\]:4:5", text) and "4 |     Place { x: 1 }" in text, text
    assert not error_index.GENERATED.search(text), text


def test_a_variable_that_was_moved_is_said_to_be_so(kernel):
    kernel.ok('let parcel = String::from("parcel");')
    kernel.ok("let n = 1;\ndrop(parcel);")
    evalue, text = failure(kernel, "parcel.len()")
    assert evalue == "cannot find value `parcel` in this scope [E0425]"
    assert re.search(r"`parcel` was moved by cell \[\d+\]", text) and re.search(r"cell \[\d+\]:2:6", text), text
    kernel.ok("let parcel = 1;")
    assert kernel.ok("parcel").result == "1"


def test_a_type_that_the_kernel_cannot_write_at_first(kernel):
    kernel.ok(DEFINITIONS)
    kernel.ok("let got = boxed();\nlet also = boxed();")
    assert kernel.ok("got.unwrap() + also.unwrap()").result == "2"
    kernel.ok("let joined = std::thread::spawn(|| 5).join();")
    assert kernel.ok("joined").result == "Ok(5)"


def test_a_refused_cell_shows_no_warning_of_another_as_its_error(kernel):
    kernel.ok("macro_rules! thrice { ($x:expr) => { [$x, $x, $x] } }\nfn unused(argument: u8) {}")
    evalue, text = failure(kernel, "1 +")
    assert "unused" not in text, text


def test_what_a_program_says_of_its_own_places_is_in_the_cell(kernel):
    ran = kernel.ok('let first = 1;\nlet second = dbg!(first + 1);\n    dbg!();')
    assert "[cell:2:14] first + 1 = 2" in ran.stderr and "[cell:3:5]" in ran.stderr, ran.stderr
    ran = kernel.ok("fn here() {\n    dbg!(1);\n}\n")
    assert re.search(r"\[cell \[\d+\]:2:5\] 1 = 1", kernel.ok("here();").stderr)


def test_a_cell_that_only_defines_has_no_warnings(kernel):
    ran = kernel.ok("macro_rules! never { ($x:expr) => { $x } }\nstruct Never; fn never() {} use std::fmt::Write;")
    assert ran.messages == [] or warnings(ran) == "", ran


def test_an_error_of_cargo_s_begins_once(kernel):
    evalue, text = failure(kernel, ':dep nothing_at_all = { path = "/nowhere" }')
    assert "error: error" not in text, text


def test_a_variable_that_needs_a_type_is_named_with_its_place(kernel):
    evalue, text = failure(kernel, "let n = { let unused = 1; 2 };\nlet all = \"1 2\".split(' ').collect();")
    assert "`all`" in text or "type annotations needed" in evalue, text
    assert "cell:2:5" in text and "unused" not in evalue, text


def test_what_evcxr_keeps_from_the_compiler_is_an_error_all_the_same(kernel):
    for cell, code, place in [
        ("let a = 1;\nstruct Twice;\nstruct Twice;", "E0428", "cell:3:1"),
        ("fn same() {}\nconst same: u8 = 1;", "E0428", "cell:2:1"),
        ("use std::fmt::Result;\nuse std::io::Result;", "E0252", "cell:2:5"),
        ("use std::fmt::self;", "E0429", "cell:1:13"),
        ("extern crate core;\nstruct core;", "E0260", "cell:2:1"),
        ("let b = 2; /* never closed", "E0758", "cell:1:12"),
        ("/* never /* closed */", "E0758", "cell:1:1"),
        ("const ONE: u8 = return 1;", "E0572", "cell:1:17"),
        ("fn main() where u8: Copy {}", "E0646", "cell:1:11"),
    ]:
        failed = kernel.run(cell)
        shown = plain("".join(failed.reply["content"].get("traceback", [failed.status])))
        assert f"error[{code}]" in shown and place in shown, (cell, shown)
    # The same import twice does no harm, and a limit may be raised.
    kernel.ok("use std::fmt;\nuse std::fmt;")
    kernel.ok("#![recursion_limit = \"256\"]\nfn main() {}")


def test_a_crate_of_the_compiler_is_no_dependency(kernel):
    cell = "extern crate std;\nextern crate alloc as heap;\nuse heap::collections::BTreeSet;\nBTreeSet::from([2, 1])"
    assert kernel.ok(cell).result == "{1, 2}"
    assert kernel.ok("heap::vec![7]").result == "[7]"


def test_a_crate_that_does_not_exist_is_forgotten(new_kernel, tmp_path):
    krate = tmp_path / "there"
    (krate / "src").mkdir(parents=True)
    (krate / "Cargo.toml").write_text('[package]\nname = "there"\nversion = "1.0.0"\nedition = "2021"\n')
    (krate / "src/lib.rs").write_text("pub fn is() -> u8 { 5 }\n")
    kernel = new_kernel()
    failed = kernel.run("extern crate forklore_has_no_such_crate;")
    assert "`forklore_has_no_such_crate`" in failed.reply["content"]["evalue"]
    assert not failed.reply["content"]["evalue"].startswith("error"), failed
    kernel.ok(f':dep there = {{ path = "{krate}" }}')
    assert kernel.ok("extern crate there;\nthere::is()").result == "5"


def test_errors_across_cells_name_the_cell_that_defined_or_moved(kernel):
    defined = kernel.ok("let owned = String::from(\"a\");").reply["content"]["execution_count"]
    shown = plain("".join(kernel.run("drop(owned);\nowned.len()").reply["content"]["traceback"]))
    for part in ("cell:2:1", f"cell [{defined}]:1:5", "move occurs because `owned`"):
        assert part in shown, shown
    shown = plain("".join(kernel.run("owned.push('b');").reply["content"]["traceback"]))
    assert f"cell [{defined}]:1:5" in shown and "`owned` is defined here" in shown, shown
    moved = kernel.ok("drop(owned);").reply["content"]["execution_count"]
    shown = plain("".join(kernel.run("owned.len()").reply["content"]["traceback"]))
    assert f"`owned` was moved by cell [{moved}]" in shown and f"cell [{moved}]:1:6" in shown, shown


def test_an_error_s_number_leads_to_its_explanation(kernel):
    failed = kernel.run("let n: u8 = \"text\";")
    link = "`%explain E0308` says more, as does https://doc.rust-lang.org/error_codes/E0308.html"
    assert plain(failed.reply["content"]["traceback"][-1]) == link, failed
    for magic in ("%explain", "%explain E0308", "%explain 308"):
        shown = kernel.ok(magic).of_type("display_data")
        assert len(shown) == 1 and shown[0]["data"]["text/markdown"].startswith("### E0308\n"), shown
        assert "```rust\n" in shown[0]["data"]["text/markdown"] and "compile_fail" not in shown[0]["data"]["text/markdown"], shown
        assert "```" in shown[0]["data"]["text/plain"], shown
    assert kernel.run("%explain nothing").reply["content"]["ename"] == "UsageError"
    assert "no explanation of `E9999`" in kernel.run("%explain E9999").reply["content"]["evalue"]
