//! Cells that are compiled without cargo and with the library's variable store: a user must not
//! notice.

use std::fs;
use std::path::Path;

use super::cells::Cells;

/// What is written down of the last call of rustc through cargo.
fn record(cells: &Cells) -> Option<Vec<u8>> {
    let folder = cells.session.as_ref().unwrap().folder();
    fs::read(folder.join("tools/record")).ok()
}

pub fn variables_between_cells() {
    let mut cells = Cells::start_with(true);
    cells.ok("let number = 41; let text = String::from(\"kept\"); let shared = std::rc::Rc::new(std::cell::RefCell::new(vec![1])); let nothing = ();");
    let before = record(&cells).expect("cells are compiled without cargo");
    cells.ok("struct Loud(&'static str); impl Drop for Loud { fn drop(&mut self) { println!(\"dropped {}\", self.0); } } let loud = Loud(\"first\"); let function: fn(i32) -> i32 = |x| x + 1;");
    assert_eq!(
        cells.ok("shared.borrow_mut().push(2); let also = shared.clone(); let text2 = text; println!(\"{} {text2} {also:?} {nothing:?} {}\", number + 1, function(1));"),
        "42 kept RefCell { value: [1, 2] } () 2\n"
    );
    // What was moved is gone, what was borrowed is not, and a value is dropped when another takes
    // its name.
    cells.fails("text.len()", "CompileError");
    cells.ok("fn length(of: &String) -> usize { of.len() } let n_bytes: usize = length(&text2);");
    assert_eq!(cells.ok("let loud = Loud(\"second\");"), "dropped first\n");
    assert_eq!(cells.ok("let loud: u8 = 3;"), "dropped second\n");
    assert_eq!(
        cells.ok("println!(\"{loud} {n_bytes} {text2}\");"),
        "3 4 kept\n"
    );
    // A type that is defined again takes its variables along, and no others.
    cells.ok("#[derive(Debug)] struct Point { x: u8 } let point = Point { x: 1 };");
    assert_eq!(cells.ok("println!(\"{point:?}\");"), "Point { x: 1 }\n");
    cells.ok("#[derive(Debug)] struct Point { x: u16, y: u16 } let other = Point { x: 1, y: 2 };");
    assert_eq!(
        cells.ok("println!(\"{other:?} {text2}\");"),
        "Point { x: 1, y: 2 } kept\n"
    );
    for (code, ename) in [
        (
            "drop(text2); shared.borrow_mut().clear(); panic!()",
            "Panic",
        ),
        (
            "drop(text2); shared.borrow_mut().clear(); Err(\"no\")?;",
            "QuestionMark",
        ),
        (
            "drop(text2); shared.borrow_mut().clear(); std::process::abort()",
            "Abort",
        ),
    ] {
        cells.fails(code, ename);
        assert_eq!(
            cells.ok("println!(\"{text2} {shared:?}\");"),
            "kept RefCell { value: [1, 2] }\n",
            "{code}"
        );
    }
    // One that could not be loaded any more would have been noticed by now.
    assert_eq!(record(&cells), Some(before), "cargo ran for a cell");
    cells.magic("%reset").unwrap();
    cells.fails("text2", "CompileError");
    cells.ok("let text2: u8 = 1;");
    assert_eq!(cells.ok("println!(\"{text2}\");"), "1\n");
    cells.finish();
}

pub fn what_makes_cargo_run() {
    let mut cells = Cells::start_with(true);
    cells.ok("let kept = vec![1, 2];");
    let release = record(&cells).expect("cells are compiled without cargo");
    let overflow = "println!(\"{}\", std::hint::black_box(255_u8) + std::hint::black_box(1));";
    for _ in 0..2 {
        assert_eq!(cells.ok(overflow), "0\n");
    }
    said(&mut cells);
    cells.magic("%profile debug").unwrap();
    for _ in 0..2 {
        cells.fails(overflow, "Panic");
    }
    assert!(record(&cells).is_some_and(|debug| debug != release));
    cells.magic("%profile release").unwrap();
    assert_eq!(cells.ok(overflow), "0\n");
    said(&mut cells);
    // Crates are looked at for changes where they may have some.
    let folder = std::env::temp_dir().join(format!("forklore-compiling-{}", std::process::id()));
    write_crate(&folder, 1);
    cells.ok(&format!(":dep forklore_trial = {{ path = {folder:?} }}"));
    assert_eq!(
        cells.ok("println!(\"{} {kept:?}\", forklore_trial::answer());"),
        "1 [1, 2]\n"
    );
    assert!(record(&cells).is_none());
    write_crate(&folder, 2);
    assert_eq!(
        cells.ok("println!(\"{} {kept:?}\", forklore_trial::answer());"),
        "2 [1, 2]\n"
    );
    said(&mut cells);
    cells.finish();
    fs::remove_dir_all(&folder).unwrap();
}

/// Warnings and errors are shown once, with the cell's own lines.
fn said(cells: &mut Cells) {
    for _ in 0..2 {
        cells.ok("let one: u8 = 1;\nlet _two: u8 = { let unused = one; 2 };");
        let shown = cells.displayed();
        assert_eq!(shown.matches("unused variable").count(), 1, "{shown}");
        assert!(shown.contains("cell:2:22"), "{shown}");
        assert_eq!(cells.ok("let three: u8 = 3;"), "");
        assert_eq!(cells.displayed(), "");
        let error = cells.fails("let one: u8 = 1;\nno_such_function();", "CompileError");
        let text = error.traceback.join("\n");
        assert!(
            text.contains("no_such_function") && text.contains("cell:2:1"),
            "{text}"
        );
    }
}

fn write_crate(folder: &Path, answer: u8) {
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = "[package]\nname = \"forklore_trial\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let source = format!("pub fn answer() -> u8 {{ {answer} }}\n");
    fs::write(folder.join("src/lib.rs"), source).unwrap();
}
