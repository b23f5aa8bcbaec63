//! The library without its default features, used by a separate program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{tests, text};

tests![
    without_auto_init_a_program_calls_init,
    the_prelude_leaves_other_names_alone
];

/// Each is a program. The third one must only compile.
const PROGRAMS: [(&str, &str); 3] = [
    (
        "calls-init",
        r#"
use forklore::prelude::*;

fn main() {
    forklore::init();
    println!("main");
    for method in [StartMethod::Spawn, StartMethod::Forkserver] {
        let pool = Pool::builder().workers(2).start_method(method).build().unwrap();
        println!("{:?}", pool.map(|x: u64| x * x, 0..3));
    }
}
"#,
    ),
    (
        "forgets-init",
        r#"
use forklore::prelude::*;

fn main() {
    let built = |method| Pool::builder().workers(1).start_method(method).build();
    assert!(built(StartMethod::Fork).is_ok());
    println!("{}", built(StartMethod::Spawn).unwrap_err());
}
"#,
    ),
    (
        "has-names-of-its-own",
        r#"
use forklore::*;
use forklore::prelude::*;

// A notebook's way to show values is in no other program's way, and `Result` has two parameters.
trait Shown { fn evcxr_display(&self) -> u32 { 7 } }
impl<T: std::fmt::Debug> Shown for T {}

fn parse(text: &str) -> std::result::Result<u32, std::num::ParseIntError> { text.parse() }

fn main() {
    assert_eq!(parse("1").evcxr_display(), 7);
}
"#,
    ),
];

/// Compiles the programs, in a separate workspace: in this one, the tests enable all features.
fn built() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("without-features");
    let root = env!("CARGO_MANIFEST_DIR");
    let programs = folder.join("src/bin");
    fs::create_dir_all(&programs).unwrap();
    let manifest = format!(
        "[workspace]\n[package]\nname = \"without-features\"\nedition = \"2024\"\n\
         [dependencies]\nforklore = {{ path = {root:?}, default-features = false }}\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(
        Path::new(root).join("Cargo.lock"),
        folder.join("Cargo.lock"),
    )
    .unwrap();
    for (name, source) in PROGRAMS {
        fs::write(programs.join(name).with_extension("rs"), source).unwrap();
    }
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--target-dir", "target"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    folder.join("target/debug")
}

fn without_auto_init_a_program_calls_init() {
    let programs = built();
    let run = |name: &str| Command::new(programs.join(name)).output().unwrap();
    let calls = run("calls-init");
    assert_eq!(text(&calls), "main\n[0, 1, 4]\n[0, 1, 4]\n");
    let forgets = text(&run("forgets-init"));
    assert!(
        forgets.contains("has to begin with `forklore::init()`"),
        "{forgets}"
    );
    assert!(forgets.contains("has one thread"), "{forgets}");
}

fn the_prelude_leaves_other_names_alone() {
    let output = Command::new(built().join("has-names-of-its-own"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
