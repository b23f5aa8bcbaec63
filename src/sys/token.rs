//! A random number that two processes know and no other does.

use std::fmt;
use std::io;

#[cfg(feature = "cluster")]
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The number of bytes: too many to be guessed.
pub(crate) const TOKEN_BYTES: usize = 16;

/// A random number; as text, 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cluster", derive(Serialize, Deserialize))]
pub(crate) struct Token([u8; TOKEN_BYTES]);

impl Token {
    /// A new token.
    ///
    /// # Errors
    /// `is_os()` if the OS provides no random bytes.
    pub(crate) fn random() -> Result<Token> {
        let mut bytes = [0; TOKEN_BYTES];
        // SAFETY: the buffer has the given length.
        let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), TOKEN_BYTES, 0) };
        if n != TOKEN_BYTES as isize {
            let error = io::Error::last_os_error();
            return Err(Error::os("cannot get random bytes", error));
        }
        Ok(Token(bytes))
    }

    /// The token that a text shows.
    pub(crate) fn parse(text: &str) -> Option<Token> {
        let number = u128::from_str_radix(text, 16).ok()?;
        Some(Token(number.to_be_bytes()))
    }

    pub(crate) fn bytes(&self) -> &[u8; TOKEN_BYTES] {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_as_text() {
        let token = Token::random().unwrap();
        assert_eq!(Token::parse(&token.to_string()), Some(token));
        assert_ne!(Token::random().unwrap(), token);
        assert_eq!(Token::parse("x"), None);
    }
}
