//! The stdin channel: what a cell asks the user.
//!
//! A cell asks in one of two ways. The library's `input` says its prompt in a frame among the
//! output; any other read of standard input is noticed by the supervisor, and has no prompt. Both
//! then wait at the same pipe, so a wait that belongs to a question which was asked already is no
//! second one: answers are counted on both sides.
//!
//! Where the front end gives no input (`allow_stdin` is false), the cell finds the end of file and
//! nothing is asked.

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

/// What a cell wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) prompt: String,
    /// Whether the answer must not be seen.
    pub(super) is_password: bool,
}

/// The questions of the cell that runs.
pub(super) struct Stdin {
    requests: mpsc::UnboundedSender<JupyterMessage>,
    asking: Mutex<Option<Asking>>,
}

/// A cell that may ask.
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

    /// The cell that comes may ask.
    pub(super) fn begin(&self, parent: &Arc<JupyterMessage>, control: Control) {
        control.allow_input(true);
        *lock(&self.asking) = Some(Asking {
            parent: parent.clone(),
            control,
            questions: VecDeque::new(),
            n_answers: 0,
        });
    }

    /// The cell has ended: what it asked last needs no answer any more.
    pub(super) fn end(&self) {
        if let Some(asking) = lock(&self.asking).take() {
            asking.control.allow_input(false);
        }
    }

    /// The cell asks, in its turn.
    pub(super) fn ask(&self, question: Question) {
        if let Some(asking) = &mut *lock(&self.asking) {
            asking.questions.push_back(question);
            if asking.questions.len() == 1 {
                self.send_first(asking);
            }
        }
    }

    /// The cell waits, after it was given `n_answers`: asks, unless that has been done.
    pub(super) fn waits(&self, n_answers: u64) {
        if let Some(asking) = &mut *lock(&self.asking)
            && asking.questions.is_empty()
            && asking.n_answers == n_answers
        {
            asking.questions.push_back(Question::default());
            self.send_first(asking);
        }
    }

    /// The front end answers.
    fn answer(&self, mut line: String) {
        let Some(asking) = &mut *lock(&self.asking) else {
            return log(format_args!("an answer came to nothing"));
        };
        if asking.questions.pop_front().is_none() {
            return log(format_args!("an answer came to no question"));
        }
        asking.n_answers += 1;
        line.push('\n');
        // Short: the supervisor never keeps anybody waiting.
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

    /// The front end cannot be asked.
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
