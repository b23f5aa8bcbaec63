//! `forklore doctor`: checks whether everything that a session needs is present, and says how to
//! get what is missing.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use forklore::memory::Memory;
use forklore_lab::find_program;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::finding::{Finding, Status};
use crate::command::install;
use crate::library::cache;
use crate::library::warm::{self, Shared};
use crate::supervisor::limit;
use crate::sys::procs;

/// The memory that a session takes, in MiB: the compiler, rust-analyzer and the cells' processes.
const SESSION_MIB: u64 = 800;
/// The free space that the cache folder and the sessions' folders should have, in MiB.
const FREE_MIB: u64 = 500;

/// Runs all checks.
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![toolchain(), rust_src(), linker(), shared_libraries()];
    findings.extend([python(), jupyterlab(), kernelspecs()]);
    findings.extend([
        cores(),
        memory(),
        cache_folder(),
        shared_library(),
        library(),
        temporary_folder(),
    ]);
    findings
}

/// Prints what [`examine`] finds, for human readers or as JSON. Returns whether sessions can work.
///
/// # Errors
///
/// If it cannot be written.
pub fn run(as_json: bool, out: &mut dyn Write) -> Result<bool> {
    let findings = examine();
    let worst = findings.iter().map(|finding| finding.status).max();
    let works = worst != Some(Status::Error);
    if as_json {
        let report = serde_json::json!({ "works": works, "findings": findings });
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(works);
    }
    for finding in &findings {
        let mark = match finding.status {
            Status::Ok => "ok     ",
            Status::Warning => "warning",
            Status::Error => "ERROR  ",
        };
        writeln!(out, "{mark}  {}: {}", finding.check, finding.found)?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "         -> {remedy}")?;
        }
    }
    let verdict = match worst {
        Some(Status::Error) => "Sessions cannot work: see the lines marked ERROR.",
        Some(Status::Warning) => "Sessions work; the warnings say what will be missed.",
        _ => "Nothing is missing.",
    };
    writeln!(out, "\n{verdict}")?;
    Ok(works)
}

/// The first line of a program's output for `arguments`, if the program runs and succeeds.
fn first_line(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    output.status.success().then(|| line.trim().to_owned())
}

fn toolchain() -> Finding {
    const CHECK: &str = "toolchain";
    let install = "install Rust from https://rustup.rs, or put its `bin` folder on the PATH";
    let mut versions = Vec::new();
    for tool in ["rustc", "cargo"] {
        match first_line(Path::new(tool), &["--version"]) {
            Some(version) => versions.push(version),
            None => {
                let found = format!("`{tool}` cannot be run, and cells are compiled with it");
                return Finding::wrong(CHECK, Status::Error, found, install);
            }
        }
    }
    let needed = env!("CARGO_PKG_RUST_VERSION");
    let found = versions.join(", ");
    if is_older(&versions[0], needed) {
        let found = format!("{found}: the library needs {needed}");
        return Finding::wrong(
            CHECK,
            Status::Error,
            found,
            "`rustup update` brings a newer one",
        );
    }
    Finding::ok(CHECK, found)
}

/// Whether `rustc 1.90.0 (…)` is older than `1.95`.
fn is_older(version: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let parts = text.split('.').map(str::parse);
        parts.map_while(std::result::Result::ok).take(2).collect()
    };
    let version = version.split(' ').nth(1).unwrap_or_default();
    let found = numbers(version);
    !found.is_empty() && found < numbers(needed)
}

fn rust_src() -> Finding {
    match install::rust_source() {
        Some(folder) if folder.exists() => Finding::ok("rust-src", folder.display().to_string()),
        _ => Finding::wrong(
            "rust-src",
            Status::Warning,
            "the standard library's sources are missing: every `let` needs a type, and completion knows little",
            "`rustup component add rust-src` brings them",
        ),
    }
}

fn linker() -> Finding {
    match find_program("cc") {
        Some(program) => {
            let version = first_line(&program, &["--version"]).unwrap_or_default();
            Finding::ok("linker", format!("{}, {version}", program.display()))
        }
        None => Finding::wrong(
            "linker",
            Status::Error,
            "there is no `cc` on the PATH, and rustc links cells with it",
            "install a C compiler: `apt-get install gcc`, `dnf install gcc`, or `module load gcc` on a cluster",
        ),
    }
}

/// Cells use the standard library as a shared object.
fn shared_libraries() -> Finding {
    const CHECK: &str = "shared libraries";
    let folder = first_line(Path::new("rustc"), &["--print", "target-libdir"]);
    let entries = folder.iter().filter_map(|folder| fs::read_dir(folder).ok());
    let names = entries.flatten().flatten().map(|entry| entry.file_name());
    let is_std = |name: &String| name.starts_with("libstd-") && name.ends_with(".so");
    let std = names
        .filter_map(|name| name.into_string().ok())
        .find(is_std);
    let Some(std) = std else {
        return Finding::wrong(
            CHECK,
            Status::Error,
            "the toolchain has no libstd-*.so, which cells are linked with",
            "install it again: `rustup toolchain uninstall stable`, then `rustup toolchain install stable`",
        );
    };
    let missing = missing_libraries();
    if missing.is_empty() {
        return Finding::ok(CHECK, format!("{std}, and all that this program needs"));
    }
    Finding::wrong(
        CHECK,
        Status::Error,
        format!("not found: {}", missing.join(", ")),
        "install the packages that hold them, or add their folder to LD_LIBRARY_PATH",
    )
}

fn missing_libraries() -> Vec<String> {
    let program = std::env::current_exe().unwrap_or_default();
    let output = Command::new("ldd").arg(program).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let missing = text.lines().filter(|line| line.contains("not found"));
    missing
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn python() -> Finding {
    let program = Path::new("python3");
    match first_line(program, &["--version"]) {
        Some(version) => Finding::ok("Python", version),
        None => Finding::wrong(
            "Python",
            Status::Warning,
            "`python3` cannot be run: Jupyter needs it, and so does `%%python`",
            "`apt-get install python3`, or `module load` one on a cluster",
        ),
    }
}

fn jupyterlab() -> Finding {
    let version = find_program("jupyter-lab").and_then(|program| {
        let version = first_line(&program, &["--version"])?;
        Some(format!("{version}, {}", program.display()))
    });
    match version {
        Some(version) => Finding::ok("JupyterLab", version),
        None => Finding::wrong(
            "JupyterLab",
            Status::Warning,
            "there is no `jupyter-lab` on the PATH that runs",
            "`python3 -m pip install jupyterlab`, or activate the environment that has it",
        ),
    }
}

fn kernelspecs() -> Finding {
    const CHECK: &str = "kernelspecs";
    let installed: Vec<PathBuf> = install::searched_folders()
        .into_iter()
        .map(|folder| folder.join("kernels/forklore/kernel.json"))
        .filter(|path| path.exists())
        .collect();
    // Jupyter uses the first one that it finds.
    let Some(path) = installed.first() else {
        return Finding::wrong(
            CHECK,
            Status::Warning,
            "Jupyter does not know the kernel",
            "`forklore install` tells it; `forklore lab` needs no installation",
        );
    };
    let text = fs::read_to_string(path).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let resources = path.parent().unwrap_or(path).to_string_lossy();
    let program = json["argv"][0].as_str().unwrap_or_default();
    let program = PathBuf::from(program.replace("{resource_dir}", &resources));
    if !program.is_file() {
        let found = format!(
            "{} starts {:?}, which is not there",
            path.display(),
            program
        );
        return Finding::wrong(
            CHECK,
            Status::Error,
            found,
            "`forklore install` writes it again",
        );
    }
    let own = std::env::current_exe()
        .and_then(|own| own.canonicalize())
        .ok();
    if program.canonicalize().ok() != own {
        let found = format!(
            "{} starts another program, {}",
            path.display(),
            program.display()
        );
        let remedy = "if that is not meant, `forklore install` writes it again";
        return Finding::wrong(CHECK, Status::Warning, found, remedy);
    }
    Finding::ok(CHECK, path.display().to_string())
}

fn cores() -> Finding {
    let cpus = forklore::Cpus::detect();
    let asked = match cpus.slots() {
        Some(n_slots) => format!("{n_slots} asked of the scheduler"),
        None => "none asked of a scheduler".to_owned(),
    };
    let quota = match cpus.quota() {
        Some(quota) => format!(", quota {quota}"),
        None => String::new(),
    };
    let (allowed, online) = (cpus.affinity(), cpus.online());
    let found = format!(
        "{} usable: {online} in the machine, {allowed} allowed{quota}, {asked}",
        cpus.usable()
    );
    match cpus.slots() {
        Some(n_slots) if n_slots > allowed => {
            let remedy = "the job asked for more than it may use: see the scheduler's binding, or ask for fewer";
            Finding::wrong("cores", Status::Warning, found, remedy)
        }
        _ if cpus.usable() == 1 => {
            let remedy = "a pool cannot be faster than one core here: ask the scheduler for more";
            Finding::wrong("cores", Status::Warning, found, remedy)
        }
        _ => Finding::ok("cores", found),
    }
}

/// In the words of `%limit`: both ask the library.
fn memory() -> Finding {
    let memory = Memory::detect();
    let available_mib = procs::available_bytes().map_or(u64::MAX, |bytes| bytes >> 20);
    let mut found = format!("{available_mib} MiB available; {memory}");
    if let Some(bytes) = limit::for_cells(&memory) {
        found.push_str(&format!("; the cells may use {} MiB", bytes >> 20));
    }
    if available_mib.min(memory.usable_bytes() >> 20) < SESSION_MIB {
        let remedy = format!(
            "a session with its compiler takes about {SESSION_MIB} MiB: ask for more, or end other programs"
        );
        return Finding::wrong("memory", Status::Warning, found, &remedy);
    }
    Finding::ok("memory", found)
}

fn cache_folder() -> Finding {
    const CHECK: &str = "cache folder";
    let folder = match cache::folder() {
        Ok(folder) => folder,
        Err(error) => {
            let remedy = "set XDG_CACHE_HOME to a folder that can be written to";
            return Finding::wrong(CHECK, Status::Error, format!("{error:#}"), remedy);
        }
    };
    let used_mib = size_bytes(&folder) >> 20;
    let kind = if is_on_network(&folder) {
        ", on a network file system"
    } else {
        ""
    };
    let free_mib = free_mib(&folder);
    let found = format!(
        "{}: {used_mib} MiB used, {free_mib} MiB free{kind}",
        folder.display()
    );
    if let Err(error) = write_probe(&folder) {
        let found = format!("{found}; cannot be written: {error}");
        let remedy = match error.kind() {
            ErrorKind::QuotaExceeded => {
                "your quota is used up: `quota -s` shows it; free some, or set XDG_CACHE_HOME"
            }
            ErrorKind::StorageFull => {
                "the disk is full: free some of it, or set XDG_CACHE_HOME to a folder elsewhere"
            }
            _ => "set XDG_CACHE_HOME to a folder that can be written to",
        };
        return Finding::wrong(CHECK, Status::Error, found, remedy);
    }
    if free_mib < FREE_MIB {
        let remedy = "free some of the disk, or set XDG_CACHE_HOME to a folder elsewhere";
        return Finding::wrong(CHECK, Status::Warning, found, remedy);
    }
    Finding::ok(CHECK, found)
}

fn shared_library() -> Finding {
    const CHECK: &str = "shared library";
    let wrong = |found: String, remedy| Finding::wrong(CHECK, Status::Warning, found, remedy);
    match warm::look_for_shared() {
        Ok(Shared::Absent) => Finding::ok(
            CHECK,
            "none, each user compiles it once; `forklore warm --system`, as root, makes one for all",
        ),
        Ok(Shared::Ready(folder)) => Finding::ok(CHECK, folder.display().to_string()),
        Ok(Shared::Unfit(folder)) => wrong(
            format!(
                "{}: not made with this compiler and for this version of the library, so that your own is used",
                folder.display()
            ),
            "`forklore warm --system FOLDER`, as root and with this compiler, adds what is missing",
        ),
        Ok(Shared::Refused { folder, reason }) => wrong(
            format!("{}: not used, {reason}", folder.display()),
            "all of it, and the folders above, have to be root's, and writable by root alone",
        ),
        Err(error) => wrong(format!("{error:#}"), "see the toolchain above"),
    }
}

fn library() -> Finding {
    match warm::is_ready() {
        Ok(true) => Finding::ok("library", "compiled, the first session starts at once"),
        Ok(false) => Finding::wrong(
            "library",
            Status::Warning,
            "not compiled yet for this compiler: the first session will wait for it, up to a minute",
            "`forklore warm` compiles it now; that needs crates.io once",
        ),
        Err(error) => Finding::wrong(
            "library",
            Status::Error,
            format!("{error:#}"),
            "see the toolchain and the cache folder above",
        ),
    }
}

/// Every session has a folder there, from which it loads its cells.
fn temporary_folder() -> Finding {
    const CHECK: &str = "temporary folder";
    let folder = std::env::temp_dir();
    let free_mib = free_mib(&folder);
    let found = format!("{}: {free_mib} MiB free", folder.display());
    let remedy =
        "set TMPDIR to a folder on a local disk that can be written to and allows programs";
    if let Err(error) = write_probe(&folder) {
        let found = format!("{found}; cannot be written: {error}");
        return Finding::wrong(CHECK, Status::Error, found, remedy);
    }
    let is_noexec = statvfs(&folder).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_NOEXEC));
    if is_noexec {
        let found = format!("{found}; mounted `noexec`, so that no cell can be loaded from it");
        return Finding::wrong(CHECK, Status::Error, found, remedy);
    }
    if free_mib < FREE_MIB {
        return Finding::wrong(CHECK, Status::Warning, found, remedy);
    }
    Finding::ok(CHECK, found)
}

/// Writes a file as large as a disk block and removes it: a full quota lets empty files through.
fn write_probe(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".forklore-doctor-{}", std::process::id()));
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(&[0; 64 * 1024])?;
        file.sync_all()
    });
    let _ = fs::remove_file(&path);
    written
}

fn free_mib(folder: &Path) -> u64 {
    statvfs(folder).map_or(0, |stat| {
        (stat.blocks_available() * stat.fragment_size()) >> 20
    })
}

fn size_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size_bytes(&entry.path()),
        Ok(_) => entry.metadata().map_or(0, |metadata| metadata.len()),
        Err(_) => 0,
    });
    sizes.sum()
}

fn is_on_network(folder: &Path) -> bool {
    // The types that `statfs` names NFS, SMB, Lustre, BeeGFS and GPFS.
    const NETWORK: [i64; 6] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0x0bd0_0bd0,
        0x1983_0326,
        0x4750_4653,
    ];
    nix::sys::statfs::statfs(folder).is_ok_and(|stat| NETWORK.contains(&stat.filesystem_type().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_older("rustc 1.9.0 (abc 2026-01-01)", "1.95"));
        assert!(is_older("rustc 1.94.1", "1.95"));
        assert!(!is_older("rustc 1.95.0 (abc)", "1.95"));
        assert!(!is_older("rustc 1.100.0-nightly", "1.95"));
        assert!(!is_older("something else", "1.95"));
    }

    #[test]
    fn every_finding_that_is_wrong_says_how_to_mend_it() {
        for finding in examine() {
            assert!(!finding.found.is_empty());
            assert_eq!(
                finding.status != Status::Ok,
                finding.remedy.is_some(),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_noticed() {
        assert!(write_probe(&std::env::temp_dir()).is_ok());
        assert!(write_probe(Path::new("/proc/self")).is_err());
    }
}
