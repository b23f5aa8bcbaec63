//! Confines a lesson's run: to some CPUs, without a network, or with busy CPUs.

use std::hint::spin_loop;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::unistd::Pid;

/// The CPUs that this process may use.
pub fn allowed_cpus() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .collect()
}

/// Restricts the child and its descendants to these CPUs.
pub fn pin(command: &mut Command, cpus: Vec<usize>) {
    // SAFETY: between fork and exec the closure makes only one system call, `sched_setaffinity`, on
    // its own memory.
    unsafe {
        command.pre_exec(move || {
            let mut set = CpuSet::new();
            for cpu in &cpus {
                set.set(*cpu)?;
            }
            Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
        });
    }
}

/// Gives the child and its descendants a separate network that has only the loopback interface.
/// This requires the right to make namespaces, which root has outside of most containers.
pub fn take_network(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes only system calls on its own memory.
    unsafe {
        command.pre_exec(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            raise_loopback()
        });
    }
}

/// Whether [`take_network`] works here.
pub fn can_take_network() -> bool {
    let mut command = Command::new("true");
    take_network(&mut command);
    let status = command.stdin(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A new network's interfaces are down, and Jupyter needs this one to reach its kernels.
fn raise_loopback() -> io::Result<()> {
    // SAFETY: all zeros is a valid `ifreq`: numbers and an empty name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the calls get a descriptor that the first one made, and `request`, which outlives
    // them.
    let result = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let result = libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request);
        let result = Errno::result(result);
        libc::close(socket);
        result
    };
    result.map(drop).map_err(io::Error::from)
}

/// Runs one busy loop for each CPU until it is dropped.
pub struct Load {
    enough: Arc<AtomicBool>,
    loops: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts to keep all CPUs of this process busy.
    pub fn start() -> Load {
        let enough = Arc::new(AtomicBool::new(false));
        let busy = |_| {
            let enough = Arc::clone(&enough);
            std::thread::spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    spin_loop();
                }
            })
        };
        let loops = allowed_cpus().into_iter().map(busy).collect();
        Load { enough, loops }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        for busy in self.loops.drain(..) {
            let _ = busy.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_only_the_cpus_that_it_was_given() {
        let first = allowed_cpus()[0];
        let mut command = Command::new("cat");
        command.arg("/proc/self/status");
        pin(&mut command, vec![first]);
        let output = command.output().unwrap();
        let status = String::from_utf8_lossy(&output.stdout);
        assert!(
            status.contains(&format!("Cpus_allowed_list:\t{first}\n")),
            "{status}"
        );
    }

    #[test]
    fn where_the_network_can_be_taken_away_only_loopback_is_left() {
        if !can_take_network() {
            return;
        }
        let mut command = Command::new("cat");
        command.arg("/proc/self/net/dev");
        take_network(&mut command);
        let output = command.output().unwrap();
        let devices = String::from_utf8_lossy(&output.stdout);
        // Two lines of headings.
        assert_eq!(devices.lines().count(), 3, "{devices}");
        assert!(devices.contains("lo:"), "{devices}");
    }
}
