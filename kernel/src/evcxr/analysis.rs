//! What rust-analyzer gets to see: as little as the types of variables and completion need.
//!
//! evcxr asks it for the type of every `let`, so it reads all the sources that cargo and rustc
//! name, before the first cell. Two thirds of these are of no use in a cell, and cost seconds and
//! hundreds of megabytes:
//!
//! | left out | how |
//! | --- | --- |
//! | of the standard library: vector instructions, tests, parts of the compiler, its dependencies, the bodies of functions | [`STANDARD_LIBRARY_VARIABLE`] names a folder with the rest (see `library::sources`) |
//! | of the library and the course: their dependencies, none of which is in an interface | rust-analyzer's `cargo metadata` runs with a `cfg` that [`dependencies`] tells from the build |
//!
//! evcxr's own calls of cargo set `RUSTFLAGS` themselves, so they see the dependency that is
//! compiled.

use std::fmt::Write;
use std::path::Path;

/// Where rust-analyzer looks first for the standard library's sources.
pub(crate) const STANDARD_LIBRARY_VARIABLE: &str = "RUST_SRC_PATH";
/// The folder of the course's sources, in the library's.
pub(crate) const COURSE: &str = "lessons";
/// Read by every cargo that does not come from evcxr.
pub(crate) const FLAGS_VARIABLE: &str = "RUSTFLAGS";
/// Their value: true for rust-analyzer only.
pub(crate) const FLAGS: &str = "--cfg forklore_analysis";

/// The library and the course as dependencies, in a manifest: with their own dependencies for
/// rustc, without them for rust-analyzer.
pub(crate) fn dependencies(library: &Path) -> String {
    let course = library.join(COURSE);
    let packages = [("forklore", library), ("forklore-course", &course)];
    let mut text = String::new();
    let _ = writeln!(text, "[target.'cfg(not(forklore_analysis))'.dependencies]");
    for (name, folder) in packages {
        let _ = writeln!(text, "{name} = {{ path = {folder:?} }}");
    }
    let _ = writeln!(text, "\n[target.'cfg(forklore_analysis)'.dependencies]");
    for (name, folder) in packages {
        let folder = folder.join("analysis");
        let _ = writeln!(text, "{name}-analysis = {{ path = {folder:?} }}");
    }
    text + "\n"
}
