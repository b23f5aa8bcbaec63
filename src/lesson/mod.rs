//! What the course's notebooks are carried by: predictions, fair measurements, figures, checks.
//!
//! A lesson's cell says what is measured and nothing else; how often it is repeated, whether
//! the machine was quiet enough to tell, and how it is drawn is decided here. Everything is
//! shown through [`crate::display`], as HTML and, with the same facts, as the text of its `Debug`.
//!
//! ```
//! use forklore::lesson::*;
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
//! A time will be another on another machine, and on this one in a minute: so a lesson
//! asserts ratios and inequalities, and [`Comparison::verdict`] answers
//! [`Verdict::Inconclusive`] rather than something wrong.

mod by_workers;
mod calls;
mod compare;
mod exercises;
mod pages;
mod pictures;
mod predict;
mod quiet;
mod race;
mod session;
mod shares;
mod show;
mod sliders;
mod sweep;

pub use by_workers::by_workers;
pub use calls::{Called, called};
pub use compare::{Cases, Comparison, Verdict, compare};
pub use exercises::{Checked, check};
pub use pages::use_ordinary_pages;
pub use pictures::{amdahl_bars, chunks_on_a_board, circle_of_locks, copy_on_write, memories};
pub use predict::{Judged, Measured, Prediction, predict};
pub use race::{Race, race};
pub use session::{Session, session};
pub use shares::{Shares, shares};
pub use sliders::{
    chunk_slider, noted_timeline, pays_slider, schedule_slider, serial_share_slider, turns_slider,
};
pub use sweep::{Sweep, sweep};
