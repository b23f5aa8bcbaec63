//! Watches forks: which process ran when, which lines ran where, and which process waited for
//! which.
//!
//! [`record`] is what the processes write, [`lanes`] draws it, and [`puzzle`] makes small programs
//! that fork: learners predict what they do, and then watch them.

mod lanes;
mod puzzle;
mod record;

pub use puzzle::{ForkPuzzle, ForkRun};
pub use record::ForkWatch;

#[cfg(test)]
mod tests {
    use super::ForkPuzzle;

    #[test]
    fn a_seed_makes_one_program_and_the_seeds_make_many() {
        let body = |seed: u64| {
            let text = format!("{:?}", ForkPuzzle::with_seed(seed));
            text.split_once('\n').unwrap().1.to_owned()
        };
        assert_eq!(body(7), body(7));
        let mut bodies: Vec<String> = (0..40).map(body).collect();
        bodies.sort_unstable();
        bodies.dedup();
        assert!(bodies.len() > 20, "{} programs", bodies.len());
    }
}
