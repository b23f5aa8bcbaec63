//! What depends on the version of evcxr: the code that it generates, the manifest that it writes, the programs that it starts.

mod analysis;
mod awaited;
pub(crate) mod build;
pub(crate) mod manifest;
mod text;
pub(crate) mod tools;
