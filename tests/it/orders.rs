//! A process becomes a worker only if a pool has started it as one.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use forklore::{Pool, StartMethod};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Scene, play, scene, tests, text};

tests![
    a_variable_alone_does_nothing,
    a_socket_without_a_letter_is_not_read,
    a_program_with_more_rights_than_its_user_takes_no_orders,
    init_returns_where_there_is_no_order,
    a_fresh_worker_whose_owner_is_gone_does_not_run_main,
];

pub const SCENES: &[Scene] = &[
    ("order_or_main", order_or_main),
    ("init_and_main", init_and_main),
    ("reads_its_input", reads_its_input),
    ("spawns_with_more_rights", spawns_with_more_rights),
    ("owners_are_gone_at_once", owners_are_gone_at_once),
];

const VARIABLE: &str = "FORKLORE_WORKER";

fn order_or_main() {
    println!("this is main");
}

/// The variable with which a worker was started, from its initial environment.
fn variable_of_a_worker() -> String {
    let pool = crate::starts::pool(StartMethod::Spawn, 1);
    // By then it has begun, and the environment is its own.
    pool.broadcast(|| ());
    let environment = fs::read(format!("/proc/{}/environ", pool.pids()[0])).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let of_pool = environment.split('\0').find_map(|line| {
        let value = line.strip_prefix(VARIABLE)?;
        value.strip_prefix('=')
    });
    of_pool.unwrap().to_owned()
}

fn a_variable_alone_does_nothing() {
    let of_a_worker = variable_of_a_worker();
    let zeros = "0".repeat(32);
    for value in [
        of_a_worker.as_str(),
        "",
        "1 2 3",
        "-1 00",
        &format!("0 {zeros}"),
        &format!("2 {zeros}"),
    ] {
        let output = scene("order_or_main")
            .env(VARIABLE, value)
            .output()
            .unwrap();
        assert!(
            output.status.success() && text(&output) == "this is main\n",
            "{value:?}: {}, {}",
            output.status,
            text(&output)
        );
    }
}

fn reads_its_input() {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).unwrap();
    println!("{} bytes", input.len());
}

/// A server that is started for a connection has a socket as its input (inetd, systemd), which
/// belongs to no pool.
fn a_socket_without_a_letter_is_not_read() {
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(&[7; 1000]).unwrap();
    drop(here);
    let output = scene("reads_its_input")
        .env(VARIABLE, format!("0 {}", "0".repeat(32)))
        .stdin(OwnedFd::from(there))
        .output()
        .unwrap();
    assert_eq!(text(&output), "1000 bytes\n");
}

fn spawns_with_more_rights() {
    let built = Pool::builder()
        .workers(1)
        .start_method(StartMethod::Spawn)
        .build();
    println!("{}", built.unwrap_err());
}

fn a_program_with_more_rights_than_its_user_takes_no_orders() {
    const NOBODY: u32 = 65_534;
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("with-more-rights");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    if std::os::unix::fs::chown(&program, Some(NOBODY), None).is_err() {
        println!("needs root, to make a setuid program: left out");
        return;
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let output = Command::new(&program)
        .envs(crate::support::scene_variables("spawns_with_more_rights"))
        .output()
        .unwrap();
    fs::remove_file(&program).unwrap();
    assert!(text(&output).contains("setuid"), "{}", text(&output));
}

fn init_returns_where_there_is_no_order() {
    let output = play("init_and_main");
    assert_eq!(text(&output), "this is main\n");
}

fn init_and_main() {
    forklore::init();
    order_or_main();
}

/// Owners that are killed as soon as they have started workers, while the loader is still at work
/// in these.
fn owners_are_gone_at_once() {
    if std::env::args().any(|argument| argument == "forklore-worker") {
        println!("main runs in a worker");
        return;
    }
    for method in [StartMethod::Spawn, StartMethod::Forkserver] {
        for _ in 0..20 {
            let owner = forklore::Process::spawn(|| {
                let _pool = crate::starts::pool(method, 3);
                let _ = kill(Pid::this(), Signal::SIGKILL);
            });
            assert!(owner.unwrap().join().is_err());
        }
    }
    println!("this is main");
}

fn a_fresh_worker_whose_owner_is_gone_does_not_run_main() {
    // Its output ends when the last of its processes has.
    let output = play("owners_are_gone_at_once");
    assert_eq!(text(&output), "this is main\n");
}
