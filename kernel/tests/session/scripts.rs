//! Cells in other languages, and the settings that a session keeps.

use forklore_kernel::protocol::Output;
use forklore_kernel::sys::procs;

use crate::cells::{Cells, is_alive, supervisor_of, wait_until};

pub fn scripts_and_settings() {
    let mut cells = Cells::start();
    cells.ok("let kept = 7;");
    scripts(&mut cells);
    interrupts(&mut cells);
    settings(&mut cells);
    cells.finish();
}

fn scripts(cells: &mut Cells) {
    let supervisor = supervisor_of(cells);
    assert_eq!(
        cells
            .magic("%%bash\necho a; echo b >&2; read x; echo \"$?\"")
            .unwrap(),
        "a\n1\n"
    );
    assert_eq!(cells.stderr(), "b\n");
    // Its words reach it whole, however many there are.
    let long = "x".repeat(100_000);
    let cell = format!("%%bash --rcfile {long}\necho whole");
    assert_eq!(cells.magic(&cell).unwrap(), "whole\n");
    // A script is where the cells are: in their folder, with their environment.
    cells.ok("std::env::set_current_dir(std::env::temp_dir())?;");
    cells.magic("%env FORKLORE_TRIAL=it's there").unwrap();
    let here = cells
        .magic("%%bash\necho \"$FORKLORE_TRIAL\"; pwd")
        .unwrap();
    let expected = std::env::temp_dir().canonicalize().unwrap();
    assert_eq!(here, format!("it's there\n{}\n", expected.display()));
    assert_eq!(cells.magic("%env FORKLORE_TRIAL").unwrap(), "it's there\n");
    // A status other than 0 is an error; nothing was rolled back for it.
    let user = cells.ok("println!(\"{}\", getpid());");
    let error = cells.magic("%%bash\necho out; exit 3").unwrap_err();
    assert_eq!(
        (error.ename.as_str(), &*error.evalue),
        ("ScriptError", "the script ended with status 3")
    );
    assert_eq!(cells.stdout(), b"out\n");
    assert_eq!(cells.ok("println!(\"{}\", getpid());"), user);
    // What it leaves behind ends with it, also if it hides.
    cells
        .magic("%%bash\nsleep 600 & setsid sleep 600 & (setsid sleep 600 &) ; echo started")
        .unwrap();
    assert!(
        cells.stderr().contains("still running"),
        "{}",
        cells.stderr()
    );
    wait_until(|| procs::descendants(supervisor).len() == 2);
    let python = "%%python\nimport multiprocessing, os\ndef f(x): return x * x\nif __name__ == '__main__':\n    with multiprocessing.Pool(2) as pool: print(pool.map(f, range(4)))";
    assert_eq!(cells.magic(python).unwrap(), "[0, 1, 4, 9]\n");
    let error = cells.magic("%%python\n1 / 0").unwrap_err();
    assert_eq!(error.ename, "ScriptError");
    assert!(cells.stderr().contains("ZeroDivisionError"));
}

fn interrupts(cells: &mut Cells) {
    let user: i32 = cells
        .ok("println!(\"{}\", getpid());")
        .trim()
        .parse()
        .unwrap();
    for script in [
        "%%bash\necho started; sleep 600",
        "%%bash\ntrap '' INT TERM; echo started; while true; do :; done",
        "%%python\nimport time; print('started'); time.sleep(600)",
    ] {
        cells.interrupted(script);
        assert_eq!(cells.ok("println!(\"{kept}\");"), "7\n");
        assert!(
            is_alive(user),
            "a script costs nothing that has to be rolled back"
        );
    }
    // A dependency whose compilation does not end.
    let folder = std::env::temp_dir().join(format!("forklore-endless-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "Cargo.toml",
        "[package]\nname = \"endless\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    write("src/lib.rs", "");
    let mark = folder.join("started");
    let build = format!(
        "fn main() {{ std::fs::write({mark:?}, \"\").unwrap(); loop {{ std::thread::park(); }} }}"
    );
    write("build.rs", &build);
    let dependency = format!(":dep endless = {{ path = {folder:?} }}\nlet never = 1;");
    let error = cells.interrupted_when(&dependency, move |_: &[Output]| mark.exists());
    assert!(error.evalue.contains("compiled"), "{error:?}");
    assert_eq!(cells.ok("println!(\"{kept}\");"), "7\n");
    std::fs::remove_dir_all(folder).unwrap();
}

fn settings(cells: &mut Cells) {
    let wraps = "println!(\"{}\", std::hint::black_box(255_u8) + std::hint::black_box(1));";
    assert!(cells.magic("%profile debug").unwrap().starts_with("debug"));
    let error = cells.fails(wraps, "Panic");
    assert!(error.evalue.contains("overflow"), "{error:?}");
    assert!(
        cells
            .magic("%profile release")
            .unwrap()
            .starts_with("release")
    );
    assert_eq!(cells.ok(wraps), "0\n");
    let status = cells.magic("%checkpoint").unwrap();
    assert!(
        status.starts_with("auto")
            && status.contains("256 MiB")
            && status.contains("can be rolled back"),
        "{status}"
    );
    cells.magic("%checkpoint off").unwrap();
    assert!(
        cells
            .magic("%checkpoint status")
            .unwrap()
            .contains("cannot be rolled back")
    );
    assert_eq!(cells.magic("%who").unwrap(), "kept  i32\n");
    assert_eq!(cells.magic("%reset").unwrap(), "");
    assert_eq!(cells.magic("%who").unwrap(), "no variables\n");
    cells.fails("kept", "CompileError");
    cells.ok("let kept = 8;");
    // Settings outlive the processes.
    assert!(cells.magic("%checkpoint").unwrap().starts_with("off"));
    cells.magic("%checkpoint on").unwrap();
    cells.ok("let kept = 9;");
    cells.fails("std::process::abort();", "Abort");
    assert_eq!(cells.ok("println!(\"{kept}\");"), "9\n");
}
