//! As much of the seam as the board needs.

pub(crate) const FUTURES: usize = 16;
