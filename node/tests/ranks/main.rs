//! The link, between two ranks under `mpirun`: this program is the ranks, too.

mod job;
mod roles;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use job::Job;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("rank") {
        return roles::run(&arguments.next().unwrap_or_default());
    }
    let tests: [(&str, fn()); 9] = [
        ("messages_come_back_in_order", messages_come_back_in_order),
        (
            "both_ways_at_once_is_no_deadlock",
            both_ways_at_once_is_no_deadlock,
        ),
        (
            "a_stopped_peer_blocks_no_send",
            a_stopped_peer_blocks_no_send,
        ),
        (
            "a_message_that_is_too_long_is_refused",
            a_message_that_is_too_long_is_refused,
        ),
        (
            "a_killed_agent_is_the_end_of_its_job",
            a_killed_agent_is_the_end_of_its_job,
        ),
        (
            "a_killed_relay_is_the_end_of_its_job",
            a_killed_relay_is_the_end_of_its_job,
        ),
        (
            "a_killed_launcher_is_the_end_of_its_job",
            a_killed_launcher_is_the_end_of_its_job,
        ),
        (
            "other_jobs_than_of_two_ranks_are_refused",
            other_jobs_than_of_two_ranks_are_refused,
        ),
        (
            "the_program_names_its_libraries",
            the_program_names_its_libraries,
        ),
    ];
    let on_nodes: [(&str, fn()); 3] = [
        ("two_nodes_talk", two_nodes_talk),
        (
            "a_node_that_is_unplugged_is_the_end_of_its_job",
            a_node_that_is_unplugged_is_the_end_of_its_job,
        ),
        (
            "a_killed_agent_on_a_node_leaves_nothing",
            a_killed_agent_on_a_node_leaves_nothing,
        ),
    ];
    let mut arguments = Arguments::from_args();
    // Each has two ranks that poll.
    arguments.test_threads = Some(1);
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            std::panic::catch_unwind(test).map_err(|_| Failed::without_message())
        })
    };
    let mut trials: Vec<Trial> = tests.map(trial).into();
    match job::why_no_nodes() {
        None => trials.extend(on_nodes.map(trial)),
        Some(reason) => eprintln!("{} tests are left out: {reason}", on_nodes.len()),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn messages_come_back_in_order() {
    assert_eq!(Job::start("echo", 2).finish(), "relay: all came back");
}

fn both_ways_at_once_is_no_deadlock() {
    assert_eq!(
        Job::start("flood", 2).finish(),
        "agent: 10000 came\nrelay: 10000 came"
    );
}

fn a_stopped_peer_blocks_no_send() {
    assert_eq!(
        Job::start("stopped", 2).finish(),
        "relay: all were queued, and all came back"
    );
}

fn a_message_that_is_too_long_is_refused() {
    assert_eq!(
        Job::start("too-long", 2).finish(),
        "relay: refused, and the next came back"
    );
}

fn a_killed_agent_is_the_end_of_its_job() {
    Job::start("killed-agent", 2).expect_death();
}

fn a_killed_relay_is_the_end_of_its_job() {
    Job::start("killed-relay", 2).expect_death();
}

fn a_killed_launcher_is_the_end_of_its_job() {
    let mut job = Job::start("wait", 2);
    job.wait_for_ranks();
    job.kill_launcher();
    job.expect_death();
}

fn two_nodes_talk() {
    assert_eq!(
        Job::on_nodes("echo").finish(),
        "left: none\nrelay: all came back"
    );
}

/// Neither side hears of the other any more; each side's daemon notices.
fn a_node_that_is_unplugged_is_the_end_of_its_job() {
    assert_eq!(Job::on_nodes("unplugged").finish(), "left: none\nunplugged");
}

fn a_killed_agent_on_a_node_leaves_nothing() {
    assert_eq!(Job::on_nodes("killed-agent").finish(), "left: none");
}

fn other_jobs_than_of_two_ranks_are_refused() {
    for n_ranks in [1, 3] {
        let said = Job::start("refused", n_ranks).finish();
        let expected = format!("the job has {n_ranks} ranks, and must have two");
        assert_eq!(
            said.lines().filter(|line| *line == expected).count(),
            n_ranks,
            "{said}"
        );
    }
    let alone = Command::new(std::env::current_exe().unwrap())
        .args(["rank", "refused"])
        .env_remove("OMPI_COMM_WORLD_SIZE")
        .output()
        .unwrap();
    let said = String::from_utf8(alone.stdout).unwrap();
    assert!(
        said.contains("was not started by Open MPI's mpirun"),
        "{said}"
    );
}

fn the_program_names_its_libraries() {
    let output = Command::new(env!("CARGO_BIN_EXE_forklore-node"))
        .arg("--version")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("forklore-node "), "{said}");
    assert_eq!(
        lines[1],
        format!("library: forklore {}", forklore::cluster::VERSION)
    );
    assert!(lines[2].starts_with("mpi: Open MPI"), "{said}");

    let by_hand = Command::new(env!("CARGO_BIN_EXE_forklore-node"))
        .output()
        .unwrap();
    assert_eq!(by_hand.status.code(), Some(2));
}

/// A deadline to catch hangs: none of these takes a tenth of it.
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(120)
}
