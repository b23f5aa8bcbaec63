//! Finds the lines of a cell's program for positions in its machine code.
//!
//! Cells are compiled without line tables: with them, each compile would take a seventh longer. A
//! cell whose failure is to be traced is compiled once more, with line tables. The same compiler
//! produces the same machine code from the same text, so a call has the same offset in both. This
//! module checks that, byte by byte.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use addr2line::Context;
use addr2line::gimli::{self, Dwarf, EndianSlice, NativeEndian};
use object::{Object, ObjectSection};

use super::build::{Rustc, SOURCE, TOOLS};
use super::units;

/// The folder with the programs' texts, inside the session's tools.
const PROGRAMS: &str = "programs";
/// The folder in which a program is compiled once more, inside the session's tools.
const TRACED: &str = "traced";
/// Longer compiles are not repeated: the message would come late.
const LONG: Duration = Duration::from_secs(4);

/// A call in a piece of machine code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its line in the program, counted from 1.
    pub(crate) line: u32,
    /// Counted from 1.
    pub(crate) column: u32,
    /// The function that contains the line, unless it is one of the cell's own statements.
    pub(crate) function: Option<String>,
}

/// Stores the program's text for the object with this number.
pub(crate) fn keep(folder: &Path, number: u32) -> io::Result<()> {
    fs::create_dir_all(folder.join(TOOLS).join(PROGRAMS))?;
    fs::copy(folder.join(SOURCE), kept(folder, number)).map(drop)
}

/// The file with that text.
fn kept(folder: &Path, number: u32) -> PathBuf {
    folder
        .join(TOOLS)
        .join(PROGRAMS)
        .join(format!("{number}.rs"))
}

/// A cell's program, and the calls in its machine code.
pub(crate) struct Traced {
    /// The program's text.
    pub(crate) program: String,
    /// By offset, innermost first: if functions were inlined, there are several.
    pub(crate) calls: HashMap<u32, Vec<Call>>,
}

/// The calls at these offsets in the object with this number. `None` if its program cannot be
/// compiled again to the same code.
pub(crate) fn trace(folder: &Path, number: u32, offsets: &[u32]) -> Option<Traced> {
    let tools = folder.join(TOOLS);
    let program = fs::read_to_string(kept(folder, number)).ok()?;
    let mut rustc = Rustc::last(&tools)?;
    let out = PathBuf::from(rustc.value_of("--out-dir")?);
    let name = format!("libcode_{number}.so");
    let object = [Some(&*out), out.parent()].into_iter().flatten();
    let object = object
        .map(|folder| folder.join(&name))
        .find(|path| path.exists())?;
    if took_long(&folder.join(SOURCE), &program, &object) {
        return None;
    }
    let scratch = tools.join(TRACED);
    fs::create_dir_all(scratch.join("src")).ok()?;
    let source = scratch.canonicalize().ok()?.join(SOURCE);
    fs::write(&source, &program).ok()?;
    // The path of the source and the folder of the result affect the result: both stay the same.
    let undivided = units::argument(&rustc.words, &source);
    rustc.words.extend(FLAGS.map(Into::into));
    rustc.words.extend(undivided);
    let mut compiler = rustc.command();
    compiler
        .current_dir(&scratch)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let ended = compiler.status().ok()?;
    let traced = out.join("libctx-traced.so");
    let calls = ended.success().then(|| {
        let (plain, traced) = (fs::read(&object).ok()?, fs::read(&traced).ok()?);
        calls(&plain, &traced, &source, offsets)
    });
    let _ = fs::remove_file(traced);
    let calls = calls.flatten()?;
    Some(Traced { program, calls })
}

/// If an option is given twice, rustc uses the last.
const FLAGS: [&str; 3] = ["-Cstrip=none", "-Cdebuginfo=1", "-Cextra-filename=-traced"];

/// Whether the program, if it was the last to be compiled, took long.
fn took_long(source: &Path, program: &str, object: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).ok()?.modified().ok();
    let is_last = fs::read_to_string(source).is_ok_and(|last| last == program);
    let times = changed(source).zip(changed(object)).filter(|_| is_last);
    times.is_some_and(|(begin, end)| end.duration_since(begin).unwrap_or_default() > LONG)
}

/// The calls at these offsets, if the two objects have the same machine code.
fn calls(
    plain: &[u8],
    traced: &[u8],
    source: &Path,
    offsets: &[u32],
) -> Option<HashMap<u32, Vec<Call>>> {
    let (plain, traced) = (
        object::File::parse(plain).ok()?,
        object::File::parse(traced).ok()?,
    );
    if code(&plain)? != code(&traced)? {
        return None;
    }
    let section = |id: gimli::SectionId| -> Result<_, gimli::Error> {
        let section = traced.section_by_name(id.name());
        let bytes = section.and_then(|section| section.data().ok());
        Ok(EndianSlice::new(bytes.unwrap_or_default(), NativeEndian))
    };
    let context = Context::from_dwarf(Dwarf::load(section).ok()?).ok()?;
    let source = source.to_str()?;
    let found = offsets.iter().map(|offset| {
        let mut calls = Vec::new();
        let mut frames = context
            .find_frames(u64::from(*offset))
            .skip_all_loads()
            .ok()?;
        while let Some(frame) = frames.next().ok()? {
            let name = frame.function.as_ref();
            let name = name
                .and_then(|name| name.raw_name().ok())
                .unwrap_or_default();
            if let Some(place) = frame.location.filter(|place| place.file == Some(source)) {
                calls.push(Call {
                    line: place.line?,
                    column: place.column.unwrap_or(1).max(1),
                    function: function_name(&name),
                });
            }
        }
        Some((*offset, calls))
    });
    found.collect()
}

/// The address of an object's machine code in memory, and the code.
fn code<'d>(object: &object::File<'d>) -> Option<(u64, &'d [u8])> {
    let code = object.section_by_name(".text")?;
    Some((code.address(), code.data().ok()?))
}

/// A function's name as the cell uses it; `None` for functions that evcxr puts around the cell.
fn function_name(mangled: &str) -> Option<String> {
    let name = format!("{:#}", rustc_demangle::demangle(mangled)).replace("ctx::", "");
    let name = name.split("::{").next().unwrap_or_default();
    let is_own = !name.is_empty() && !name.starts_with('{') && !name.contains("run_user_code_");
    is_own.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_called_as_in_the_cell() {
        let name = |mangled| function_name(mangled);
        for (mangled, wanted) in [
            ("_ZN3ctx5first17h0123456789abcdefE", Some("first")),
            (
                "_ZN3ctx5first28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
                Some("first"),
            ),
            (
                "_ZN39_$LT$ctx..Own$u20$as$u20$ctx..Shape$GT$4area17h0123456789abcdefE",
                Some("<Own as Shape>::area"),
            ),
            (
                "_ZN3ctx15run_user_code_528_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
                None,
            ),
            ("run_user_code_5", None),
            ("{closure#0}", None),
            ("", None),
        ] {
            assert_eq!(name(mangled).as_deref(), wanted, "{mangled}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_calls() {
        assert_eq!(calls(b"", b"", Path::new("/a"), &[1]), None);
        let folder = std::env::temp_dir().join(format!("forklore-retrace-{}", std::process::id()));
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join(SOURCE), "fn f() {}").unwrap();
        keep(&folder, 3).unwrap();
        assert_eq!(fs::read_to_string(kept(&folder, 3)).unwrap(), "fn f() {}");
        // How it was compiled is unknown.
        assert!(trace(&folder, 3, &[1]).is_none());
        fs::remove_dir_all(folder).unwrap();
    }
}
