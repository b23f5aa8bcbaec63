//! As much of the library's errors as is needed here.

#[derive(Debug)]
pub(crate) struct Error;

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn invalid_input(_: impl Into<String>) -> Error {
        Error
    }

    pub(crate) fn os(_: &str, _: std::io::Error) -> Error {
        Error
    }
}
