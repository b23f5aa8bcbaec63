//! What the kernel's processes say to each other.

pub mod aftermath;
pub mod frame;
