//! A large table that all workers read and none copies.
//!
//! `cargo run --release --example shared_table`

use std::collections::HashMap;

use forklore::{Context, Pool, Result};

fn main() -> Result<()> {
    // No serialisation, no `'static`, no `Arc`: some 100 MB stay where they are, and the workers of
    // a closure inherit them.
    let squares: HashMap<u64, u64> = (0..2_000_000).map(|n| (n * n, n)).collect();

    let pool = Pool::new()?;
    let longest_sides = pool.map(
        |leg: u64| {
            // The other leg, for the largest right triangle of whole numbers with this one.
            (1..20_000).rev().find_map(|other| {
                let side = squares.get(&(leg * leg + other * other))?;
                Some((other, *side))
            })
        },
        1..200,
    );

    let (leg, Some((other, side))) = (12, longest_sides[11]) else {
        panic!("3² + 4² = 5², so there is one for 12");
    };
    println!("{leg}² + {other}² = {side}²");
    assert_eq!((other, side), (35, 37));

    // A program with threads has workers that inherit nothing, and each call of a closure forks.
    // What is sent as a context is sent once; of numbers side by side there is one copy for all
    // workers, however many maps read it.
    let squares: Context<Vec<u64>> = Context::new((0..2_000_000).map(|n| n * n).collect());
    let again = pool.map_with(
        &squares,
        |squares, leg: u64| {
            (1..20_000).rev().find_map(|other| {
                let side = squares.binary_search(&(leg * leg + other * other)).ok()?;
                Some((other, side as u64))
            })
        },
        1..200,
    );
    assert_eq!(again, longest_sides);
    Ok(())
}
