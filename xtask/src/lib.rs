//! The workshop: what the repository's own commands and its tests need. None of it is shipped.

pub mod browser;

use std::path::Path;

use forklore_lab::course::Course;

/// The root of the repository that this package was built in.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository's root")
}

/// The course of this checkout.
pub fn course() -> Course {
    Course::of_checkout(repository())
}
