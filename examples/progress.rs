//! Progress while a map runs: a bar in a terminal, one line in a log, a live timeline in a
//! notebook.
//!
//! `cargo run --release --example progress`

use forklore::{Pool, Result};

fn count_primes(block: u64) -> usize {
    let is_prime = |n: &u64| {
        (2..)
            .take_while(|d| d * d <= *n)
            .all(|d| !n.is_multiple_of(d))
    };
    (block * 2_000..(block + 1) * 2_000)
        .filter(is_prime)
        .count()
}

fn main() -> Result<()> {
    let pool = Pool::new()?;
    let watched = pool.with_progress().label("primes").per_worker();
    let counts = watched.map(count_primes, 1..100);
    println!(
        "{} primes from 2,000 to 200,000",
        counts.iter().sum::<usize>()
    );

    // Where the time went: how much of it was the tasks', and what the map itself cost.
    let traced = pool.map_traced(count_primes, 1..100);
    println!("{}", traced.trace.overheads());
    assert_eq!(traced.value, counts);
    assert_eq!(counts.iter().sum::<usize>(), 17_681);
    Ok(())
}
