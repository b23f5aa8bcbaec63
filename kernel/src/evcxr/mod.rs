//! The code that depends on the version of evcxr: on the code that it generates, the manifest that
//! it writes, and the programs that it starts.

pub(crate) mod analysis;
pub(crate) mod awaited;
pub(crate) mod build;
pub(crate) mod control_lines;
mod crates;
mod engine;
pub(crate) mod manifest;
pub(crate) mod other_sessions;
pub(crate) mod pins;
pub(crate) mod refusal;
pub(crate) mod retrace;
mod text;
pub(crate) mod tools;
pub(crate) mod touched;
mod units;

pub(crate) use engine::{CompilationError, Error, EvalOutputs, Evcxr, serve_if_asked};
