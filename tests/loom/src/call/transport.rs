//! As much of the seam as the board needs.

pub(crate) const N_WAITERS: usize = 16;
