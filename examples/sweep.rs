//! A parameter sweep: an epidemic for each pair of two rates, and the pair that is closest to what
//! was observed.
//!
//! `cargo run --release --example sweep`

use forklore::{Pool, Result};

/// The largest part of the population that is ill at the same time, in an epidemic that infects and
/// heals at these rates (per day).
fn peak(infection: f64, recovery: f64) -> f64 {
    const DAYS_PER_STEP: f64 = 0.01;
    let (mut healthy, mut ill, mut most_ill) = (0.999, 0.001, 0.001);
    for _ in 0..40_000 {
        let infected = infection * healthy * ill * DAYS_PER_STEP;
        healthy -= infected;
        ill += infected - recovery * ill * DAYS_PER_STEP;
        most_ill = f64::max(most_ill, ill);
    }
    most_ill
}

fn main() -> Result<()> {
    const OBSERVED: f64 = 0.25;
    let rates = |n: u32| 0.05 * f64::from(n);
    let grid: Vec<(f64, f64)> = (1..=20)
        .flat_map(|infection| (1..=10).map(move |recovery| (rates(infection), rates(recovery))))
        .collect();

    let pool = Pool::new()?;
    let peaks = pool.starmap(peak, grid.clone()); // in the order of the grid, whichever worker was first

    let distance = |peak: &f64| (peak - OBSERVED).abs();
    let best = (0..grid.len())
        .min_by(|&a, &b| distance(&peaks[a]).total_cmp(&distance(&peaks[b])))
        .expect("the grid is not empty");
    let (infection, recovery) = grid[best];
    println!(
        "infection {infection:.2}, recovery {recovery:.2}: at most {:.1} % ill at once",
        100.0 * peaks[best]
    );

    assert!(distance(&peaks[best]) < 0.02);
    Ok(())
}
