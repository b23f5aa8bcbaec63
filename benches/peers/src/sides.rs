//! The peers in the tables of times and memory, each in a separate process.

use std::process::Command;

use forklore::Pool;

use crate::common::{self, Peer, WORKS};
use crate::{procspawn_side, python};

/// The others are compared with the first.
pub const PEERS: [&str; 7] = [
    "forklore",
    "rayon",
    "procspawn",
    "mp.Pool",
    "ProcessPoolExecutor",
    "joblib",
    "mpire",
];

/// The request that makes a peer start its workers; it replies when they have worked.
pub const IDLE: &str = "idle";

/// Starts a peer that measures workloads on request.
pub fn start(peer: &str, n_workers: usize) -> Peer {
    let mut command = match peer {
        "forklore" | "rayon" | "procspawn" => {
            let mut command = Command::new(std::env::current_exe().expect("the program's path"));
            command.arg("side");
            command
        }
        _ => python::script("works.py"),
    };
    Peer::start(command.args([peer, &n_workers.to_string()]))
}

/// Runs as a peer.
pub fn serve(peer: &str, n_workers: usize) {
    match peer {
        "rayon" => common::serve_rayon(),
        "procspawn" => procspawn_side::serve(n_workers),
        _ => {
            let pool = Pool::with_workers(n_workers).expect("a pool");
            common::serve(|name| {
                if name == IDLE {
                    let items = 0..2 * n_workers as u64;
                    return Some(common::timed(|| pool.map_chunked(common::nap, items, 1)));
                }
                let work = WORKS.iter().find(|work| work.name == name)?;
                Some((work.forklore)(&pool))
            });
        }
    }
}
