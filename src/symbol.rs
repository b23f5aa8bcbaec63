//! A function's portable name: its shared object, and its offset in it.
//!
//! An address means nothing in a process that was forked before the function's object was loaded,
//! and a notebook's cells are objects that are loaded one after the other. A path and an offset
//! mean the same in both processes: the worker loads the path, once, and adds the offset.
//! Functions' names do not matter, so this works for closures and generics too.
//!
//! A path may later name another file: plugins are rebuilt, unloaded and loaded again. So a symbol
//! also records which file its maker had mapped, and a process that has mapped another file under
//! this path does not run that file's code.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys::object::{self, MappedFile, Mapping};

/// The location of a function, valid in any process that can load the same file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Symbol {
    /// The shared object's path; empty for the program itself.
    object: PathBuf,
    /// The function's distance from the object's load address, in bytes.
    offset: u64,
    /// The file that the symbol's maker had mapped; zeroes for the program itself, or if unknown.
    file: MappedFile,
    /// The state of the file at the path then; zeroes for the program itself, or if there was no
    /// file.
    state: FileState,
}

/// A file's size and time of change.
type FileState = [u64; 3];

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
        let offset = (address as usize - object.base) as u64;
        if object.path.as_os_str().is_empty() {
            return Ok(Symbol {
                object: object.path,
                offset,
                file: MappedFile::default(),
                state: FileState::default(),
            });
        }
        let mapping = object::mapping_at(address as usize);
        let file = mapping
            .as_ref()
            .map_or_else(MappedFile::default, |mapping| mapping.file);
        // A mapping without a path is of a deleted or replaced file; a process that has loaded it
        // can still call into it.
        let is_there = mapping
            .as_ref()
            .is_none_or(|mapping| mapping.path.is_some());
        let object = absolute(object.path, mapping);
        let state = is_there.then(|| state_of(&object)).flatten();
        Ok(Symbol {
            object,
            offset,
            file,
            state: state.unwrap_or_default(),
        })
    }

    /// Finds the function in this process, loading its object if necessary.
    ///
    /// # Errors
    /// `is_function_not_found()`, naming the file, if it is gone, was replaced, or has no code
    /// there.
    pub(crate) fn resolve(&self, known: &mut KnownFiles) -> Result<*const ()> {
        let base = if self.object.as_os_str().is_empty() {
            object::load(&self.object)?.base
        } else {
            self.base(known)?
        };
        let address = base.wrapping_add(self.offset as usize);
        if !object::is_executable(address) {
            return Err(Error::function_not_found(format!(
                "there is no code at offset {:#x} of {}",
                self.offset,
                self.object.display()
            )));
        }
        Ok(address as *const ())
    }

    /// The load address of exactly the file that the symbol's maker had.
    fn base(&self, known: &mut KnownFiles) -> Result<usize> {
        if self.file == MappedFile::default() {
            self.check_state()?;
            return self.load(&self.object);
        }
        // The file may already be loaded under any name: inherited, or loaded before.
        let here = object::code_of(self.file).and_then(object::holding);
        if let Some(object) = here {
            return match *known.entry(self.file).or_insert(self.state) {
                then if [then, self.state].contains(&FileState::default())
                    || then == self.state =>
                {
                    Ok(object.base)
                }
                _ => Err(self.replaced("was overwritten while this worker had it loaded")),
            };
        }
        self.check_state()?;
        // The loader compares names first, and would return the object that it once loaded under
        // this name. A new name makes it check the file itself.
        let mut name = self.object.clone();
        let mut before = None;
        loop {
            let base = self.load(&name)?;
            let address = base.wrapping_add(self.offset as usize);
            if object::mapping_at(address).is_some_and(|mapping| mapping.file == self.file) {
                known.insert(self.file, self.state);
                return Ok(base);
            }
            if before.replace(base) == Some(base) {
                return Err(self.replaced(REPLACED));
            }
            name = another_name(&name);
        }
    }

    fn load(&self, name: &Path) -> Result<usize> {
        let object = object::load(name).map_err(|error| self.explain(error))?;
        Ok(object.base)
    }

    /// Checks that the file at the path is unchanged since the symbol was made.
    fn check_state(&self) -> Result<()> {
        match state_of(&self.object) {
            Some(now) if self.state != FileState::default() && now != self.state => {
                Err(self.replaced(REPLACED))
            }
            _ => Ok(()),
        }
    }

    fn replaced(&self, how: &str) -> Error {
        let path = self.object.display();
        Error::function_not_found(format!(
            "{path} {how}; run the cell that defines it again, or load the new file and make a new pool"
        ))
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

    /// A function in an object, regardless of the file's state when it was named.
    #[cfg(feature = "cluster")]
    pub(crate) fn in_object(object: PathBuf, offset: u64) -> Symbol {
        Symbol {
            object,
            offset,
            file: MappedFile::default(),
            state: FileState::default(),
        }
    }

    /// The shared object's path; empty for the program itself.
    #[cfg(feature = "cluster")]
    pub(crate) fn object(&self) -> &Path {
        &self.object
    }

    /// Which of the files that have had the object's path.
    #[cfg(feature = "cluster")]
    pub(crate) fn version(&self) -> [u64; 5] {
        let ([device, inode], [size, seconds, nanoseconds]) = (self.file, self.state);
        [device, inode, size, seconds, nanoseconds]
    }

    /// The function's distance from the object's load address.
    #[cfg(feature = "cluster")]
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether it is a function of the program itself, which is never unloaded.
    pub(crate) fn is_programs(&self) -> bool {
        self.object.as_os_str().is_empty()
    }

    /// Encodes the symbol for a worker.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.offset.to_le_bytes().to_vec();
        for part in self.file.into_iter().chain(self.state) {
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
            state: std::array::from_fn(|_| numbers.next().unwrap_or_default()),
            object: PathBuf::from(std::ffi::OsStr::from_bytes(path)),
        })
    }
}

/// For each file in which a process has found functions, its state at that time.
pub(crate) type KnownFiles = HashMap<MappedFile, FileState>;

const REPLACED: &str = "was replaced since the function was passed";

/// The absolute path of a loaded object: the mapping's, or else derived from the loader's.
pub(crate) fn absolute(path: PathBuf, mapping: Option<Mapping>) -> PathBuf {
    let mapped = mapping.and_then(|mapping| mapping.path);
    mapped.unwrap_or_else(|| std::path::absolute(&path).unwrap_or(path))
}

/// Another name for the same file: with one more `/.` before the last component.
fn another_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().as_bytes().to_vec();
    let last = name.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    name.splice(last..last, *b"/.");
    PathBuf::from(OsString::from_vec(name))
}

fn state_of(path: &Path) -> Option<FileState> {
    let stat = std::fs::metadata(path).ok()?;
    Some([stat.size(), stat.mtime() as u64, stat.mtime_nsec() as u64])
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
        assert_eq!(
            again.resolve(&mut KnownFiles::new()).unwrap(),
            answer as *const ()
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_name(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            match Symbol::from_bytes(&bytes) {
                Ok(symbol) => {
                    prop_assert_eq!(symbol.to_bytes(), bytes);
                    // Resolving must not crash, whatever it finds.
                    let _ = symbol.resolve(&mut KnownFiles::new());
                }
                Err(error) => prop_assert!(error.is_decode() && bytes.len() < 48),
            }
        }

        #[test]
        fn any_offset_into_the_program_is_code_or_an_error(offset: u64) {
            let symbol = Symbol { object: PathBuf::new(), offset, file: [0; 2], state: [0; 3] };
            if let Ok(address) = symbol.resolve(&mut KnownFiles::new()) {
                prop_assert!(object::is_executable(address as usize));
            }
        }
    }

    #[test]
    fn a_deleted_file_is_named() {
        let mut symbol = Symbol::of(answer as *const ()).unwrap();
        symbol.object = PathBuf::from("/nowhere/libcode_7.so");
        let error = symbol.resolve(&mut KnownFiles::new()).unwrap_err();
        assert!(error.is_function_not_found());
        assert!(
            error
                .to_string()
                .contains("/nowhere/libcode_7.so was deleted"),
            "{error}"
        );
    }

    #[test]
    fn a_library_is_found_by_its_file_and_not_by_another_of_its_name() {
        let function = libc::getpid as *const ();
        let mut known = KnownFiles::new();
        let symbol = Symbol::of(function).unwrap();
        assert!(symbol.object.is_absolute());
        assert_eq!(symbol.resolve(&mut known).unwrap(), function);
        // The file is still loaded, whatever the path now names.
        let mut moved = symbol.clone();
        moved.object = PathBuf::from("/nowhere/libc.so");
        assert_eq!(moved.resolve(&mut known).unwrap(), function);
        let mut rebuilt = symbol.clone();
        rebuilt.file[1] += 1 << 40;
        let error = rebuilt.resolve(&mut known).unwrap_err();
        assert!(error.to_string().contains("was replaced"), "{error}");
        let mut overwritten = symbol;
        overwritten.state[0] += 1;
        let error = overwritten.resolve(&mut known).unwrap_err();
        assert!(error.to_string().contains("was overwritten"), "{error}");
        assert_eq!(
            another_name(Path::new("/a/b.so")),
            PathBuf::from_iter([OsString::from("/a/./b.so")])
        );
    }

    #[test]
    fn an_offset_without_code_is_refused() {
        let mut symbol = Symbol::of(answer as *const ()).unwrap();
        symbol.offset = u64::MAX / 2;
        assert!(
            symbol
                .resolve(&mut KnownFiles::new())
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
