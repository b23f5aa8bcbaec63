//! The same map on many nodes, over MPI.

// `Cluster`, which asks for hosts and starts their jobs, comes next.
#[allow(dead_code, unused_imports)]
mod hosts;
pub mod link;
#[allow(dead_code)]
mod mpirun;

/// The library's version: an agent must have its owner's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
