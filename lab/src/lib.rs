//! Runs, tests and shows the course, for `forklore lessons` and `cargo lab`.
//!
//! ```text
//! Course ── Lesson ──▶ lesson::run ──▶ executed notebook, page ──▶ pages, slides
//!             ▲              ▲
//!   checkout or wheel   Workbench: Environment (Python), Kernel (kernelspecs), Scripts
//! ```
//!
//! `cargo lab` must start within seconds on a fresh machine, so this package depends on neither the
//! library nor the kernel. It ships inside the kernel, so it knows no path of the build: a course
//! is found by [`course::Course::find`], and a checkout is an argument.

pub mod checkout;
pub mod command;
pub mod confine;
pub mod course;
pub mod edition;
pub mod jupyterlab;
pub mod kernel;
pub mod lesson;
pub mod nodes;
pub mod pages;
pub mod places;
pub mod prerequisites;
pub mod progress;
pub mod python;
pub mod scripts;
pub mod slides;
pub mod steps;
pub mod timetable;
mod wheel;
pub mod workbench;

pub use places::find_program;
