//! A relay's life: it reaches the node's station, claims tasks for it, and commits its results.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cluster::node::nap_precisely;
use crate::link::{Link, Payload, SocketLink, Talk};
use crate::shared::heap::{Heap, Offset};
use crate::symbol::Symbol;
use crate::sys::atomic::Ordering;
use crate::sys::child;
use crate::wire;

use super::clock::Clock;
use super::message::{Code, ToRelay, ToStation};
use super::reach::reach;
use super::reached::Reached;
use super::seat::{Claimed, Paces, Parcel, Seat};
use super::silence::{LOST_AFTER, Silence, Step};
use crate::pool::call::transport::ContextId;
use crate::pool::nodes::{NodePlan, Nodes, Reach};
use crate::pool::shm::base::Base;
use crate::pool::shm::{contexts, record, sleep};
use crate::pool::stats::{Counts, SharedTally, Tally};
use crate::pool::workers::worker::{Duty, NODE_LOST};

/// How long a relay sleeps at least, and at most, while it waits for results. Results wake it at
/// once, but it notices new jobs only when it checks.
const NAPS: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(1));
/// The same while none of its seats is free, so that none waits for a job.
const LONG_NAP: Duration = Duration::from_millis(100);
/// While more than this is queued, the relay claims nothing: other nodes may be faster.
const MAX_QUEUED_BYTES: usize = 32 << 20;
/// After this long without messages, the processes that carry frames may sleep.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// Holds slots for the workers of one node until the pool is closed; the process then ends.
pub(in crate::pool) fn run(duty: &Duty<'_>) -> ! {
    child::name_process(c"forklore-relay");
    child::pass_interrupts();
    child::wake_for_children();
    let nodes: Result<Nodes, _> = wire::decode(record::read(duty.base.heap, duty.nodes));
    let Ok(nodes) = nodes else {
        child::exit_now(NODE_LOST);
    };
    let Some(node) = nodes.of_slot(duty.slot_index) else {
        child::exit_now(NODE_LOST);
    };
    let seats = Seats::of(duty.base, node);
    // Holds the slots from here on, so that the owner notices at once if the relay cannot reach its
    // node.
    seats.take_offered(false);
    match Relay::begin(node, &nodes, seats) {
        Ok(mut relay) => match relay.work() {
            Ok(()) => relay.retire(),
            Err(why) => relay.seats.lose(&why),
        },
        Err((seats, why)) => seats.lose(&why),
    }
}

/// The slots of a node.
struct Seats<'a> {
    base: Base<'a>,
    node: &'a NodePlan,
    seats: Vec<Seat<'a>>,
}

impl<'a> Seats<'a> {
    fn of(base: Base<'a>, node: &'a NodePlan) -> Seats<'a> {
        let seats = node.slots().enumerate();
        let seats = seats.map(|(index, slot)| Seat::new(base, index, slot));
        Seats {
            base,
            node,
            seats: seats.collect(),
        }
    }

    /// Takes the slots that the owner has made ready, and returns whether there were any. With
    /// `is_up`, which means that the station is ready, it marks them as up.
    fn take_offered(&self, is_up: bool) -> bool {
        let mut took_any = false;
        for seat in &self.seats {
            if seat.slot.is_offered.swap(0, Ordering::SeqCst) != 0 {
                seat.take();
                took_any = true;
            }
            if is_up && seat.is_taken() {
                seat.slot.is_up.store(1, Ordering::Release);
            }
        }
        took_any
    }

    /// The seats that hold their slots.
    fn taken(&self) -> impl Iterator<Item = &Seat<'a>> {
        self.seats.iter().filter(|seat| seat.is_taken())
    }

    /// The counts of the node's workers for events other than tasks.
    fn tallies(&self) -> impl Iterator<Item = &SharedTally> {
        self.base.board().elsewhere[self.node.slots()].iter()
    }

    /// Updates the counts by what happened since the station began.
    fn count(&self, before: &[Tally], since: &[Counts]) {
        for ((tally, before), since) in self.tallies().zip(before).zip(since) {
            tally.set(before, since);
        }
    }

    /// Whether the owner is gone, or has no more work.
    fn are_needless(&self) -> bool {
        let board = self.base.board();
        let has_job = |seat: &Seat<'_>| !seat.is_idle() || board.has_job(seat.job());
        board.owner.is_cut() || (board.is_closed() && !self.taken().any(has_job))
    }

    /// Exits when the owner no longer needs this process.
    fn retire(&self) -> ! {
        self.take_offered(false);
        for seat in self.taken() {
            seat.slot.is_retired.store(1, Ordering::Release);
        }
        child::exit_now(0)
    }

    /// Exits, with the reason where the owner reads a worker's last panic.
    fn lose(&self, why: &str) -> ! {
        self.take_offered(false);
        for slot in self.node.slots() {
            let last_words = &self.base.board().last_panics[slot];
            last_words.clear();
            last_words.add(&format!("node {} {why}", self.node.name));
        }
        child::exit_now(NODE_LOST)
    }
}

struct Relay<'a> {
    seats: Seats<'a>,
    talk: Talk<SocketLink>,
    /// The process through which the station is reached; it ends with this one.
    reached: Reached,
    /// The blocks under way.
    open: HashMap<u64, Claimed>,
    n_blocks: u64,
    paces: Paces,
    clock: Clock,
    /// The counts of the node's workers before this relay began.
    before: Vec<Tally>,
    /// The functions, objects and contexts that the station has.
    functions: HashSet<Offset>,
    objects: HashSet<(PathBuf, [u64; 5])>,
    contexts: HashSet<(u64, u64)>,
    silence: Silence,
    /// Whether the processes that carry frames may sleep.
    is_quiet: bool,
}

impl<'a> Relay<'a> {
    /// Reaches the station, and makes it create its pool.
    fn begin(
        node: &'a NodePlan,
        nodes: &Nodes,
        seats: Seats<'a>,
    ) -> Result<Relay<'a>, (Seats<'a>, String)> {
        let (reached, link) =
            match reach(&node.reach, nodes.start.as_ref(), &|| seats.are_needless()) {
                Ok(reached) => reached,
                Err(_) if seats.are_needless() => seats.retire(),
                Err(why) => return Err((seats, why)),
            };
        let before = seats.tallies().map(SharedTally::get).collect();
        let mut relay = Relay {
            seats,
            before,
            talk: Talk::new(link),
            reached,
            open: HashMap::new(),
            n_blocks: 0,
            paces: Paces::default(),
            clock: Clock::of_node(node.reach == Reach::Here),
            functions: HashSet::new(),
            objects: HashSet::new(),
            contexts: HashSet::new(),
            silence: Silence::default(),
            is_quiet: false,
        };
        let begin = ToStation::Begin {
            n_workers: node.n_workers,
        };
        let begun = relay.send(&begin, &[&nodes.terms]);
        let outcome = begun.and_then(|()| relay.await_station());
        match outcome {
            Ok(()) => Ok(relay),
            Err(why) => Err((relay.seats, why)),
        }
    }

    fn await_station(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + super::reach::REACHED_WITHIN;
        loop {
            match self.receive()? {
                Some((ToRelay::Ready, _)) => break,
                Some((ToRelay::Failed { why }, _)) => return Err(format!("cannot be used: {why}")),
                Some(_) => return Err("has sent what was not asked for".to_owned()),
                None if self.seats.are_needless() => {
                    self.reached.end();
                    self.seats.retire();
                }
                None if Instant::now() >= deadline => {
                    return Err("has started, but has no pool after a minute".to_owned());
                }
                None => self.talk.link().wait(LONG_NAP),
            }
        }
        Ok(())
    }

    /// Serves the owner's board until it is closed.
    fn work(&mut self) -> Result<(), String> {
        nap_precisely();
        let mut nap = NAPS.0;
        loop {
            let mut did_any = self.receive_all()?;
            did_any |= self.seats.take_offered(true);
            did_any |= self.send_all()?;
            if self.seats.are_needless() {
                return Ok(());
            }
            nap = match did_any {
                true => NAPS.0,
                false => self.rest(nap)?,
            };
        }
    }

    fn receive_all(&mut self) -> Result<bool, String> {
        let mut did_any = false;
        while let Some((message, values)) = self.receive()? {
            did_any = true;
            let ToRelay::Results(results) = message else {
                continue;
            };
            let Some(claimed) = self.open.remove(&results.block) else {
                return Err("has sent results that were not asked for".to_owned());
            };
            let there = (results.received_ns, results.sent_ns);
            self.clock.note(claimed.sent_ns, there);
            self.seats.count(&self.before, &results.counts);
            let about_node = (&mut self.paces, &self.clock);
            let seat = &mut self.seats.seats[claimed.seat];
            let node = self.seats.node;
            seat.commit(&claimed, (&results, &values), node, about_node);
        }
        Ok(did_any)
    }

    /// Lets every seat advance and send as much as it can.
    fn send_all(&mut self) -> Result<bool, String> {
        let mut did_any = false;
        for index in 0..self.seats.seats.len() {
            while self.seats.seats[index].is_taken()
                && self.talk.link().n_queued_bytes() < MAX_QUEUED_BYTES
            {
                let did_advance = self.seats.seats[index].advance(&self.paces);
                let did_send = self.send_next(index)?;
                did_any |= did_advance || did_send;
                if !(did_advance || did_send) {
                    break;
                }
            }
        }
        Ok(did_any)
    }

    fn send_next(&mut self, index: usize) -> Result<bool, String> {
        let Relay {
            seats,
            talk,
            functions,
            objects,
            contexts,
            reached,
            is_quiet,
            ..
        } = self;
        let Some(parcel) = seats.seats[index].claim(self.n_blocks) else {
            return Ok(false);
        };
        let Parcel {
            head,
            arguments,
            claimed,
            function,
            context,
        } = parcel;
        let send = |talk: &mut Talk<SocketLink>, head: &ToStation, payload: &[&[u8]]| {
            talk.send(head, payload).map_err(|error| lost(&error))
        };
        if std::mem::take(is_quiet) {
            reached.wake();
        }
        if functions.insert(function) {
            let code = code_of(seats.base.heap, function)?;
            let object = (code.object.clone(), code.version);
            if !is_there(&code, &seats.node.reach) && objects.insert(object.clone()) {
                let (object, version) = object;
                let bytes = std::fs::read(&object).map_err(|error| {
                    let object = object.display();
                    format!("cannot be sent the code in {object}: {error}")
                })?;
                send(talk, &ToStation::Object { object, version }, &[&bytes])?;
            }
            send(talk, &ToStation::Function { function, code }, &[])?;
        }
        if let Some((ContextId { name, generation }, bytes)) = context
            && contexts.insert((name, generation))
        {
            let context = (name, generation);
            send(talk, &ToStation::Context { context }, &[bytes])?;
        }
        send(talk, &ToStation::Block(head), &arguments)?;
        self.open.insert(self.n_blocks, claimed);
        self.n_blocks += 1;
        Ok(true)
    }

    /// Sleeps until there is something to do, and returns how long to sleep next.
    fn rest(&mut self, nap: Duration) -> Result<Duration, String> {
        self.reached.pass_on_output();
        if self.open.is_empty() && self.talk.link().n_queued_bytes() == 0 {
            self.forget_dead_contexts()?;
            self.sleep()?;
            return Ok(NAPS.0);
        }
        let has_free_seat = self.seats.taken().any(Seat::is_idle);
        let nap = if has_free_seat { nap } else { LONG_NAP };
        let began = Instant::now();
        self.talk.link().wait(nap);
        // Time in which this process itself was stopped does not count as the station's silence.
        let waited = began.elapsed().min(2 * nap + NAPS.1);
        let moved_bytes = self.talk.link().n_moved_bytes();
        match self.silence.after(waited, moved_bytes) {
            Step::Wait => {}
            Step::Ask => self.send(&ToStation::Ping, &[])?,
            Step::Lose => return Err(format!("has not answered for {LOST_AFTER:?}")),
        }
        Ok((2 * nap).min(NAPS.1))
    }

    /// Sleeps until the owner has something to do, or the station's program has ended.
    fn sleep(&mut self) -> Result<(), String> {
        let board = self.seats.base.board();
        let Some(door) = self.seats.taken().next() else {
            return Ok(());
        };
        let seats = &self.seats;
        let reached = &self.reached;
        let is_offered = |seat: &Seat<'_>| seat.slot.is_offered.load(Ordering::SeqCst) != 0;
        let contexts = &self.contexts;
        let is_dead = |context: &(u64, u64)| !is_alive(seats.base.heap, *context);
        let is_over = || {
            board.is_closed()
                || seats.taken().any(|seat| board.has_job(seat.job()))
                || seats.seats.iter().any(is_offered)
                || contexts.iter().any(is_dead)
                || reached.has_ended()
        };
        let deadline = (!self.is_quiet).then(|| Instant::now() + QUIET_AFTER);
        // A child that exits interrupts the sleep, so this loop checks again.
        if !sleep::until_or(&door.slot.state, &board.owner, deadline, is_over) {
            self.is_quiet = true;
            self.talk.fall_quiet().map_err(|error| lost(&error))?;
        }
        match self.reached.has_ended() {
            true => Err(self.reached.how_it_ended()),
            false => Ok(()),
        }
    }

    fn forget_dead_contexts(&mut self) -> Result<(), String> {
        let heap = self.seats.base.heap;
        let dead = self
            .contexts
            .extract_if(|&context| !is_alive(heap, context));
        for context in dead.collect::<Vec<_>>() {
            self.send(&ToStation::Forget { context }, &[])?;
        }
        Ok(())
    }

    fn send(&mut self, head: &ToStation, payload: &[&[u8]]) -> Result<(), String> {
        if std::mem::take(&mut self.is_quiet) {
            self.reached.wake();
        }
        self.talk.send(head, payload).map_err(|error| lost(&error))
    }

    fn receive(&mut self) -> Result<Option<(ToRelay, Payload)>, String> {
        match self.talk.receive::<ToRelay>() {
            Ok(None) => Ok(None),
            Ok(Some(message)) => {
                self.silence.end();
                Ok(Some(message.split()))
            }
            Err(error) => Err(match self.reached.ends_soon() {
                true => self.reached.how_it_ended(),
                false => lost(&error),
            }),
        }
    }

    /// Exits when the pool is closed.
    fn retire(self) -> ! {
        drop(self.talk);
        self.reached.end();
        self.seats.retire()
    }
}

fn lost(error: &std::io::Error) -> String {
    format!("is lost: {error}")
}

/// Whether the owner still has a context.
fn is_alive(heap: &Heap, (name, generation): (u64, u64)) -> bool {
    contexts::is_alive(heap, ContextId { name, generation })
}

/// The location of a function's code.
fn code_of(heap: &Heap, function: Offset) -> Result<Code, String> {
    let symbol = Symbol::from_bytes(record::read(heap, function));
    let symbol = symbol.map_err(|error| format!("cannot be sent a function: {error}"))?;
    Ok(Code {
        object: symbol.object().to_owned(),
        version: symbol.version(),
        offset: symbol.offset(),
    })
}

/// Whether a node has the object already.
fn is_there(code: &Code, reach: &Reach) -> bool {
    *reach == Reach::Here || code.object.as_os_str().is_empty()
}
