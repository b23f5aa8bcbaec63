//! The content of the program `forklore-node`: the [link](MpiLink) between a relay and its agent.
//! Relay and agent are in the library, `forklore::cluster`.

mod link;
mod sys;

use std::io;

pub use link::MpiLink;
pub use sys::exit_now;

/// The versions of this program, the library, and the MPI library that it runs with, one per line.
///
/// # Errors
/// If the MPI library does not report its version.
pub fn version() -> io::Result<String> {
    Ok(format!(
        "forklore-node {}\nlibrary: forklore {}\nmpi: {}\n",
        env!("CARGO_PKG_VERSION"),
        forklore::cluster::VERSION,
        sys::library_version()?
    ))
}
