//! The stdin channel: a cell's requests for input.
//!
//! A cell requests input in one of two ways. The library's `input` sends its prompt in a frame
//! within the output; the supervisor detects any other read of standard input, which has no prompt.
//! Both then wait at the same pipe, so a wait for a question that was already asked does not count
//! as a second question: both sides count the answers.
//!
//! If the front end provides no input (`allow_stdin` is false), the cell reads the end of file and
//! no question is asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use jupyter_protocol::{JupyterMessage, JupyterMessageContent as Content};
use jupyter_zmq_client::{RouterRecvConnection, RouterSendConnection};
use serde_json::json;
use tokio::sync::mpsc;

use super::lock::lock;
use super::log::log;
use super::read::next_message;
use super::replies::message;
use crate::session::Control;

/// A cell's question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) prompt: String,
    /// Whether the front end must hide the answer.
    pub(super) is_password: bool,
}

/// The questions of the running cell.
pub(super) struct Stdin {
    requests: mpsc::UnboundedSender<JupyterMessage>,
    asking: Mutex<Option<Asking>>,
}

/// A cell that may ask questions.
struct Asking {
    parent: Arc<JupyterMessage>,
    control: Control,
    /// The first has been sent to the front end.
    questions: VecDeque<Question>,
    n_answers: u64,
}

impl Stdin {
    /// Starts the two tasks of the channel.
    pub(super) fn start(send: RouterSendConnection, replies: RouterRecvConnection) -> Arc<Stdin> {
        let (requests, to_send) = mpsc::unbounded_channel();
        let stdin = Arc::new(Stdin {
            requests,
            asking: Mutex::default(),
        });
        tokio::spawn(ask_all(stdin.clone(), send, to_send));
        tokio::spawn(hear(stdin.clone(), replies));
        stdin
    }

    /// The next cell may ask questions.
    pub(super) fn begin(&self, parent: &Arc<JupyterMessage>, control: Control) {
        control.allow_input(true);
        *lock(&self.asking) = Some(Asking {
            parent: parent.clone(),
            control,
            questions: VecDeque::new(),
            n_answers: 0,
        });
    }

    /// The cell has ended: its last question needs no answer any more.
    pub(super) fn end(&self) {
        if let Some(asking) = lock(&self.asking).take() {
            asking.control.allow_input(false);
        }
    }

    /// The cell asks a question, after its earlier ones.
    pub(super) fn ask(&self, question: Question) {
        if let Some(asking) = &mut *lock(&self.asking) {
            asking.questions.push_back(question);
            if asking.questions.len() == 1 {
                self.send_first(asking);
            }
        }
    }

    /// The cell waits, after `n_answers` answers: asks, unless the question was already asked.
    pub(super) fn waits(&self, n_answers: u64) {
        if let Some(asking) = &mut *lock(&self.asking)
            && asking.questions.is_empty()
            && asking.n_answers == n_answers
        {
            asking.questions.push_back(Question::default());
            self.send_first(asking);
        }
    }

    /// An answer has arrived from the front end.
    fn answer(&self, mut line: String) {
        let Some(asking) = &mut *lock(&self.asking) else {
            return log(format_args!("an answer came to nothing"));
        };
        if asking.questions.pop_front().is_none() {
            return log(format_args!("an answer came to no question"));
        }
        asking.n_answers += 1;
        line.push('\n');
        // Takes little time: the supervisor never makes a caller wait.
        asking.control.answer(line.into_bytes());
        self.send_first(asking);
    }

    fn send_first(&self, asking: &Asking) {
        let Some(question) = asking.questions.front() else {
            return;
        };
        let content = json!({"prompt": question.prompt, "password": question.is_password});
        let request = message("input_request", content, &asking.parent);
        let _ = self.requests.send(request);
    }

    /// The front end cannot provide input.
    fn give_up(&self) {
        if let Some(asking) = &*lock(&self.asking) {
            asking.control.allow_input(false);
        }
    }
}

async fn ask_all(
    stdin: Arc<Stdin>,
    mut to: RouterSendConnection,
    mut requests: mpsc::UnboundedReceiver<JupyterMessage>,
) {
    while let Some(request) = requests.recv().await {
        if let Err(error) = to.send(request).await {
            log(format_args!(
                "the front end cannot be asked for input: {error}"
            ));
            stdin.give_up();
        }
    }
}

async fn hear(stdin: Arc<Stdin>, mut replies: RouterRecvConnection) {
    loop {
        let reply = next_message(&mut replies, "stdin").await;
        match reply.content {
            Content::InputReply(reply) => stdin.answer(reply.value),
            _ => log(format_args!(
                "a {} on the stdin channel was ignored",
                reply.message_type()
            )),
        }
    }
}
