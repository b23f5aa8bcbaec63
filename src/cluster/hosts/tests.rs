//! Tests of what schedulers and users write, valid and invalid.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// The hosts in an environment of these variables, as in `n1:4 n2:2`, or the error.
fn found(variables: &[(&str, &str)]) -> Result<String, String> {
    let environment = |name: &str| {
        let mut all = variables.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, value)| OsString::from(value))
    };
    let allocation = from_scheduler(&environment).map_err(|error| error.to_string())?;
    Ok(allocation.map_or("no scheduler".to_owned(), |found| short(&found.hosts)))
}

fn slurm(list: &str, others: &[(&str, &str)]) -> Result<String, String> {
    let list = [("SLURM_JOB_NODELIST", list)];
    found(&[&list[..], others].concat())
}

fn listed(texts: &[&str]) -> Result<String, String> {
    let hosts = from_list(texts);
    hosts
        .map(|hosts| short(&hosts))
        .map_err(|error| error.to_string())
}

fn short(hosts: &[Host]) -> String {
    let each = hosts.iter().map(|host| match host.n_workers {
        Some(n_workers) => format!("{}:{n_workers}", host.name),
        None => host.name.clone(),
    });
    each.collect::<Vec<_>>().join(" ")
}

/// Asserts that the error's message contains all of `parts`.
fn expect_error(result: Result<String, String>, parts: &[&str]) {
    let message = result.expect_err("an error");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    let is_sentence = message.ends_with('.') || message.chars().next().unwrap().is_uppercase();
    let begins_with_a_name = message.starts_with("SLURM_") || message.starts_with("PE_");
    assert!(!is_sentence || begins_with_a_name, "{message}");
}

#[test]
fn names_are_written_in_full() {
    let cases = [
        ("node7", "node7"),
        (
            "node[01-03,07],gpu-[1-2]x",
            "node01 node02 node03 node07 gpu-1x gpu-2x",
        ),
        ("n[9-11]", "n9 n10 n11"),
        ("n[08-10]", "n08 n09 n10"),
        ("n[099-101]", "n099 n100 n101"),
        ("r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2"),
        ("r[1,3]-[01]-c.site", "r1-01-c.site r3-01-c.site"),
        ("[1-3]", "1 2 3"),
        ("a, b", "a b"),
    ];
    for (list, expected) in cases {
        assert_eq!(slurm(list, &[]).as_deref(), Ok(expected), "{list}");
    }
}

#[test]
fn broken_lists_say_what_is_broken() {
    let cases: [(&str, &[&str]); 13] = [
        ("node[1-3", &["\"node\" is not closed"]),
        ("node1-3]", &["\"node1-3\" was never opened"]),
        ("n[1-[2-3]]", &["\"n\" has another one inside"]),
        ("n[3-1]", &["\"3-1\" runs backwards"]),
        ("n[]", &["neither a number nor a range"]),
        ("n[1,,2]", &["neither a number nor a range"]),
        ("n[a-c]", &["\"a-c\" in brackets"]),
        ("n[1-999999999999]", &["more than 65536 hosts"]),
        ("n[1-256][1-256][1-2]", &["more than 65536 hosts"]),
        ("n[0-18446744073709551615]", &["more than 65536 hosts"]),
        ("n[99999999999999999999]", &["too large"]),
        ("a,,b", &["a host has no name"]),
        ("-oProxyCommand=x", &["has the character '='"]),
    ];
    for (list, parts) in cases {
        let named = ["SLURM_JOB_NODELIST is ", "Cluster::builder().hosts(…)"];
        expect_error(slurm(list, &[]), &[&named[..], parts].concat());
    }
    expect_error(slurm("-v", &[]), &["begins as no host's name does"]);
    expect_error(slurm("a,b,a", &[]), &["a is there twice"]);
    let long = format!("n[{}1-{}9]", "0".repeat(300), "0".repeat(300));
    expect_error(slurm(&long, &[]), &["302 bytes, and 253 are the most"]);
}

#[test]
fn slurm_says_how_many_workers() {
    let tasks = |text| ("SLURM_TASKS_PER_NODE", text);
    let cpus = |text| ("SLURM_JOB_CPUS_PER_NODE", text);
    let each = |text| ("SLURM_CPUS_PER_TASK", text);
    let case = |variables: &[_]| slurm("n[1-3]", variables);
    assert_eq!(case(&[cpus("4(x2),2")]).unwrap(), "n1:4 n2:4 n3:2");
    assert_eq!(
        case(&[cpus("64(x3)"), tasks("1(x3)")]).unwrap(),
        "n1:64 n2:64 n3:64"
    );
    let asked_for = [cpus("64(x3)"), tasks("1,2,1"), each("4")];
    assert_eq!(case(&asked_for).unwrap(), "n1:4 n2:8 n3:4");
    let fewer = [cpus("4(x3)"), tasks("2(x3)"), each("4")];
    assert_eq!(case(&fewer).unwrap(), "n1:4 n2:4 n3:4");
    assert_eq!(case(&[tasks("2(x2),1")]).unwrap(), "n1:2 n2:2 n3:1");
    assert_eq!(case(&[each("8")]).unwrap(), "n1:8 n2:8 n3:8");
    assert_eq!(case(&[each(" "), tasks("")]).unwrap(), "n1 n2 n3");
}

#[test]
fn counts_that_make_no_sense_are_errors() {
    for wrong in [
        "4", "4(x4)", "4(x3),", "0(x3)", "4(x", "4(x-1)", "four(x3)", "4(x3)x",
    ] {
        let result = slurm("n[1-3]", &[("SLURM_JOB_CPUS_PER_NODE", wrong)]);
        expect_error(result, &["SLURM_JOB_CPUS_PER_NODE is ", wrong]);
    }
    let endless = "4(x18446744073709551615),4(x18446744073709551615)";
    let result = slurm("n[1-3]", &[("SLURM_TASKS_PER_NODE", endless)]);
    expect_error(result, &["SLURM_JOB_NODELIST has 3 hosts"]);
    let result = slurm("n1", &[("SLURM_CPUS_PER_TASK", "0")]);
    expect_error(result, &["SLURM_CPUS_PER_TASK is \"0\""]);
}

/// A file that is removed at the end of the test.
struct HostFile(PathBuf);

impl HostFile {
    fn new(name: &str, text: &[u8]) -> HostFile {
        let file = format!("forklore-hosts-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(file);
        fs::write(&path, text).unwrap();
        HostFile(path)
    }

    fn found(&self) -> Result<String, String> {
        found(&[("PE_HOSTFILE", self.0.to_str().unwrap())])
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn grid_engine_lists_slots_by_queue() {
    let text = b"node1.site 2 all.q@node1 UNDEFINED\nnode2 4 all.q@node2 0,0:0,1\n\nnode1.site 3 short.q@node1 <NULL>\n";
    let file = HostFile::new("queues", text);
    assert_eq!(file.found().unwrap(), "node1.site:5 node2:4");
}

#[test]
fn a_host_file_that_makes_no_sense_is_an_error() {
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty", b"\n \n", "names no host"),
        (
            "none",
            b"node1 0 all.q@node1 UNDEFINED",
            "line 1 of that file has no number of slots above 0",
        ),
        (
            "word",
            b"node1 2 q u\nnode2 two q u",
            "line 2 of that file has no number",
        ),
        ("short", b"node1", "line 1 of that file has no number"),
        (
            "bytes",
            b"\xff\xfe 2 q u",
            "line 1 of that file does not begin with a host",
        ),
        ("option", b"--help 2 q u", "begins as no host's name does"),
    ];
    for (name, text, part) in cases {
        let file = HostFile::new(name, text);
        let path = file.0.to_str().unwrap();
        expect_error(file.found(), &["PE_HOSTFILE is ", path, part, "hosts(…)"]);
    }
    let missing = found(&[("PE_HOSTFILE", "/no/such/file")]);
    expect_error(
        missing,
        &["PE_HOSTFILE is \"/no/such/file\"", "No such file"],
    );
    expect_error(found(&[("PE_HOSTFILE", "/")]), &["cannot be read"]);
}

#[test]
fn without_a_job_there_is_no_scheduler() {
    assert_eq!(found(&[]).unwrap(), "no scheduler");
    assert_eq!(
        found(&[("SLURM_JOB_NODELIST", ""), ("PE_HOSTFILE", " ")]).unwrap(),
        "no scheduler"
    );
}

#[test]
fn slurm_is_asked_first_and_named() {
    let environment = |name: &str| {
        let is_set = matches!(name, "SLURM_JOB_NODELIST" | "PE_HOSTFILE");
        is_set.then(|| OsString::from("node1"))
    };
    let found = from_scheduler(&environment).unwrap().unwrap();
    assert_eq!(found.scheduler.to_string(), "Slurm");
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    let environment = |_: &str| Some(OsString::from_vec(vec![b'n', 0xff]));
    let error = from_scheduler(&environment).unwrap_err();
    assert!(error.is_invalid_input());
    assert!(
        error.to_string().starts_with("SLURM_JOB_NODELIST is "),
        "{error}"
    );
}

#[test]
fn users_list_hosts_in_many_ways() {
    assert_eq!(listed(&["node1:4", "node2:4"]).unwrap(), "node1:4 node2:4");
    assert_eq!(
        listed(&["localhost:2,localhost:2"]).unwrap(),
        "localhost:2 localhost:2"
    );
    assert_eq!(
        listed(&["n[1-3]:8, head", "10.0.0.1:2"]).unwrap(),
        "n1:8 n2:8 n3:8 head 10.0.0.1:2"
    );
    assert_eq!(from_list([String::from("node1")]).unwrap().len(), 1);
}

#[test]
fn a_list_that_makes_no_sense_is_an_error() {
    expect_error(listed(&[]), &["the list of hosts is empty", "\"node1:4\""]);
    let cases = [
        (
            "node1:0",
            "it has 0 workers; give it at least 1: \"node1:1\"",
        ),
        ("node1:-1", "\"-1\", is no number of workers"),
        ("node1:", "\"\", is no number of workers"),
        ("node1:four", "\"four\", is no number of workers"),
        ("node1:99999999999999999999999", "is no number of workers"),
        ("::1", "is no number of workers"),
        ("", "a host has no name"),
        (":4", "a host has no name"),
        ("a,,b", "a host has no name"),
        ("user@node1:4", "the character '@'"),
        ("node 1", "the character ' '"),
        ("n[1-2", "is not closed"),
    ];
    for (text, part) in cases {
        let quoted = format!("the host {text:?} cannot be used");
        expect_error(listed(&[text]), &[&quoted, part]);
    }
    let twice = listed(&["node1:4", "node2:4,node1:2"]);
    expect_error(twice, &["\"node1\" is listed twice", "\"node1:8\""]);
    expect_error(listed(&["n[1-2]", "n2"]), &["\"n2\" is listed twice"]);
}

#[test]
fn unknown_hosts_are_named() {
    refuse_unknown(&from_list(["localhost:2", "127.0.0.1"]).unwrap()).unwrap();
    // The domain is reserved for names that do not exist: RFC 6761, 6.4.
    let hosts = from_list(["no-such-node.invalid:2"]).unwrap();
    let error = refuse_unknown(&hosts).unwrap_err();
    assert!(error.is_invalid_input());
    assert!(
        error
            .to_string()
            .contains("\"no-such-node.invalid\" has no address"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn what_is_written_in_short_comes_back(
        groups in prop::collection::vec(("[a-z]{1,8}", 0u64..2000, 0u64..30, 0usize..5, "[a-z]{0,3}"), 1..6),
    ) {
        let mut short = Vec::new();
        let mut full = Vec::new();
        for (index, (prefix, first, n_more, width, suffix)) in groups.iter().enumerate() {
            // The index keeps the groups apart.
            let prefix = format!("{prefix}-{index}-");
            let last = first + n_more;
            short.push(format!("{prefix}[{first:0width$}-{last:0width$}]{suffix}"));
            let width = *width.max(&first.to_string().len());
            full.extend((*first..=last).map(|n| format!("{prefix}{n:0width$}{suffix}")));
        }
        prop_assert_eq!(slurm(&short.join(","), &[]), Ok(full.join(" ")));
    }

    #[test]
    fn any_text_is_hosts_or_an_error(list in "[ab0-9\\[\\],\\-:()x .]{0,40}", any in ".{0,40}") {
        for text in [list.as_str(), any.as_str()] {
            let _ = listed(&[text]);
            let _ = slurm(text, &[("SLURM_JOB_CPUS_PER_NODE", text)]);
            let _ = slurm("n[1-3]", &[("SLURM_TASKS_PER_NODE", text)]);
        }
    }

    #[test]
    fn any_file_is_hosts_or_an_error(bytes: Vec<u8>, lines in "([ab]{0,2} {0,2}[0-9]{0,21} {0,2}q?\n){0,6}") {
        for text in [&bytes[..], lines.as_bytes()] {
            let _ = HostFile::new("any", text).found();
        }
    }
}
