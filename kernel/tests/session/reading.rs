//! A session starts before rust-analyzer has read anything: a user must not notice.

use super::cells::Cells;

/// Whether rust-analyzer sees the cells only.
fn has_unread(cells: &Cells) -> bool {
    cells.session.as_ref().unwrap().has_unread()
}

fn type_of(cells: &Cells, variable: &str) -> String {
    let variables = cells.session.as_ref().unwrap().variables();
    let found = variables.into_iter().find(|(name, _)| name == variable);
    found.map(|(_, its_type)| its_type).unwrap_or_default()
}

pub fn the_first_cells_wait_for_no_analysis() {
    let mut cells = Cells::start_with(true);
    for (code, expected) in [
        ("println!(\"{}\", 1 + 1);", "2\n"),
        (
            "use forklore::*;\nlet pool: Pool = Pool::with_workers(1)?;\nprintln!(\"{:?}\", pool.map(|x: u64| x + 1, 0..3));",
            "[1, 2, 3]\n",
        ),
        (
            "let power: Box<dyn Fn(u32) -> u32> = Box::new(|x| x * x); println!(\"{}\", power(3));",
            "9\n",
        ),
        (
            "#[derive(Debug, Clone)] struct P { x: u8 }\nlet points: Vec<P> = (0..2).map(|x| P { x }).collect();\nfor p in &points { println!(\"{p:?}\"); }",
            "P { x: 0 }\nP { x: 1 }\n",
        ),
        (
            "trait Named { type Name; fn name(&self) -> Self::Name; }\nimpl Named for P { type Name = String; fn name(&self) -> String { format!(\"p{}\", self.x) } }\nlet name: String = points[1].name();",
            "",
        ),
        (
            "async fn later(x: u8) -> u8 { x }\nlet maybe: Option<u8> = name.strip_prefix('p').map(|x| x.parse::<u8>()).transpose()?;\nprintln!(\"{maybe:?}\");",
            "Some(1)\n",
        ),
        (
            "let _ = &pool; match maybe { Some(x) if x > 0 => println!(\"{x}\"), _ => {} }",
            "1\n",
        ),
    ] {
        assert_eq!(cells.ok(code), expected, "{code}");
        assert!(has_unread(&cells), "{code}");
    }
    for (code, ename) in [
        ("let wrong: u8 = \"text\";", "CompileError"),
        ("let wrong: Unknown = 1;", "CompileError"),
        ("let gone: u8 = [1u8][maybe.unwrap() as usize];", "Panic"),
    ] {
        cells.fails(code, ename);
        assert!(has_unread(&cells), "{code}");
    }
    assert_eq!(type_of(&cells, "points"), "Vec<P>");
    // A first type that the cell does not say, and which only the library knows.
    assert_eq!(
        cells.ok(
            "let second = points[1].clone(); let sums = pool.map(|x: u64| x as f64, 0..2); println!(\"{sums:?}\");"
        ),
        "[0.0, 1.0]\n"
    );
    assert!(!has_unread(&cells));
    assert_eq!(type_of(&cells, "second"), "P");
    assert_eq!(type_of(&cells, "sums"), "Vec<f64>");
    assert_eq!(
        cells.ok("println!(\"{second:?} {sums:?} {name}\");"),
        "P { x: 1 } [0.0, 1.0] p1\n"
    );
}

pub fn completion_reads_what_there_is() {
    let mut cells = Cells::start_with(true);
    cells.ok("let text: String = String::new();");
    let session = cells.session.as_mut().unwrap();
    let found = session.complete("text.is_em", 10).unwrap();
    let texts: Vec<&str> = found.candidates.iter().map(|c| c.text.as_str()).collect();
    assert!(
        texts.iter().any(|text| text.starts_with("is_empty")),
        "{texts:?}"
    );
    assert!(!has_unread(&cells));
    // What cargo was asked for the cells before holds.
    assert_eq!(cells.ok("println!(\"{text:?}\");"), "\"\"\n");
}
