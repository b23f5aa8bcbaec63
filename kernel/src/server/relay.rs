//! A cell's output on its way to the front end: collected for some milliseconds, parsed, published.
//!
//! A message costs the front end about as much as a thousand lines in it, so bytes are collected;
//! but only briefly, because text must not wait. Only this module knows a cell's special modes
//! (silent, no result wanted).

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jupyter_protocol::JupyterMessage;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::iopub::IoPub;
use super::stdin::{Question, Stdin};
use crate::output::{Event, Parser, Rich, RichKind, Stream};
use crate::protocol::Output;

/// How long bytes are collected before they are published.
const COLLECT: Duration = Duration::from_millis(10);
/// The maximum number of bytes collected.
const COLLECT_MAX_BYTES: usize = 64 << 10;
/// The number of reads from the cell's pipes that may wait here before the cell must wait.
const N_WAITING: usize = 64;

/// The cell to which output belongs.
#[derive(Clone)]
pub(super) struct Cell {
    pub(super) parent: Arc<JupyterMessage>,
    pub(super) execution_count: usize,
    pub(super) shows: Shows,
}

/// What happens to a cell's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// It is published.
    Result,
    /// It is dropped.
    Nothing,
    /// It is kept for the reply, as the value of a user expression.
    Value,
}

/// The input of the relay.
enum Feed {
    /// From now on, output belongs to this cell.
    Begin(Cell),
    Output(Output),
    /// The cell has ended: publish everything, and return the value that was kept.
    End(oneshot::Sender<Option<Rich>>),
}

/// The sending end of the relay.
#[derive(Clone)]
pub(super) struct Feeder {
    feed: mpsc::Sender<Feed>,
}

impl Feeder {
    /// Starts the relay.
    pub(super) fn start(iopub: IoPub, stdin: Arc<Stdin>) -> Feeder {
        let (feed, fed) = mpsc::channel(N_WAITING);
        let relay = Relay {
            iopub,
            stdin,
            cell: None,
            value: None,
            stdout: Parser::new(Stream::Stdout),
            stderr: Parser::new(Stream::Stderr),
            events: Vec::new(),
            n_bytes: 0,
            publish_at: None,
        };
        tokio::spawn(relay.run(fed));
        Feeder { feed }
    }

    /// From now on, output belongs to `cell`. Must not be called on a server task.
    pub(super) fn begin(&self, cell: Cell) {
        let _ = self.feed.blocking_send(Feed::Begin(cell));
    }

    /// Takes bytes; waits if the front end is slow. Must not be called on a server task.
    pub(super) fn write(&self, output: Output) {
        let _ = self.feed.blocking_send(Feed::Output(output));
    }

    /// Returns when everything written so far has been published, with the value that was kept.
    /// Must not be called on a server task.
    pub(super) fn end(&self) -> Option<Rich> {
        let (published, wait) = oneshot::channel();
        self.feed.blocking_send(Feed::End(published)).ok()?;
        wait.blocking_recv().ok()?
    }
}

struct Relay {
    iopub: IoPub,
    stdin: Arc<Stdin>,
    cell: Option<Cell>,
    /// The cell's last value, if it must be kept.
    value: Option<Rich>,
    stdout: Parser,
    stderr: Parser,
    /// The collected events, in order.
    events: Vec<Event>,
    n_bytes: usize,
    publish_at: Option<Instant>,
}

impl Relay {
    async fn run(mut self, mut fed: mpsc::Receiver<Feed>) {
        loop {
            let feed = match self.publish_at {
                None => fed.recv().await,
                Some(at) => match tokio::time::timeout_at(at, fed.recv()).await {
                    Ok(feed) => feed,
                    Err(_) => {
                        self.stdout.idle(&mut self.events);
                        self.publish().await;
                        continue;
                    }
                },
            };
            match feed {
                None => return,
                Some(Feed::Begin(cell)) => {
                    self.publish().await;
                    self.cell = Some(cell);
                    self.publish().await;
                }
                Some(Feed::Output(output)) => self.take(output).await,
                Some(Feed::End(published)) => {
                    self.stdout.finish(&mut self.events);
                    self.stderr.finish(&mut self.events);
                    self.publish().await;
                    let _ = published.send(self.value.take());
                }
            }
        }
    }

    async fn take(&mut self, output: Output) {
        match output {
            Output::Stdout(bytes) => {
                self.n_bytes += bytes.len();
                self.stdout.push(&bytes, &mut self.events);
            }
            Output::Stderr(bytes) => {
                self.n_bytes += bytes.len();
                self.stderr.push(&bytes, &mut self.events);
            }
            Output::Display(data) => {
                self.n_bytes += data.values().map(String::len).sum::<usize>();
                self.stdout.idle(&mut self.events);
                self.events.push(Event::Rich(Rich::display(data)));
            }
            Output::Waits(n_answers) => {
                self.stdout.idle(&mut self.events);
                self.publish().await;
                return self.stdin.waits(n_answers);
            }
        }
        if self.n_bytes >= COLLECT_MAX_BYTES {
            self.publish().await;
        } else if !self.events.is_empty() || self.stdout.holds_text() {
            self.publish_at
                .get_or_insert_with(|| Instant::now() + COLLECT);
        }
    }

    async fn publish(&mut self) {
        self.publish_at = None;
        self.n_bytes = 0;
        // Output of the session's start waits for the first cell, which shows it.
        let Some(cell) = &self.cell else {
            return;
        };
        let events = without_overtaken_updates(mem::take(&mut self.events));
        for event in events {
            match event {
                Event::Prompt { text, is_password } => self.stdin.ask(Question {
                    prompt: text,
                    is_password,
                }),
                Event::Rich(rich)
                    if cell.shows == Shows::Value && rich.kind != RichKind::Update =>
                {
                    self.value = Some(rich);
                }
                event => {
                    if let Some((msg_type, content)) = message_of(event, cell) {
                        self.iopub.publish(msg_type, content, &cell.parent).await;
                    }
                }
            }
        }
    }
}

/// Drops each update that a later one with the same id replaces before a user could see it.
fn without_overtaken_updates(mut events: Vec<Event>) -> Vec<Event> {
    let id_of = |event: &Event| match event {
        Event::Rich(Rich {
            kind: RichKind::Update,
            id: Some(id),
            ..
        }) => Some(id.clone()),
        _ => None,
    };
    let mut last: HashMap<String, usize> = HashMap::new();
    for (i, event) in events.iter().enumerate() {
        if let Some(id) = id_of(event) {
            last.insert(id, i);
        }
    }
    let mut i = 0;
    events.retain(|event| {
        let is_last = id_of(event).is_none_or(|id| last[&id] == i);
        i += 1;
        is_last
    });
    events
}

/// The message that shows an event, if it must be shown.
fn message_of(event: Event, cell: &Cell) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::Text(Stream::Stdout, text) => ("stream", json!({"name": "stdout", "text": text})),
        Event::Text(Stream::Stderr, text) => ("stream", json!({"name": "stderr", "text": text})),
        Event::Clear { wait } => ("clear_output", json!({"wait": wait})),
        Event::Prompt { .. } => return None,
        Event::Rich(rich) => {
            let mut content = json!({"data": rich.data, "metadata": rich.metadata});
            if let Some(id) = &rich.id {
                content["transient"] = json!({"display_id": id});
            }
            match rich.kind {
                RichKind::Display => ("display_data", content),
                RichKind::Update => ("update_display_data", content),
                RichKind::Result if cell.shows != Shows::Result => return None,
                RichKind::Result => {
                    content["execution_count"] = json!(cell.execution_count);
                    ("execute_result", content)
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn update(id: &str, text: &str) -> Event {
        Event::Rich(Rich {
            kind: RichKind::Update,
            id: Some(id.to_owned()),
            data: Map::from_iter([("text/plain".to_owned(), json!(text))]),
            metadata: Map::new(),
        })
    }

    #[test]
    fn only_the_last_update_of_each_id_is_sent() {
        let text = Event::Text(Stream::Stdout, "x".to_owned());
        let events = vec![
            update("a", "1"),
            update("b", "1"),
            text.clone(),
            update("a", "2"),
        ];
        assert_eq!(
            without_overtaken_updates(events),
            [update("b", "1"), text, update("a", "2")]
        );
    }
}
