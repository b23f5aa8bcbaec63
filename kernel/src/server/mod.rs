//! Jupyter's messages: five ZeroMQ sockets on one side, one session on the other.
//!
//! ```text
//!  shell ──▶ Shell ──(at once: kernel_info, is_complete, history, comms)──▶ reply
//!              └──(in order: execute, complete, inspect)──▶ Worker: the session's thread ──▶ reply
//!  control ──▶ Control: interrupt, shutdown; answered while a cell runs
//!  what a cell writes ──▶ Relay: batches, parses ──▶ IoPub: one task that writes ──▶ iopub
//!  what a cell asks   ──▶ Relay ──▶ Stdin ──▶ stdin ──▶ answer ──▶ the cell's standard input
//! ```
//!
//! The sockets reply before the session is ready: it warms up in the background, and the first cell
//! waits for it. A message that cannot be read is logged and dropped; no message from a client ends
//! a loop. A slow front end slows the cell down (every channel between the two is bounded), but
//! loses nothing.

mod candidates;
mod cargo_progress;
mod control;
mod debug;
mod history;
mod iopub;
mod lifeline;
mod listing;
mod lock;
mod log;
mod read;
mod relay;
mod replies;
mod session_start;
mod shared;
mod shell;
mod stdin;
mod worker;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jupyter_protocol::{ConnectionInfo, JupyterMessage, Status};
use jupyter_zmq_client::{KernelHeartbeatConnection, RouterSendConnection, RuntimeError};
use tokio::sync::mpsc;

use iopub::{IoPub, drained};
use log::log;
use shared::{Shared, Stop, Via};
use stdin::Stdin;

/// The number of replies that may wait to be written.
const N_REPLIES_WAITING: usize = 64;

/// Serves the kernel that a connection file describes until it is shut down.
///
/// # Errors
///
/// If the connection file cannot be read, or a port is taken.
pub fn run(connection_file: &Path) -> Result<()> {
    let info = read_connection_file(connection_file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("server")
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(&info));
    // A task may wait for a front end that has stopped reading.
    runtime.shutdown_background();
    served
}

fn read_connection_file(path: &Path) -> Result<ConnectionInfo> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read the connection file {shown}; Jupyter writes it when it starts a kernel"
        )
    })?;
    let info: ConnectionInfo = serde_json::from_str(&text)
        .with_context(|| format!("{shown} is not a Jupyter connection file"))?;
    if !info.key.is_empty() && info.signature_scheme != "hmac-sha256" {
        bail!(
            "{shown} asks for signatures by {}; only hmac-sha256 is known",
            info.signature_scheme
        );
    }
    Ok(info)
}

async fn serve(info: &ConnectionInfo) -> Result<()> {
    let session_id = format!("{}-{}", std::process::id(), info.shell_port);
    let sockets = Sockets::bind(info, &session_id).await?;
    let (shell_send, shell_recv) = sockets.shell.split();
    let (control_send, control_recv) = sockets.control.split();
    let (stdin_send, stdin_recv) = sockets.stdin.split();
    let (replies, replies_to_send) = mpsc::channel(N_REPLIES_WAITING);
    let (control_replies, control_replies_to_send) = mpsc::channel(N_REPLIES_WAITING);
    let (stop, mut stops) = mpsc::channel(4);
    let shared = Arc::new(Shared {
        iopub: IoPub::start(sockets.iopub),
        stdin: Stdin::start(stdin_send, stdin_recv),
        replies,
        running: Mutex::default(),
        control: Mutex::default(),
        start: session_start::Start::default(),
        history: Mutex::default(),
        listing: Mutex::default(),
        n_received: AtomicU64::new(0),
        abort_up_to: AtomicU64::new(0),
        closing: AtomicBool::new(false),
        stop,
    });
    let worker = worker::start(shared.clone())?;
    tokio::spawn(send_all(shell_send, replies_to_send));
    tokio::spawn(send_all(control_send, control_replies_to_send));
    tokio::spawn(heartbeat(sockets.heartbeat));
    tokio::spawn(shell::serve(
        shell_recv,
        shared.clone(),
        worker.jobs.clone(),
    ));
    tokio::spawn(control::serve(
        control_recv,
        shared.clone(),
        control_replies.clone(),
        worker.jobs.clone(),
    ));
    lifeline::watch(shared.clone());

    let stop = stops.recv().await.unwrap_or(Stop::Alone("all tasks ended"));
    worker.close(&shared).await;
    match stop {
        Stop::Alone(why) => log(format_args!("the kernel ends: {why}")),
        Stop::Asked { answer, via } => {
            let replies = match via {
                Via::Shell => &shared.replies,
                Via::Control => &control_replies,
            };
            let goodbye = async {
                let idle = Status::idle().as_child_of(&answer);
                let _ = replies.send((*answer).clone()).await;
                shared.iopub.send(*answer).await;
                shared.iopub.send(idle).await;
                drained(replies, N_REPLIES_WAITING).await;
                shared.iopub.drained().await;
            };
            let _ = tokio::time::timeout(Duration::from_millis(500), goodbye).await;
        }
    }
    Ok(())
}

/// The sockets of a kernel.
struct Sockets {
    shell: jupyter_zmq_client::KernelShellConnection,
    control: jupyter_zmq_client::KernelControlConnection,
    stdin: jupyter_zmq_client::KernelStdinConnection,
    iopub: jupyter_zmq_client::KernelIoPubXPubConnection,
    heartbeat: KernelHeartbeatConnection,
}

impl Sockets {
    async fn bind(info: &ConnectionInfo, session_id: &str) -> Result<Sockets> {
        use jupyter_zmq_client as zmq;
        let named = |name: &'static str, port: u16| {
            let ip = info.ip.clone();
            move |error: RuntimeError| {
                anyhow::anyhow!(
                    "cannot listen on {ip} port {port} for the {name} channel: {error}; \
                     another program may use the port: start the kernel again to get new ones"
                )
            }
        };
        Ok(Sockets {
            shell: zmq::create_kernel_shell_connection(info, session_id)
                .await
                .map_err(named("shell", info.shell_port))?,
            control: zmq::create_kernel_control_connection(info, session_id)
                .await
                .map_err(named("control", info.control_port))?,
            stdin: zmq::create_kernel_stdin_connection(info, session_id)
                .await
                .map_err(named("stdin", info.stdin_port))?,
            iopub: zmq::create_kernel_iopub_xpub_connection(info, session_id)
                .await
                .map_err(named("iopub", info.iopub_port))?,
            heartbeat: zmq::create_kernel_heartbeat_connection(info)
                .await
                .map_err(named("heartbeat", info.hb_port))?,
        })
    }
}

/// The one task that writes to a router socket.
async fn send_all(mut to: RouterSendConnection, mut messages: mpsc::Receiver<JupyterMessage>) {
    while let Some(message) = messages.recv().await {
        if let Err(error) = to.send(message).await {
            log(format_args!("a reply could not be sent: {error}"));
        }
    }
}

async fn heartbeat(mut connection: KernelHeartbeatConnection) {
    loop {
        if connection.single_heartbeat().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
