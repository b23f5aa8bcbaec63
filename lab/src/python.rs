//! The Python environment: JupyterLab and the tests' packages, at pinned versions.
//!
//! It is made once per machine and shared by all clones and worktrees of one user: its folder
//! is named after a hash of the pinned requirements and of the interpreter, so a change of either
//! makes a new one beside the old. A lock prevents two commands from making it at the same time,
//! and a marker, written last, distinguishes a complete environment from an interrupted one.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::places;
use crate::scripts::{self, Scripts};
use crate::steps::Step;

/// The oldest Python that the pinned requirements cover.
pub const OLDEST: (u32, u32) = (3, 9);

const MARKER: &str = ".forklore-complete";

/// A Python interpreter that can make environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The program to call.
    pub program: PathBuf,
    /// Its full version, such as `3.11.7`.
    pub version: String,
    /// Where it is installed; part of the environment's key.
    prefix: String,
}

/// A virtual environment with the pinned packages installed.
#[derive(Debug, Clone)]
pub struct Environment {
    root: PathBuf,
}

impl Environment {
    /// The environment in this folder, if it has Jupyter and the packages that run notebooks.
    pub fn with_jupyter(root: &Path) -> Option<Environment> {
        const QUESTION: &str = "import jupyterlab, nbclient, nbconvert";
        let environment = Environment {
            root: root.to_path_buf(),
        };
        let status = environment
            .command("python")
            .args(["-c", QUESTION])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status
            .is_ok_and(|status| status.success())
            .then_some(environment)
    }

    /// The environment's folder, a valid `--prefix`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The environment's interpreter.
    pub fn python(&self) -> PathBuf {
        self.script("python")
    }

    /// The folder of its packages.
    ///
    /// # Errors
    ///
    /// If the environment is damaged.
    pub fn packages(&self) -> Result<PathBuf> {
        let lib = self.root.join("lib");
        fs::read_dir(&lib)
            .with_context(|| format!("cannot read {}", lib.display()))?
            .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
            .find(|path| path.is_dir())
            .with_context(|| format!("no packages in {}; remove the folder", lib.display()))
    }

    /// A program of the environment, such as `pytest` or `jupyter-lab`.
    pub fn script(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// A command for one of the environment's programs, as if the environment were active, and
    /// without packages that the user has installed elsewhere.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.script(name));
        let mut path = OsString::from(self.root.join("bin"));
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        command
            .env("PATH", path)
            .env("VIRTUAL_ENV", &self.root)
            .env("PYTHONNOUSERSITE", "1")
            .env_remove("PYTHONHOME")
            .env_remove("PYTHONPATH");
        command
    }
}

/// Makes the lessons' environment, or finds the existing one.
///
/// # Errors
///
/// As [`ensure_for`].
pub fn ensure() -> Result<Environment> {
    ensure_for(scripts::LESSONS)
}

/// Makes an environment with the pinned requirements of one of the [`scripts`], or finds the
/// existing one.
///
/// # Errors
///
/// If there is no Python that can make environments, if pip cannot install the pinned packages (the
/// error contains the end of its output), or if the cache folder cannot be written.
pub fn ensure_for(requirements: &str) -> Result<Environment> {
    let interpreter = find_interpreter()?;
    let requirements = Scripts::unpack()?.path(requirements);
    ensure_in(&places::cache_folder()?, &interpreter, &requirements)
}

/// As [`ensure`], with everything given that it would look up.
///
/// # Errors
///
/// As [`ensure`].
pub fn ensure_in(
    cache: &Path,
    interpreter: &Interpreter,
    requirements: &Path,
) -> Result<Environment> {
    let pins = fs::read(requirements)
        .with_context(|| format!("cannot read the requirements {}", requirements.display()))?;
    let root = cache.join(format!("python-{}", key(interpreter, &pins)));
    if root.join(MARKER).exists() {
        return Ok(Environment { root });
    }

    fs::create_dir_all(cache)
        .with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
    let lock_path = root.with_extension("lock");
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot write {}", lock_path.display()))?;
    // Some network file systems have no locks. Then two simultaneous first runs may disturb each
    // other; running again repairs that, because the marker is written last.
    let _ = lock.lock();
    if !root.join(MARKER).exists() {
        if root.exists() {
            fs::remove_dir_all(&root)
                .with_context(|| format!("cannot remove the unfinished {}", root.display()))?;
        }
        make(&root, interpreter, requirements)?;
        fs::write(root.join(MARKER), b"")?;
    }
    Ok(Environment { root })
}

/// Finds a Python that is new enough and can make environments: `$FORKLORE_PYTHON`, else
/// `python3`, else the versioned names, newest first.
///
/// # Errors
///
/// If there is none; the message says what was found instead, and what to install.
pub fn find_interpreter() -> Result<Interpreter> {
    let candidates: Vec<OsString> = match std::env::var_os("FORKLORE_PYTHON") {
        Some(chosen) => vec![chosen],
        None => std::iter::once("python3".into())
            .chain(
                (OLDEST.1..=14)
                    .rev()
                    .map(|minor| format!("python3.{minor}").into()),
            )
            .chain(std::iter::once("python".into()))
            .collect(),
    };
    let mut refusals = Vec::new();
    for candidate in &candidates {
        match probe(Path::new(candidate)) {
            Ok(interpreter) => return Ok(interpreter),
            Err(Refusal::Absent) => {}
            Err(Refusal::Unfit(why)) => refusals.push(why),
        }
    }
    let (major, minor) = OLDEST;
    if refusals.is_empty() && candidates.len() == 1 {
        let chosen = Path::new(&candidates[0]).display();
        bail!(
            "no Python {major}.{minor} or later: FORKLORE_PYTHON names `{chosen}`, which does not run"
        );
    }
    if refusals.is_empty() {
        bail!("no Python {major}.{minor} or later: `python3` was not found on the PATH");
    }
    bail!(
        "no Python {major}.{minor} or later with venv: {}",
        refusals.join("; ")
    );
}

enum Refusal {
    Absent,
    Unfit(String),
}

fn probe(program: &Path) -> Result<Interpreter, Refusal> {
    const QUESTION: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3]); \
                            print(sys.base_prefix); import venv, ensurepip; print('fit')";
    let output = Command::new(program)
        .args(["-I", "-c", QUESTION])
        .stdin(Stdio::null())
        .output()
        .map_err(|_| Refusal::Absent)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let name = program.display();
    let (Some(version), Some(prefix)) = (lines.next(), lines.next()) else {
        return Err(Refusal::Unfit(format!("`{name}` does not run")));
    };
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let release = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if release < OLDEST {
        return Err(Refusal::Unfit(format!("`{name}` is {version}")));
    }
    if lines.next() != Some("fit") {
        return Err(Refusal::Unfit(format!(
            "`{name}` is {version} but lacks the modules venv and ensurepip"
        )));
    }
    Ok(Interpreter {
        program: program.to_path_buf(),
        version: version.to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn key(interpreter: &Interpreter, pins: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(&interpreter.version);
    hash.update([0]);
    hash.update(&interpreter.prefix);
    hash.update([0]);
    hash.update(pins);
    places::key(hash)
}

fn make(root: &Path, interpreter: &Interpreter, requirements: &Path) -> Result<()> {
    let title = format!(
        "Python {} environment in {}",
        interpreter.version,
        root.display()
    );
    let mut step = Step::start(title);
    let made = make_venv(root, interpreter).and_then(|()| install(root, requirements, &mut step));
    match made {
        Ok(()) => {
            step.done();
            Ok(())
        }
        Err(error) => {
            step.failed();
            Err(error)
        }
    }
}

fn make_venv(root: &Path, interpreter: &Interpreter) -> Result<()> {
    let program = interpreter.program.display();
    let output = Command::new(&interpreter.program)
        .args(["-I", "-m", "venv"])
        .arg(root)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let said = if text.trim().is_empty() {
            String::from_utf8_lossy(&output.stdout)
        } else {
            text
        };
        bail!(
            "`{program} -m venv {}` failed: {}",
            root.display(),
            said.trim()
        );
    }
    Ok(())
}

/// Runs pip and turns its output into a count: it prints `Collecting NAME` once per package.
fn install(root: &Path, requirements: &Path, step: &mut Step) -> Result<()> {
    const KEPT_LINES: usize = 12;
    let expected = expected_packages(requirements)?;
    let mut pip = Command::new(root.join("bin/python"))
        .args(["-m", "pip", "install", "--require-hashes", "--no-input"])
        // The file names everything to install.
        .arg("--no-deps")
        .args(["--disable-pip-version-check", "--progress-bar", "off", "-r"])
        .arg(requirements)
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run pip")?;
    let errors = pip.stderr.take().context("pip has no stderr")?;
    // Read in parallel to stdout; otherwise pip blocks when that pipe is full.
    let errors = std::thread::spawn(move || {
        let lines = BufReader::new(errors).lines().map_while(Result::ok);
        lines.collect::<Vec<String>>()
    });
    let mut last: VecDeque<String> = VecDeque::new();
    let mut n_collected = 0;
    for line in BufReader::new(pip.stdout.take().context("pip has no stdout")?).lines() {
        let line = line.unwrap_or_default();
        if let Some(package) = line.strip_prefix("Collecting ") {
            n_collected += 1;
            let name = package.split(['=', ' ']).next().unwrap_or_default();
            step.progress(n_collected.min(expected), expected, name);
        } else if line.starts_with("Installing collected packages") {
            step.progress(expected, expected, "unpacking");
        }
        last.push_back(line);
        if last.len() > KEPT_LINES {
            last.pop_front();
        }
    }
    let status = pip.wait()?;
    let mut said: Vec<String> = last.into();
    said.extend(errors.join().unwrap_or_default());
    if !status.success() {
        let said = said[said.len().saturating_sub(KEPT_LINES)..].join("\n    ");
        bail!(
            "pip could not install the packages of {} ({status}); it needs the Python package \
             index, or wheels in a folder named by PIP_FIND_LINKS:\n    {said}",
            requirements.display()
        );
    }
    Ok(())
}

/// About how many packages pip will collect: names, not lines, because some are pinned twice
/// for different versions of Python.
fn expected_packages(requirements: &Path) -> Result<usize> {
    let text = fs::read_to_string(requirements)?;
    let mut names: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_alphanumeric()))
        .filter(|line| !line.contains("sys_platform == 'win32'"))
        .filter_map(|line| line.split("==").next())
        .collect();
    names.dedup();
    Ok(names.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(version: &str) -> Interpreter {
        Interpreter {
            program: "python3".into(),
            version: version.into(),
            prefix: "/usr".into(),
        }
    }

    #[test]
    fn the_key_depends_on_pins_and_interpreter() {
        let key_of = |version, pins: &[u8]| key(&interpreter(version), pins);
        assert_eq!(key_of("3.11.7", b"a==1"), key_of("3.11.7", b"a==1"));
        assert_ne!(key_of("3.11.7", b"a==1"), key_of("3.11.7", b"a==2"));
        assert_ne!(key_of("3.11.7", b"a==1"), key_of("3.12.1", b"a==1"));
    }

    #[test]
    fn a_program_that_is_not_python_is_refused() {
        assert!(matches!(
            probe(Path::new("/nonexistent/python3")),
            Err(Refusal::Absent)
        ));
        assert!(matches!(probe(Path::new("true")), Err(Refusal::Unfit(_))));
    }

    #[test]
    fn every_requirement_is_pinned_with_a_hash() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (file, at_least) in [
            ("binder/requirements.txt", 50),
            ("lab/python/requirements/slides.txt", 1),
            ("xtask/python/browser.txt", 3),
        ] {
            let text = fs::read_to_string(repository.join(file)).unwrap();
            let mut lines = text.lines().peekable();
            let mut n_pins = 0;
            while let Some(line) = lines.next() {
                if line.starts_with('#') || line.starts_with(' ') || line.is_empty() {
                    continue;
                }
                n_pins += 1;
                assert!(line.contains("=="), "not pinned: {line}");
                let next = lines.peek().copied().unwrap_or_default();
                assert!(next.contains("--hash=sha256:"), "no hash follows: {line}");
            }
            assert!(n_pins >= at_least, "{file}: only {n_pins} requirements");
        }
    }

    #[test]
    fn a_half_made_environment_is_made_again_and_a_whole_one_is_kept() {
        let cache = tempfile::tempdir().unwrap();
        let requirements = cache.path().join("requirements.txt");
        fs::write(&requirements, "# nothing\n").unwrap();
        let interpreter = find_interpreter().unwrap();
        let pins = fs::read(&requirements).unwrap();
        let half = cache
            .path()
            .join(format!("python-{}", key(&interpreter, &pins)));
        fs::create_dir_all(half.join("bin")).unwrap();
        fs::write(half.join("bin/python"), "broken").unwrap();

        let environment = ensure_in(cache.path(), &interpreter, &requirements).unwrap();
        assert_eq!(environment.root(), half);
        let status = environment
            .command("python")
            .args(["-c", "pass"])
            .status()
            .unwrap();
        assert!(status.success());

        let kept = environment.root().join("kept");
        fs::write(&kept, "").unwrap();
        ensure_in(cache.path(), &interpreter, &requirements).unwrap();
        assert!(kept.exists());
    }

    #[test]
    fn two_at_once_make_one_environment() {
        let cache = tempfile::tempdir().unwrap();
        let requirements = cache.path().join("requirements.txt");
        fs::write(&requirements, "# nothing, twice\n").unwrap();
        let interpreter = find_interpreter().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| ensure_in(cache.path(), &interpreter, &requirements).unwrap());
            }
        });
        let n_environments = fs::read_dir(cache.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().join(MARKER).exists())
            .count();
        assert_eq!(n_environments, 1);
    }
}
