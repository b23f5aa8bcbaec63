//! The control groups that this process is in.

use std::fs;

/// The text of `/proc/self/cgroup`, one group per line: `number:controllers:path`. Empty if there
/// are none.
fn own() -> String {
    fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// How many processes of these control groups Linux has killed for lack of memory.
pub(crate) fn out_of_memory_kills() -> u64 {
    let groups = own();
    let files = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        match (fields.next()?, fields.next()?) {
            ("", path) => Some(format!("/sys/fs/cgroup{path}/memory.events")),
            ("memory", path) => Some(format!("/sys/fs/cgroup/memory{path}/memory.oom_control")),
            _ => None,
        }
    });
    let counts = files.filter_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.parse::<u64>().ok())
    });
    counts.sum()
}
