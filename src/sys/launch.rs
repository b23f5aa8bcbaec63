//! Starts this process's program again, as a fresh process with another job.
//!
//! An environment variable tells code that the loader runs before `main` where the new process
//! finds its order. If that code is not in the program but in a shared object that the program has
//! loaded (a notebook's cell, an extension of an interpreter), `LD_PRELOAD` makes the loader load
//! that object first (ld.so(8)).

use std::ffi::{CStr, CString, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};

const PRELOAD: &str = "LD_PRELOAD";

/// Advice for the case that no fresh process can be started.
pub(crate) const HOW_ELSE: &str = "begin `main` with `forklore::init()`, which launches nothing later, or make the pool while \
     this process has one thread, so that its workers are forked";

/// The inputs of a fresh process.
pub(crate) struct Launch<'a> {
    /// The object with the code that runs before `main`; empty for the program itself.
    pub(crate) object: &'a Path,
    /// An address in it.
    pub(crate) address: usize,
    /// The environment variable for that code, with its value.
    pub(crate) variable: (&'a str, String),
    /// The files that the process inherits under the same numbers, in addition to the standard
    /// ones.
    pub(crate) files: &'a [BorrowedFd<'a>],
}

impl Launch<'_> {
    /// Starts the process and returns its pid. A process with many threads may do this too: no code
    /// runs in a copy of its memory.
    ///
    /// # Errors
    /// `is_os()` if the OS allows no more processes, or if the object's file is not the one that
    /// was loaded: without that check, the new process would run the program's `main`.
    pub(crate) fn start(&self) -> Result<i32> {
        let preload = if self.object.as_os_str().is_empty() {
            None
        } else {
            check_is_loaded(self.object, self.address)?;
            Some(self.object.as_os_str())
        };
        let environment = environment(preload, (self.variable.0, &self.variable.1));
        let name = std::env::args_os().next().unwrap_or_default();
        // Two words, shown in the list of processes.
        let arguments = [c_string(name), c"forklore-worker".to_owned()];
        spawn(c"/proc/self/exe", &arguments, &environment, self.files)
    }
}

/// Prefixes of the variables by which MPI's launchers identify their processes: a program that such
/// a process starts must not inherit them.
#[cfg(feature = "cluster")]
const OF_MPI: [&str; 5] = ["OMPI_", "PMIX_", "PMI_", "ORTE_", "PRTE_"];

/// Starts another program, in which the loader loads an object first, with a variable and files as
/// for a [`Launch`]. Returns its pid.
///
/// # Errors
/// `is_os()` if the file is not a program, or if the OS allows no more processes.
#[cfg(feature = "cluster")]
pub(crate) fn start_program(
    program: &Path,
    object: Option<&Path>,
    variable: (&str, String),
    files: &[BorrowedFd<'_>],
) -> Result<i32> {
    let object = object.map(Path::as_os_str);
    let mut environment = environment(object, (variable.0, &variable.1));
    let is_of_mpi = |line: &CString| {
        let name = line.to_bytes();
        OF_MPI
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()))
    };
    environment.retain(|line| !is_of_mpi(line));
    let name = program.file_name().unwrap_or_default();
    let arguments = [c_string(name.to_owned()), c"forklore-station".to_owned()];
    let path = c_string(program.as_os_str().to_owned());
    spawn(&path, &arguments, &environment, files)
}

/// Removes the launch's object from `LD_PRELOAD`, so that programs that this process starts do not
/// inherit it. Only before the process has a second thread.
pub(crate) fn forget_launch(variable: &str, object: &Path) {
    let preload = std::env::var_os(PRELOAD);
    // SAFETY: the caller vouches that no other thread uses the environment.
    unsafe {
        std::env::remove_var(variable);
        if object.as_os_str().is_empty() {
            return;
        }
        match preload.as_deref().map(behind_first) {
            None => {}
            Some(None) => std::env::remove_var(PRELOAD),
            Some(Some(rest)) => std::env::set_var(PRELOAD, rest),
        }
    }
}

/// What follows the first object of the loader's list, which is the one that [`environment`] has
/// put there: the loader may know it by another path, as in `/proc/self/fd/3`.
fn behind_first(list: &OsStr) -> Option<&OsStr> {
    let bytes = list.as_bytes();
    let end = bytes.iter().position(|&byte| byte == b':')?;
    Some(OsStr::from_bytes(&bytes[end + 1..]))
}

/// This process's environment with the variable and the object to load first.
fn environment(preload: Option<&OsStr>, (name, value): (&str, &str)) -> Vec<CString> {
    let inherited = std::env::vars_os().filter(|(key, _)| key != name);
    let mut all: Vec<(OsString, OsString)> = inherited.collect();
    if let Some(object) = preload {
        let index = all.iter().position(|(key, _)| key == PRELOAD);
        let before = index.map(|index| all.swap_remove(index).1);
        let mut list = object.to_owned();
        if let Some(before) = before.filter(|before| !before.is_empty()) {
            list.push(":");
            list.push(before);
        }
        all.push((PRELOAD.into(), list));
    }
    all.push((name.into(), value.into()));
    let lines = all.into_iter().map(|(mut key, value)| {
        key.push("=");
        key.push(value);
        c_string(key)
    });
    lines.collect()
}

/// Arguments and variables came as C strings, so they contain no zero byte.
fn c_string(text: OsString) -> CString {
    CString::new(text.into_vec()).unwrap_or_default()
}

/// Checks that the file at `path` is the one that is mapped at `address`, and that its name can be
/// in the loader's list, which blanks and colons separate.
fn check_is_loaded(path: &Path, address: usize) -> Result<()> {
    let refuse = |why: &str| {
        Error::os(
            &format!(
                "cannot start a fresh process with {}: {why}; {HOW_ELSE}",
                path.display()
            ),
            std::io::ErrorKind::Unsupported.into(),
        )
    };
    if path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|b| b" :".contains(b))
    {
        return Err(refuse("its path has a blank or a colon"));
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mapped = maps.lines().find_map(|line| inode_at(line, address));
    let now = std::fs::metadata(path).ok().map(|file| file.ino());
    match mapped {
        Some(inode) if now == Some(inode) => Ok(()),
        _ => Err(refuse(
            "the file was deleted or replaced since it was loaded",
        )),
    }
}

/// The inode in a line of `/proc/PID/maps` (proc(5)) if it covers an address.
fn inode_at(line: &str, address: usize) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    // After the range: permissions, offset, device, inode.
    let inode = words.nth(3)?.parse().ok()?;
    (start..end).contains(&address).then_some(inode)
}

fn spawn(
    program: &CStr,
    arguments: &[CString],
    environment: &[CString],
    files: &[BorrowedFd<'_>],
) -> Result<i32> {
    let pointers = |strings: &[CString]| -> Vec<*mut libc::c_char> {
        let strings = strings.iter().map(|string| string.as_ptr().cast_mut());
        strings.chain([std::ptr::null_mut()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    let mut actions = MaybeUninit::uninit();
    let mut attributes = MaybeUninit::uninit();
    let mut mask = MaybeUninit::uninit();
    let mut pid = 0;
    // SAFETY: actions, attributes and mask are initialised before they are used, and the first two
    // destroyed after; the lists end with null and their strings live until the call returns.
    let code = unsafe {
        libc::posix_spawn_file_actions_init(actions.as_mut_ptr());
        for file in files {
            // The same number twice: the descriptor stays open in the new process, but still closes
            // on exec in this one (glibc 2.29 and later).
            let fd = file.as_raw_fd();
            libc::posix_spawn_file_actions_adddup2(actions.as_mut_ptr(), fd, fd);
        }
        // An interrupt must not end the new process before it is ready to handle one.
        libc::sigemptyset(mask.as_mut_ptr());
        libc::sigaddset(mask.as_mut_ptr(), libc::SIGINT);
        libc::posix_spawnattr_init(attributes.as_mut_ptr());
        libc::posix_spawnattr_setsigmask(attributes.as_mut_ptr(), mask.as_ptr());
        let flags = libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;
        libc::posix_spawnattr_setflags(attributes.as_mut_ptr(), flags);
        let code = libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            actions.as_ptr(),
            attributes.as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
        );
        libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
        libc::posix_spawnattr_destroy(attributes.as_mut_ptr());
        code
    };
    match code {
        0 => Ok(pid),
        libc::ENOENT => Err(Error::os(
            &format!("cannot start this program again without a mounted /proc; {HOW_ELSE}"),
            std::io::Error::from_raw_os_error(code),
        )),
        code => Err(Error::os(
            "cannot start a process (see ulimit -u, and the memory that is left)",
            std::io::Error::from_raw_os_error(code),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::object;

    #[test]
    fn a_library_is_known_by_its_file() {
        let address = libc::getpid as *const () as usize;
        let object = object::holding(address).unwrap();
        check_is_loaded(&object.path, address).unwrap();
        let error = check_is_loaded(Path::new("/proc/self/cmdline"), address).unwrap_err();
        assert!(error.to_string().contains("replaced"), "{error}");
        let error = check_is_loaded(Path::new("/a b.so"), address).unwrap_err();
        assert!(error.to_string().contains("blank"), "{error}");
    }

    #[test]
    fn the_first_object_goes_off_the_list_whatever_its_path() {
        let rest = |list: &str| behind_first(OsStr::new(list)).map(OsStr::to_owned);
        assert_eq!(rest("/proc/self/fd/3"), None);
        assert_eq!(rest("/a.so:/b.so:/c.so"), Some("/b.so:/c.so".into()));
    }

    #[test]
    fn a_line_of_the_maps_is_read() {
        let line = "7f00-7f10 r-xp 00001000 08:01 4711      /usr/lib/libm.so.6";
        assert_eq!(inode_at(line, 0x7f0f), Some(4711));
        assert_eq!(inode_at(line, 0x7f10), None);
    }
}
