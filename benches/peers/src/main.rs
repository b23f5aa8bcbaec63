//! Compares forklore with other process pools: rayon's threads, procspawn, and Python's.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml               # times and memory
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- under-load # times beside busy processes
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- bad-luck   # workers that die
//! ```
//!
//! All print Markdown, and create their own Python environment under `target/` the first time.
//! Times and memory take about three minutes on an idle machine, bad luck about two.

// The same workloads as `cargo bench --bench maps`.
#[path = "../../common/mod.rs"]
mod common;
#[path = "../../common/environment.rs"]
mod environment;
mod idle;
mod load;
mod procspawn_side;
mod python;
mod scenes;
mod sides;
mod stage;
mod times;

fn main() {
    // procspawn's workers are this program again; this call does not return in them.
    procspawn::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            times::print_table("", 0);
            idle::print_table();
        }
        ["times"] => times::print_table("", 0),
        ["times", filter] => times::print_table(filter, 0),
        ["under-load"] => times::print_table("", load::one_for_each_processor()),
        ["under-load", filter] => times::print_table(filter, load::one_for_each_processor()),
        ["idle"] => idle::print_table(),
        ["bad-luck"] => stage::print_table(""),
        ["bad-luck", filter] => stage::print_table(filter),
        // The commands above start this: a peer in a separate process.
        ["side", peer, n_workers] => sides::serve(peer, n_workers.parse().expect("a number")),
        ["scene", peer, scene] => scenes::play(peer, scene),
        ["busy"] => load::be_busy(),
        _ => {
            eprintln!(
                "usage: peers [times [WORDS OF A ROW] | under-load [WORDS OF A ROW] | idle | bad-luck [WORDS OF A ROW]]"
            );
            std::process::exit(2);
        }
    }
}
