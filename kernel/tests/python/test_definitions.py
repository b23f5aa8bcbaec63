"""What cells define is the same thing in every later cell: types, statics, and what has no name or comes out of a macro."""

import pytest


@pytest.fixture(scope="module")
def defining():
    """A kernel for these tests alone: they define what others would stumble over."""
    from conftest import Kernel

    kernel = Kernel()
    yield kernel
    kernel.stop()


def test_variables_of_own_types_survive_a_dependency(defining, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2024"\n')
    (tmp_path / "src/lib.rs").write_text("pub fn seven() -> u8 { 7 }\n")
    defining.ok("#[derive(Debug)] struct Kept { a: u8 }\nenum Kind { A(Kept) }")
    defining.ok("let kept = Kept { a: 1 }; let kind = Some(vec![Kind::A(Kept { a: 2 })]); let n = 5;")
    # What public notebooks write, and cargo no longer takes.
    ran = defining.ok(f':dep tiny = {{ path = "{tmp_path}", default_features = false }}')
    assert "lost" not in ran.stderr, ran
    ran = defining.ok("let Kind::A(inner) = kind.unwrap().remove(0); let of_inner = inner.a;\n(&kept, of_inner, n, tiny::seven())")
    assert (ran.result, ran.stderr) == ("(Kept { a: 1 }, 2, 5, 7)", "")


# To the compiler it is the same type: its fields have the same names.
@pytest.mark.parametrize("again", ["struct Twice { a: String }", "enum Twice { A }", "type Twice = u64;"])
def test_a_type_that_changes_says_in_its_cell_what_is_lost(defining, again):
    defining.ok("struct Twice { a: u8 }\nstruct Holds(Vec<Twice>);\ntype Alias = Holds;")
    defining.ok("let direct = Twice { a: 1 };\nlet within: Alias = Holds(vec![Twice { a: 2 }]);\nlet other = 3_u8;")
    # Run again as it was, or with another derive, it is the same.
    assert defining.ok("#[derive(Clone)]\nstruct Twice { a: u8 }").stderr == ""
    assert defining.ok("direct.a + within.0[0].a + other").result == "6"
    said = defining.ok(again).stderr
    assert all(f"variable {name} was redefined" in said for name in ("direct", "within")), said
    assert "`Twice`" in said and "variable other" not in said, said
    names = defining.ok("%who").stdout
    assert "other" in names and "direct" not in names and "within" not in names, names
    assert defining.ok("other").stderr == ""
    assert defining.run("direct").status == "error"


STATICS = """
use std::sync::{LazyLock, Mutex, OnceLock, atomic::{AtomicUsize, Ordering::SeqCst}};
/// Documented.
pub static HITS: AtomicUsize = AtomicUsize::new(0);
static LAZY: LazyLock<Vec<u8>> = LazyLock::new(|| { println!("made"); vec![1] });
static ONCE: OnceLock<u8> = OnceLock::new(); static mut PLAIN: u32 = 1;
mod inner { pub static LIST: std::sync::Mutex<Vec<u8>> = std::sync::Mutex::new(Vec::new()); }
fn next() -> usize { static N: AtomicUsize = AtomicUsize::new(0); N.fetch_add(1, SeqCst) }
struct Counter; impl Counter { fn next() -> usize { static N: AtomicUsize = AtomicUsize::new(10); N.fetch_add(1, SeqCst) } }
"""


def test_a_static_is_one_for_all_cells(defining):
    defining.ok(STATICS)
    defining.ok("HITS.fetch_add(5, SeqCst); ONCE.set(4).unwrap(); inner::LIST.lock().unwrap().push(1); unsafe { PLAIN += 1 };")
    assert defining.ok("LAZY.len()").stdout == "made\n"
    assert defining.ok("LAZY.len()").stdout == ""
    defining.ok("next(); Counter::next(); inner::LIST.lock().unwrap().push(2);")
    # A thread of a cell sees what the next cell does.
    defining.ok("let waiting: std::thread::JoinHandle<usize> = std::thread::spawn(|| { while HITS.load(SeqCst) < 7 { std::thread::yield_now() } HITS.load(SeqCst) });")
    defining.ok("HITS.fetch_add(2, SeqCst);")
    shown = "(waiting.join().unwrap(), HITS.load(SeqCst), *ONCE.get().unwrap(), inner::LIST.lock().unwrap().len(), unsafe { PLAIN }, next(), Counter::next())"
    assert defining.ok(shown).result == "(7, 7, 4, 2, 2, 1, 11)"
    # A cell that fails leaves nothing, and one that is run again starts again.
    assert defining.run("HITS.fetch_add(90, SeqCst); std::process::abort()").status == "error"
    assert defining.ok("HITS.load(SeqCst)").result == "7"
    defining.ok(STATICS)
    assert defining.ok("(HITS.load(SeqCst), ONCE.get(), next())").result == "(0, None, 0)"
    ran = defining.ok("struct Inside(u8); static HOLDS: Mutex<Option<Inside>> = Mutex::new(None);")
    assert "starts again" not in ran.stderr
    assert "static `HOLDS` starts again: `Inside`" in defining.ok("struct Inside(String);").stderr
    assert defining.ok('*HOLDS.lock().unwrap() = Some(Inside("a".into()));').status == "ok"
    assert defining.ok("HOLDS.lock().unwrap().as_ref().unwrap().0.clone()").result == '"a"'


def test_thread_locals_are_defined_and_one_for_all_cells(defining):
    defining.ok("thread_local! {\n    /// Documented.\n    static COUNT: std::cell::Cell<u32> = const { std::cell::Cell::new(1) };\n    static LIST: std::cell::RefCell<Vec<(u8, u8)>> = std::cell::RefCell::new(vec![])\n}")
    defining.ok("COUNT.set(COUNT.get() + 1); LIST.with_borrow_mut(|list| list.push((1, 2)));")
    assert defining.ok("(COUNT.get(), LIST.with(|list| list.borrow().len()))").result == "(2, 1)"
    assert defining.ok("std::thread::spawn(|| COUNT.get()).join().unwrap()").result == "1"


def test_what_a_macro_makes_is_found_later_and_can_be_made_again(defining):
    defining.ok("macro_rules! make { ($name:ident) => { #[derive(Debug)] struct $name(u8); impl $name { fn new() -> Self { $name(3) } } } }")
    for _ in range(2):
        defining.ok("make!(Widget);")
        defining.ok("let made = Widget::new();")
        assert defining.ok("&made").result == "Widget(3)"
    defining.ok("macro_rules! plus { ($a:expr) => { $a + 1 } }")
    for i in range(6):
        assert defining.ok(f"fn uses_{i}() -> u8 {{ plus!({i}) }}\nuses_{i}()").result == str(i + 1)


def test_macros_make_functions_constants_and_impls(defining):
    defining.ok("macro_rules! getters { ($($n:ident => $v:expr),* $(,)?) => { $(fn $n() -> i32 { $v })* } }\ngetters! { get_one => 1, get_two => 2 }")
    assert defining.ok("get_one() + get_two()").result == "3"
    defining.ok("macro_rules! names { ($($n:ident),*) => { $(const $n: &str = stringify!($n);)* } }\nnames!(RED, BLUE);")
    assert defining.ok("[RED, BLUE]").result == '["RED", "BLUE"]'
    code = 'trait Greets { fn hi(&self) -> String; }\nmacro_rules! greets { ($t:ty) => { impl Greets for $t { fn hi(&self) -> String { stringify!($t).into() } } } }'
    for _ in range(2):
        ran = defining.ok(code + "\ngreets!(u8); greets!(Vec<u8>);")
        assert ran.of_type("display_data") == [], ran
        defining.ok("greets!(Vec<u16>);")
        assert defining.ok("[3u8.hi(), vec![1u8].hi(), vec![1u16].hi()]").result == '["u8", "Vec<u8>", "Vec<u16>"]'


def test_a_variable_that_its_own_cell_moved_is_said_to_be_moved(defining):
    moved_by = defining.ok('let sent = vec![3, 1, 2]; let (held, count) = (sent, 3); count').reply["content"]["execution_count"]
    assert defining.ok("held.len()").result == "3"
    failed = defining.run("sent").reply["content"]
    assert "E0425" in failed["evalue"] and f"`sent` was moved by cell [{moved_by}]" in "".join(failed["traceback"]), failed


def test_a_long_list_of_literals_is_what_it_says(defining):
    numbers = ", ".join(str(i) for i in range(20_000))
    defining.ok(f"let long = vec![{numbers}];")
    defining.ok(f"let array: [u32; 20000] = [\n{numbers}];")
    assert defining.ok("(long.len(), long[19_999], array[7], long.iter().sum::<i32>())").result == "(20000, 19999, 7, 199990000)"


def test_a_cell_with_an_impl_can_be_run_again(defining):
    defining.ok("struct Shape { side: u32 }\ntrait Area { fn area(&self) -> u32; }")
    for code, shown in [
        ("impl Area for Shape { fn area(&self) -> u32 { self.side } }", "3"),
        ("impl Area for Shape {\n    fn area(&self) -> u32 { self.side * self.side }\n}", "9"),
    ]:
        for _ in range(2):
            defining.ok(code)
            assert defining.ok("Shape { side: 3 }.area()").result == shown
    defining.ok("impl Shape { fn one(&self) -> u8 { 1 } }")
    defining.ok("impl Shape { fn two(&self) -> u8 { 2 } }")
    defining.ok("impl Shape { fn one(&self) -> u8 { 7 } }")
    assert defining.ok("let shape = Shape { side: 1 };\n(shape.one(), shape.two())").result == "(7, 2)"
    # Also one that stood behind its struct.
    both = "#[derive(Debug)] struct Both { n: u8 }\nimpl Both {\n    fn one(&self) -> u8 { self.n }\n    fn two(&self) -> u8 { 2 }\n}"
    defining.ok(both)
    assert defining.ok("impl Both { fn one(&self) -> u8 { 8 } fn two(&self) -> u8 { 9 } }").stderr == ""
    assert defining.ok("let both = Both { n: 1 };\n(both.one(), both.two())").result == "(8, 9)"
    said = defining.ok("impl Both { fn one(&self) -> u8 { 5 } }").stderr
    assert "`two` of the earlier `impl Both` is gone" in said, said
    assert defining.ok(both + "\n(Both { n: 3 }.one(), both.two())").result == "(3, 2)"
    # One that is of the struct goes with it.
    defining.ok("struct Both { m: u8 }")
    assert "E0599" in defining.run("Both { m: 1 }.one()").reply["content"]["evalue"]
    for _ in range(2):
        defining.ok('unsafe extern "C" { safe fn getppid() -> i32; }\ngetppid();')
    # Its errors are at its own columns.
    failed = defining.run("impl NoSuchType { fn f() {} }").reply["content"]
    assert "E0412" in failed["evalue"] or "E0425" in failed["evalue"], failed
    assert "cell:1:6" in "".join(failed["traceback"]) and "forklore_" not in "".join(failed["traceback"]), failed


def test_what_has_one_name_and_is_not_the_same_is_kept(defining):
    cell = "mod double { pub fn inner() -> u8 { 1 } }\n/// Documented.\n#[inline]\nfn double(x: u8) -> u8 { 2 * x + double::inner() }\nstruct Beside;"
    for _ in range(2):
        defining.ok(cell)
        assert defining.ok("let doubled = double(3);\n(doubled, double::inner())").result == "(7, 1)"
    defining.ok("fn double(x: u8) -> u8 { x + double::inner() }")
    assert defining.ok("double(3)").result == "4"
    defining.ok("mod double { pub fn inner() -> u8 { 5 } }")
    assert defining.ok("double(3)").result == "8"
    # A function in the place of the function, a macro beside it, and a constant in the place of the function.
    defining.ok("macro_rules! twice { ($x:expr) => { 2 * $x } }\nfn twice(x: u8) -> u8 { twice!(x) }")
    assert defining.ok("twice(4) + twice!(1)").result == "10"
    defining.ok("const double: u8 = 9;")
    assert defining.ok("double + double::inner()").result == "14"
    failed = defining.run("mod double { pub fn inner() -> u8 { 5 } }\nfn double() -> u8 { nope }").reply["content"]
    assert "cell:2:21" in "".join(failed["traceback"]), failed


def test_a_level_of_optimisation_that_does_not_exist_changes_nothing(defining):
    defining.ok("let before = 1_u8;")
    failed = defining.run(":opt 7").reply["content"]
    assert "`:opt 7`" in failed["evalue"] and "0, 1, 2, 3" in failed["evalue"], failed
    for level in ("0", "3", "s", "2"):
        ran = defining.ok(f":opt {level}")
        assert level in ran.stdout, ran
        ran = defining.ok("let pool = forklore::Pool::with_workers(1)?; pool.map(|x: u8| x + before, [1])")
        assert (ran.result, ran.stdout) == ("[2]", ""), "the library is not compiled again"


def test_a_crate_that_a_cell_adds_is_one_for_all_cells(defining, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "counts"\nversion = "0.1.0"\nedition = "2024"\n')
    (tmp_path / "src/lib.rs").write_text(
        "use std::sync::atomic::{AtomicU32, Ordering::SeqCst};\nuse std::cell::Cell;\nstatic N: AtomicU32 = AtomicU32::new(0);\n"
        "thread_local! { static OWN: Cell<u32> = const { Cell::new(0) }; }\n"
        "pub fn next() -> u32 { OWN.set(OWN.get() + 1); N.fetch_add(1, SeqCst) }\npub fn own() -> u32 { OWN.get() }\n"
        "pub fn twice<T: Clone>(x: &T) -> Vec<T> { next(); vec![x.clone(), x.clone()] }\n")
    defining.ok(f':dep counts = {{ path = "{tmp_path}" }}\ncounts::next();')
    defining.ok("counts::next();")
    defining.ok("counts::twice(&1);")
    assert defining.ok("(counts::next(), counts::own())").result == "(3, 4)"
    assert defining.ok("std::thread::spawn(|| (counts::next(), counts::own())).join().unwrap()").result == "(4, 1)"
    # Workers too: what they inherit when they are forked, and what is loaded into others.
    ran = defining.ok("let pool = forklore::Pool::with_workers(1)?;\npool.map(|_: u8| counts::next(), [0, 0])")
    assert ran.result == "[5, 6]"
    assert defining.run('panic!("on purpose")').status == "error"
    assert defining.ok("counts::next()").result == "5"
    assert defining.run("counts::next(); std::process::abort()").status == "error"
    assert defining.ok("counts::next()").result == "6"
