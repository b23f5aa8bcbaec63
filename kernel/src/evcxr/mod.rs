//! What depends on the version of evcxr: the code that it generates, the manifest that it writes, the programs that it starts.

mod analysis;
pub(crate) mod awaited;
pub(crate) mod build;
<<<<<<< HEAD
pub(crate) mod control_lines;
mod engine;
=======
mod crates;
>>>>>>> bf9f383 (Crates that cells add are linked once for all cells, so tokio is one; items of one name, and an impl behind its struct, are kept and replaced apart)
pub(crate) mod manifest;
pub(crate) mod refusal;
mod text;
pub(crate) mod tools;
pub(crate) mod touched;

pub(crate) use engine::{CompilationError, Error, EvalOutputs, Evcxr, serve_if_asked};
