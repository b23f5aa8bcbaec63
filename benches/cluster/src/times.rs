//! The table of times: each row on each side.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::side::{Said, Side};
use crate::table::{machine, median, number};
use crate::{HERE, build_node_program, environment, on_nodes};

/// The others are compared with the first.
const SIDES: [&str; 5] = [
    "forklore",
    "forklore, localhost",
    "mpi4py.futures",
    "dask",
    "ray",
];

/// A row: its name, and the meaning of its numbers.
struct Row {
    name: &'static str,
    unit: &'static str,
    most_rounds: usize,
}

const fn row(name: &'static str, unit: &'static str, most_rounds: usize) -> Row {
    Row {
        name,
        unit,
        most_rounds,
    }
}

/// `ours.rs` and `peers.py` use the same names.
const ROWS: [Row; 7] = [
    row("start to first result", "ms", 5),
    row("powers of 24", "ms", 100),
    row("10,000 chunks of 1", "ms", 30),
    row("10,000 items", "ms", 100),
    row("64 x 1 MB in and out", "ms", 9),
    row("32 naps of 50 ms, 2 workers each", "efficiency", 3),
    row("idle", "% of a core", 1),
];

/// How long a side may be measured for one row; slow sides get fewer rounds.
const BUDGET: Duration = Duration::from_secs(3);
/// But at least this many, if they finish within the limit.
const LEAST_ROUNDS: usize = 3;
/// A row that takes longer is printed as such.
const LIMIT: Duration = Duration::from_secs(60);

/// The sides whose name contains `filter`.
pub fn print_table(filter: &str) {
    build_node_program();
    let sides: Vec<&str> = SIDES
        .into_iter()
        .filter(|name| name.contains(filter))
        .collect();
    println!(
        "{}; two nodes, which are namespaces, with a worker each; {}. Medians, one side after the other.\n",
        machine(),
        environment::versions(HERE, &["mpi4py", "distributed", "ray"])
    );
    let columns = sides.iter().map(|name| measure(name)).collect::<Vec<_>>();
    println!("| work | {} |", sides.join(" | "));
    println!("| --- |{}", " ---: |".repeat(sides.len()));
    for (index, row) in ROWS.iter().enumerate() {
        let cells = columns.iter().map(|column| cell(row, column[index]));
        let cells: String = cells.map(|cell| format!(" {cell} |")).collect();
        println!("| {}, {} |{cells}", row.name, row.unit);
    }
    println!();
}

fn cell(row: &Row, said: Said) -> String {
    match said {
        Said::TooLate => format!("> {} s", LIMIT.as_secs()),
        Said::Nothing => "–".to_owned(),
        Said::Number(part) if row.unit == "efficiency" => format!("{part:.3}"),
        Said::Number(figure) => number(figure),
    }
}

/// Measures all rows of a side, one after another.
fn measure(name: &str) -> Vec<Said> {
    let mut side = None;
    let rows = ROWS.iter().map(|row| {
        let running = side.get_or_insert_with(|| start(name));
        let said = measure_row(running, row);
        eprintln!("{name}: {}: {said:?}", row.name);
        // A late reply would be taken for that of the next row.
        if !matches!(said, Said::Number(_)) {
            side = None;
        }
        said
    });
    rows.collect()
}

fn measure_row(side: &mut Side, row: &Row) -> Said {
    // The first warms up.
    let mut numbers = Vec::new();
    let started = Instant::now();
    let first = side.ask(row.name, LIMIT);
    let Said::Number(number) = first else {
        return first;
    };
    let took = started.elapsed();
    if row.most_rounds == 1 || took > BUDGET * 2 {
        return Said::Number(number);
    }
    let n_rounds = (BUDGET.as_secs_f64() / took.as_secs_f64()) as usize;
    for _ in 0..n_rounds.clamp(LEAST_ROUNDS.min(row.most_rounds), row.most_rounds) {
        match side.ask(row.name, LIMIT) {
            Said::Number(number) => numbers.push(number),
            other => return other,
        }
    }
    Said::Number(median(numbers))
}

/// Starts a side on the head of its own cluster.
fn start(name: &str) -> Side {
    let mut command = on_nodes(2);
    match name {
        "forklore" => command.arg(own_program()).args(["side", "node1", "node2"]),
        "forklore, localhost" => {
            command
                .arg(own_program())
                .args(["side", "localhost", "localhost"])
        }
        _ => {
            let python = environment::python(HERE);
            command.env("PYTHONWARNINGS", "ignore");
            if name == "mpi4py.futures" {
                under_mpirun(&mut command);
            }
            let script = Path::new(HERE).join("peers.py");
            command.arg(python).arg(script).arg(name)
        }
    };
    Side::start(&mut command)
}

/// MPI spawns its workers, which only a program started by `mpirun` can request.
fn under_mpirun(command: &mut Command) {
    let network = "10.77.0.0/24";
    command
        .args(["mpirun", "-n", "1", "--host", "localhost:1,node1:2,node2:2"])
        .args(["--bind-to", "none", "--mca", "btl", "tcp,self"])
        .args(["--mca", "oob_tcp_if_include", network])
        .args(["--mca", "btl_tcp_if_include", network])
        .args(["--mca", "plm_rsh_agent"])
        .arg(crate::script("rsh"));
}

fn own_program() -> std::path::PathBuf {
    std::env::current_exe().expect("the program's path")
}
