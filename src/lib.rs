//! A process pool that never hangs, runs any function, and loses no result.
