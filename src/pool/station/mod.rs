//! A node's own process: a pool that runs the tasks that a relay sends.
//!
//! ```text
//!  relay ── Begin ─▶ pool of its own ─▶ Ready
//!        ── Function, Context, Block ─▶ a map on the pool ─▶ Results
//! ```
//!
//! A station is a fresh process of the owner's program, so it has the same code at the same
//! offsets. It starts before `main`, has one thread, and never reaches `main`. The only processes
//! that it starts are its pool's workers. It ends with its relay, whatever ends that: either the
//! link ends, or Linux kills the station together with the process that started it.

mod code;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cluster::node::STATION;
use crate::error::{Cause, Error, Result};
use crate::link::{SocketLink, Talk};
use crate::shared::heap::{Heap, Offset};
use crate::sys::child::{self, Branch};
use crate::sys::clock::monotonic_ns;
use crate::sys::descriptor;
use crate::sys::launch::forget_launch;
use crate::sys::letter::Letter;
use crate::sys::line::Line;
use crate::wire;

use code::Objects;

use super::call::flight::{Flight, Function};
use super::call::harvest::Harvest;
use super::call::options::Options;
use super::call::shared::{Load, Shared};
use super::context::{ContextMemory, Source, Written};
use super::plan::Schedule;
use super::settings::{Settings, StartMethod};
use super::shm::args::{Arguments, Layout};
use super::stats::{Counts, Stats, Tally};
use super::workers::entry;
use super::workers::nodes::Terms;
use super::workers::nodes::message::{Args, Block, Results, ToRelay, ToStation};

/// The loader runs this before `main`, in every process, including those that are no station.
#[used]
#[unsafe(link_section = ".init_array")]
static STATION_ENTRY: extern "C" fn() = enter;

/// How often, at least and at most, the station checks for results while tasks run. Between these
/// limits, the interval is a fraction of the time that the tasks have taken.
const LOOKS: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(1));
const LOOKS_PER_TIME: u32 = 64;
/// How long an idle station sleeps before it checks its pool.
const IDLE: Duration = Duration::from_secs(10);

/// Becomes a station, if this process was started as one.
extern "C" fn enter() {
    let Some((_branch, line)) = find_line() else {
        return;
    };
    child::name_process(c"forklore-statio");
    child::pass_interrupts();
    let stream = UnixStream::from(OwnedFd::from(line));
    if let Ok(link) = SocketLink::new(stream) {
        let mut station = Station {
            talk: Talk::new(link),
            pool: None,
            functions: HashMap::new(),
            objects: Objects::default(),
            contexts: HashMap::new(),
            open: Vec::new(),
            counts: Vec::new(),
        };
        // However the link ends, nothing is left to do.
        let _ = station.serve();
        if let Some(pool) = station.pool.take() {
            pool.terminate();
        }
    }
    child::exit_now(0)
}

/// The line of this process to its relay, if it was started as a station. From here on, the process
/// ends with the one that started it, and never reaches `main`.
fn find_line() -> Option<(Branch, Line)> {
    let value = std::env::var_os(STATION)?;
    let letter = Letter::<8>::find(&value)?;
    let (offset, path) = entry::own_object()?;
    if u64::from_le_bytes(*letter.content()) != offset {
        return None;
    }
    let branch = Branch::enter();
    if letter.is_orphaned() {
        child::exit_now(1);
    }
    forget_launch(STATION, &path);
    child::die_with(nix::unistd::getppid());
    let line = letter.take();
    descriptor::fill_standard();
    child::keep_zombies();
    Some((branch, line))
}

struct Station {
    talk: Talk<SocketLink>,
    pool: Option<Arc<Shared>>,
    /// The offsets of the functions' names, or why they cannot be called.
    functions: HashMap<u64, Result<Offset, Arc<Error>>>,
    objects: Objects,
    contexts: HashMap<(u64, u64), Result<Arc<Written>, Arc<Error>>>,
    open: Vec<Underway>,
    /// For each worker, the counts of events other than tasks that the relay has.
    counts: Vec<Counts>,
}

/// A block whose tasks are running.
struct Underway {
    block: u64,
    n_tasks: u64,
    received_ns: u64,
    flight: Result<Flight, Arc<Error>>,
}

impl Station {
    /// Serves the relay until the link ends.
    fn serve(&mut self) -> std::io::Result<()> {
        let mut looked = Instant::now();
        loop {
            let mut did_any = false;
            while let Some(message) = self.talk.receive::<ToStation>()? {
                did_any = true;
                let (head, payload) = message.split();
                let payload = &*payload;
                let reply = match head {
                    ToStation::Begin { n_workers } => Some(self.begin(n_workers, payload)),
                    ToStation::Ping => Some(ToRelay::Pong),
                    ToStation::Object { object, version } => {
                        // A function in an object that is missing returns the error when it is
                        // called.
                        let _ = self.objects.put((object, version), payload);
                        None
                    }
                    ToStation::Function { function, ref code } => {
                        let name = self.heap().and_then(|heap| self.objects.write(&heap, code));
                        self.functions.insert(function, name.map_err(Arc::new));
                        None
                    }
                    ToStation::Context { context } => {
                        let written = self.write_context(payload);
                        self.contexts.insert(context, written.map_err(Arc::new));
                        None
                    }
                    ToStation::Forget { context } => {
                        self.contexts.remove(&context);
                        None
                    }
                    ToStation::Block(ref block) => {
                        let received_ns = monotonic_ns();
                        let flight = self.launch(block, payload);
                        self.open.push(Underway {
                            received_ns,
                            block: block.block,
                            n_tasks: block.n_tasks,
                            flight,
                        });
                        None
                    }
                };
                if let Some(reply) = reply {
                    self.talk.send(&reply, &[])?;
                }
            }
            did_any |= self.send_results()?;
            if did_any {
                looked = Instant::now();
            } else {
                self.talk.link().wait(self.patience(looked));
            }
        }
    }

    /// How long to sleep unless a message arrives from the relay.
    fn patience(&self, looked: Instant) -> Duration {
        match self.open.is_empty() {
            true => IDLE,
            false => (looked.elapsed() / LOOKS_PER_TIME).clamp(LOOKS.0, LOOKS.1),
        }
    }

    fn begin(&mut self, n_workers: usize, terms: &[u8]) -> ToRelay {
        let pool = wire::decode::<Terms>(terms).and_then(|terms| {
            let settings = Settings {
                method: StartMethod::Fork,
                is_auto: true,
                initializer: None,
                max_tasks: terms.max_tasks,
                schedule: Schedule::Auto,
                timeout: terms.timeout,
                retries: terms.retries,
                cpu_time_limit: terms.cpu_time_limit,
                kills_descendants: terms.kills_descendants,
                conditions: terms.conditions,
                closures: Arc::default(),
                local: None,
                nodes: None,
            };
            Shared::start(settings, n_workers, None)
        });
        match pool {
            Ok(pool) => {
                self.pool = Some(pool);
                ToRelay::Ready
            }
            Err(error) => ToRelay::Failed {
                why: error.to_string(),
            },
        }
    }

    fn pool(&self) -> Result<&Arc<Shared>> {
        self.pool.as_ref().ok_or_else(Error::closed)
    }

    fn heap(&self) -> Result<Arc<Heap>> {
        self.pool()?.heap()
    }

    fn write_context(&self, bytes: &[u8]) -> Result<Arc<Written>> {
        self.pool()?.written(&Bytes(bytes))
    }

    /// Begins to run a block's tasks.
    fn launch(&self, block: &Block, payload: &[u8]) -> Result<Flight, Arc<Error>> {
        let pool = self.pool()?;
        let unknown = || Error::decode_message("the block names what was not sent");
        let function = self
            .functions
            .get(&block.function)
            .ok_or_else(unknown)?
            .clone()?;
        let context = match block.context {
            Some(context) => Some(self.contexts.get(&context).ok_or_else(unknown)?.clone()?),
            None => None,
        };
        let layout = match &block.args {
            Args::Plain { stride } => Layout::Plain {
                stride: *stride,
                n: block.n_tasks,
            },
            Args::Encoded { lengths } => Layout::Encoded { lengths },
        };
        let load = Load {
            args: Arguments::copied(&pool.heap()?, layout, payload)?,
            n_items: block.n_tasks as usize,
            context,
            traced: block.is_traced,
            ..Load::default()
        };
        let options = Options {
            time_limit: block.time_limit,
            ..Options::of(pool.settings()).here()
        };
        let function = Function::Written(function);
        Ok(Flight::launch_for(
            pool,
            function,
            load,
            options,
            block.only_worker,
        )?)
    }

    /// For each worker, the counts of events other than tasks; empty if the relay has them already.
    fn new_counts(&mut self) -> Vec<Counts> {
        let stats = self.pool.as_ref().map(|pool| pool.stats());
        let workers = stats.iter().flat_map(Stats::workers);
        let counts: Vec<Counts> = workers.map(Tally::beside_tasks).collect();
        let has_changed = counts != self.counts && counts.iter().flatten().any(|&n| n > 0);
        if !has_changed {
            return Vec::new();
        }
        self.counts.clone_from(&counts);
        counts
    }

    /// Sends the results of blocks whose tasks have ended.
    fn send_results(&mut self) -> std::io::Result<bool> {
        let mut has_sent = false;
        let mut index = 0;
        while let Some(underway) = self.open.get(index) {
            let harvest = match &underway.flight {
                Ok(flight) => flight.harvest(),
                Err(error) => Some(Harvest::failed(
                    underway.n_tasks,
                    &Cause::NotRun(error.to_string()),
                )),
            };
            let Some(harvest) = harvest else {
                index += 1;
                continue;
            };
            let results = ToRelay::Results(Results {
                block: underway.block,
                task_ns: harvest.task_ns,
                runs: harvest.runs,
                received_ns: underway.received_ns,
                visits: harvest.visits,
                counts: self.new_counts(),
                sent_ns: monotonic_ns(),
            });
            self.open.swap_remove(index);
            self.talk.send(&results, &[&harvest.values])?;
            has_sent = true;
        }
        Ok(has_sent)
    }
}

/// A context as another process encoded it.
struct Bytes<'b>(&'b [u8]);

impl Source for Bytes<'_> {
    fn written(&self, memory: &Arc<dyn ContextMemory>) -> Result<Arc<Written>> {
        Written::new(memory, &mut |sink| {
            sink.put(self.0);
            Ok(())
        })
    }
}
