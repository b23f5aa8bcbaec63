//! The session's thread: takes requests in order, and works on one at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use jupyter_protocol::{ExecuteRequest, JupyterMessage, Status};
use serde_json::{Map, Value, json};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use super::candidates::{complete_magic, complete_place, complete_word, completed, is_internal};
use super::cargo_progress::Progress;
use super::lock::lock;
use super::relay::{Cell, Feeder, Shows};
use super::replies::{self, message};
use super::session_start::{STACK_BYTES, Start};
use super::shared::Shared;
use crate::cell::complete::{byte_of_cursor, cursor_of_byte};
use crate::cell::cursor;
use crate::cell::{self, Place};
use crate::session::{self, CellError, Inspection, Session, Told};
use crate::sys::procs;

/// How long the session's thread may continue after its processes have ended, before the kernel
/// exits without it: a computation of rust-analyzer cannot be stopped.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(800);

/// How long to wait without requests before reading ahead what later cells may need: a user who
/// runs one cell after another should not wait for things that the cells do not need.
const PAUSE: Duration = Duration::from_secs(1);

/// A request that needs the session.
pub(super) struct Job {
    pub(super) parent: Arc<JupyterMessage>,
    pub(super) work: Work,
}

pub(super) enum Work {
    Execute {
        request: ExecuteRequest,
        /// The request's sequence number.
        number: u64,
    },
    Complete {
        code: String,
        /// Counted in characters.
        cursor: usize,
    },
    Inspect {
        code: String,
        /// Counted in characters.
        cursor: usize,
    },
    /// Reads the variables, unless that was done since the last cell.
    Look {
        /// Notified when they are in the listing.
        looked: oneshot::Sender<()>,
    },
}

/// A handle to the thread.
pub(super) struct Handle {
    /// Accepts requests, and `None` when the kernel ends.
    pub(super) jobs: mpsc::UnboundedSender<Option<Job>>,
    /// Resolves when the thread and its session have ended.
    pub(super) ended: oneshot::Receiver<()>,
}

impl Handle {
    /// Ends the session: its processes, then its thread, and with it its folders.
    pub(super) async fn close(self, shared: &Shared) {
        shared.closing.store(true, Ordering::SeqCst);
        shared.start.interrupt();
        let _ = self.jobs.send(None);
        let control = lock(&shared.control).clone();
        let has_started = control.is_some();
        if let Some(control) = control {
            // It has deadlines of its own.
            let _ = tokio::task::spawn_blocking(move || control.shutdown()).await;
        }
        let ended = tokio::time::timeout(SHUTDOWN_DEADLINE, self.ended).await;
        if ended.is_err() || !has_started {
            let end = || {
                procs::end_descendants(&HashSet::new(), SHUTDOWN_DEADLINE);
                session::remove_folders();
            };
            let _ = tokio::task::spawn_blocking(end).await;
            // The start may continue with its next process.
            tokio::task::spawn_blocking(move || {
                loop {
                    end();
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
    }
}

/// Starts the thread, on which the session starts at once.
pub(super) fn start(shared: Arc<Shared>) -> Result<Handle> {
    let (jobs, queue) = mpsc::unbounded_channel();
    let (ending, ended) = oneshot::channel();
    let feeder = Feeder::start(shared.iopub.clone(), shared.stdin.clone());
    let progress = Progress::start(feeder.clone())?;
    let runtime = runtime::Handle::current();
    std::thread::Builder::new()
        .name("session".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let worker = Worker {
                session: None,
                runtime,
                shared,
                feeder,
                progress,
                execution_count: 0,
            };
            worker.run(queue);
            let _ = ending.send(());
        })?;
    Ok(Handle { jobs, ended })
}

struct Worker {
    session: Option<Session>,
    /// The server's runtime, for its clock.
    runtime: runtime::Handle,
    shared: Arc<Shared>,
    feeder: Feeder,
    progress: Progress,
    /// The number of the last cell that counts.
    execution_count: usize,
}

impl Worker {
    fn run(mut self, mut queue: mpsc::UnboundedReceiver<Option<Job>>) {
        Start::begin(&self.shared, &self.feeder);
        while let Some(Some(job)) = self.next(&mut queue) {
            if self.shared.closing.load(Ordering::SeqCst) {
                break;
            }
            self.work_on(job);
        }
        if let Some(session) = self.session {
            session.abandon();
        }
    }

    /// The next request. In a pause, the session reads what it has not read yet.
    fn next(&mut self, queue: &mut mpsc::UnboundedReceiver<Option<Job>>) -> Option<Option<Job>> {
        if let Some(session) = self.session.as_mut().filter(|session| session.has_unread()) {
            let received = self
                .runtime
                .block_on(async { tokio::time::timeout(PAUSE, queue.recv()).await });
            match received {
                Ok(job) => return job,
                Err(_) => session.read_ahead(),
            }
        }
        queue.blocking_recv()
    }

    /// The session, once it has started; retries the start if it failed.
    fn session(&mut self) -> Result<&mut Session, CellError> {
        if self.session.is_none() {
            Start::begin(&self.shared, &self.feeder);
            self.session = Some(self.shared.start.wait(&self.shared.closing)?);
        }
        self.session.as_mut().ok_or_else(|| unreachable!())
    }

    fn work_on(&mut self, job: Job) {
        let parent = job.parent;
        if let Work::Look { looked } = job.work {
            self.look();
            let _ = looked.send(());
            return;
        }
        self.shared
            .iopub
            .send_blocking(Status::busy().as_child_of(&parent));
        *lock(&self.shared.running) = Some(parent.clone());
        let reply = match job.work {
            Work::Execute { request, number } => {
                let content = self.execute(&request, number, &parent);
                message("execute_reply", content, &parent)
            }
            Work::Complete { code, cursor } => {
                message("complete_reply", self.complete(&code, cursor), &parent)
            }
            Work::Inspect { code, cursor } => {
                message("inspect_reply", self.inspect(&code, cursor), &parent)
            }
            Work::Look { .. } => return,
        };
        *lock(&self.shared.running) = None;
        let _ = self.shared.replies.blocking_send(reply);
        self.shared
            .iopub
            .send_blocking(Status::idle().as_child_of(&parent));
    }

    /// Runs a cell; returns the content of the reply.
    fn execute(
        &mut self,
        request: &ExecuteRequest,
        number: u64,
        parent: &Arc<JupyterMessage>,
    ) -> Value {
        if number <= self.shared.abort_up_to.load(Ordering::SeqCst) {
            return replies::aborted(self.execution_count);
        }
        let counts = request.store_history && !request.silent && !request.code.trim().is_empty();
        if counts {
            self.execution_count += 1;
            lock(&self.shared.history).push(self.execution_count, &request.code);
        }
        if !request.silent {
            let content = json!({"code": request.code, "execution_count": self.execution_count});
            let input = message("execute_input", content, parent);
            self.shared.iopub.send_blocking(input);
        }
        let mut cell = Cell {
            parent: parent.clone(),
            execution_count: self.execution_count,
            shows: if request.silent {
                Shows::Nothing
            } else {
                Shows::Result
            },
        };
        self.feeder.begin(cell.clone());
        self.progress.begin(self.session.is_some());
        let ran = self.run_asking(request, parent);
        self.progress.end();
        self.shared.stdin.end();
        self.feeder.end();
        let error = match ran {
            Ok(told) => {
                cell.shows = Shows::Value;
                let expressions = self.user_expressions(request, &cell);
                return replies::executed(self.execution_count, expressions, told.as_ref());
            }
            Err(error) => error,
        };
        if request.stop_on_error {
            let n_received = self.shared.n_received.load(Ordering::SeqCst);
            self.shared
                .abort_up_to
                .fetch_max(n_received, Ordering::SeqCst);
        }
        let content = message("error", replies::error(&error), parent);
        self.shared.iopub.send_blocking(content);
        replies::failed(self.execution_count, &error)
    }

    /// Runs the request's code, which may ask the front end for input if the front end allows it.
    fn run_asking(
        &mut self,
        request: &ExecuteRequest,
        parent: &Arc<JupyterMessage>,
    ) -> Result<Option<Told>, CellError> {
        // A session that has not started yet has no pipe for input.
        self.session()?;
        self.progress.session_is_there();
        let control = lock(&self.shared.control).clone();
        if let Some(control) = control.filter(|_| request.allow_stdin) {
            self.shared.stdin.begin(parent, control);
        }
        self.run_cell(&request.code)
    }

    fn look(&mut self) {
        // Before the session has started, there are no variables.
        let Some(session) = &mut self.session else {
            return;
        };
        if !lock(&self.shared.listing).is_fresh() {
            let variables = session.look();
            lock(&self.shared.listing).renew(variables);
        }
    }

    fn run_cell(&mut self, code: &str) -> Result<Option<Told>, CellError> {
        let number = self.execution_count as u32;
        lock(&self.shared.listing).expire();
        let session = self.session()?;
        session.count(number);
        session.run_cell(code)
    }

    /// Evaluates expressions after the cell, each as a separate cell whose value goes into the
    /// reply. Printed output belongs to the cell; an expression that fails changes nothing.
    fn user_expressions(&mut self, request: &ExecuteRequest, cell: &Cell) -> Value {
        let mut values = Map::new();
        for (name, expression) in request.user_expressions.iter().flatten() {
            self.feeder.begin(cell.clone());
            let ran = self.run_cell(expression);
            let value = self.feeder.end();
            let value = match ran {
                Ok(_) => replies::value(value),
                Err(error) => replies::failed_expression(&error),
            };
            values.insert(name.clone(), value);
        }
        Value::Object(values)
    }

    /// Completes at a cursor. If nothing can be completed, there are no completions, and no error.
    fn complete(&mut self, code: &str, cursor: usize) -> Value {
        let at = byte_of_cursor(code, cursor);
        if let Some((start, matches)) = self.complete_words(code, at) {
            let start = cursor_of_byte(code, start);
            return completed(&matches, start, cursor, Value::Array(Vec::new()));
        }
        let analysed = cell::without_magics(code);
        let is_of_another_language = analysed.trim().is_empty() && !code.trim().is_empty();
        let found = match self.session() {
            Ok(session) if !is_of_another_language => complete_word(session, &analysed, at),
            _ => return completed(&[], cursor, cursor, Value::Array(Vec::new())),
        };
        let start = cursor_of_byte(code, found.start_bytes);
        let end = cursor_of_byte(code, found.end_bytes.max(found.start_bytes));
        // Without this filter, the library's trait that shows results would be offered after every
        // dot.
        let wanted = found.candidates.iter().filter(|c| !is_internal(&c.text));
        let mut matches: Vec<String> = Vec::new();
        let mut types: Vec<Value> = Vec::new();
        for candidate in wanted {
            let text = cursor::inserted(&candidate.text, &candidate.kind, &candidate.label);
            if matches.contains(&text) {
                continue;
            }
            types.push(json!({
                "text": text,
                "type": candidate.kind,
                "signature": candidate.label,
                "start": start,
                "end": end,
            }));
            matches.push(text);
        }
        completed(&matches, start, end, Value::Array(types))
    }

    /// Completions other than Rust: where the word at byte `at` begins, and its candidates.
    fn complete_words(&self, code: &str, at: usize) -> Option<(usize, Vec<String>)> {
        let Some(place) = Place::at(code, at) else {
            return complete_magic(code, at);
        };
        // Before the session has started, its cells' folder will be the kernel's.
        let folder = self.session.as_ref().map(Session::cells_folder);
        let matches = complete_place(place, &folder.unwrap_or_default());
        Some((at - place.word().len(), matches))
    }

    fn inspect(&mut self, code: &str, cursor: usize) -> Value {
        let at = byte_of_cursor(code, cursor);
        let mut data = Map::new();
        let magic = cursor::magic_at(code, at).and_then(cell::magic_help);
        if let Some(help) = magic {
            data.insert("text/plain".to_owned(), json!(help));
        } else if let Some(found) = self.find(&cell::without_magics(code), at) {
            data.insert("text/plain".to_owned(), json!(found.plain));
            data.insert("text/html".to_owned(), json!(found.html));
        }
        json!({"status": "ok", "found": !data.is_empty(), "data": data, "metadata": {}})
    }

    /// Information about the name at byte `at`.
    fn find(&mut self, code: &str, at: usize) -> Option<Inspection> {
        let session = self.session().ok()?;
        let mut best: Option<Inspection> = None;
        for text in cursor::subjects(code, at) {
            let Some(found) = session.inspect(&text, text.len()).ok().flatten() else {
                continue;
            };
            // If the text ends too early, a type may be unknown.
            let is_sure = !found.plain.contains("{unknown}");
            if best.is_none() || is_sure {
                best = Some(found);
            }
            if is_sure {
                break;
            }
        }
        best
    }
}
