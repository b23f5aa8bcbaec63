//! Sessions on real cells: what must hold whatever a cell does.
//!
//! Each trial is one session, because to start one takes seconds. The test program serves as
//! supervisor and user process of its own sessions.

mod cells;
mod compiling;
mod memory;
mod random;
mod reading;
mod scripts;

use std::process::{Child, Command, Stdio};

use cells::{Cells, SYSTEM, is_alive, of_folder, supervisor_of, wait_until};
use forklore_kernel::command::role;
use forklore_kernel::protocol::Output;
use forklore_kernel::session::{Options, Session};
use forklore_kernel::sys::procs::{self, Pid};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    role::serve_if_asked();
    evcxr::runtime_hook();
    if std::env::var_os("SERVE_UNTIL_KILLED").is_some() {
        serve_until_killed();
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials: [(&str, fn()); 16] = [
        ("failed_cells_are_rolled_back", failed_cells_are_rolled_back),
        ("processes_that_cells_make", processes_that_cells_make),
        ("interrupts", interrupts),
        (
            "output_is_passed_on_as_it_was_written",
            output_is_passed_on_as_it_was_written,
        ),
        ("deaths_from_outside", deaths_from_outside),
        ("without_snapshots", without_snapshots),
        ("commands_of_evcxr", commands_of_evcxr),
        ("the_library_is_there", the_library_is_there),
        (
            "variables_between_cells",
            compiling::variables_between_cells,
        ),
        ("what_makes_cargo_run", compiling::what_makes_cargo_run),
        (
            "the_first_cells_wait_for_no_analysis",
            reading::the_first_cells_wait_for_no_analysis,
        ),
        (
            "completion_reads_what_there_is",
            reading::completion_reads_what_there_is,
        ),
        ("scripts_and_settings", scripts::scripts_and_settings),
        (
            "a_greedy_cell_is_rolled_back",
            memory::a_greedy_cell_is_rolled_back,
        ),
        ("random_cells", random::random_cells),
        (
            "a_killed_kernel_leaves_nothing",
            a_killed_kernel_leaves_nothing,
        ),
    ];
    let trials = trials.map(|(name, trial)| {
        Trial::test(name, move || {
            trial();
            Ok::<(), Failed>(())
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

fn failed_cells_are_rolled_back() {
    let mut cells = Cells::start();
    cells.ok("let kept = vec![1, 2, 3]; let mut changed = 1;");
    let check = |cells: &mut Cells| {
        assert_eq!(
            cells.ok("println!(\"{kept:?} {changed}\");"),
            "[1, 2, 3] 1\n"
        )
    };
    let deep =
        "fn deep(n: u64) -> u64 { let a = std::hint::black_box([n; 100]); deep(n + 1) + a[7] }
        changed = 2; println!(\"{}\", std::hint::black_box(deep)(0));";
    let failing = [
        (
            "changed = 2; let gone = kept; std::process::exit(3);",
            "Exit",
            "exit(3)",
        ),
        ("changed = 2; _exit(0);", "Exit", "exit(0)"),
        ("changed = 2; std::process::abort();", "Abort", "abort()"),
        (
            "changed = 2; unsafe { *(8 as *mut i32) = 1; }",
            "SegmentationFault",
            "null pointer",
        ),
        (
            "changed = 2; unsafe { std::arch::asm!(\"ud2\") }",
            "IllegalInstruction",
            "SIGILL",
        ),
        (deep, "StackOverflow", "stack"),
        (
            "changed = 2; let gone = kept; panic!(\"boom {changed}\");",
            "Panic",
            "boom 2",
        ),
        (
            "changed = 2; let number: i32 = \"q\".parse::<i32>()?;",
            "QuestionMark",
            "invalid digit found in string",
        ),
        ("changed = 2; raise(9);", "Killed", "SIGKILL"),
        (
            "changed = 2; raise(11);",
            "SegmentationFault",
            "not its own",
        ),
        (
            "changed = 2; std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 99]>());",
            "OutOfMemory",
            "99 bytes",
        ),
        (
            "changed = 2; struct P; impl Drop for P { fn drop(&mut self) { panic!(\"second\") } } let _p = P; panic!(\"first\");",
            "Abort",
            "panicking",
        ),
        (
            "changed = 2; let text: String = kept;",
            "CompileError",
            "mismatched types",
        ),
    ];
    for (code, ename, part) in failing {
        let error = cells.fails(code, ename);
        assert!(error.evalue.contains(part), "{code}: {}", error.evalue);
        check(&mut cells);
    }
    let error = cells.fails("let a = 1;\nlet b = [a; 2];\n\npanic!(\"here\");", "Panic");
    assert!(
        error.traceback.iter().any(|line| line.contains("cell:4")),
        "{:?}",
        error.traceback
    );
    assert_eq!(cells.stderr(), "", "it is shown once");
    let error = cells.fails("let a = 1;\n\nlet b: String = a;", "CompileError");
    assert!(
        error.traceback[0].contains("cell:3:17"),
        "{:?}",
        error.traceback
    );
    // What a cell catches is its own affair, and so is what it prints.
    let caught = "let caught = std::panic::catch_unwind(|| panic!(\"caught\")).is_err(); println!(\"{caught}\");";
    assert_eq!(cells.ok(caught), "true\n");
    assert_eq!(
        cells.ok("println!(\"EVCXR_PANIC_NOTIFICATION\");"),
        "EVCXR_PANIC_NOTIFICATION\n"
    );
    assert_eq!(
        cells.ok("println!(\"EVCXR_EXECUTION_COMPLETE\");"),
        "EVCXR_EXECUTION_COMPLETE\n"
    );
    check(&mut cells);
    cells.ok("drop(kept); changed += 1;");
    assert_eq!(cells.ok("println!(\"{changed}\");"), "2\n");
    cells.finish();
}

fn processes_that_cells_make() {
    let mut cells = Cells::start();
    cells.ok("let kept = 7; let pid = getpid();");
    // A child that falls out of the cell ends there, whatever it returns through.
    assert_eq!(
        cells
            .ok("if fork() != 0 { unsafe { wait(std::ptr::null_mut()); } println!(\"parent\"); };"),
        "parent\n"
    );
    cells
        .ok("if fork() == 0 { panic!(\"in the child\"); } unsafe { wait(std::ptr::null_mut()); };");
    assert!(
        !String::from_utf8_lossy(&cells.stdout()).contains("EVCXR"),
        "{:?}",
        cells.output
    );
    cells.ok("if fork() == 0 { std::process::exit(5); } unsafe { wait(std::ptr::null_mut()); };");
    // The snapshot is no child of the cell.
    assert_eq!(
        cells.ok("println!(\"{}\", unsafe { wait(std::ptr::null_mut()) });"),
        "-1\n"
    );
    // Nothing has been rolled back: it is still the same process.
    assert_eq!(
        cells.ok("println!(\"{kept} {}\", pid == getpid());"),
        "7 true\n"
    );
    // A process of an earlier cell outlives a rollback, one of the failed cell does not, also if it
    // hides.
    let spawn = |name: &str| {
        format!("let {name} = std::process::Command::new(\"sleep\").arg(\"600\").spawn()?.id();")
    };
    cells.ok(&spawn("earlier"));
    let earlier: Pid = cells.ok("println!(\"{earlier}\");").trim().parse().unwrap();
    let hiding = "if fork() == 0 { setsid(); if fork() == 0 { pause(); } _exit(0); } unsafe { wait(std::ptr::null_mut()); };";
    let code = format!(
        "{} println!(\"{{later}}\"); {hiding} panic!(\"now\");",
        spawn("later")
    );
    cells.fails(&code, "Panic");
    let later: Pid = String::from_utf8_lossy(&cells.stdout())
        .trim()
        .parse()
        .unwrap();
    assert!(is_alive(earlier) && !is_alive(later));
    let supervisor = procs::Stat::of(earlier).unwrap().parent;
    // The user process, its snapshot, and the earlier one.
    wait_until(|| procs::descendants(supervisor).len() == 3);
    // `kill(0, …)` means the cell's process group: not the supervisor, and not the snapshot.
    cells.fails("kill(0, 9);", "Killed");
    assert_eq!(cells.ok("println!(\"{kept}\");"), "7\n");
    pipes_of_earlier_cells(&mut cells);
    cells.finish();
    assert!(!is_alive(earlier));
}

/// A snapshot that held a pipe's end would keep the reader at the other one waiting.
fn pipes_of_earlier_cells(cells: &mut Cells) {
    cells.ok("use std::io::{Read, Write}; use std::process::{Command, Stdio};");
    let start =
        "let mut cat = Command::new(\"cat\").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut to = cat.stdin.take().unwrap(); let mut from = cat.stdout.take().unwrap();";
    let finish = "let mut said = String::new(); drop(to); from.read_to_string(&mut said)?; println!(\"{said:?}\");";
    cells.ok(start);
    cells.ok("to.write_all(b\"one \")?;");
    assert_eq!(cells.ok(finish), "\"one \"\n");
    // After a rollback they are still there,
    cells.ok(start);
    cells.ok("to.write_all(b\"one \")?;");
    cells.fails("to.write_all(b\"two \")?; std::process::abort();", "Abort");
    cells.fails("to.write_all(b\"three \")?; panic!(\"again\");", "Panic");
    assert_eq!(cells.ok(finish), "\"one two three \"\n");
    // except for what the failed cell itself has closed.
    cells.ok(start);
    cells.fails("drop(to); panic!(\"closed\");", "Panic");
    let after = "let broken = to.write_all(b\"x\").unwrap_err().kind(); println!(\"{broken:?}\");";
    assert_eq!(cells.ok(after), "BrokenPipe\n");
    cells.ok("drop((to, from));");
}

fn interrupts() {
    let mut cells = Cells::start();
    cells.ok("let kept = 7;");
    cells.control.interrupt();
    assert_eq!(
        cells.ok("println!(\"{kept}\");"),
        "7\n",
        "an interrupt when nothing runs does nothing"
    );
    let in_cells = [
        "println!(\"started\"); loop {}",
        "println!(\"started\"); std::thread::sleep(std::time::Duration::from_secs(600));",
        "if fork() == 0 { loop {} } println!(\"started\"); unsafe { wait(std::ptr::null_mut()); };",
        "let mut child = std::process::Command::new(\"sleep\").arg(\"600\").spawn()?; println!(\"started\"); child.wait()?;",
        "loop { println!(\"started\"); }",
    ];
    for code in in_cells {
        let error = cells.interrupted(code);
        assert!(
            error
                .traceback
                .last()
                .unwrap()
                .contains("All variables were restored"),
            "{error:?}"
        );
        assert_eq!(cells.ok("println!(\"{kept}\");"), "7\n");
    }
    // While the compiler works: as soon as one is seen.
    let control = cells.control.clone();
    let supervisor = supervisor_of(&mut cells);
    let interrupter = std::thread::spawn(move || {
        wait_until(|| {
            procs::children(std::process::id() as Pid)
                .iter()
                .any(|pid| *pid != supervisor)
        });
        control.interrupt();
    });
    let error = cells.fails("let never = 1;", "Interrupt");
    assert!(error.evalue.contains("compiled"), "{error:?}");
    interrupter.join().unwrap();
    cells.fails("never", "CompileError");
    assert_eq!(cells.ok("println!(\"{kept}\");"), "7\n");
    cells.finish();
}

fn output_is_passed_on_as_it_was_written() {
    let mut cells = Cells::start();
    cells.ok("use std::io::Write; ");
    assert_eq!(cells.ok("print!(\"no newline\");"), "no newline");
    cells.ok("unsafe { write(1, b\"\\xff\\xfe\\0\\r\\n\".as_ptr(), 5); };");
    assert_eq!(cells.stdout(), b"\xff\xfe\0\r\n");
    assert_eq!(cells.ok("print!(\"\\r 1 %\\r 2 %\");"), "\r 1 %\r 2 %");
    // At once, and not when the cell has ended.
    cells.interrupted("print!(\"started\"); std::io::stdout().flush()?; loop {}");
    cells.interrupted("unsafe { write(1, b\"startedEVCXR_\".as_ptr(), 13); } loop {}");
    assert_eq!(cells.stdout(), b"startedEVCXR_");
    cells.ok("for line in 0..200_000 { println!(\"{line}\"); };");
    let expected: String = (0..200_000).map(|line| format!("{line}\n")).collect();
    assert!(
        cells.stdout() == expected.as_bytes(),
        "200,000 lines arrive whole"
    );
    // In order, as far as two pipes have one: what was read from one comes before what is written
    // to the other later.
    let turns = "let read: fn(i32) = |fd| { let mut n = 1; while n > 0 { unsafe { ioctl(fd, 0x541B, &mut n); } } };
        for turn in 0..20 { print!(\"o{turn} \"); std::io::stdout().flush()?; read(1); eprint!(\"e{turn} \"); read(2); } let _ = read;";
    cells.ok(turns);
    let all: String = cells
        .output
        .lock()
        .unwrap()
        .iter()
        .map(|raw| match raw {
            Output::Stdout(bytes) | Output::Stderr(bytes) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            Output::Display(_) | Output::Waits(_) => String::new(),
        })
        .collect();
    let expected: String = (0..20).map(|turn| format!("o{turn} e{turn} ")).collect();
    assert_eq!(all, expected);
    assert_eq!(cells.ok("let mut line = String::new(); println!(\"{}\", std::io::stdin().read_line(&mut line)?);"), "0\n");
    cells.abandon();
}

fn deaths_from_outside() {
    let mut cells = Cells::start();
    cells.ok("let kept = 7;");
    let user: Pid = cells
        .ok("println!(\"{}\", getpid());")
        .trim()
        .parse()
        .unwrap();
    let supervisor = supervisor_of(&mut cells);
    procs::kill(user, libc::SIGKILL);
    wait_until(|| !is_alive(user));
    assert_eq!(
        cells.ok("println!(\"{kept}\");"),
        "7\n",
        "the user process was killed between two cells"
    );
    // Snapshots that are killed are replaced.
    let user: Pid = cells
        .ok("println!(\"{}\", getpid());")
        .trim()
        .parse()
        .unwrap();
    let snapshots: Vec<Pid> = procs::children(supervisor)
        .into_iter()
        .filter(|pid| *pid != user)
        .collect();
    for pid in snapshots {
        procs::kill(pid, libc::SIGKILL);
    }
    wait_until(|| procs::children(supervisor).len() == 2);
    cells.fails("panic!(\"now\");", "Panic");
    assert_eq!(cells.ok("println!(\"{kept}\");"), "7\n");
    // Without its supervisor everything ends, and the next cell has a new one.
    cells.ok("std::process::Command::new(\"setsid\").args([\"sleep\", \"600\"]).spawn()?;");
    wait_until(|| procs::descendants(supervisor).len() == 3);
    let all = procs::descendants(supervisor);
    procs::kill(supervisor, libc::SIGKILL);
    wait_until(|| !all.iter().any(|pid| is_alive(*pid)));
    let error = cells.fails("println!(\"{kept}\");", "Killed");
    assert!(error.evalue.contains("all variables are lost"), "{error:?}");
    assert_eq!(cells.ok("println!(\"again\");"), "again\n");
    cells.finish();
}

fn without_snapshots() {
    let mut cells = Cells::start();
    cells.ok("let kept = 7; let moved = vec![1];");
    assert!(cells.control.set_checkpoint("sometimes").is_err());
    cells.control.set_checkpoint("off").unwrap();
    let error = cells.fails("let gone = moved; panic!(\"now\");", "Panic");
    assert!(
        error.traceback.last().unwrap().contains("No snapshot"),
        "{error:?}"
    );
    assert_eq!(
        cells.ok("println!(\"{kept}\");"),
        "7\n",
        "evcxr keeps what the cell did not move"
    );
    let error = cells.fails("std::process::exit(1);", "Exit");
    assert!(
        error.traceback.last().unwrap().contains("lost"),
        "{error:?}"
    );
    cells.fails("kept", "CompileError");
    // A limit that is below what the process has in use.
    cells.control.set_checkpoint("auto:4096").unwrap();
    cells.ok("let kept = 8;");
    assert!(
        cells
            .fails("std::process::abort();", "Abort")
            .traceback
            .last()
            .unwrap()
            .contains("lost")
    );
    cells.control.set_checkpoint("on").unwrap();
    cells.ok("let kept = 9;");
    cells.fails("std::process::abort();", "Abort");
    assert_eq!(cells.ok("println!(\"{kept}\");"), "9\n");
    cells.finish();
}

fn commands_of_evcxr() {
    let mut cells = Cells::start();
    cells.ok("let kept = 7;");
    cells.ok(":vars");
    assert_eq!(cells.displayed(), "kept: i32\n");
    cells.fails(":nonsense", "CompileError");
    // Overflow checks and debug assertions would falsify timings.
    assert_eq!(cells.ok("println!(\"{} {}\", cfg!(debug_assertions), std::hint::black_box(255_u8) + std::hint::black_box(1));"), "false 0\n");
    let completions = cells.session.as_mut().unwrap().complete("ke", 2).unwrap();
    assert!(
        completions
            .candidates
            .iter()
            .any(|candidate| candidate.text == "kept"),
        "{completions:?}"
    );
    assert!(
        cells
            .session
            .as_ref()
            .unwrap()
            .variables()
            .contains(&("kept".to_owned(), "i32".to_owned()))
    );
    cells.ok(":restart");
    cells.fails("kept", "CompileError");
    cells.ok("let kept = 8;");
    cells.fails("panic!()", "Panic");
    assert_eq!(cells.ok("println!(\"{kept}\");"), "8\n");
    cells.finish();
}

fn the_library_is_there() {
    let mut cells = Cells::start_with(true);
    let code = "use forklore::*; let pool: Pool = Pool::with_workers(2)?;";
    cells.ok(code);
    cells.ok("fn square(x: u64) -> u64 { x * x } let squares: Vec<u64> = pool.map(square, 0..4);");
    cells.fails("panic!(\"now\");", "Panic");
    assert_eq!(cells.ok("println!(\"{squares:?}\");"), "[0, 1, 4, 9]\n");
    // The pool's workers have died with the process that made them: it starts new ones.
    assert_eq!(
        cells.ok("println!(\"{:?}\", pool.map(|x: u64| x + 1, 0..4));"),
        "[1, 2, 3, 4]\n"
    );
    assert_eq!(
        cells.ok("println!(\"{}\", std::env::var(\"FORKLORE_KERNEL\")?);"),
        "1\n"
    );
    pools_and_locks_after_a_rollback(&mut cells);
    cells.interrupted(
        "println!(\"started\"); pool.map(|x: u64| -> u64 { loop { std::hint::black_box(x); } }, 0..4_u64);",
    );
    cells.finish();
}

/// Shared memory is not rolled back, so what lies in it must survive the death of its user.
fn pools_and_locks_after_a_rollback(cells: &mut Cells) {
    cells.ok("let lock: Lock<u64> = Lock::new(5_u64)?; let queue: Queue<u64> = Queue::bounded(4)?; queue.send(9)?;");
    let failing = [
        ("let held = lock.lock()?; std::process::abort();", "Abort"),
        (
            "let held = lock.lock()?; panic!(\"holds the lock\");",
            "Panic",
        ),
        (
            "let all = pool.map(|x: u64| -> u64 { if x == 2 { std::process::exit(1) } x }, 0..4_u64);",
            "Panic",
        ),
    ];
    for (code, ename) in failing {
        cells.fails(code, ename);
        let after = "let n = { let mut held = lock.recover()?; *held += 1; *held }; let sum: u64 = pool.map(|x: u64| x + 1, 0..4_u64).iter().sum(); println!(\"{} {sum}\", n > 5);";
        assert_eq!(cells.ok(after), "true 10\n", "after {code}");
    }
    assert_eq!(cells.ok("println!(\"{}\", queue.recv()?);"), "9\n");
    // A worker that is refused its memory: the map says so, and what limited it.
    let limited = cells.magic("%limit memory 400M").unwrap();
    assert!(limited.contains("400 MiB"), "{limited}");
    let error = cells.fails("pool.map(|n: usize| vec![1_u8; n].iter().map(|x| *x as usize).sum::<usize>(), [1 << 10, 1 << 30]);", "Panic");
    assert!(
        error.evalue.contains("1 GiB") && error.evalue.contains("`%limit memory 400 MiB`"),
        "{error:?}"
    );
    assert_eq!(
        cells.ok("println!(\"{:?}\", pool.map(|x: u64| x + 1, 0..2));"),
        "[1, 2]\n"
    );
    cells.magic("%limit off").unwrap();
}

/// Serves as the kernel that is killed: runs a cell that makes processes and never ends.
fn serve_until_killed() -> ! {
    let (mut session, _control) = Session::start(Options {
        library: false,
        ..Options::new(|raw| {
            if let Output::Stdout(bytes) = raw {
                print!("{}", String::from_utf8_lossy(&bytes));
            }
        })
    })
    .unwrap();
    println!("folder {}", session.folder().display());
    let result = session.run_cell(&format!(
        "{SYSTEM} std::process::Command::new(\"setsid\").args([\"sleep\", \"600\"]).spawn()?;
        if fork() == 0 {{ setsid(); pause(); }} println!(\"started\"); loop {{ pause(); }}"
    ));
    panic!("the cell has ended: {result:?}");
}

fn start_kernel() -> (Child, std::path::PathBuf) {
    use std::io::BufRead;
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .env("SERVE_UNTIL_KILLED", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines.next().unwrap().unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "started");
    (child, folder.strip_prefix("folder ").unwrap().into())
}

fn a_killed_kernel_leaves_nothing() {
    for signal in [libc::SIGKILL, libc::SIGTERM] {
        let (mut kernel, folder) = start_kernel();
        assert!(
            of_folder(&folder).len() >= 5,
            "supervisor, user process, snapshot and two that hide"
        );
        procs::kill(kernel.id() as Pid, signal);
        kernel.wait().unwrap();
        wait_until(|| of_folder(&folder).is_empty() && !folder.exists());
    }
    // Kernel and supervisor at once: the user process dies with the latter.
    let (mut kernel, folder) = start_kernel();
    let supervisor = procs::children(kernel.id() as Pid)[0];
    let direct = procs::children(supervisor);
    procs::kill(supervisor, libc::SIGSTOP);
    procs::kill(kernel.id() as Pid, libc::SIGKILL);
    procs::kill(supervisor, libc::SIGKILL);
    kernel.wait().unwrap();
    wait_until(|| !direct.iter().any(|pid| is_alive(*pid)));
    for left in of_folder(&folder) {
        // No guard was left to end these: what a cell has put out of reach on purpose, with both
        // guards killed.
        procs::kill(left, libc::SIGKILL);
    }
    std::fs::remove_dir_all(folder).unwrap();
}
