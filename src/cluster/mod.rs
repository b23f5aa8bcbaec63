//! The same map on many nodes, over MPI.

// `Cluster`, which asks for hosts, comes next.
#[allow(dead_code, unused_imports)]
mod hosts;
#[allow(dead_code)]
mod mpirun;
