//! The threads of a process, from `/proc`.

use std::fs;

use super::procs::Pid;

/// What a thread is doing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It is running, or gone.
    Busy,
    /// It waits in a system call.
    Sleeps,
    /// It waits for a child.
    WaitsForChild,
    /// It waits in a `read` of descriptor 0, for at most this many bytes.
    ReadsInput(u64),
}

impl Activity {
    /// What a thread of a process is doing now.
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

/// A wait without a time limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EndlessWait {
    /// For another thread or process: a lock, a channel, a condition.
    ForThread,
    /// For events on descriptors.
    ForEvent,
}

impl EndlessWait {
    /// What a thread waits for, and where; `None` if it does something else, or waits with a time
    /// limit.
    pub(crate) fn of(process: Pid, thread: Pid) -> Option<(EndlessWait, String)> {
        let call = fs::read_to_string(format!("/proc/{process}/task/{thread}/syscall")).ok()?;
        Some((parse_endless(&call)?, call))
    }
}

fn parse_endless(line: &str) -> Option<EndlessWait> {
    let mut words = line.split_whitespace();
    let number: libc::c_long = words.next()?.parse().ok()?;
    let arguments: Vec<u64> = words
        .map_while(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .collect();
    let [_, second, _, fourth, ..] = arguments[..] else {
        return None;
    };
    let waits = [
        libc::FUTEX_WAIT,
        libc::FUTEX_WAIT_BITSET,
        libc::FUTEX_LOCK_PI,
    ];
    match number {
        libc::SYS_futex => {
            let command = second as i32 & libc::FUTEX_CMD_MASK;
            let is_endless = waits.contains(&command) && fourth == 0;
            is_endless.then_some(EndlessWait::ForThread)
        }
        libc::SYS_futex_waitv if fourth == 0 => Some(EndlessWait::ForThread),
        libc::SYS_epoll_pwait if fourth as i32 == -1 => Some(EndlessWait::ForEvent),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait if fourth as i32 == -1 => Some(EndlessWait::ForEvent),
        _ => None,
    }
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

    #[test]
    fn only_waits_without_a_limit_are_endless() {
        let call =
            |number: i64, rest: &str| parse_endless(&format!("{number} {rest} 0x7ffd 0x7f00\n"));
        let (thread, event) = (Some(EndlessWait::ForThread), Some(EndlessWait::ForEvent));
        for (number, arguments, expected) in [
            (libc::SYS_futex, "0x7f 0x80 0x2 0x0 0x0 0x0", &thread),
            (
                libc::SYS_futex,
                "0x7f 0x189 0x2 0x0 0x0 0xffffffff",
                &thread,
            ),
            (
                libc::SYS_futex,
                "0x7f 0x189 0x2 0x7ffc 0x0 0xffffffff",
                &None,
            ),
            (libc::SYS_futex, "0x7f 0x81 0x2 0x0 0x0 0x0", &None),
            (
                libc::SYS_epoll_pwait,
                "0x4 0x7f 0x400 0xffffffff 0x0 0x8",
                &event,
            ),
            (libc::SYS_epoll_pwait, "0x4 0x7f 0x400 0x64 0x0 0x8", &None),
            (libc::SYS_read, "0x0 0x7f 0x2000 0x0 0x0 0x0", &None),
        ] {
            assert_eq!(&call(number, arguments), expected, "{number} {arguments}");
        }
        assert_eq!(parse_endless("running\n"), None);
        assert_eq!(parse_endless(""), None);
    }
}
