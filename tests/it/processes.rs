//! Forking and child processes.

use std::time::Duration;

use forklore::{Fork, Process, fork};
use nix::sys::signal::{Signal, raise};

use crate::support::{Scene, is_running, play, scene, tests, text, wait_until};

tests![
    both_sides_of_a_fork_run,
    a_child_cannot_fall_out_of_its_branch,
    a_child_that_panics_ends,
    what_is_buffered_is_printed_once,
    a_dropped_child_is_gone,
    a_child_dies_with_its_parent,
    a_value_comes_back,
    a_process_that_panics_is_an_error,
    a_process_that_dies_is_an_error,
    a_grandchild_does_not_hold_the_parent_up,
    a_process_can_be_ended,
    children_are_timed_apart,
];

pub const SCENES: &[Scene] = &[
    ("child_falls_out", child_falls_out),
    ("buffered_output", buffered_output),
    ("parent_is_killed", parent_is_killed),
];

fn both_sides_of_a_fork_run() {
    match fork().unwrap() {
        Fork::Child(guard) => guard.exit(7),
        Fork::Parent(child) => {
            assert!(child.pid() > 0);
            assert_eq!(child.wait().code(), Some(7));
        }
    }
}

fn child_falls_out() {
    let parent = std::process::id();
    match fork().unwrap() {
        Fork::Child(_) => print!("child "),
        Fork::Parent(child) => assert!(child.wait().is_success()),
    }
    assert_eq!(std::process::id(), parent);
    println!("once");
}

fn a_child_cannot_fall_out_of_its_branch() {
    let output = play("child_falls_out");
    assert_eq!(text(&output), "child once\n");
    assert!(output.status.success());
}

fn a_child_that_panics_ends() {
    match fork().unwrap() {
        Fork::Child(_guard) => {
            std::panic::set_hook(Box::new(|_| ()));
            panic!("in the child");
        }
        Fork::Parent(child) => assert_eq!(child.wait().code(), Some(101)),
    }
}

fn buffered_output() {
    print!("buffered ");
    match fork().unwrap() {
        Fork::Child(_guard) => print!("child "),
        Fork::Parent(child) => {
            child.wait();
            println!("parent");
        }
    }
}

fn what_is_buffered_is_printed_once() {
    assert_eq!(text(&play("buffered_output")), "buffered child parent\n");
}

fn a_dropped_child_is_gone() {
    let pid = match fork().unwrap() {
        Fork::Child(_guard) => loop {
            std::thread::park();
        },
        Fork::Parent(mut child) => {
            assert!(child.is_alive());
            assert_eq!(child.wait_timeout(Duration::from_millis(1)), None);
            child.pid()
        }
    };
    assert!(!is_running(pid));
}

fn parent_is_killed() {
    match fork().unwrap() {
        Fork::Child(_guard) => loop {
            std::thread::park();
        },
        Fork::Parent(child) => {
            println!("{}", child.pid());
            loop {
                std::thread::park();
            }
        }
    }
}

fn a_child_dies_with_its_parent() {
    use std::io::BufRead;
    let mut parent = scene("parent_is_killed").spawn().unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(parent.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let child: i32 = line.trim().parse().unwrap();
    assert!(is_running(child));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until(|| !is_running(child));
}

fn a_value_comes_back() {
    let numbers = [1u64, 2, 3];
    let child = Process::spawn(|| (numbers.iter().sum::<u64>(), "text".to_owned())).unwrap();
    assert_ne!(child.pid(), std::process::id() as i32);
    assert_eq!(child.join().unwrap(), (6, "text".to_owned()));
    let large = Process::spawn(|| vec![1u8; 50 << 20]).unwrap();
    assert_eq!(large.join().unwrap().len(), 50 << 20);
}

fn a_process_that_panics_is_an_error() {
    let child = Process::spawn(|| -> u32 {
        std::panic::set_hook(Box::new(|_| ()));
        panic!("no value")
    })
    .unwrap();
    let error = child.join().unwrap_err();
    assert!(error.is_panicked());
    assert_eq!((error.message().as_str(), error.item()), ("no value", None));
}

fn a_process_that_dies_is_an_error() {
    let exits = Process::spawn(|| -> u32 { std::process::exit(4) }).unwrap();
    assert_eq!(exits.join().unwrap_err().exit_code(), Some(4));
    let killed = Process::spawn(|| raise(Signal::SIGKILL).is_ok()).unwrap();
    let error = killed.join().unwrap_err();
    assert!(error.is_died());
    assert_eq!(error.signal(), Some(9));
}

fn a_grandchild_does_not_hold_the_parent_up() {
    // It inherits everything that the child has and outlives it; only the child is waited for.
    let child = Process::spawn(|| {
        let sleeper = std::process::Command::new("sleep").arg("1000").spawn();
        sleeper.unwrap().id() as i32
    })
    .unwrap();
    let grandchild = child.join().unwrap();
    assert!(is_running(grandchild));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(grandchild), Signal::SIGKILL).unwrap();
    wait_until(|| !is_running(grandchild));
}

fn a_process_can_be_ended() {
    let park = || -> u32 {
        loop {
            std::thread::park();
        }
    };
    let mut asked = Process::spawn(park).unwrap();
    assert!(asked.is_alive());
    asked.terminate();
    assert_eq!(asked.join().unwrap_err().signal(), Some(15));
    let mut killed = Process::spawn(park).unwrap();
    killed.kill();
    assert_eq!(killed.join().unwrap_err().signal(), Some(9));
    drop(Process::spawn(park).unwrap());
}

fn children_are_timed_apart() {
    let burn = |milliseconds: u128| {
        let spent = || {
            let clock = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID;
            Duration::from(nix::time::clock_gettime(clock).unwrap()).as_millis()
        };
        let until = spent() + milliseconds;
        while spent() < until {
            std::hint::spin_loop();
        }
    };
    let pool = forklore::Pool::with_workers(1).unwrap();
    let timed = forklore::time(|| {
        burn(20);
        pool.map(
            |x: u32| {
                let clock = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID;
                let spent = || Duration::from(nix::time::clock_gettime(clock).unwrap()).as_millis();
                let until = spent() + 60;
                while spent() < until {
                    std::hint::spin_loop();
                }
                x
            },
            [1],
        )
    });
    // A lower bound each: the clocks may tell more (a busy machine), never less.
    assert!(
        timed.children.total() >= Duration::from_millis(55),
        "{timed}"
    );
    assert!(timed.cpu.total() >= Duration::from_millis(18), "{timed}");
    assert!(timed.cpu.total() < timed.children.total(), "{timed}");
    assert!(timed.to_string().contains("Children: user"), "{timed}");
    let after = forklore::time(|| drop(pool));
    assert!(
        after.children.total() < Duration::from_millis(55),
        "{after}"
    );
}
