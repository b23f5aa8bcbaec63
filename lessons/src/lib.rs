//! The functions that the course's notebooks call: predictions, fair measurements, figures, checks.
//!
//! A lesson's cell says only what to measure. This crate decides how often to repeat it, whether
//! the machine was quiet enough, and how to draw it. Everything is shown through
//! [`forklore::display`], as HTML and, with the same content, as the text of its `Debug`.
//!
//! | to find | read |
//! | --- | --- |
//! | where an exercise is judged | `judges/mod.rs` for the table, `judges/lesson_NN.rs` for the judges |
//! | how cases are measured against each other | `compare/mod.rs` |
//! | how a script's times come into a figure | `twin.rs` |
//! | whether the machine was quiet | `quiet.rs` |
//! | how forks are watched, and what a schedule of two threads comes to | `forks/mod.rs`, `scheduler/mod.rs` |
//! | where a learner's progress is kept | `place.rs` |
//!
//! ```
//! use forklore_course::*;
//!
//! let guess: Prediction = predict("how many times longer does the longer one take?", 10.0);
//! let compared: Comparison = compare("two sums")
//!     .case("short", || (0..10u64).map(std::hint::black_box).sum::<u64>())
//!     .case("long", || (0..1000u64).map(std::hint::black_box).sum::<u64>())
//!     .run();
//! println!("{:?}", guess.against(compared.times("long", "short")));
//! assert!(compared.ratio("long", "short") > 1.0);
//! ```
//!
//! A time differs between machines, and on the same machine a minute later. So a lesson asserts
//! ratios and inequalities, and [`Comparison::verdict`] returns [`Verdict::Inconclusive`] rather
//! than a wrong verdict.

mod calls;
mod compare;
mod forks;
mod judges;
mod nodes;
mod pages;
mod pictures;
mod place;
mod predict;
mod processes;
mod progress;
mod quiet;
mod race;
mod scheduler;
mod session;
mod shares;
mod show;
mod sliders;
mod sweep;
mod twin;

pub use calls::{Called, called};
pub use compare::{Cases, Comparison, Verdict, compare};
pub use forks::{ForkPuzzle, ForkRun, ForkWatch};
pub use judges::{Checked, check};
pub use pages::use_ordinary_pages;
pub use pictures::{amdahl_bars, chunks_on_a_board, circle_of_locks, copy_on_write, memories};
pub use predict::{Judged, Measured, Prediction, predict};
pub use processes::{RunBy, by_children, by_workers, run_by};
pub use race::{Race, Races, race};
pub use scheduler::{Replay, ScheduleEnd, TwoThreads};
pub use session::{Session, session};
pub use shares::{Shares, shares};
pub use sliders::{
    chunk_slider, nodes_timeline, noted_timeline, pays_slider, schedule_slider,
    serial_share_slider, turns_slider,
};
pub use sweep::{Sweep, sweep};
pub use twin::{Beside, Timings, timings};
