//! Runs cells without Jupyter: `cargo run -p forklore-kernel --example cells < FILE`, with a line `---` between cells.
//!
//! Shows what each cell wrote, how it ended and how long it took. `!interrupt MS` as a cell's first line interrupts
//! it after so many milliseconds.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use forklore_kernel::session::{Options, Raw, Session};
use forklore_kernel::supervisor;

fn main() -> anyhow::Result<()> {
    supervisor::run_if_asked();
    evcxr::runtime_hook();
    let started = Instant::now();
    let (mut session, control) = Session::start(Options::new(|raw| match raw {
        Raw::Stdout(bytes) => drop(std::io::stdout().write_all(&bytes)),
        Raw::Stderr(bytes) => print!("\x1b[33m{}\x1b[0m", String::from_utf8_lossy(&bytes)),
    }))?;
    println!(
        "== ready after {:.0?}, folder {}",
        started.elapsed(),
        session.folder().display()
    );
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    for cell in text.split("\n---\n") {
        let first = cell.lines().next().unwrap_or_default();
        println!("== {first}");
        let mut cell = cell;
        if let Some(delay) = first.strip_prefix("!interrupt ") {
            cell = &cell[first.len()..];
            let (control, delay) = (control.clone(), Duration::from_millis(delay.parse()?));
            std::thread::spawn(move || {
                std::thread::sleep(delay);
                control.interrupt();
            });
        }
        let started = Instant::now();
        let result = session.execute(cell);
        println!(
            "== {:.1?} {}",
            started.elapsed(),
            if result.is_ok() { "ok" } else { "error" }
        );
        if let Err(error) = result {
            println!(
                "{}: {}\n{}",
                error.ename,
                error.evalue,
                error.traceback.join("\n")
            );
        }
    }
    let started = Instant::now();
    control.shutdown();
    println!("== shut down in {:.0?}", started.elapsed());
    Ok(())
}
