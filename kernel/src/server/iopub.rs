//! The iopub channel: one task that writes, and a handle that all other tasks use.
//!
//! An XPUB socket reports when a client subscribes, so the kernel can tell that client that it
//! misses nothing from now on (`iopub_welcome`). It also waits for a slow subscriber, where a PUB
//! socket would drop messages.

use std::time::Duration;

use jupyter_protocol::{
    ExecutionState, IoPubWelcome, JupyterMessage, JupyterMessageContent, Status,
};
use jupyter_zmq_client::{KernelIoPubXPubConnection, SubscriptionEvent};
use serde_json::Value;
use tokio::sync::mpsc;

use super::log::log;
use super::replies::message;

/// The number of messages that may wait for the front end before senders must wait too.
const N_WAITING: usize = 64;

/// A handle to the iopub channel.
#[derive(Clone)]
pub(super) struct IoPub {
    messages: mpsc::Sender<JupyterMessage>,
}

impl IoPub {
    /// Starts the task that writes to `connection`.
    pub(super) fn start(connection: KernelIoPubXPubConnection) -> IoPub {
        let (messages, to_send) = mpsc::channel(N_WAITING);
        tokio::spawn(write(connection, to_send));
        IoPub { messages }
    }

    /// Publishes a message.
    pub(super) async fn send(&self, message: JupyterMessage) {
        // This fails only when the kernel ends.
        let _ = self.messages.send(message).await;
    }

    /// The same, for a thread that may block.
    pub(super) fn send_blocking(&self, message: JupyterMessage) {
        let _ = self.messages.blocking_send(message);
    }

    /// Publishes content as a child of `parent`.
    pub(super) async fn publish(&self, msg_type: &str, content: Value, parent: &JupyterMessage) {
        self.send(message(msg_type, content, parent)).await;
    }

    /// Publishes that work on `parent` begins.
    pub(super) async fn busy(&self, parent: &JupyterMessage) {
        self.send(Status::busy().as_child_of(parent)).await;
    }

    /// Publishes that work on `parent` has ended.
    pub(super) async fn idle(&self, parent: &JupyterMessage) {
        self.send(Status::idle().as_child_of(parent)).await;
    }

    /// Waits until everything has been sent.
    pub(super) async fn drained(&self) {
        drained(&self.messages, N_WAITING).await;
    }
}

async fn write(
    mut connection: KernelIoPubXPubConnection,
    mut messages: mpsc::Receiver<JupyterMessage>,
) {
    let starting = Status {
        execution_state: ExecutionState::Starting,
    };
    let mut welcomed = false;
    loop {
        let message = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => message,
                None => return,
            },
            event = connection.recv_subscription() => match event {
                Ok(SubscriptionEvent::Subscribe(topic)) => {
                    let welcome = addressed(IoPubWelcome::new(topic).into());
                    if let Err(error) = connection.send(welcome).await {
                        log(format_args!("a subscriber could not be welcomed: {error}"));
                    }
                    if welcomed {
                        continue;
                    }
                    welcomed = true;
                    starting.clone().into()
                }
                Ok(SubscriptionEvent::Unsubscribe(_)) => continue,
                // A subscriber is gone; the socket forgets it.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
            },
        };
        let message = addressed(message);
        if let Err(error) = connection.send(message).await {
            log(format_args!("a message could not be published: {error}"));
        }
    }
}

/// A message for all clients: its first frame is its topic, instead of the client that sent the
/// request.
fn addressed(message: JupyterMessage) -> JupyterMessage {
    let topic = match &message.content {
        JupyterMessageContent::StreamContent(_) => "stream",
        _ => message.message_type(),
    };
    let topic = format!("kernel.{topic}").into_bytes();
    message.with_zmq_identities(vec![topic.into()])
}

/// Waits until all messages in a channel have been taken out of it, and have had a moment to reach
/// the socket.
pub(super) async fn drained(channel: &mpsc::Sender<JupyterMessage>, n_waiting: usize) {
    while channel.capacity() < n_waiting {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
}
