//! Workers on other nodes.
//!
//! ```text
//!  owner ══ board, in shared memory ══ relay ── link: a socket, or MPI ── station ══ its own board ══ workers
//! ```
//!
//! A *relay* is a worker of the owner's pool that runs no tasks itself. It holds a slot for each
//! worker of one node, claims chunks as any worker does, sends them to the node's *station*, and
//! commits the results that come back. The station is a fresh process of the owner's program on
//! that node, with a pool of its own. So schedules, deaths and retries are handled by the same code
//! as on one machine, and a lost node is a relay that dies.

mod clock;
pub(in crate::pool) mod message;
mod reach;
mod reached;
pub(super) mod relay;
mod seat;
mod silence;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::conditions::Conditions;
use crate::pool::settings::Settings;
pub(in crate::pool) use reach::start_of_agents;

/// The terms of a station's pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) struct Terms {
    pub(in crate::pool) max_tasks: u64,
    pub(in crate::pool) timeout: Option<Duration>,
    pub(in crate::pool) retries: u32,
    pub(in crate::pool) cpu_time_limit: Option<Duration>,
    pub(in crate::pool) kills_descendants: bool,
    pub(in crate::pool) conditions: Conditions,
}

impl Terms {
    /// The settings that a pool's relays leave to the stations to enforce.
    pub(in crate::pool) fn of(settings: &Settings) -> Terms {
        Terms {
            max_tasks: settings.max_tasks,
            timeout: settings.timeout,
            retries: settings.retries,
            cpu_time_limit: settings.cpu_time_limit,
            kills_descendants: settings.kills_descendants,
            conditions: settings.conditions.clone(),
        }
    }
}
