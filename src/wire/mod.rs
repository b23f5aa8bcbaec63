//! Encodes values as bytes: serde and bincode, with a shortcut for plain numbers.
//!
//! It uses bincode's fixed-width configuration, which is 3 to 5 times faster on numbers than the
//! variable-width one. serde handles a `Vec<f64>` number by number; this module copies vectors of
//! plain numbers, and strings, in one piece instead, to the same bytes.
//!
//! The generic functions are thin, because every notebook cell that maps compiles them again.

mod plain;

use std::mem::ManuallyDrop;

use bincode::config::{Config, Configuration, Fixint, Limit, LittleEndian};
use bincode::de::read::{Reader, SliceReader};
use bincode::de::{Decode, Decoder, DecoderImpl};
use bincode::error::{DecodeError, EncodeError};
use bincode::serde::Compat;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught::Payload;
use crate::error::{Cause, Error, NO_NAMES, Result};

/// bincode allocates an announced length before it checks the bytes, unless the length exceeds a
/// limit, which can be set only at compile time. So each value is decoded with this limit, of which
/// everything except the value's own bytes counts as already used.
const LIMIT: usize = usize::MAX;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<LIMIT>> =
    bincode::config::legacy().with_limit::<LIMIT>();

/// Where encoded bytes go: memory that grows as it is written.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends a value's bytes to `out`.
///
/// # Errors
/// `is_encode()`: the type's own `Serialize` refused, or a sequence did not know its length. `out`
/// then holds a part of the value.
pub(crate) fn encode<T: Serialize>(value: &T, out: &mut dyn Sink) -> Result<()> {
    if let Some(bytes) = plain::as_one_piece(value) {
        out.put(&(bytes.length as u64).to_le_bytes());
        out.put(bytes.content);
        return Ok(());
    }
    bincode::serde::encode_into_writer(value, &mut Writer(out), CONFIG)
        .map(|_| ())
        .map_err(refused)
}

/// Reads a value back from all of `bytes`.
///
/// Decoding arbitrary bytes is safe, and takes memory at most proportional to their number. There
/// are two exceptions, which depend on the type and not on the bytes: a sequence of values that
/// take no bytes, such as `Vec<()>`, iterates as often as its length announces, and a recursive
/// type can nest as deeply as the bytes allow.
///
/// # Errors
/// `is_decode()`: the bytes are too few, too many, or not a value of the type.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    if let Some(result) = plain::from_one_piece(bytes) {
        return result;
    }
    let mut decoder = decoder(bytes)?;
    let Compat(value) = Compat::<T>::decode(&mut decoder).map_err(not_a_value)?;
    match decoder.reader().peek_read(1) {
        None => Ok(value),
        Some(_) => Err(left_over(bytes.len())),
    }
}

/// A view of the bytes as a value, if the value is one large piece: a vector of plain numbers, or
/// text. Nothing is copied, so processes that share the bytes share the value. `None` for any other
/// type, for few bytes, and if they are not aligned for the numbers.
///
/// It must never be dropped as its type, because its memory does not belong to the allocator. So it
/// must not be moved out, and must only be used through a shared reference, which can neither free
/// its memory nor let it grow.
///
/// # Errors
/// As [`decode`].
///
/// # Safety
/// The bytes stay unchanged for as long as the view is used, and it is used only by shared
/// reference.
pub(crate) unsafe fn view<T>(bytes: &[u8]) -> Option<Result<ManuallyDrop<T>>> {
    if bytes.len() < LEAST_VIEWED_BYTES {
        return None;
    }
    // SAFETY: the caller vouches for the bytes.
    unsafe { plain::view_of_one_piece(bytes) }
}

/// Smaller values are as quick to copy.
const LEAST_VIEWED_BYTES: usize = 1 << 16;

/// The error if the type's own `Deserialize` panicked.
pub(crate) fn panicked(payload: &Payload) -> Error {
    let cause = Cause::panicked(payload.value(), String::new());
    Error::decode_message(format!("cannot decode: the type's own Deserialize {cause}"))
}

fn decoder(bytes: &[u8]) -> Result<DecoderImpl<SliceReader<'_>, impl Config, ()>> {
    let mut decoder = DecoderImpl::new(SliceReader::new(bytes), CONFIG, ());
    decoder
        .claim_bytes_read(LIMIT - bytes.len())
        .map_err(not_a_value)?;
    Ok(decoder)
}

/// The error if a value cannot be encoded.
fn refused(source: EncodeError) -> Error {
    let hint = match source {
        EncodeError::Serde(_) => NO_NAMES,
        _ => "",
    };
    Error::encode(source, hint)
}

/// The error if bytes cannot be decoded.
fn not_a_value(source: DecodeError) -> Error {
    // An error of the type's own Deserialize needs no hint.
    let hint = match source {
        DecodeError::OtherString(_) => "",
        _ => NO_NAMES,
    };
    Error::decode(source, hint)
}

fn left_over(n_bytes: usize) -> Error {
    Error::decode_message(format!(
        "cannot decode: the value ends before its {n_bytes} bytes do{NO_NAMES}"
    ))
}

/// The size of `T` if it is a plain number, whose memory is its encoding.
pub(crate) fn plain_size<T>() -> Option<usize> {
    plain::is_number(typeid::of::<T>()).then_some(size_of::<T>())
}

struct Writer<'a>(&'a mut dyn Sink);

impl bincode::enc::write::Writer for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::result::Result<(), EncodeError> {
        self.0.put(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
        let mut bytes = Vec::new();
        encode(&value, &mut bytes).unwrap();
        assert_eq!(decode::<T>(&bytes).unwrap(), value);
        assert_eq!(
            bytes,
            bincode::serde::encode_to_vec(&value, CONFIG).unwrap()
        );
    }

    proptest! {
        #[test]
        fn values_come_back_and_the_short_way_writes_the_same_bytes(
            bytes: Vec<u8>, wide: Vec<u128>, text: String, pair: (i32, Option<String>),
            map: BTreeMap<String, Vec<u16>>,
        ) {
            there_and_back(bytes);
            there_and_back(wide);
            there_and_back(text);
            there_and_back(pair);
            there_and_back(map);
        }

        #[test]
        fn any_bytes_are_an_error_or_a_value(bytes: Vec<u8>) {
            try_all(&bytes);
        }

        /// Almost valid bytes reach more of the decoder than random ones.
        #[test]
        fn wrong_bytes_in_a_value_are_an_error_or_another_value(
            value: Mixed, at: prop::sample::Index, wrong: u8, cut: prop::sample::Index,
        ) {
            let mut bytes = Vec::new();
            encode(&value, &mut bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = wrong;
            let _ = decode::<Mixed>(&bytes);
            try_all(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = decode::<Mixed>(&bytes);
        }
    }

    type Mixed = (
        Vec<String>,
        BTreeMap<u8, Vec<f64>>,
        Option<(char, bool, i128)>,
    );

    fn try_all(bytes: &[u8]) {
        let _ = decode::<Vec<u64>>(bytes);
        let _ = decode::<String>(bytes);
        let _ = decode::<Mixed>(bytes);
        let _ = decode::<std::result::Result<Box<str>, std::time::Duration>>(bytes);
        let _ = decode::<(std::ffi::CString, std::path::PathBuf)>(bytes);
        let _ = decode::<crate::error::TaskError>(bytes);
    }

    /// Values that take the shortcut, few enough for Miri.
    #[test]
    fn what_is_in_one_piece_comes_back() {
        there_and_back(Vec::<u64>::new());
        there_and_back(vec![7u8; 100]);
        there_and_back((-3..3).collect::<Vec<i128>>());
        there_and_back(vec![0.5f64, f64::MIN, f64::INFINITY]);
        there_and_back("fünf Wörter, davon eins mit Umlaut".to_owned());
        there_and_back((7u16, vec![1u32, 2], String::new()));
    }

    /// A value's bytes at an offset in memory that is aligned for any number.
    struct Laid {
        memory: Vec<u128>,
        range: std::ops::Range<usize>,
    }

    impl Laid {
        fn new<T: Serialize>(value: &T, offset: usize) -> Laid {
            let mut bytes = Vec::new();
            encode(value, &mut bytes).unwrap();
            let range = offset..offset + bytes.len();
            let mut memory = vec![0u128; range.end.div_ceil(16)];
            // SAFETY: there is room for the bytes behind the offset.
            unsafe {
                let start = memory.as_mut_ptr().cast::<u8>().add(offset);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
            }
            Laid { memory, range }
        }

        fn bytes(&self) -> &[u8] {
            let start = self.memory.as_ptr().cast::<u8>();
            // SAFETY: the memory holds this many bytes.
            let all = unsafe { std::slice::from_raw_parts(start, 16 * self.memory.len()) };
            &all[self.range.clone()]
        }

        /// As [`view`]; the view must not outlive `self`.
        fn view<T>(&self) -> Option<Result<ManuallyDrop<T>>> {
            // SAFETY: the tests keep `self` as long as what they look at.
            unsafe { view(self.bytes()) }
        }
    }

    #[test]
    fn a_large_piece_is_seen_where_it_lies() {
        let numbers: Vec<f64> = (0..10_000).map(f64::from).collect();
        let laid = Laid::new(&numbers, 8);
        let seen = laid.view::<Vec<f64>>().unwrap().unwrap();
        assert_eq!(*seen, numbers);
        assert!(laid.bytes().as_ptr_range().contains(&seen.as_ptr().cast()));

        let laid = Laid::new(&vec![1u128 << 100; 5_000], 8);
        let seen = laid.view::<Vec<u128>>().unwrap().unwrap();
        assert_eq!(*seen, vec![1 << 100; 5_000]);

        let laid = Laid::new(&"ä".repeat(50_000), 8);
        let seen = laid.view::<String>().unwrap().unwrap();
        assert_eq!(*seen, "ä".repeat(50_000));
    }

    #[test]
    fn what_is_no_large_aligned_piece_is_not() {
        assert!(Laid::new(&vec![7u8; 100], 8).view::<Vec<u8>>().is_none());
        let flags = vec![true; 70_000];
        assert!(Laid::new(&flags, 8).view::<Vec<bool>>().is_none());
        let pair = (vec![7u64; 10_000], 1);
        assert!(Laid::new(&pair, 8).view::<(Vec<u64>, i32)>().is_none());
        let numbers = vec![7u64; 10_000];
        assert!(Laid::new(&numbers, 7).view::<Vec<u64>>().is_none());
    }

    #[test]
    fn wrong_bytes_are_not_seen() {
        let mut laid = Laid::new(&vec![7u64; 10_000], 8);
        laid.range.end -= 1;
        assert!(laid.view::<Vec<u64>>().unwrap().unwrap_err().is_decode());
        let mut laid = Laid::new(&"a".repeat(100_000), 8);
        *laid.memory.last_mut().unwrap() = u128::MAX;
        assert!(laid.view::<String>().unwrap().unwrap_err().is_decode());
    }

    #[test]
    fn an_announced_length_is_not_believed() {
        for announced in [u64::MAX, 1 << 40, 1 << 31, 9] {
            let mut bytes = announced.to_le_bytes().to_vec();
            assert!(decode::<Vec<f64>>(&bytes).unwrap_err().is_decode());
            assert!(decode::<Vec<String>>(&bytes).unwrap_err().is_decode());
            // Refused before that much memory is allocated.
            bytes.splice(0..0, [0]);
            let error = decode::<(u8, String)>(&bytes).unwrap_err();
            assert!(error.to_string().contains("LimitExceeded"), "{error}");
        }
    }

    #[test]
    fn what_is_left_over_is_an_error() {
        assert!(decode::<u8>(&[1, 2]).unwrap_err().is_decode());
        assert!(
            decode::<Vec<u8>>(&[1, 0, 0, 0, 0, 0, 0, 0, 7, 7])
                .unwrap_err()
                .is_decode()
        );
    }

    #[test]
    fn numbers_are_plain_and_nothing_else_is() {
        assert_eq!(plain_size::<u64>(), Some(8));
        assert_eq!(plain_size::<f32>(), Some(4));
        assert_eq!(plain_size::<bool>(), None);
        assert_eq!(plain_size::<(u64, u64)>(), None);
        assert_eq!(plain_size::<&u64>(), None);
    }
}
