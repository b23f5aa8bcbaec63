//! The machine, as far as the library's files need it: modelled by loom.

pub(crate) mod atomic;
pub(crate) mod futex;
pub(crate) mod robust;
