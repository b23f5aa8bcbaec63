//! A time limit for each task: an endless one is an error, and the pool goes on.
//!
//! `cargo run --example timeout`

use std::time::Duration;

use forklore::{Pool, Result};

/// How many steps the number takes to get down to 1, if you halve it while it is even, and else add
/// a constant.
fn steps((mut number, plus): (u64, u64)) -> u64 {
    let mut n_steps = 0;
    while number != 1 {
        number = if number % 2 == 0 {
            number / 2
        } else {
            number + plus
        };
        n_steps += 1;
    }
    n_steps
}

fn main() -> Result<()> {
    let pool = Pool::builder()
        .workers(2)
        .timeout(Duration::from_millis(500))
        .build()?;
    // With 3, the walk from 3 goes 3, 6, 3, 6, …
    let walks = [(27, 1), (97, 1), (3, 3), (871, 1)];
    let lengths = pool.try_map(steps, walks);
    for (walk, length) in walks.iter().zip(&lengths) {
        match length {
            Ok(length) => println!("{walk:?}: {length} steps"),
            Err(error) => println!("{walk:?}: {error}"),
        }
    }

    assert!(lengths[2].as_ref().is_err_and(|error| error.is_timed_out()));
    assert_eq!(lengths.iter().flatten().count(), 3);
    // The worker that was killed has been replaced.
    assert_eq!(pool.map(steps, [(8, 1)]), [3]);
    Ok(())
}
