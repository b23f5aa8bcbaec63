//! Any bytes decode to an error or to a value that encodes to the same bytes again.
#![no_main]
// A part of the library, of which this uses a part.
#![allow(dead_code, unused_imports)]

use std::collections::BTreeMap;
use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[path = "../../src/caught/mod.rs"]
mod caught;
#[path = "../../src/sys/copy.rs"]
mod copy;
#[path = "../../src/error/mod.rs"]
mod error;
#[path = "../../src/wire/mod.rs"]
mod wire;
mod sys {
    pub(crate) use super::copy;
}

fuzz_target!(|bytes: &[u8]| {
    check::<Vec<u8>>(bytes);
    check::<Vec<u64>>(bytes);
    check::<Vec<i128>>(bytes);
    check::<String>(bytes);
    check::<(u8, Vec<u16>, String)>(bytes);
    check::<Vec<Vec<String>>>(bytes);
    check::<Option<Result<Box<str>, (char, bool)>>>(bytes);
    check::<[Option<i32>; 7]>(bytes);
    check::<(std::ffi::CString, std::path::PathBuf)>(bytes);
    check::<std::net::IpAddr>(bytes);
    // These forget an order, that something came twice, or how many nanoseconds were over a second.
    let _ = wire::decode::<error::TaskError>(bytes);
    let _ = wire::decode::<BTreeMap<String, Vec<u8>>>(bytes);
    let _ = wire::decode::<std::time::Duration>(bytes);
    let _ = wire::decode::<f64>(bytes);
});

fn check<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    if let Ok(value) = wire::decode::<T>(bytes) {
        let mut again = Vec::new();
        wire::encode(&value, &mut again).expect("what was decoded can be encoded");
        assert_eq!(again, bytes, "{value:?}");
    }
}
