//! The state that the tasks and the session's thread share.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use jupyter_protocol::JupyterMessage;
use tokio::sync::mpsc;

use super::history::History;
use super::iopub::IoPub;
use super::listing::Listing;
use super::lock::lock;
use super::session_start::Start;
use super::stdin::Stdin;
use crate::session;

/// Created once, shared by all.
pub(super) struct Shared {
    pub(super) iopub: IoPub,
    pub(super) stdin: Arc<Stdin>,
    /// Replies on the shell channel.
    pub(super) replies: mpsc::Sender<JupyterMessage>,
    /// The request that the session is working on, if any.
    pub(super) running: Mutex<Option<Arc<JupyterMessage>>>,
    /// Controls the session, once there is one.
    pub(super) control: Mutex<Option<session::Control>>,
    /// The session's start, which requests may wait for.
    pub(super) start: Start,
    pub(super) history: Mutex<History>,
    /// The variables, for the front end's list of them.
    pub(super) listing: Mutex<Listing>,
    /// The number of execute requests received. Written by the shell task, read by the code that
    /// aborts the queued ones.
    pub(super) n_received: AtomicU64,
    /// Execute requests up to this number are aborted. Written when a cell fails, read before each
    /// cell.
    pub(super) abort_up_to: AtomicU64,
    /// Set once, when the kernel ends.
    pub(super) closing: AtomicBool,
    /// Requests the kernel's end.
    pub(super) stop: mpsc::Sender<Stop>,
}

impl Shared {
    /// Publishes "busy" again after another request: a front end that shows the latest state must
    /// continue to show that a cell runs.
    pub(super) async fn say_busy_again(&self) {
        let running = lock(&self.running).clone();
        if let Some(running) = running {
            self.iopub.busy(&running).await;
        }
    }
}

/// Why the kernel ends, and the messages that are still to be sent.
pub(super) enum Stop {
    /// A client requested it.
    Asked {
        /// The replies, sent when every process has ended.
        answer: Box<JupyterMessage>,
        via: Via,
    },
    /// Jupyter is gone, or a signal arrived.
    Alone(&'static str),
}

/// The channel on which a request arrived.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Shell,
    Control,
}
