//! As much of the library's errors as is needed here.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Error {
    OwnerDied(u32),
    Other,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn invalid_input(_: impl Into<String>) -> Error {
        Error::Other
    }

    pub(crate) fn timed_out(_: &str) -> Error {
        Error::Other
    }

    pub(crate) fn owner_died(_: &str, id: u32, _: &str) -> Error {
        Error::OwnerDied(id)
    }

    pub(crate) fn os(_: &str, _: std::io::Error) -> Error {
        Error::Other
    }

    pub(crate) fn is_owner_died(&self) -> bool {
        matches!(self, Error::OwnerDied(_))
    }
}
