//! The nodes of a pool whose workers are on several.

use std::ffi::OsString;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Which nodes there are, and what their pools are like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nodes {
    pub(super) nodes: Vec<NodePlan>,
    /// The terms of their pools, encoded: relays only pass them on.
    pub(super) terms: Vec<u8>,
}

/// One node: its name, its slots on the owner's board, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodePlan {
    pub(super) name: String,
    pub(super) first_slot: usize,
    pub(super) n_workers: usize,
    pub(super) reach: Reach,
}

/// How a node's station is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reach {
    /// On this machine: its relay launches it.
    Here,
    /// By a program that connects the station to a socket of its relay's, whose name is in the
    /// environment variable [`RENDEZVOUS`](crate::cluster::node::RENDEZVOUS).
    By {
        arguments: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
    },
}

impl Nodes {
    /// The node that has a slot.
    pub(super) fn of_slot(&self, slot: usize) -> Option<&NodePlan> {
        self.nodes.iter().find(|node| node.slots().contains(&slot))
    }

    /// How many slots there are.
    pub(super) fn n_slots(&self) -> usize {
        self.nodes.iter().map(|node| node.n_workers).sum()
    }
}

impl NodePlan {
    pub(super) fn slots(&self) -> Range<usize> {
        self.first_slot..self.first_slot + self.n_workers
    }
}
