//! Finds the launcher: Open MPI 4.1 or later, or an error that says what to install.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, Result};

const HOW_TO_GET_IT: &str = "install Open MPI 4.1 or 5 (on a cluster, `module load openmpi` or what `module avail` calls it; on \
     Debian and Ubuntu, `apt install openmpi-bin`), and start this program again";

/// An `mpirun` prints its version within milliseconds, but a site's own wrapper may wait for
/// something that never comes.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// How much of a launcher's output is read, and how much of it is shown.
const MAX_BYTES: u64 = 4096;
const MAX_SHOWN_CHARS: usize = 80;

/// An `mpirun` of Open MPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launcher {
    program: PathBuf,
    version: String,
    major: u32,
}

impl Launcher {
    /// The first `mpirun` in the folders of `path`, the variable `PATH`.
    ///
    /// # Errors
    /// `is_invalid_input()` if there is none, or it is not Open MPI 4.1 or later; `is_os()` if it
    /// cannot be run; `is_timed_out()` if it does not print its version.
    pub(crate) fn find(path: Option<&OsStr>) -> Result<Launcher> {
        let folders = path.unwrap_or_default();
        let mut programs = std::env::split_paths(folders)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join("mpirun"));
        match programs.find(|program| is_executable(program)) {
            Some(program) => Launcher::at(program),
            None => Err(Error::invalid_input(format!(
                "there is no mpirun in PATH, which starts a cluster's processes; {HOW_TO_GET_IT}"
            ))),
        }
    }

    /// The launcher at a path. An absolute path lets Open MPI find its daemon on nodes whose `PATH`
    /// does not have it, as `--prefix` does (mpirun(1)).
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(crate) fn at(program: PathBuf) -> Result<Launcher> {
        let said = what_it_says(&program, "--version", MAX_WAIT)?;
        Launcher::of_version(program, &said)
    }

    /// The launcher that printed `said` when it was asked for its version.
    pub(super) fn of_version(program: PathBuf, said: &str) -> Result<Launcher> {
        let refused = |what: &str| {
            let program = program.display();
            Error::invalid_input(format!("{program} is {what}; {HOW_TO_GET_IT}"))
        };
        let Some((_, version)) = said.split_once("(Open MPI) ") else {
            return Err(refused(&family(said)));
        };
        let version = version.split_whitespace().next().unwrap_or_default();
        let mut numbers = version.split('.').map(|number| {
            let digits = number.find(|c: char| !c.is_ascii_digit());
            number[..digits.unwrap_or(number.len())].parse::<u32>().ok()
        });
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) if (major, minor) >= (4, 1) => Ok(Launcher {
                version: version.to_owned(),
                major,
                program,
            }),
            (Some(_), Some(_)) => Err(refused(&format!("Open MPI {version}, which is too old"))),
            _ => Err(refused(&format!(
                "Open MPI of a version unknown here, {version:?}"
            ))),
        }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The version, as in `4.1.4`.
    #[cfg(test)]
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }
}

/// The family of another launcher, according to its own output.
fn family(said: &str) -> String {
    const FAMILIES: [(&str, &str); 5] = [
        ("Intel(R) MPI", "Intel MPI"),
        ("mvapich", "MVAPICH"),
        ("HYDRA", "MPICH"),
        ("Spectrum MPI", "IBM Spectrum MPI"),
        ("PRRTE", "PRRTE without Open MPI"),
    ];
    let known = FAMILIES.iter().find(|(mark, _)| said.contains(mark));
    match known {
        Some((_, name)) => format!("{name}, and not Open MPI"),
        None => {
            let line = said.lines().map(str::trim).find(|line| !line.is_empty());
            let line: String = line
                .unwrap_or("nothing")
                .chars()
                .take(MAX_SHOWN_CHARS)
                .collect();
            format!("not Open MPI: asked for its version, it says {line:?}")
        }
    }
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The first bytes of a program's output. The program is killed if that takes too long.
pub(super) fn what_it_says(program: &Path, argument: &str, max_wait: Duration) -> Result<String> {
    let os = |source| Error::os(&format!("cannot run {}", program.display()), source);
    let mut child = Command::new(program)
        .arg(OsString::from(argument))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(os)?;
    let said = read_until(&mut child, Instant::now() + max_wait);
    // A program that printed too much, or nothing in time, might run forever; killing one that has
    // ended does nothing.
    let _ = child.kill();
    child.wait().map_err(os)?;
    match said.map_err(os)? {
        Some(said) => Ok(String::from_utf8_lossy(&said).into_owned()),
        None => Err(Error::timed_out(&format!(
            "{} {argument}",
            program.display()
        ))),
    }
}

/// Reads until the end; `None` if the deadline came first.
fn read_until(child: &mut Child, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut said = Vec::new();
    let Some(output) = &mut child.stdout else {
        return Ok(Some(said));
    };
    while (said.len() as u64) < MAX_BYTES {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut wait = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut wait, timeout) {
            Ok(0) => return Ok(None),
            Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        let mut bytes = [0; 1024];
        match output.read(&mut bytes)? {
            0 => break,
            n_bytes => said.extend_from_slice(&bytes[..n_bytes]),
        }
    }
    Ok(Some(said))
}
