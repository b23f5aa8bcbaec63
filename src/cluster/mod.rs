//! The same map on many nodes, over MPI: which hosts there are, how they are reached, and what the
//! program `forklore-node` does there. [`Cluster`](crate::Cluster) builds on this.

mod arrivals;
pub(crate) mod bootstrap;
pub(crate) mod hosts;
pub(crate) mod mpirun;
pub mod node;

pub use crate::link::{Link, MAX_FRAME};

/// The library's version: an agent must have the same as its owner.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
