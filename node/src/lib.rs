//! What the program `forklore-node` consists of: the [link](MpiLink) between a relay and its agent.
//! The two themselves are in the library, `forklore::cluster`.

mod link;
mod sys;

use std::io;

pub use link::MpiLink;
pub use sys::exit_now;

/// This program's version, the library's, and that of the MPI library that it runs with, a line each.
///
/// # Errors
/// If the MPI library does not say its version.
pub fn version() -> io::Result<String> {
    Ok(format!(
        "forklore-node {}\nlibrary: forklore {}\nmpi: {}\n",
        env!("CARGO_PKG_VERSION"),
        forklore::cluster::VERSION,
        sys::library_version()?
    ))
}
