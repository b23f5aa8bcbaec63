//! A large table that all workers read and none copies: a closure's workers inherit what it
//! captures.
//!
//! `cargo run --release --example shared_table`

use std::collections::HashMap;

use forklore::{Pool, Result};

fn main() -> Result<()> {
    // No serialisation, no `'static`, no `Arc`: some 100 MB stay where they are.
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
    Ok(())
}
