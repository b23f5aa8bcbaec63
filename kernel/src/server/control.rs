//! The control channel: interrupt and shutdown, which cannot wait for a cell to end.
//!
//! The kernelspec requests interrupts as messages. A signal would reach the whole process group and
//! kill the compiler and the programs of a cell in any order, while a message reaches a single
//! component that knows what is running. A SIGINT that arrives anyway is handled in the same way
//! (see [`lifeline`](super::lifeline)).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jupyter_protocol::{InterruptReply, JupyterMessage, JupyterMessageContent as Content};
use jupyter_zmq_client::RouterRecvConnection;
use tokio::sync::{mpsc, oneshot};

use super::debug;
use super::lock::lock;
use super::read::next_message;
use super::replies::{self, message};
use super::shared::{Shared, Stop, Via};
use super::worker::{Job, Work};

/// Reads requests until the kernel ends.
pub(super) async fn serve(
    mut requests: RouterRecvConnection,
    shared: Arc<Shared>,
    replies: mpsc::Sender<JupyterMessage>,
    jobs: mpsc::UnboundedSender<Option<Job>>,
) {
    loop {
        let request = next_message(&mut requests, "control").await;
        shared.iopub.busy(&request).await;
        let reply = match &request.content {
            Content::InterruptRequest(_) => {
                interrupt(&shared).await;
                InterruptReply::new().as_child_of(&request)
            }
            Content::ShutdownRequest(shutdown) => {
                let answer = replies::shutdown(shutdown.restart, &request);
                let via = Via::Control;
                let _ = shared.stop.send(Stop::Asked { answer, via }).await;
                continue;
            }
            Content::KernelInfoRequest(_) => replies::kernel_info(&request),
            Content::DebugRequest(_) => {
                // The reply may have to wait for the variables, and an interrupt must not.
                tokio::spawn(debug(
                    request,
                    shared.clone(),
                    replies.clone(),
                    jobs.clone(),
                ));
                continue;
            }
            _ => {
                let msg_type = request.message_type();
                let name = msg_type.strip_suffix("_request").unwrap_or(msg_type);
                let content = replies::unknown(msg_type);
                message(&format!("{name}_reply"), content, &request)
            }
        };
        let _ = replies.send(reply).await;
        shared.iopub.idle(&request).await;
    }
}

/// Replies to the front end's debugger, with the current variables unless a cell runs.
async fn debug(
    request: JupyterMessage,
    shared: Arc<Shared>,
    replies: mpsc::Sender<JupyterMessage>,
    jobs: mpsc::UnboundedSender<Option<Job>>,
) {
    let Content::DebugRequest(asked) = &request.content else {
        return;
    };
    let runs_cell = lock(&shared.running).as_ref().is_some_and(is_execute);
    if debug::needs_variables(&asked.content) && !runs_cell && !lock(&shared.listing).is_fresh() {
        let (looked, wait) = oneshot::channel();
        let parent = Arc::new(request.clone());
        let work = Work::Look { looked };
        if jobs.send(Some(Job { parent, work })).is_ok() {
            let _ = wait.await;
        }
    }
    let content = debug::reply(&asked.content, &mut lock(&shared.listing));
    let _ = replies
        .send(message("debug_reply", content, &request))
        .await;
    shared.iopub.idle(&request).await;
    shared.say_busy_again().await;
}

/// Interrupts the running cell, or else those that wait for the session's start, or for a request
/// of another kind. If there are none, nothing happens.
pub(super) async fn interrupt(shared: &Shared) {
    if !lock(&shared.running).as_ref().is_some_and(is_execute) {
        let n_received = shared.n_received.load(Ordering::SeqCst);
        shared.abort_up_to.fetch_max(n_received, Ordering::SeqCst);
    }
    shared.start.interrupt();
    let control = lock(&shared.control).clone();
    if let Some(control) = control {
        // This may wait for processes to end, which a server task must not do.
        let _ = tokio::task::spawn_blocking(move || control.interrupt()).await;
    }
}

fn is_execute(request: &Arc<JupyterMessage>) -> bool {
    matches!(request.content, Content::ExecuteRequest(_))
}
