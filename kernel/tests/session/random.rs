//! Many random cells in one session: most of them go wrong, and nothing that was committed is lost.
//!
//! `FORKLORE_RANDOM_CELLS` sets how many (1,000 before a release), `FORKLORE_SEED` repeats a run.

use std::collections::BTreeMap;
use std::time::Instant;

use forklore_kernel::sys::procs;

use crate::cells::{Cells, supervisor_of, wait_until};

const N_CELLS: usize = 60;
/// Number of variables: a cell's compile time grows with them.
const N_NAMES: u64 = 6;

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub fn random_cells() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = number("FORKLORE_SEED").unwrap_or(now.as_nanos() as u64 | 1);
    let n_cells = number("FORKLORE_RANDOM_CELLS").map_or(N_CELLS, |n| n as usize);
    println!("{n_cells} random cells: FORKLORE_SEED={seed}");
    let mut random = Random(seed.max(1));
    let started = Instant::now();
    let mut cells = Cells::start_with(true);
    cells.ok("use forklore::*; let pool: Pool = Pool::with_workers(2)?; fn square(x: u64) -> u64 { x * x }");
    let supervisor = supervisor_of(&mut cells);
    let mut expected = BTreeMap::new();
    for _ in 0..n_cells {
        one_cell(&mut random, &mut cells, &mut expected);
    }
    let names: Vec<&str> = expected.keys().map(String::as_str).collect();
    let values: Vec<u64> = expected.values().copied().collect();
    let all = format!(
        "let all: Vec<u64> = vec![{}]; println!(\"{{all:?}}\");",
        names.join(", ")
    );
    assert_eq!(cells.ok(&all), format!("{values:?}\n"));
    assert_eq!(
        cells.ok("println!(\"{:?}\", pool.map(square, 0..4_u64));"),
        "[0, 1, 4, 9]\n"
    );
    cells.ok("drop(pool);");
    // The user process and its snapshot: nothing of any cell is left.
    wait_until(|| procs::descendants(supervisor).len() == 2);
    cells.finish();
    println!(
        "{n_cells} random cells: {:.1} s",
        started.elapsed().as_secs_f64()
    );
}

/// Runs one cell and says of `expected` what it has committed.
fn one_cell(random: &mut Random, cells: &mut Cells, expected: &mut BTreeMap<String, u64>) {
    let name = format!("v{}", random.below(N_NAMES));
    let value = random.below(1000);
    let Some(known) = expected.get(&name).copied() else {
        cells.ok(&format!("let mut {name}: u64 = {value};"));
        expected.insert(name, value);
        return;
    };
    // What a cell that goes wrong does first.
    let change = format!("{name} += {value} + 1; let gone_{value} = pool;");
    let fails = |cells: &mut Cells, end: &str, ename: &str| {
        drop(cells.fails(&format!("{change} {end}"), ename))
    };
    match random.below(15) {
        0 => {
            cells.ok(&format!("let mut {name}: u64 = {value};"));
            expected.insert(name, value);
        }
        1 | 2 => {
            cells.ok(&format!("{name} += {value};"));
            expected.insert(name, known + value);
        }
        3 => assert_eq!(cells.ok(&format!("println!(\"{{{name}}}\");")), format!("{known}\n")),
        4 => fails(cells, "panic!(\"random\");", "Panic"),
        5 => fails(cells, "std::process::exit(0);", "Exit"),
        6 => fails(cells, "raise(9);", "Killed"),
        7 => fails(cells, "unsafe { *(8 as *mut u8) = 1 };", "SegmentationFault"),
        8 => fails(cells, "let text: String = 5;", "CompileError"),
        9 => drop(cells.interrupted(&format!("{change} println!(\"started\"); loop {{}}"))),
        10 => drop(cells.interrupted(&format!("{name} += 1; if fork() == 0 {{ setsid(); loop {{}} }} println!(\"started\"); loop {{ pause(); }}"))),
        11 => {
            // A child that panics, exits or falls out of the cell changes nothing in its parent.
            let end = ["panic!(\"child\")", "std::process::exit(7)", "_exit(0)", "{}"][random.below(4) as usize];
            cells.ok(&format!("if fork() == 0 {{ {name} += 1; {end}; }} else {{ unsafe {{ wait(std::ptr::null_mut()) }}; }}"));
        }
        12 => assert_eq!(cells.ok(&format!("println!(\"{{:?}}\", pool.map(square, {name}..{name} + 2));")), format!("{:?}\n", [known * known, (known + 1) * (known + 1)])),
        13 => drop(cells.fails(&format!("{name} += 1; pool.map(|x: u64| -> u64 {{ std::process::exit(x as i32) }}, 0..2_u64);"), "Panic")),
        _ => assert_eq!(cells.magic(&format!("%%bash\nsleep 600 & echo {value}")).unwrap(), format!("{value}\n")),
    }
}
