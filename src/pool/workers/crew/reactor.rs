//! What the owner's reactor waits for: a worker set the eventfd, a worker ended, or it is time to
//! look at the workers.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Crew;
use crate::error::{Error, Result};
use crate::sys::eventfd::EventFd;
use crate::sys::wake_set::WakeSet;

impl Crew {
    /// Makes a descriptor that is readable when a future may be done.
    ///
    /// # Errors
    /// `is_os()` if this process or the system has too many files open.
    pub(in crate::pool) fn open_wake_set(&mut self) -> Result<OwnedFd> {
        let failed = |error| {
            Error::os(
                "cannot make a descriptor for a reactor (see ulimit -n for how many files a process may have)",
                error,
            )
        };
        let eventfd = match &self.eventfd {
            Some(eventfd) => eventfd,
            // The existing workers would not have it.
            None => return Err(failed(nix::errno::Errno::EMFILE.into())),
        };
        let mut set = WakeSet::new(eventfd).map_err(failed)?;
        let descriptor = set.descriptor().map_err(failed)?;
        self.pids.iter().flatten().for_each(|&pid| set.add(pid));
        self.wake_set = Some(set);
        Ok(descriptor)
    }

    pub(in crate::pool) fn close_wake_set(&mut self) {
        self.wake_set = None;
    }

    /// Makes the descriptor readable after this time at the latest.
    pub(in crate::pool) fn arm(&mut self, after: Duration) {
        if let Some(set) = &mut self.wake_set {
            set.arm(after);
        }
    }

    /// Makes the descriptor unreadable until the next event. Returns whether a worker has ended.
    pub(in crate::pool) fn clear_wake_set(&mut self) -> bool {
        match (&mut self.wake_set, &self.eventfd) {
            (Some(set), Some(eventfd)) => set.clear(eventfd),
            _ => false,
        }
    }

    /// Notes how long a reactor waited: like a thread that [slept](Crew::slept), it may have waited
    /// longer than intended.
    pub(in crate::pool) fn waited(&mut self) {
        let overslept = self.wake_set.as_mut().and_then(WakeSet::take_overslept);
        if let Some((waited, intended)) = overslept {
            self.slept(waited, intended);
        }
    }

    /// Makes the descriptor readable.
    pub(in crate::pool) fn set_eventfd(&self) {
        self.eventfd.iter().for_each(EventFd::set);
    }
}
