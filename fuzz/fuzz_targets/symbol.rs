//! Any bytes are an error or a function's name, and looking for that is an error or finds code.
#![no_main]
// A part of the library, of which this uses a part.
#![allow(dead_code, unused_imports)]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/error/mod.rs"]
mod error;
#[path = "../../src/sys/object.rs"]
mod object;
#[path = "../../src/symbol.rs"]
mod symbol;
mod sys {
    pub(crate) use super::object;
}

use symbol::{KnownFiles, Symbol};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(symbol) = Symbol::from_bytes(bytes) {
        assert_eq!(symbol.to_bytes(), bytes);
        if let Ok(address) = symbol.resolve(&mut KnownFiles::new()) {
            assert!(sys::object::is_executable(address as usize));
        }
    }
});
