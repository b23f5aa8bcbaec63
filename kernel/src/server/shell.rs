//! The shell channel: requests that need no session get their reply at once, even while a cell
//! runs; the others are queued for the session.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jupyter_protocol::{CommClose, JupyterMessage, JupyterMessageContent as Content};
use jupyter_zmq_client::RouterRecvConnection;
use serde_json::json;
use tokio::sync::mpsc;

use super::lock::lock;
use super::log::log;
use super::read::next_message;
use super::replies::{self, message};
use super::shared::{Shared, Stop, Via};
use super::worker::{Job, Work};

/// Reads requests until the kernel ends.
pub(super) async fn serve(
    mut requests: RouterRecvConnection,
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedSender<Option<Job>>,
) {
    loop {
        let request = next_message(&mut requests, "shell").await;
        let work = match &request.content {
            Content::ExecuteRequest(execute) => Work::Execute {
                request: execute.clone(),
                number: shared.n_received.fetch_add(1, Ordering::SeqCst) + 1,
            },
            Content::CompleteRequest(complete) => Work::Complete {
                code: complete.code.clone(),
                cursor: complete.cursor_pos,
            },
            Content::InspectRequest(inspect) => Work::Inspect {
                code: inspect.code.clone(),
                cursor: inspect.cursor_pos,
            },
            Content::ShutdownRequest(shutdown) => {
                shared.iopub.busy(&request).await;
                let answer = replies::shutdown(shutdown.restart, &request);
                let via = Via::Shell;
                let _ = shared.stop.send(Stop::Asked { answer, via }).await;
                continue;
            }
            _ => {
                answer(&shared, &request).await;
                continue;
            }
        };
        let parent = Arc::new(request);
        if jobs.send(Some(Job { parent, work })).is_err() {
            log(format_args!("a request came after the session had ended"));
        }
    }
}

/// Replies to requests that do not need the session.
async fn answer(shared: &Shared, request: &JupyterMessage) {
    shared.iopub.busy(request).await;
    let reply = match &request.content {
        Content::KernelInfoRequest(_) => Some(replies::kernel_info(request)),
        Content::IsCompleteRequest(cell) => {
            let content = replies::is_complete(&cell.code);
            Some(message("is_complete_reply", content, request))
        }
        Content::HistoryRequest(which) => {
            let content = lock(&shared.history).reply(which);
            Some(message("history_reply", content, request))
        }
        Content::CommInfoRequest(_) => {
            let content = json!({"status": "ok", "comms": {}});
            Some(message("comm_info_reply", content, request))
        }
        // This kernel has no comm targets: the front end is notified at once that its comm is
        // closed.
        Content::CommOpen(open) => {
            let close = CommClose {
                comm_id: open.comm_id.clone(),
                data: Default::default(),
            };
            shared.iopub.send(close.as_child_of(request)).await;
            None
        }
        Content::CommMsg(_) | Content::CommClose(_) => None,
        _ => match request.message_type().strip_suffix("_request") {
            Some(name) => {
                let content = replies::unknown(request.message_type());
                Some(message(&format!("{name}_reply"), content, request))
            }
            None => {
                log(format_args!("a {} was ignored", request.message_type()));
                None
            }
        },
    };
    if let Some(reply) = reply {
        let _ = shared.replies.send(reply).await;
    }
    shared.iopub.idle(request).await;
    shared.say_busy_again().await;
}
