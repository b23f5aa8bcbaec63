//! The unsafe island: it distinguishes types at run time, and reads memory as bytes.

use std::any::TypeId;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

use crate::error::{Error, Result};
use crate::sys::copy;

/// A value that can be copied: how many elements it has, and their bytes.
pub(super) struct OnePiece<'a> {
    pub(super) length: usize,
    pub(super) content: &'a [u8],
}

macro_rules! numbers {
    ($visit:ident) => {
        // What is common comes first: they are told apart one after the other.
        $visit!(f64 u8 u64 i64 f32 u32 i32 u16 i16 i8 u128 i128)
    };
}

/// Whether the type is a number without padding, for which any bytes are a value. `usize` is
/// excluded: its encoding has 64 bits everywhere.
pub(super) fn is_number(id: TypeId) -> bool {
    macro_rules! any_of {
        ($($number:ty)*) => { $(id == TypeId::of::<$number>())||* };
    }
    numbers!(any_of)
}

/// Whether the type has the shape of text and of vectors. All others are told apart when a map
/// is compiled, and what is below is compiled once, into the library.
const fn may_be_one_piece<T>() -> bool {
    size_of::<T>() == size_of::<Vec<u8>>()
        && align_of::<T>() == align_of::<Vec<u8>>()
        && std::mem::needs_drop::<T>()
}

pub(super) fn as_one_piece<T>(value: &T) -> Option<OnePiece<'_>> {
    if !may_be_one_piece::<T>() {
        return None;
    }
    // SAFETY: the value is of that type, and lives as long.
    unsafe { piece_of(typeid::of::<T>(), NonNull::from(value).cast()) }
}

pub(super) fn from_one_piece<T>(bytes: &[u8]) -> Option<Result<T>> {
    if !may_be_one_piece::<T>() {
        return None;
    }
    let mut value = MaybeUninit::<T>::uninit();
    let out = NonNull::from(&mut value).cast();
    // SAFETY: there is room for a value of that type.
    let made = unsafe { make_piece(typeid::of::<T>(), bytes, out) }?;
    // SAFETY: a value was made, as there is no error.
    Some(made.map(|()| unsafe { value.assume_init() }))
}

/// # Safety
/// As [`view`](super::view).
pub(super) unsafe fn view_of_one_piece<T>(bytes: &[u8]) -> Option<Result<ManuallyDrop<T>>> {
    if !may_be_one_piece::<T>() {
        return None;
    }
    let mut value = MaybeUninit::<ManuallyDrop<T>>::uninit();
    let out = NonNull::from(&mut value).cast();
    // SAFETY: there is room for a value of that type; for the bytes, the caller vouches.
    let made = unsafe { view_piece(typeid::of::<T>(), bytes, out) }?;
    // SAFETY: a value was made, as there is no error.
    Some(made.map(|()| unsafe { value.assume_init() }))
}

/// # Safety
/// The value is of the type with this id, and stays where it is for the lifetime.
#[inline(never)]
unsafe fn piece_of<'v>(id: TypeId, value: NonNull<()>) -> Option<OnePiece<'v>> {
    if id == TypeId::of::<String>() {
        // SAFETY: the value is a `String`.
        let text = unsafe { value.cast::<String>().as_ref() };
        return Some(OnePiece {
            length: text.len(),
            content: text.as_bytes(),
        });
    }
    macro_rules! vectors {
        ($($number:ty)*) => { $(
            if id == TypeId::of::<Vec<$number>>() {
                // SAFETY: the value is this vector.
                let vector = unsafe { value.cast::<Vec<$number>>().as_ref() };
                // SAFETY: numbers have no padding, so all of the vector's memory is bytes.
                let content = unsafe {
                    std::slice::from_raw_parts(
                        vector.as_ptr().cast::<u8>(),
                        size_of_val(vector.as_slice()),
                    )
                };
                return Some(OnePiece { length: vector.len(), content });
            }
        )* };
    }
    numbers!(vectors);
    None
}

/// Makes a value of its bytes. `None` if the type is none that is in one piece.
///
/// # Safety
/// There is room for a value of the type with this id.
#[inline(never)]
unsafe fn make_piece(id: TypeId, bytes: &[u8], out: NonNull<()>) -> Option<Result<()>> {
    if id == TypeId::of::<String>() {
        let text = content(bytes, 1).and_then(|content| {
            String::from_utf8(content.to_vec())
                .map_err(|error| Error::decode_message(format!("cannot decode: {error}")))
        });
        // SAFETY: the room is for a `String`.
        return Some(text.map(|text| unsafe { out.cast::<String>().write(text) }));
    }
    macro_rules! vectors {
        ($($number:ty)*) => { $(
            if id == TypeId::of::<Vec<$number>>() {
                return Some(content(bytes, size_of::<$number>()).map(|content| {
                    let length = content.len() / size_of::<$number>();
                    let mut vector = Vec::<$number>::with_capacity(length);
                    // SAFETY: the capacity is `length` numbers, which is all of `content`, and
                    // any bytes are numbers; the room is for this vector.
                    unsafe {
                        copy::copy_nonoverlapping(
                            content.as_ptr(),
                            vector.as_mut_ptr().cast::<u8>(),
                            content.len(),
                        );
                        vector.set_len(length);
                        out.cast::<Vec<$number>>().write(vector);
                    }
                }));
            }
        )* };
    }
    numbers!(vectors);
    None
}

/// As [`make_piece`], of the bytes as they are.
///
/// # Safety
/// As of [`make_piece`] and [`view`](super::view).
#[inline(never)]
unsafe fn view_piece(id: TypeId, bytes: &[u8], out: NonNull<()>) -> Option<Result<()>> {
    if id == TypeId::of::<String>() {
        let text = content(bytes, 1).and_then(|content| {
            std::str::from_utf8(content)
                .map_err(|error| Error::decode_message(format!("cannot decode: {error}")))
        });
        // SAFETY: this is text, and its capacity is its length. The allocator does not know its
        // memory, which matters only when it is freed or grows: it is only read. The room is for
        // a `String`.
        return Some(text.map(|text| unsafe {
            let start = text.as_ptr().cast_mut();
            let text = String::from_raw_parts(start, text.len(), text.len());
            out.cast::<String>().write(text);
        }));
    }
    macro_rules! vectors {
        ($($number:ty)*) => { $(
            if id == TypeId::of::<Vec<$number>>() {
                let content = match content(bytes, size_of::<$number>()) {
                    Ok(content) => content,
                    Err(error) => return Some(Err(error)),
                };
                let start = content.as_ptr().cast::<$number>().cast_mut();
                let length = content.len() / size_of::<$number>();
                // SAFETY: these are that many aligned numbers, and any bytes are a number; for the
                // memory, see above. The room is for this vector.
                return start.is_aligned().then(|| Ok(unsafe {
                    let vector = Vec::from_raw_parts(start, length, length);
                    out.cast::<Vec<$number>>().write(vector);
                }));
            }
        )* };
    }
    numbers!(vectors);
    None
}

/// The bytes after a length, which must match them exactly.
fn content(bytes: &[u8], element_bytes: usize) -> Result<&[u8]> {
    let wrong = || {
        Error::decode_message(format!(
            "cannot decode: {} bytes are not a length and that many elements of {element_bytes}",
            bytes.len()
        ))
    };
    let (length, content) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
    let announced = u64::from_le_bytes(*length).checked_mul(element_bytes as u64);
    if announced != Some(content.len() as u64) {
        return Err(wrong());
    }
    Ok(content)
}
