use std::collections::HashMap;

use serde_json::json;

use super::message::without_colors;
use super::*;

/// A cell with `code`, in a file like the one that evcxr generates.
struct Compiled {
    code: &'static str,
    written: &'static str,
    earlier: Vec<String>,
    numbers: Vec<u32>,
    gone: HashMap<String, usize>,
    generated: String,
}

impl Compiled {
    fn new(code: &'static str, generated: &str) -> Compiled {
        Compiled {
            code,
            written: code,
            earlier: Vec::new(),
            numbers: Vec::new(),
            gone: HashMap::new(),
            generated: generated.to_owned(),
        }
    }

    fn cells(&self) -> Cells<'_> {
        Cells {
            code: self.code,
            written: self.written,
            earlier: &self.earlier,
            numbers: &self.numbers,
            gone: &self.gone,
        }
    }

    /// A position as rustc reports it: of `wanted` in the line with this number.
    fn span(&self, line: usize, wanted: &str, label: Option<&str>, is_primary: bool) -> Value {
        let text = self.generated.lines().nth(line - 1).unwrap();
        let start = text.find(wanted).unwrap() + 1;
        json!({
            "file_name": "src/lib.rs", "line_start": line, "line_end": line, "is_primary": is_primary,
            "column_start": start, "column_end": start + wanted.len(), "label": label,
            "byte_start": line * 1000 + start, "byte_end": line * 1000 + start + wanted.len(),
            "text": [{"text": text}], "expansion": null, "suggested_replacement": null,
        })
    }

    /// The traceback, without colours.
    fn fails(&self, said: &[Value]) -> CellError {
        let mut error = compile_error(&[], said, self.cells(), self.generated.clone(), true);
        for text in &mut error.traceback {
            *text = without_colors(text);
        }
        error
    }
}

fn error(message: &str, code: Option<&str>, spans: &[Value], children: &[Value]) -> Value {
    let code = code.map(|code| json!({"code": code}));
    json!({"level": "error", "message": message, "code": code, "spans": spans, "children": children})
}

fn child(level: &str, message: &str, spans: &[Value]) -> Value {
    json!({"level": level, "message": message, "spans": spans, "children": []})
}

#[test]
fn the_course_s_former_place_leads_to_its_crate() {
    let cell = Compiled::new(
        "use forklore::lesson::predict;",
        "fn run() {\nuse forklore::lesson::predict;\n}\n",
    );
    let label = Some("could not find `lesson` in `forklore`");
    let spans = [cell.span(2, "lesson", label, true)];
    let title = "unresolved import `forklore::lesson`";
    let failed = cell.fails(&[error(title, Some("E0432"), &spans, &[])]);
    let text = failed.traceback.join("\n");
    assert!(text.contains("write `use forklore_course::*;`"), "{text}");
}

/// evcxr gives items to rustc in any order, and a static's name for the loader is at the end of the
/// line before it.
#[test]
fn a_static_behind_an_item_hides_no_place() {
    let item = "fn f() -> u8 { nope } #[unsafe(export_name = \"forklore.static.9.0\")] \n";
    let generated = format!("{item}static LAZY: u8 = 1;\nfn run() {{\n}}\n");
    let title = "cannot find value `nope` in this scope";
    for earlier in [false, true] {
        let code = if earlier {
            "let a = f();"
        } else {
            "let a = 1;\nfn f() -> u8 { nope }"
        };
        let mut cell = Compiled::new(code, &generated);
        cell.earlier = vec!["fn f() -> u8 { nope }".to_owned()];
        let spans = [cell.span(1, "nope", None, true)];
        let text = cell
            .fails(&[error(title, Some("E0425"), &spans, &[])])
            .traceback
            .concat();
        let place = if earlier {
            "an earlier cell:1:16"
        } else {
            "cell:2:16"
        };
        assert!(text.contains(place), "{text}");
    }
}

#[test]
fn an_error_has_the_cell_s_lines_columns_and_suggestions() {
    let cell = Compiled::new(
        "let a = 1; let b: String = a;",
        "fn run() {\nlet a = 1; \nlet b: String = a;\nput(b);\n}\n",
    );
    let mut suggestion = cell.span(3, "a;", None, true);
    suggestion["column_start"] = suggestion["column_end"].clone();
    suggestion["column_start"] = (suggestion["column_end"].as_u64().unwrap() - 1).into();
    suggestion["column_end"] = suggestion["column_start"].clone();
    suggestion["suggested_replacement"] = ".to_string()".into();
    let spans = [
        cell.span(3, "a;", Some("expected `String`"), true),
        cell.span(4, "put", Some("generated"), false),
    ];
    let children = [
        child("help", "try a method", &[suggestion]),
        child(
            "note",
            "in generated code",
            &[cell.span(1, "run", None, true)],
        ),
    ];
    let failed = cell.fails(&[error("mismatched types", Some("E0308"), &spans, &children)]);
    assert_eq!(failed.evalue, "mismatched types [E0308]");
    let text = failed.traceback.concat();
    assert!(
        text.starts_with("error[E0308]: mismatched types\n --> cell:1:28\n"),
        "{text}"
    );
    assert!(
        text.contains("1 | let a = 1; let b: String = a.to_string();"),
        "{text}"
    );
    assert!(!text.contains("generated"), "{text}");
}

#[test]
fn equal_statements_are_told_apart_by_their_order() {
    let cell = Compiled::new(
        "f(x);\nlet only = 1;\nf(x);",
        "fn run() {\nf(x);\nlet only = 1;\nf(x);\n}\n",
    );
    for (line, place) in [(2, "cell:1:1"), (4, "cell:3:1")] {
        let failed = cell.fails(&[error("no", None, &[cell.span(line, "f", None, true)], &[])]);
        assert!(
            failed.traceback[0].contains(place),
            "{:?}",
            failed.traceback
        );
    }
}

#[test]
fn lines_with_magics_are_shown_as_they_were_written() {
    let mut cell = Compiled::new(
        "let a = 1;\nlet b = _t!(nope(a));",
        "let a = 1;\nlet b = _t!(nope(a));\n",
    );
    cell.written = "let a = 1;\n%time let b = nope(a);";
    let failed = cell.fails(&[error(
        "not found",
        None,
        &[cell.span(2, "nope", None, true)],
        &[],
    )]);
    let text = &failed.traceback[0];
    assert!(text.contains("2 | %time let b = nope(a);"), "{text}");
}

#[test]
fn an_import_is_found_where_the_cell_has_it() {
    let cell = Compiled::new(
        "use std::{fmt::Nope, io as other};",
        "use std::fmt::Nope;\nuse std::io as other;\nfn run() {}\n",
    );
    for (line, wanted, place) in [
        (1, "std::fmt::Nope", "cell:1:16"),
        (1, "std", "cell:1:5"),
        (2, "io", "cell:1:22"),
    ] {
        let failed = cell.fails(&[error(
            "no",
            None,
            &[cell.span(line, wanted, None, true)],
            &[],
        )]);
        assert!(
            failed.traceback[0].contains(place),
            "{wanted}: {:?}",
            failed.traceback
        );
    }
}

#[test]
fn what_rustc_finds_behind_the_cell_is_its_end() {
    let cell = Compiled::new("1 +", "fn run() {\n(\n1 +\n).evcxr_display();\n}\n");
    let spans = [cell.span(4, ")", Some("expected expression"), true)];
    let failed = cell.fails(&[error("expected expression, found `)`", None, &spans, &[])]);
    assert_eq!(
        failed.evalue,
        "expected expression, found the end of the cell"
    );
    assert!(
        failed.traceback[0].contains("cell:1:4"),
        "{:?}",
        failed.traceback
    );
}

#[test]
fn an_error_in_an_item_of_an_earlier_cell_is_placed_there() {
    let mut cell = Compiled::new(
        "struct A { x: u8 }",
        "fn f() -> A {\n    A {}\n}\nstruct A { x: u8 }\n",
    );
    cell.earlier = vec!["fn f() -> A {\n    A {}\n}".to_owned()];
    let failed = cell.fails(&[error(
        "missing field",
        None,
        &[cell.span(2, "A", None, true)],
        &[],
    )]);
    assert!(
        failed.traceback[0].contains("--> an earlier cell:2:5"),
        "{:?}",
        failed.traceback
    );
}

#[test]
fn a_variable_of_an_earlier_cell_is_shown_where_it_is_defined() {
    let load = "let text = evcxr_variable_store.take_variable::<String>(stringify!(text));";
    let generated = format!("fn run() {{\n{load}\ndrop(text);\ntext.len();\n}}\n");
    let mut cell = Compiled::new("drop(text);\ntext.len();", &generated);
    cell.earlier = vec!["let text = String::new();".to_owned(), "1".to_owned()];
    cell.numbers = vec![3, 7];
    let because = "move occurs because `text` has type `String`";
    let spans = [
        cell.span(4, "text", Some("value borrowed here after move"), true),
        cell.span(3, "text", Some("value moved here"), false),
        cell.span(2, "text", Some(because), false),
    ];
    let title = "borrow of moved value: `text`";
    let text = cell
        .fails(&[error(title, Some("E0382"), &spans, &[])])
        .traceback
        .concat();
    let text = without_colors(&text);
    for part in [
        "cell:2:1",
        "cell [3]:1:5",
        "1 | let text = String::new();",
        because,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn an_error_s_number_leads_to_its_explanation() {
    let cell = Compiled::new("nope", "fn run() {\nnope\n}\n");
    let spans = [cell.span(2, "nope", None, true)];
    let failed = |code| cell.fails(&[error("wrong", code, &spans, &[])]).traceback;
    let numbered = failed(Some("E0425"));
    let last = numbered.last().unwrap();
    assert!(last.contains("`%explain E0425`"), "{last}");
    assert!(
        last.contains("https://doc.rust-lang.org/error_codes/E0425.html"),
        "{last}"
    );
    assert!(!failed(None).concat().contains("explain"));
}

#[test]
fn a_moved_variable_is_shown_where_it_was_moved() {
    let mut cell = Compiled::new("x.len()", "fn run() {\n(\nx.len()\n).evcxr_display();\n}\n");
    cell.earlier = vec!["let x = 1;".to_owned(), "drop(x);".to_owned()];
    cell.numbers = vec![3, 7];
    cell.gone.insert("x".to_owned(), 1);
    let spans = [cell.span(3, "x", Some("not found in this scope"), true)];
    let message = "cannot find value `x` in this scope";
    let failed = cell.fails(&[error(message, Some("E0425"), &spans, &[])]);
    assert!(
        failed.traceback[0].contains("`x` was moved by cell [7]"),
        "{:?}",
        failed.traceback
    );
    assert!(
        failed.traceback[0].contains("cell [7]:1:6"),
        "{:?}",
        failed.traceback
    );
}

#[test]
fn warnings_about_the_cell_are_told_from_those_about_others() {
    let mut cell = Compiled::new(
        "let x = 1;\nf(x);",
        "fn earlier(x: u8) {}\nmacro_rules! unused { () => {} }\nlet x = 1;\nf(x);\n",
    );
    cell.earlier = vec!["fn earlier(x: u8) {}\n".to_owned()];
    let warning = |line: usize, wanted: &str, lint: &str| {
        let mut json = error(
            "unused",
            Some(lint),
            &[cell.span(line, wanted, None, true)],
            &[],
        );
        json["level"] = "warning".into();
        json
    };
    let said = [
        warning(1, "x", "unused_variables"),
        warning(2, "unused", "unused_macros"),
        warning(4, "f(x)", "unused_must_use"),
        warning(4, "f(x)", "unused_must_use"),
        json!({"level": "warning", "message": "1 warning emitted", "spans": []}),
    ];
    let shown = warnings(&said, cell.cells(), || cell.generated.clone());
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(without_colors(&shown[0]).contains("cell:2:1"), "{shown:?}");
}

#[test]
fn a_type_gets_the_paths_that_rustc_would_import() {
    let line =
        "evcxr_variable_store.put_variable::<Result<u8, Box<dyn Error>>>(stringify!(got), got);";
    let cell = Compiled::new(
        "let got = boxed();",
        &format!("fn run() {{\nlet got = boxed();\n{line}\n}}\n"),
    );
    let mut import = cell.span(1, "fn", None, true);
    import["suggested_replacement"] = "use std::error::Error;\n".into();
    let said = [error(
        "cannot find trait `Error` in this scope",
        Some("E0405"),
        &[cell.span(3, "Error", None, true)],
        &[child("help", "consider importing this trait", &[import])],
    )];
    let typed = with_types(&said, cell.cells(), cell.generated.clone());
    assert_eq!(
        typed.as_deref(),
        Some("let got: Result<u8, Box<dyn std::error::Error>> = boxed();")
    );
}

#[test]
fn a_crate_s_file_has_no_folders_of_this_machine() {
    for (path, shown) in [
        (
            "/root/.cargo/registry/src/index-1/itertools-0.14.0/src/lib.rs",
            "itertools-0.14.0/src/lib.rs",
        ),
        (
            "/x/lib/rustlib/src/rust/library/core/src/option.rs",
            "core/src/option.rs",
        ),
        (
            "/rustc/hash/library/alloc/src/slice.rs",
            "alloc/src/slice.rs",
        ),
        (
            "/root/.cache/forklore/library-1/src/pool/mod.rs",
            "forklore/src/pool/mod.rs",
        ),
        (
            "/root/.cache/forklore/library-1/lessons/src/judges/mod.rs",
            "forklore-course/src/judges/mod.rs",
        ),
        ("mine/src/lib.rs", "mine/src/lib.rs"),
    ] {
        assert_eq!(words::crate_file(path), shown);
    }
}

#[test]
fn a_main_that_no_program_may_have_is_an_error() {
    for (code, called, place) in [
        ("fn f() {}\nfn main<T>() {}", "[E0131]", "cell:2:8"),
        ("fn main() where (): Copy {}", "[E0646]", "cell:1:11"),
        ("fn main(x: i32) {}", "[E0580]", "cell:1:8"),
    ] {
        let failed = wrong_main(Compiled::new(code, "").cells()).unwrap();
        assert!(failed.evalue.ends_with(called), "{}", failed.evalue);
        let text = without_colors(&failed.traceback[0]);
        assert!(text.contains(place), "{text}");
    }
    for code in [
        "fn main() {}",
        "mod a { fn main<T>() {} }",
        "fn main<T>() {} let x = 1;",
    ] {
        assert!(
            wrong_main(Compiled::new(code, "").cells()).is_none(),
            "{code}"
        );
    }
}
