//! One descriptor that is readable when an eventfd is set, one of several processes has ended, or a
//! timer has expired (epoll(7)).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::descriptor::above_standard;
use super::eventfd::EventFd;
use super::leash::pidfd;

/// The number of events taken at once.
const N_EVENTS: usize = 64;

/// The set. Forked children's copies of its descriptors change nothing here: a descriptor that
/// leaves the set is removed from it, not only closed.
#[derive(Debug)]
pub(crate) struct WakeSet {
    epoll: Epoll,
    timer: TimerFd,
    /// The pidfds of processes, by their ids. Before Linux 5.3 there are none.
    processes: BTreeMap<i32, OwnedFd>,
    /// When the timer started, and its duration.
    armed: Option<(Instant, Duration)>,
}

impl WakeSet {
    /// # Errors
    /// If this process or the system has too many files open.
    pub(crate) fn new(eventfd: &EventFd) -> io::Result<WakeSet> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let set = WakeSet {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?,
            processes: BTreeMap::new(),
            armed: None,
        };
        let readable = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        set.epoll.add(eventfd, readable)?;
        set.epoll.add(&set.timer, readable)?;
        Ok(set)
    }

    /// Another descriptor of the set.
    ///
    /// # Errors
    /// If this process or the system has too many files open.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        above_standard(self.epoll.0.try_clone()?)
    }

    /// Adds a process, which keeps its id while it is in the set. The end of one that cannot be
    /// added is noticed when the timer expires.
    pub(crate) fn add(&mut self, pid: i32) {
        // Reported once: the process stays ended until it is removed.
        let once = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
        if let Some(pidfd) = pidfd(pid)
            && self.epoll.add(&pidfd, EpollEvent::new(once, 1)).is_ok()
        {
            self.remove(pid);
            self.processes.insert(pid, pidfd);
        }
    }

    /// Removes a process.
    pub(crate) fn remove(&mut self, pid: i32) {
        if let Some(pidfd) = self.processes.remove(&pid) {
            let _ = self.epoll.delete(pidfd);
        }
    }

    /// Makes the descriptor readable after this time at the latest.
    pub(crate) fn arm(&mut self, after: Duration) {
        let now = Instant::now();
        let ends = |(since, length): (Instant, Duration)| since + length;
        if self.armed.is_some_and(|armed| ends(armed) <= now + after) {
            return;
        }
        self.armed = Some((now, after));
        // A time of 0 would stop the timer.
        let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
        let flags = TimerSetTimeFlags::empty();
        // This clock always exists and accepts any time.
        let _ = self.timer.set(Expiration::OneShot(after), flags);
    }

    /// How long the timer ran, and its intended duration, if it has expired. It can then be armed
    /// again.
    pub(crate) fn take_overslept(&mut self) -> Option<(Duration, Duration)> {
        let is_over = |&mut (since, length): &mut (Instant, Duration)| since.elapsed() >= length;
        let (since, length) = self.armed.take_if(is_over)?;
        Some((since.elapsed(), length))
    }

    /// Makes the descriptor unreadable until the next event, and stops the timer. Returns whether a
    /// process has ended.
    pub(crate) fn clear(&mut self, eventfd: &EventFd) -> bool {
        eventfd.clear();
        self.armed = None;
        let _ = self.timer.unset();
        let mut has_ended = false;
        loop {
            let mut events = [EpollEvent::empty(); N_EVENTS];
            let n = self.epoll.wait(&mut events, EpollTimeout::ZERO);
            let n = n.unwrap_or(0);
            has_ended |= events[..n].iter().any(|event| event.data() == 1);
            if n < N_EVENTS {
                return has_ended;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_readable(descriptor: &OwnedFd, within: PollTimeout) -> bool {
        let mut fds = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, within).unwrap() == 1
    }

    #[test]
    fn whatever_happens_is_readable_until_it_is_cleared() {
        let eventfd = EventFd::new().unwrap();
        let mut set = WakeSet::new(&eventfd).unwrap();
        let descriptor = set.descriptor().unwrap();
        assert!(!is_readable(&descriptor, PollTimeout::ZERO));
        eventfd.set();
        assert!(is_readable(&descriptor, PollTimeout::ZERO));
        assert!(!set.clear(&eventfd));
        assert!(!is_readable(&descriptor, PollTimeout::ZERO));
        set.arm(Duration::from_secs(100));
        assert!(!is_readable(&descriptor, PollTimeout::ZERO));
        set.arm(Duration::ZERO);
        assert!(is_readable(&descriptor, PollTimeout::NONE));
        assert!(set.take_overslept().is_some() && !set.clear(&eventfd));
        assert!(!is_readable(&descriptor, PollTimeout::ZERO));
    }

    #[test]
    fn a_process_is_reported_once_when_it_has_ended() {
        let eventfd = EventFd::new().unwrap();
        let mut set = WakeSet::new(&eventfd).unwrap();
        let descriptor = set.descriptor().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        set.add(child.id() as i32);
        assert!(!is_readable(&descriptor, PollTimeout::ZERO));
        drop(child.stdin.take());
        assert!(is_readable(&descriptor, PollTimeout::NONE));
        assert!(set.clear(&eventfd));
        assert!(!is_readable(&descriptor, PollTimeout::ZERO) && !set.clear(&eventfd));
        child.wait().unwrap();
        set.remove(child.id() as i32);
        set.add(child.id() as i32);
        assert!(set.processes.is_empty());
    }
}
