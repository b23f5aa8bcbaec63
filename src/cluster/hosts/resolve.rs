//! Checks that the hosts exist. A launcher would check too, but later and in its own words.

use std::net::ToSocketAddrs;

use super::host::Host;
use crate::error::{Error, Result};

/// Rejects the first host that has no address.
///
/// # Errors
/// `is_invalid_input()`, with the host as it was written and the resolver's message.
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
