//! `%checkpoint`: when a cell can be rolled back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// When snapshots are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checkpoint {
    /// After every cell.
    On,
    /// Never: a cell that crashes loses all variables.
    Off,
    /// While the user process uses at most this much memory. Copying the page tables of a large
    /// process takes milliseconds, and a cell that then writes to old memory pays for copies of the
    /// pages.
    Auto {
        /// The memory limit for snapshots.
        limit_bytes: u64,
    },
}

/// Automatic, up to 256 MiB.
pub const DEFAULT: Checkpoint = Checkpoint::Auto {
    limit_bytes: 256 << 20,
};

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checkpoint::On => f.write_str("on"),
            Checkpoint::Off => f.write_str("off"),
            Checkpoint::Auto { limit_bytes } => write!(f, "auto:{limit_bytes}"),
        }
    }
}

impl FromStr for Checkpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Checkpoint, String> {
        match text.trim() {
            "on" => Ok(Checkpoint::On),
            "off" => Ok(Checkpoint::Off),
            "auto" | "" => Ok(DEFAULT),
            other => match other.strip_prefix("auto:").map(str::parse) {
                Some(Ok(limit_bytes)) => Ok(Checkpoint::Auto { limit_bytes }),
                _ => Err(format!(
                    "unknown checkpoint policy {other:?}: on, off, auto or auto:BYTES"
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read() {
        assert_eq!("on".parse(), Ok(Checkpoint::On));
        assert_eq!("off\n".parse(), Ok(Checkpoint::Off));
        assert_eq!("auto".parse(), Ok(DEFAULT));
        assert_eq!(
            "auto:1024".parse(),
            Ok(Checkpoint::Auto { limit_bytes: 1024 })
        );
        assert_eq!(DEFAULT.to_string().parse(), Ok(DEFAULT));
        assert!(
            "sometimes"
                .parse::<Checkpoint>()
                .unwrap_err()
                .contains("on, off, auto")
        );
    }
}
