//! What the workers of a map recorded, and which workers they were. Notes are stored as they arrive
//! while the map is timed, and sorted on first use.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use super::{Span, Worker};

/// One visit of a worker to a map: it arrived, found the function, ran chunks, and left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit {
    pub(crate) pid: i32,
    /// Distinguishes its rows from others of the same process in the export.
    pub(crate) tid: u64,
    pub(crate) arrived: Duration,
    /// The same as `arrived` for a worker that already had the function.
    pub(crate) found: Duration,
}

/// The visits to a map, each with its spans.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted {
    /// Each with the number of spans noted up to its end.
    visits: Vec<(Visit, usize)>,
    spans: Vec<Span>,
    /// The nodes of a cluster, each with the `tid` of its workers; none on one machine.
    nodes: Vec<(u64, String)>,
    workers: OnceLock<Vec<Worker>>,
}

impl Noted {
    /// Notes a visit. A later visit with the same pid and thread belongs to the same worker; one
    /// with the same arrival continues the visit.
    pub(crate) fn add(&mut self, visit: Visit, spans: impl IntoIterator<Item = Span>) {
        self.spans.extend(spans);
        self.visits.push((visit, self.spans.len()));
    }

    /// Names the nodes that the workers are on, each with the `tid` of its workers.
    #[cfg(feature = "cluster")]
    pub(crate) fn are_on_nodes(&mut self, nodes: Vec<(u64, String)>) {
        self.nodes = nodes;
    }

    /// The visits, each with its spans, as they came.
    #[cfg(feature = "cluster")]
    pub(crate) fn visits(&self) -> impl Iterator<Item = (Visit, &[Span])> {
        let mut start = 0;
        self.visits.iter().map(move |&(visit, end)| {
            let spans = &self.spans[start..end];
            start = end;
            (visit, spans)
        })
    }

    /// The workers, each with its spans in chronological order.
    pub(crate) fn workers(&self) -> &[Worker] {
        self.workers.get_or_init(|| self.in_order())
    }

    fn in_order(&self) -> Vec<Worker> {
        let mut workers: Vec<Worker> = Vec::new();
        let mut start = 0;
        for &(visit, end) in &self.visits {
            let known = workers
                .iter()
                .position(|worker| (worker.pid, worker.tid) == (visit.pid, visit.tid));
            let index = known.unwrap_or_else(|| {
                workers.push(Worker::of(visit));
                workers.len() - 1
            });
            workers[index].add(visit, &self.spans[start..end]);
            start = end;
        }
        let node_of = |worker: &Worker| self.nodes.iter().position(|node| node.0 == worker.tid);
        workers.sort_by_key(|worker| (node_of(worker), worker.pid, worker.tid));
        let mut n_before = HashMap::new();
        for worker in &mut workers {
            let node = node_of(worker);
            let index = n_before.entry(node).or_insert(0);
            worker.name = match node {
                Some(node) => format!("{}: worker {index}", self.nodes[node].1),
                None => format!("worker {index}"),
            };
            *index += 1;
            worker.spans.sort_by_key(|span| span.start);
        }
        workers
    }
}

impl PartialEq for Noted {
    fn eq(&self, other: &Noted) -> bool {
        self.workers() == other.workers()
    }
}

impl Eq for Noted {}

impl Worker {
    fn of(visit: Visit) -> Worker {
        Worker {
            name: String::new(),
            pid: visit.pid,
            tid: visit.tid,
            arrived: visit.arrived,
            finding: Vec::new(),
            spans: Vec::new(),
        }
    }

    fn add(&mut self, visit: Visit, spans: &[Span]) {
        let is_new = self
            .finding
            .iter()
            .all(|found| found.start != visit.arrived);
        if is_new && visit.found > visit.arrived {
            self.finding.push(visit.arrived..visit.found);
        }
        self.arrived = self.arrived.min(visit.arrived);
        self.spans.extend_from_slice(spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    fn visit(pid: i32, arrived: u64, found: u64) -> Visit {
        Visit {
            pid,
            tid: pid as u64,
            arrived: us(arrived),
            found: us(found),
        }
    }

    fn span(first_item: usize, start: u64, end: u64) -> Span {
        Span {
            first_item,
            n_items: 1,
            start: us(start),
            end: us(end),
            ..Span::default()
        }
    }

    #[test]
    fn who_comes_again_is_the_same_worker() {
        let mut noted = Noted::default();
        noted.add(visit(9, 5, 6), [span(0, 7, 8)]);
        // A stack returns the last block of notes first.
        noted.add(visit(4, 1, 3), [span(3, 20, 25), span(4, 25, 30)]);
        noted.add(visit(4, 1, 3), [span(1, 4, 10), span(2, 10, 20)]);
        noted.add(visit(4, 40, 41), [span(5, 42, 43)]);
        let [four, nine] = noted.workers() else {
            panic!("{noted:?}")
        };
        assert_eq!((four.name(), nine.name()), ("worker 0", "worker 1"));
        let items: Vec<usize> = four.spans().iter().map(|span| span.first_item).collect();
        assert_eq!(items, [1, 2, 3, 4, 5]);
        assert_eq!(four.finding, [us(1)..us(3), us(40)..us(41)]);
        assert_eq!((four.arrived, four.left()), (us(1), us(43)));
        assert_eq!((nine.n_items(), nine.left()), (1, us(8)));
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn rows_have_the_names_of_their_nodes() {
        let on = |tid, pid| Visit {
            tid,
            ..visit(pid, 1, 1)
        };
        let mut noted = Noted::default();
        for (tid, pid) in [(2, 7), (0, 8), (0, 9)] {
            noted.add(on(tid, pid), [span(0, 1, 2)]);
        }
        noted.are_on_nodes(vec![(0, "a".to_owned()), (2, "b".to_owned())]);
        let names: Vec<&str> = noted.workers().iter().map(Worker::name).collect();
        assert_eq!(names, ["a: worker 0", "a: worker 1", "b: worker 0"]);
    }

    #[test]
    fn who_had_the_function_did_not_look_for_it() {
        let mut noted = Noted::default();
        noted.add(visit(4, 1, 1), [span(0, 1, 2)]);
        assert!(noted.workers()[0].finding.is_empty());
    }
}
