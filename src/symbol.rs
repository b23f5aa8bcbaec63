//! A function's portable name: the shared object that holds it, and its place in there.
//!
//! An address means nothing in a process that was forked before the function's object was loaded,
//! and a notebook's cells are objects that are loaded one after the other. The pair of path and
//! offset means the same in both: the worker loads the path, once, and adds the offset.
//! The names of the functions do not matter, so closures and generics have one too.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys::object;

/// Where a function is, in terms that hold in any process that can load the same file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Symbol {
    /// The shared object's path; empty for the program itself.
    object: PathBuf,
    /// The function's distance from where the object was loaded, in bytes.
    offset: u64,
    /// Which file the path named when the symbol was made; zeroes for the program itself.
    file: FileId,
}

/// A file's device, inode, size and time of change: a rebuilt file is another file.
type FileId = [u64; 5];

impl Symbol {
    /// Names the function at `address`.
    ///
    /// # Errors
    /// `is_function_not_found()` if no loaded object holds the address.
    pub(crate) fn of(address: *const ()) -> Result<Symbol> {
        let object = object::holding(address as usize).ok_or_else(|| {
            Error::function_not_found(format!(
                "no loaded object holds the function at {address:p}"
            ))
        })?;
        let file = if object.path.as_os_str().is_empty() {
            FileId::default()
        } else {
            // The file may be gone already; whoever has loaded it can still call into it.
            file_id(&object.path).unwrap_or_default()
        };
        Ok(Symbol {
            offset: (address as usize - object.base) as u64,
            object: object.path,
            file,
        })
    }

    /// Finds the function in this process, loading its object where that was not done before.
    ///
    /// # Errors
    /// `is_function_not_found()`, naming the file, if it is gone, was replaced, or has no code there.
    pub(crate) fn resolve(&self) -> Result<*const ()> {
        let object = object::load(&self.object).map_err(|error| self.explain(error))?;
        let address = object.base.wrapping_add(self.offset as usize);
        let path = self.object.display();
        if !self.object.as_os_str().is_empty()
            && file_id(&self.object)
                .is_some_and(|now| self.file != FileId::default() && now != self.file)
        {
            return Err(Error::function_not_found(format!(
                "{path} was replaced since the function was passed; run the cell that defines it again"
            )));
        }
        if !object::is_executable(address) {
            return Err(Error::function_not_found(format!(
                "there is no code at offset {:#x} of {path}",
                self.offset
            )));
        }
        Ok(address as *const ())
    }

    fn explain(&self, error: Error) -> Error {
        if self.object.exists() {
            return error;
        }
        Error::function_not_found(format!(
            "{} was deleted before this worker had loaded it; run the cell that defines the \
             function again",
            self.object.display()
        ))
    }

    /// The symbol as bytes, for a worker to read.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.offset.to_le_bytes().to_vec();
        for part in self.file {
            bytes.extend(part.to_le_bytes());
        }
        bytes.extend(self.object.as_os_str().as_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Symbol> {
        let short = || Error::decode_message("the name of a function was cut short");
        let (numbers, path) = bytes.split_at_checked(48).ok_or_else(short)?;
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|eight| u64::from_le_bytes(eight.try_into().unwrap_or_default()));
        Ok(Symbol {
            offset: numbers.next().ok_or_else(short)?,
            file: std::array::from_fn(|_| numbers.next().unwrap_or_default()),
            object: PathBuf::from(std::ffi::OsStr::from_bytes(path)),
        })
    }
}

fn file_id(path: &Path) -> Option<FileId> {
    let stat = std::fs::metadata(path).ok()?;
    Some([
        stat.dev(),
        stat.ino(),
        stat.size(),
        stat.mtime() as u64,
        stat.mtime_nsec() as u64,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer() -> u32 {
        42
    }

    #[test]
    fn a_function_goes_out_and_comes_back() {
        let symbol = Symbol::of(answer as *const ()).unwrap();
        let again = Symbol::from_bytes(&symbol.to_bytes()).unwrap();
        assert_eq!(again, symbol);
        assert_eq!(again.resolve().unwrap(), answer as *const ());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_name(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            match Symbol::from_bytes(&bytes) {
                Ok(symbol) => {
                    prop_assert_eq!(symbol.to_bytes(), bytes);
                    // Nothing is to be found there, and finding that out does no harm.
                    let _ = symbol.resolve();
                }
                Err(error) => prop_assert!(error.is_decode() && bytes.len() < 48),
            }
        }

        #[test]
        fn any_offset_into_the_program_is_code_or_an_error(offset: u64) {
            let symbol = Symbol { object: PathBuf::new(), offset, file: FileId::default() };
            if let Ok(address) = symbol.resolve() {
                prop_assert!(object::is_executable(address as usize));
            }
        }
    }

    #[test]
    fn a_deleted_file_is_named() {
        let mut symbol = Symbol::of(answer as *const ()).unwrap();
        symbol.object = PathBuf::from("/nowhere/libcode_7.so");
        let error = symbol.resolve().unwrap_err();
        assert!(error.is_function_not_found());
        assert!(
            error
                .to_string()
                .contains("/nowhere/libcode_7.so was deleted"),
            "{error}"
        );
    }

    #[test]
    fn an_offset_without_code_is_refused() {
        let mut symbol = Symbol::of(answer as *const ()).unwrap();
        symbol.offset = u64::MAX / 2;
        assert!(
            symbol
                .resolve()
                .unwrap_err()
                .to_string()
                .contains("no code")
        );
    }

    #[test]
    fn bytes_that_are_too_short_are_an_error() {
        assert!(Symbol::from_bytes(&[1, 2, 3]).unwrap_err().is_decode());
    }
}
