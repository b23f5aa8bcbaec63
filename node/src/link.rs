//! The link between a relay and its agent, over MPI.

use std::collections::VecDeque;
use std::io;

use forklore::cluster::{Link, MAX_FRAME};

use crate::sys::{Transfer, World};

/// The number of messages that MPI has at once, in each direction: while one travels, the next is
/// announced.
const MAX_TRANSFERS: usize = 4;

/// The other rank of this process's job of two.
///
/// Sending and receiving never block: MPI gets a message when it has room for it, and is polled for
/// completion. A blocking send of more than a few kilobytes would wait for the other rank's
/// receive, so two ranks that send to each other would wait forever.
pub struct MpiLink {
    world: World,
    /// Messages that MPI does not have yet.
    queue: VecDeque<Vec<u8>>,
    sending: VecDeque<Transfer>,
    receiving: VecDeque<Transfer>,
    n_queued_bytes: usize,
    /// The error that broke the link.
    broken: Option<String>,
}

impl MpiLink {
    /// Initialises MPI, which connects the two ranks. Call it once per process, and after all
    /// forks, because MPI starts threads.
    ///
    /// # Errors
    /// If this process is not a rank of a job of two.
    pub fn open() -> io::Result<MpiLink> {
        // Without a launcher, Open MPI makes a job of this process alone, with its own daemon.
        match std::env::var_os("OMPI_COMM_WORLD_SIZE") {
            Some(n_ranks) if n_ranks == "2" => {}
            Some(n_ranks) => {
                let message = format!("the job has {} ranks, and must have two", n_ranks.display());
                return Err(io::Error::other(message));
            }
            None => {
                return Err(io::Error::other(
                    "this process was not started by Open MPI's mpirun, as forklore::Cluster does",
                ));
            }
        }
        Ok(MpiLink {
            world: World::begin()?,
            queue: VecDeque::new(),
            sending: VecDeque::new(),
            receiving: VecDeque::new(),
            n_queued_bytes: 0,
            broken: None,
        })
    }

    /// 0 for the relay, 1 for the agent.
    pub fn rank(&self) -> i32 {
        self.world.rank()
    }

    /// Passes messages to MPI while there is room, and drops completed ones.
    fn hand_over(&mut self) -> io::Result<()> {
        loop {
            while let Some(first) = self.sending.front_mut() {
                if !first.is_done()? {
                    break;
                }
                self.n_queued_bytes -= first.n_bytes();
                self.sending.pop_front();
            }
            if self.sending.len() == MAX_TRANSFERS {
                return Ok(());
            }
            let Some(message) = self.queue.pop_front() else {
                return Ok(());
            };
            let transfer = self.world.send(message)?;
            self.sending.push_back(transfer);
        }
    }

    fn next_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.hand_over()?;
        while self.receiving.len() < MAX_TRANSFERS {
            match self.world.receive()? {
                Some(transfer) => self.receiving.push_back(transfer),
                None => break,
            }
        }
        let Some(first) = self.receiving.front_mut() else {
            return Ok(None);
        };
        if !first.is_done()? {
            return Ok(None);
        }
        Ok(self.receiving.pop_front().map(Transfer::into_message))
    }

    /// Runs a step of an unbroken link, and records the error that breaks it.
    fn unbroken<T>(&mut self, step: impl FnOnce(&mut MpiLink) -> io::Result<T>) -> io::Result<T> {
        if let Some(message) = &self.broken {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, message.clone()));
        }
        step(self).inspect_err(|error| self.broken = Some(error.to_string()))
    }
}

impl Link for MpiLink {
    fn send(&mut self, message: Vec<u8>) -> io::Result<()> {
        if message.len() > MAX_FRAME {
            let n_bytes = message.len();
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a message of {n_bytes} bytes, where {MAX_FRAME} are the most"),
            ));
        }
        self.unbroken(|link| {
            link.n_queued_bytes += message.len();
            link.queue.push_back(message);
            link.hand_over()
        })
    }

    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.unbroken(MpiLink::next_message)
    }

    fn progress(&mut self) {
        // The error is kept.
        let _ = self.unbroken(MpiLink::hand_over);
    }

    fn n_queued_bytes(&self) -> usize {
        self.n_queued_bytes
    }
}
