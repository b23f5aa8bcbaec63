//! Draws a lane for each process.

use std::fmt;

use forklore::figure::{BoxLook, Diagram, Figure};

use super::record::{ForkWatch, Noted, What};
use crate::show::{self, escape};

const RUNS: BoxLook = BoxLook::Filled(0);
const ZOMBIE: BoxLook = BoxLook::Filled(1);
const WAITS: BoxLook = BoxLook::Filled(4);
/// Where the lanes begin and end.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 46.0;
const LANE_STEP: f64 = 48.0;
const LANE_HEIGHT: f64 = 18.0;

/// One process's part of the record. Moments are indices of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessLane {
    pid: i32,
    /// A, B, C: in the order of creation.
    name: String,
    start: usize,
    /// When it exited, or was found to have exited.
    end: usize,
    /// Its exit code, or the signal that ended it, negative.
    code: Option<i32>,
    /// When a parent waited for it; it is a zombie from `end` until then.
    reaped: Option<usize>,
    /// The beginning and end of each wait.
    waits: Vec<(usize, usize)>,
}

pub(super) fn lanes(events: &[Noted], first_pid: i32) -> Vec<ProcessLane> {
    let lane = |pid: i32, start: usize, index: usize| ProcessLane {
        pid,
        name: char::from_u32('A' as u32 + index as u32 % 26)
            .unwrap_or('?')
            .to_string(),
        start,
        end: events.len(),
        code: None,
        reaped: None,
        waits: Vec::new(),
    };
    let mut lanes = vec![lane(first_pid, 0, 0)];
    for (at, event) in events.iter().enumerate() {
        let child = match event.what {
            What::Forks(child) => child,
            _ => event.pid,
        };
        if lanes.iter().all(|lane| lane.pid != child) {
            lanes.push(lane(child, at, lanes.len()));
        }
    }
    for (at, event) in events.iter().enumerate() {
        let mut with = |pid: i32, change: &mut dyn FnMut(&mut ProcessLane)| {
            if let Some(lane) = lanes.iter_mut().find(|lane| lane.pid == pid) {
                change(lane);
            }
        };
        match event.what {
            What::Exits(code) => with(event.pid, &mut |lane| {
                (lane.end, lane.code) = (at, Some(code));
            }),
            What::Waits(_) => with(event.pid, &mut |lane| lane.waits.push((at, events.len()))),
            What::Reaps(child, end) => {
                with(event.pid, &mut |lane| {
                    if let Some(wait) = lane.waits.last_mut() {
                        wait.1 = at;
                    }
                });
                with(child, &mut |lane| {
                    (lane.end, lane.code) = (lane.end.min(at), lane.code.or(Some(end)));
                    lane.reaped = Some(at);
                });
            }
            What::Forks(_) | What::Line(_) => {}
        }
    }
    lanes
}

impl ProcessLane {
    fn ended(&self) -> String {
        match self.code {
            None => "still there".to_owned(),
            Some(code) if code < 0 => format!("signal {}", -code),
            Some(code) => format!("exit {code}"),
        }
    }
}

impl ForkWatch {
    /// The lanes. Moments have equal distances, in the order in which they happened: microseconds
    /// or seconds may lie between a fork and an exit.
    pub fn figure(&self) -> Figure {
        let events = self.events();
        let lanes = lanes(&events, self.first_pid);
        let step = (RIGHT - LEFT) / events.len().max(1) as f64;
        let x = |moment: usize| (LEFT + step * (moment as f64 + 0.5)).min(RIGHT);
        let y = |lane: usize| TOP + LANE_STEP * lane as f64;
        let index = |pid: i32| lanes.iter().position(|lane| lane.pid == pid).unwrap_or(0);
        let bottom = y(lanes.len());
        let mut diagram = Diagram::new(
            "Who ran when",
            &self.in_words(&events, &lanes),
            bottom + 30.0,
        );
        let bar = |diagram: Diagram, look, lane: usize, from: usize, to: usize| {
            let width = (x(to) - x(from)).max(1.0);
            diagram.boxed(look, (x(from), y(lane)), (width, LANE_HEIGHT), "")
        };
        for (at, lane) in lanes.iter().enumerate() {
            diagram = diagram.text((44.0, y(at) + 13.0), &format!("process {}", lane.name));
            diagram = bar(diagram, RUNS, at, lane.start, lane.end);
            for (from, to) in &lane.waits {
                diagram = bar(diagram, WAITS, at, *from, *to);
            }
            if let Some(reaped) = lane.reaped
                && reaped > lane.end
            {
                diagram = bar(diagram, ZOMBIE, at, lane.end, reaped);
            }
            if at > 0 {
                let end = lane.reaped.unwrap_or(lane.end);
                let beside = (x(end) + 32.0).min(RIGHT + 8.0);
                diagram = diagram.text((beside, y(at) + 13.0), &lane.ended());
            }
        }
        for (moment, event) in events.iter().enumerate() {
            let own = index(event.pid);
            diagram = match &event.what {
                What::Line(text) => diagram.text((x(moment), y(own) - 5.0), &mark_of(moment, text)),
                What::Forks(child) => diagram.arrow(
                    (x(moment), y(own) + LANE_HEIGHT),
                    (x(moment), y(index(*child))),
                ),
                What::Reaps(child, _) => diagram.dashed_arrow(
                    (x(moment), y(index(*child))),
                    (x(moment), y(own) + LANE_HEIGHT),
                ),
                What::Exits(_) | What::Waits(_) => diagram,
            };
        }
        legend(diagram, bottom).figure()
    }

    fn in_words(&self, events: &[Noted], lanes: &[ProcessLane]) -> String {
        let name = |pid: i32| {
            let lane = lanes.iter().find(|lane| lane.pid == pid);
            lane.map_or("?", |lane| lane.name.as_str())
        };
        let said = events.iter().filter_map(|event| {
            let own = name(event.pid);
            Some(match &event.what {
                What::Forks(child) => format!("{own} forks {}", name(*child)),
                What::Line(text) => format!("{own} runs: {text}"),
                What::Exits(code) => format!("{own} exits with {code}"),
                What::Waits(_) => return None,
                What::Reaps(child, end) if *end < 0 => {
                    format!(
                        "{own} has waited for {}, killed by signal {}",
                        name(*child),
                        -end
                    )
                }
                What::Reaps(child, _) => format!("{own} has waited for {}", name(*child)),
            })
        });
        let said: Vec<String> = said.collect();
        format!(
            "A lane for each of {} processes. In the order in which it happened: {}.",
            lanes.len(),
            said.join("; ")
        )
    }

    /// The events as a table, for readers who prefer that.
    fn table(&self) -> String {
        let events = self.events();
        let lanes = lanes(&events, self.first_pid);
        let name = |pid: i32| {
            let lane = lanes.iter().find(|lane| lane.pid == pid);
            lane.map_or("?", |lane| lane.name.as_str())
        };
        let rows = events.iter().enumerate().map(|(at, event)| {
            let what = match &event.what {
                What::Forks(child) => format!("forks {} (process id {child})", name(*child)),
                What::Line(text) => format!("runs: {text}"),
                What::Exits(code) => format!("exits with {code}"),
                What::Waits(child) => format!("waits for {}", name(*child)),
                What::Reaps(child, end) if *end < 0 => {
                    format!("has waited for {}: killed by signal {}", name(*child), -end)
                }
                What::Reaps(child, end) => format!("has waited for {}: exit {end}", name(*child)),
            };
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
                at + 1,
                show::time(event.nanoseconds as f64 / 1e9),
                name(event.pid),
                escape(&what)
            )
        });
        format!(
            "<details><summary>The events</summary><table><thead><tr><th scope=\"col\">event</th>\
             <th scope=\"col\">time</th><th scope=\"col\">process</th><th scope=\"col\">what</th></tr></thead>\
             <tbody>{}</tbody></table></details>",
            rows.collect::<String>()
        )
    }

    /// The figure and the table, for a page.
    pub(super) fn html(&self) -> String {
        format!("{}{}", self.figure().html(), self.table())
    }

    /// Called by evcxr to show a cell's value.
    pub fn evcxr_display(&self) {
        show::show(self.html(), self);
    }
}

impl fmt::Debug for ForkWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.figure().text())
    }
}

/// A line's name in the drawing: its text if it is short, or else the event's number.
fn mark_of(moment: usize, text: &str) -> String {
    match text.chars().count() <= 3 {
        true => text.to_owned(),
        false => format!("({})", moment + 1),
    }
}

fn legend(mut diagram: Diagram, top: f64) -> Diagram {
    for (x, look, name) in [
        (84.0, RUNS, "runs"),
        (190.0, WAITS, "waits"),
        (300.0, ZOMBIE, "zombie"),
    ] {
        diagram = diagram
            .boxed(look, (x, top), (26.0, 14.0), "")
            .text((x + 56.0, top + 12.0), name);
    }
    diagram.text((500.0, top + 12.0), "→ fork, dashed: wait")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(events: &[(i32, What)]) -> Vec<Noted> {
        let noted = events
            .iter()
            .zip(1..)
            .map(|((pid, what), nanoseconds)| Noted {
                pid: *pid,
                nanoseconds,
                what: what.clone(),
            });
        noted.collect()
    }

    #[test]
    fn a_child_is_a_zombie_until_it_is_waited_for() {
        let events = noted(&[
            (10, What::Forks(11)),
            (11, What::Exits(7)),
            (10, What::Line("1".to_owned())),
            (10, What::Waits(11)),
            (10, What::Reaps(11, 7)),
        ]);
        let found = lanes(&events, 10);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].start, found[0].end, found[0].code), (0, 5, None));
        assert_eq!(found[0].waits, [(3, 4)]);
        assert_eq!(
            (found[1].start, found[1].end, found[1].reaped),
            (0, 1, Some(4))
        );
        assert_eq!(
            (found[1].name.as_str(), found[1].ended().as_str()),
            ("B", "exit 7")
        );
    }

    #[test]
    fn a_killed_child_ends_when_it_is_waited_for() {
        let events = noted(&[
            (10, What::Forks(11)),
            (10, What::Waits(11)),
            (10, What::Reaps(11, -9)),
        ]);
        let child = &lanes(&events, 10)[1];
        assert_eq!((child.end, child.reaped), (2, Some(2)));
        assert_eq!(child.ended(), "signal 9");
        let still = noted(&[(10, What::Forks(11)), (11, What::Line("1".to_owned()))]);
        assert_eq!(lanes(&still, 10)[1].ended(), "still there");
    }
}
