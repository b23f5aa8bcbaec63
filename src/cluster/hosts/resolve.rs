//! Do the hosts exist? A launcher would ask as well, and say it in its own words, later.

use std::net::ToSocketAddrs;

use super::host::Host;
use crate::error::{Error, Result};

/// Refuses the first host that has no address.
///
/// # Errors
/// `is_invalid_input()`, with the host as it was written and the resolver's own words.
pub(crate) fn refuse_unknown(hosts: &[Host]) -> Result<()> {
    for Host { name, .. } in hosts {
        if let Err(source) = (name.as_str(), 0u16).to_socket_addrs() {
            let message = format!(
                "the host \"{name}\" has no address ({source}); check its spelling, or try: \
                 getent hosts {name}"
            );
            return Err(Error::invalid_input(message));
        }
    }
    Ok(())
}
