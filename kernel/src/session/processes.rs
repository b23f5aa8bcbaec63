//! `%ps`: the session's processes as a tree, and the memory of each.

use std::collections::HashMap;

use super::{CellError, Session};
use crate::cell::{bytes_in_words, own_variables};
use crate::protocol::Status;
use crate::sys::procs::{self, Pid, Stat};
use crate::sys::thread;

/// The number of characters of a program's command line that are shown.
const COMMAND_CHARS: usize = 60;

/// One line of the tree.
struct Row {
    pid: Pid,
    depth: usize,
    what: String,
    stat: Stat,
}

impl Session {
    /// The tree as text.
    ///
    /// # Errors
    ///
    /// If the session's processes are gone.
    pub(super) fn list_processes(&self) -> Result<String, CellError> {
        let status = self.status()?;
        let started: HashMap<Pid, u32> = status.started.iter().copied().collect();
        let mut rows = Vec::new();
        let own = std::process::id() as Pid;
        self.add_rows(own, 0, &status, &started, &mut rows);
        let mut text = "      pid threads     memory       CPU\n".to_owned();
        for row in &rows {
            let memory = procs::proportional_bytes(row.pid);
            let memory = memory.unwrap_or_else(|| procs::resident_bytes(row.pid));
            let cpu = row.stat.cpu_time().as_secs_f64();
            let (pid, n_threads) = (row.pid, row.stat.n_threads);
            let (memory, what) = (bytes_in_words(memory), &row.what);
            let indent = "  ".repeat(row.depth);
            text.push_str(&format!(
                "{pid:9} {n_threads:7} {memory:>10} {cpu:7.2} s  {indent}{what}\n"
            ));
            if row.pid == status.user_pid {
                for line in self.threads_in_words(&status) {
                    text.push_str(&format!("{:40}  {indent}  {line}\n", ""));
                }
            }
        }
        Ok(text)
    }

    fn add_rows(
        &self,
        pid: Pid,
        depth: usize,
        status: &Status,
        started: &HashMap<Pid, u32>,
        rows: &mut Vec<Row>,
    ) {
        let Some(stat) = Stat::of(pid).filter(|stat| stat.state != b'Z') else {
            return;
        };
        let what = self.what_is(pid, status, started);
        rows.push(Row {
            pid,
            depth,
            what,
            stat,
        });
        let mut children = procs::children(pid);
        children.sort_unstable();
        for child in children {
            self.add_rows(child, depth + 1, status, started, rows);
        }
    }

    /// What a process is, in words.
    fn what_is(&self, pid: Pid, status: &Status, started: &HashMap<Pid, u32>) -> String {
        let of_cell = || match started.get(&pid) {
            Some(cell) => format!(", of cell [{cell}]"),
            None => String::new(),
        };
        if pid == std::process::id() as Pid {
            return "kernel: answers Jupyter, compiles the cells".to_owned();
        }
        if Some(pid) == self.link.supervisor_pid() {
            return "supervisor: decides what the end of a cell means".to_owned();
        }
        if pid == status.user_pid {
            let n_variables = self.look_at_names().count();
            return format!("cells: runs them, and holds {n_variables} variables");
        }
        match thread::name(pid, pid).as_str() {
            "forklore-snap" => "snapshot: what a cell that fails is rolled back to".to_owned(),
            "forklore-keep" => "keeper: holds open files for the snapshot".to_owned(),
            "forklore-server" => "fork server: starts a pool's workers".to_owned() + &of_cell(),
            "forklore-worker" => self.worker_in_words(started.get(&pid)) + &of_cell(),
            "forklore-cells" => {
                // A fork has its parent's name, even if a cell called `fork`.
                let pools = self.pools_of(started.get(&pid));
                match pools.is_empty() {
                    true => "fork of the cells' process".to_owned() + &of_cell(),
                    false => self.worker_in_words(started.get(&pid)) + &of_cell(),
                }
            }
            name => {
                let command: String = procs::command_line(pid)
                    .chars()
                    .take(COMMAND_CHARS)
                    .collect();
                match command.is_empty() {
                    true => name.to_owned() + &of_cell(),
                    false => command + &of_cell(),
                }
            }
        }
    }

    fn worker_in_words(&self, cell: Option<&u32>) -> String {
        match self.pools_of(cell).as_slice() {
            [pool] => format!("worker of `{pool}`"),
            [] => "worker of a pool".to_owned(),
            pools => format!("worker of {}", names(pools)),
        }
    }

    /// The pools that a cell created and that still exist.
    fn pools_of(&self, cell: Option<&u32>) -> Vec<String> {
        let Some(cell) = cell else {
            return Vec::new();
        };
        let numbered = self.numbers.iter().zip(&self.committed);
        let codes = numbered.filter(|(number, _)| *number == cell);
        let made: Vec<String> = codes.flat_map(|(_, code)| own_variables(code)).collect();
        let is_pool =
            |type_name: &str| type_name.contains("Pool") || type_name.contains("Parallel");
        let variables = self.context.variables();
        let pools = variables
            .filter(|(name, type_name)| is_pool(type_name) && made.iter().any(|made| made == name));
        let mut pools: Vec<String> = pools.map(|(name, _)| name.to_owned()).collect();
        pools.sort();
        pools
    }

    fn look_at_names(&self) -> impl Iterator<Item = &str> {
        let names = self.context.variables().map(|(name, _)| name);
        names.filter(|name| !name.starts_with("evcxr_"))
    }

    fn threads_in_words(&self, status: &Status) -> Vec<String> {
        let threads = status.threads.iter().map(|threads| {
            let named = match threads.names.is_empty() {
                true => String::new(),
                false => format!(": {}", names(&threads.names)),
            };
            let n_threads = match threads.n_threads {
                1 => "1 thread".to_owned(),
                n => format!("{n} threads"),
            };
            format!("{n_threads} of cell [{}]{named}", threads.cell)
        });
        threads.collect()
    }
}

fn names(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
