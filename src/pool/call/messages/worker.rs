//! A worker's side: a thread, its line to the owner, and a job as it arrives over that line.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender};

use crate::error::{Cause, Error, Result};
use crate::sys::atomic::AtomicU64;
use crate::wire::Sink;

use super::super::decoded::Decoded;
use super::super::transport::{Arrived, ContextId, Outputs, Port};
use super::super::work::Work;
use super::{Args, Content, Job, Report, Run};
use crate::caught::last_panic::LastPanic;

thread_local! {
    /// Whether this worker is lost: whatever it does from now on has no effect.
    pub(super) static IS_LOST: Cell<bool> = const { Cell::new(false) };
}

/// A worker's end of its line to the owner.
pub(super) struct Line {
    pub(super) worker: usize,
    pub(super) owner: Sender<(usize, u64, Report)>,
    pub(super) jobs: Receiver<Job>,
    pub(super) grants: Receiver<Option<(u64, u64)>>,
}

impl Line {
    fn report(&self, job: u64, report: Report) {
        if !IS_LOST.get() {
            // An owner that is gone needs no report.
            let _ = self.owner.send((self.worker, job, report));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.owner.send((self.worker, 0, Report::Gone));
    }
}

/// Works until the owner, or this worker, is gone.
pub(super) fn work(line: &Line) {
    let contexts = Decoded::default();
    while let Ok(job) = line.jobs.recv() {
        let port = Remote {
            line,
            job: &job,
            first: 0,
            stride: 0,
            numbers: Vec::new(),
            slots: std::ptr::null_mut(),
            n_committed: AtomicU64::new(0),
        };
        let mut work = Work::new(port, &contexts);
        // SAFETY: the job's arguments were encoded for this function.
        unsafe { (job.function)(&mut work) };
        line.report(job.id, Report::Left);
        if IS_LOST.get() {
            return;
        }
    }
}

/// A worker's side of a job.
pub(in crate::pool) struct Remote<'a> {
    line: &'a Line,
    job: &'a Job,
    /// The run in progress: the first task that is not sent, and its numbers.
    first: u64,
    stride: usize,
    numbers: Vec<u128>,
    /// Where those numbers are.
    slots: *mut u8,
    n_committed: AtomicU64,
}

impl Remote<'_> {
    fn report_run(&mut self, n_values: u64, content: Content) {
        let first = self.first;
        self.first += n_values;
        let run = Run {
            first,
            n_values,
            content,
        };
        self.line.report(self.job.id, Report::Results(run));
    }

    fn send_numbers(&mut self) {
        let n = std::mem::take(self.n_committed.get_mut());
        if n > 0 {
            let n_bytes = n as usize * self.stride;
            // SAFETY: this many numbers were written there.
            let bytes = unsafe { std::slice::from_raw_parts(self.slots, n_bytes) }.to_vec();
            let stride = self.stride;
            self.report_run(n, Content::Numbers { stride, bytes });
        }
    }
}

// SAFETY: the owner grants each task once; the numbers came with the job, which outlives this;
// `begin` makes a buffer of numbers of the largest alignment, with room for the whole run.
unsafe impl Port for Remote<'_> {
    fn claim(&mut self) -> Option<(u64, u64)> {
        if IS_LOST.get() {
            return None;
        }
        self.line.report(self.job.id, Report::Ask);
        self.line.grants.recv().unwrap_or_default()
    }

    fn items(&self) -> Option<&[u64]> {
        self.job.items.as_deref()
    }

    fn argument(&self, item: usize) -> Result<&[u8]> {
        match &self.job.args {
            Args::Values(values) => values[item]
                .as_deref()
                .ok_or_else(|| Error::invalid_input("the argument could not be encoded")),
            Args::Numbers(_) => unreachable!("numbers are asked for as numbers"),
        }
    }

    fn numbers(&self) -> *const u8 {
        match &self.job.args {
            Args::Numbers(numbers) => numbers.as_ptr().cast(),
            Args::Values(_) => std::ptr::null(),
        }
    }

    fn context(&self) -> Option<Arrived<'_>> {
        let (name, bytes) = self.job.context.as_ref()?;
        Some(Arrived {
            id: ContextId {
                name: *name,
                generation: 0,
            },
            bytes: bytes.as_slice(),
            stay: false,
        })
    }

    fn last_panic(&self) -> Option<&'static LastPanic> {
        None
    }

    fn begin(&mut self, first: u64, n: u64, stride: usize) {
        self.numbers = vec![0; (n as usize * stride).div_ceil(size_of::<u128>())];
        self.slots = self.numbers.as_mut_ptr().cast();
        (self.first, self.stride) = (first, stride);
        let is_known = stride == 0 || n == 1;
        self.line.report(self.job.id, Report::Begun(is_known));
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs {
            first: self.slots,
            n_committed: &self.n_committed,
        }
    }

    fn decoded(&self) {}

    fn commit(&mut self, encode: &mut dyn FnMut(&mut dyn Sink) -> Result<()>) -> Result<()> {
        let mut bytes = vec![0; 8];
        encode(&mut bytes)?;
        let length = bytes.len() as u64 - 8;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        self.report_run(1, Content::Value(bytes));
        Ok(())
    }

    fn fail(&mut self, task: u64, cause: &Cause) {
        self.send_numbers();
        self.first = task;
        self.report_run(1, Content::Failure(self.line.worker as i32, cause.clone()));
    }

    fn end(&mut self, _n_run: u64) {
        self.send_numbers();
    }
}
