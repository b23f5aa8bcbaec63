//! Runs cells without Jupyter: `cargo run -p forklore-kernel --example cells < FILE`, with a line
//! `---` between cells.
//!
//! Shows what each cell wrote, how it ended and how long it took. `!interrupt MS` as a cell's first
//! line interrupts it after that many milliseconds. `--bare` leaves the library out.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use forklore_kernel::command::role;
use forklore_kernel::protocol::Output;
use forklore_kernel::session::{Options, Session};

/// CPU time of this process, and of its children that have ended: says more than the clock on a
/// busy machine.
fn cpu() -> String {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let ms = |who| {
        getrusage(who).map_or(0, |usage| {
            (usage.user_time() + usage.system_time()).num_milliseconds()
        })
    };
    format!(
        "[CPU {} + {} ms]",
        ms(UsageWho::RUSAGE_SELF),
        ms(UsageWho::RUSAGE_CHILDREN)
    )
}

fn show(output: Output) {
    match output {
        Output::Stdout(bytes) => drop(std::io::stdout().write_all(&bytes)),
        Output::Stderr(bytes) => print!("\x1b[33m{}\x1b[0m", String::from_utf8_lossy(&bytes)),
        Output::Display(contents) => println!("{contents:?}"),
        Output::Waits(_) => {}
    }
}

fn main() -> anyhow::Result<()> {
    role::serve_if_asked();
    evcxr::runtime_hook();
    let started = Instant::now();
    let library = std::env::args().all(|argument| argument != "--bare");
    let (mut session, control) = Session::start(Options {
        library,
        ..Options::new(show)
    })?;
    println!(
        "== ready after {:.0?} {}, folder {}",
        started.elapsed(),
        cpu(),
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
        let result = session.run_cell(cell);
        println!(
            "== {:.0?} {} {}",
            started.elapsed(),
            cpu(),
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
