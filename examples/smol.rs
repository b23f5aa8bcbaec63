//! A stream of results on smol: lines are taken from their source, and counted in workers, only a
//! little ahead of a consumer that takes its time.
//!
//! `cargo run --example smol`

use std::cell::Cell;
use std::time::Duration;

use forklore::{Context, Pool, Result};
use smol::stream::StreamExt;

const N_LINES: usize = 200;

fn main() -> Result<()> {
    let pool = Pool::with_workers(2)?;
    // Sent once, and kept by the workers: what each task looks up.
    let stop_words = Context::new(vec!["the".to_owned(), "a".to_owned(), "of".to_owned()]);
    let n_taken = Cell::new(0);
    let lines = (0..N_LINES).map(|number| {
        n_taken.set(n_taken.get() + 1);
        format!("the beginning of line {number} and a number of words")
    });
    let count = |stop_words: &Vec<String>, line: String| {
        let is_other = |word: &&str| !stop_words.iter().any(|stop| stop == word);
        line.split(' ').filter(is_other).count()
    };
    let mut counts = pool.stream_with(&stop_words, count, lines);
    let n_words = smol::block_on(async {
        let mut n_words = 0;
        for n_read in 1..=20 {
            n_words += counts.next().await.unwrap_or(0);
            smol::Timer::after(Duration::from_millis(1)).await;
            assert!(
                n_taken.get() < N_LINES,
                "read all lines for {n_read} counts"
            );
        }
        println!("20 lines were counted, {} read", n_taken.get());
        n_words + counts.fold(0, |sum, n| sum + n).await
    });
    println!("{n_words} words in {N_LINES} lines");
    assert_eq!(n_words, 6 * N_LINES);
    Ok(())
}
