//! What `/proc` knows of a process' threads.

use std::fs;

use super::procs::Pid;

/// What a thread does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It runs, or is gone.
    Busy,
    /// It waits in a system call.
    Sleeps,
    /// It waits for a child.
    WaitsForChild,
    /// It waits in a `read` of descriptor 0, for at most this many bytes.
    ReadsInput(u64),
}

impl Activity {
    /// What a thread of a process does now.
    pub(crate) fn of(process: Pid, thread: Pid) -> Activity {
        fs::read_to_string(format!("/proc/{process}/task/{thread}/syscall"))
            .map_or(Activity::Busy, |line| parse(&line))
    }
}

/// `running`, or the number of a system call and its arguments in hexadecimal.
fn parse(line: &str) -> Activity {
    let mut words = line.split_whitespace();
    match words.next().map(str::parse::<libc::c_long>) {
        Some(Ok(libc::SYS_read)) if words.next() == Some("0x0") => {
            let n_bytes = words.nth(1).and_then(|word| word.strip_prefix("0x"));
            let n_bytes = n_bytes.map_or(0, |word| u64::from_str_radix(word, 16).unwrap_or(0));
            Activity::ReadsInput(n_bytes)
        }
        Some(Ok(libc::SYS_wait4 | libc::SYS_waitid)) => Activity::WaitsForChild,
        Some(Ok(_)) => Activity::Sleeps,
        _ => Activity::Busy,
    }
}

/// The ids of a process' threads; none if it is gone.
pub(crate) fn threads(process: Pid) -> Vec<Pid> {
    let entries = fs::read_dir(format!("/proc/{process}/task"));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// A thread's name; empty if it is gone.
pub(crate) fn name(process: Pid, thread: Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{process}/task/{thread}/comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_reads_is_told_from_one_that_sleeps() {
        let read = libc::SYS_read;
        let line = format!("{read} 0x0 0x7ffe 0x2000 0x0 0x0 0x0 0x7ffe 0x7f\n");
        assert_eq!(parse(&line), Activity::ReadsInput(8192));
        let line = format!("{read} 0x5 0x7ffe 0x2000 0x0 0x0 0x0 0x7ffe 0x7f\n");
        assert_eq!(parse(&line), Activity::Sleeps);
        let wait = libc::SYS_wait4;
        let line = format!("{wait} 0x99 0x7ffe 0x0 0x0 0x0 0x0 0x7ffe 0x7f\n");
        assert_eq!(parse(&line), Activity::WaitsForChild);
        assert_eq!(parse("-1 0x7ffe 0x7f\n"), Activity::Sleeps);
        assert_eq!(parse("running\n"), Activity::Busy);
        assert_eq!(parse(""), Activity::Busy);
    }
}
