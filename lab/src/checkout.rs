//! `cargo lab`: from a fresh clone to a lesson in JupyterLab, or to an executed lesson.
//!
//! Builds the kernel of the checkout that it is given.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::course::{Course, Lesson};
use crate::jupyterlab::{Place, free_port, serve};
use crate::kernel::{Kernel, forget_cargo};
use crate::scripts::Scripts;
use crate::steps::Step;
use crate::workbench::Workbench;
use crate::{confine, lesson, nodes, pages, places, prerequisites, python, wheel};

/// The options of `cargo lab`.
#[derive(Debug, Args)]
pub struct Options {
    /// Run lessons without a browser (06, or several: 06 07, or all), then exit: with 1 if a cell
    /// failed
    #[arg(long, value_name = "LESSON", num_args = 1..)]
    run: Vec<String>,

    /// The kernel to run them on: `forklore`, or `rust-evcxr`, the stock one
    #[arg(long, default_value = "forklore", requires = "run")]
    kernel: String,

    /// Try the exercises on the way: unsolved, with typical wrong answers, and solved
    #[arg(long, requires = "run")]
    prove: bool,

    /// Let them use only this many CPUs
    #[arg(long, value_name = "N", requires = "run")]
    cpus: Option<usize>,

    /// Take the network away from them; for root
    #[arg(long, requires = "run")]
    offline: bool,

    /// Keep every CPU busy meanwhile: they are to say `inconclusive`, nothing wrong, and not fail
    #[arg(long, requires = "run")]
    under_load: bool,

    /// Where executed notebooks and pages go [default: target/lab]
    #[arg(long, value_name = "FOLDER", requires = "run")]
    output: Option<PathBuf>,

    /// Another folder with the lessons, such as a copy to write in [default: this checkout's]
    #[arg(long, value_name = "FOLDER", conflicts_with = "run")]
    folder: Option<PathBuf>,

    /// The port of JupyterLab [default: the first free one from 8888 on]
    #[arg(long, conflicts_with = "run")]
    port: Option<u16>,

    /// Only print the address; also when there is no display
    #[arg(long, conflicts_with = "run")]
    no_browser: bool,

    /// Take the kernel from this wheel; nothing is compiled then but the library for the cells
    #[arg(long, value_name = "FILE")]
    wheel: Option<PathBuf>,

    /// Build forklore-node with this machine's MPI, so that forklore::Cluster reaches other
    /// machines
    #[arg(long, conflicts_with_all = ["list", "check"])]
    cluster: bool,

    /// Run a program of `benches/` that needs kernels (`conformance`, `survival`, `kernel`,
    /// `kernel_phases`), with its arguments behind it
    #[arg(long, value_name = "NAME", num_args = 1.., conflicts_with_all = ["run", "port"])]
    bench: Vec<String>,

    /// Name the lessons, and exit
    #[arg(long, conflicts_with_all = ["run", "port"])]
    list: bool,

    /// Look for what is missing on this machine, and exit
    #[arg(long, conflicts_with_all = ["run", "port", "list"])]
    check: bool,
}

/// Runs `cargo lab` with these options, in the checkout with this root.
///
/// # Errors
///
/// If something is missing, a port is taken, a lesson is unknown, or a cell failed.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let course = Course::of_checkout(root);
    if options.list {
        for lesson in course.lessons()? {
            println!("{}", lesson.name);
        }
        return Ok(());
    }
    let bench = match options.bench.split_first() {
        Some((name, arguments)) => Some((program(root, name)?, arguments)),
        None => None,
    };
    // Reject every invalid option before the minutes of building.
    let lessons = course.lessons_named(&options.run)?;
    if options.offline && !confine::can_take_network() {
        bail!(
            "--offline needs the right to make namespaces, which root has outside of most containers"
        );
    }
    let place = if options.run.is_empty() && bench.is_none() && !options.check {
        Some(place(&course, options)?)
    } else {
        None
    };
    if options.check {
        require(root)?;
        println!("Nothing is missing.");
        return Ok(());
    }

    let mut workbench = match &options.wheel {
        Some(wheel) => workbench_of_wheel(root, wheel)?,
        None => workbench(root)?,
    };
    if options.cluster {
        workbench.kernel.node_program = nodes::build(root)?;
    }
    match (place, bench) {
        (Some(place), _) => serve(&workbench, &place),
        (None, Some((program, arguments))) => measure(&workbench, &program, arguments),
        (None, None) => run_all(&workbench, &course, &lessons, options),
    }
}

/// What JupyterLab shows: the course or a copy of it, from the first lesson on.
fn place(course: &Course, options: &Options) -> Result<Place> {
    let port = free_port(options.port)?;
    let folder = match &options.folder {
        Some(folder) => folder
            .canonicalize()
            .with_context(|| format!("cannot open the folder {}", folder.display()))?,
        None => course.folder().to_path_buf(),
    };
    let first = course.lessons()?.into_iter().next();
    let first = first.map(|lesson| format!("{}.ipynb", lesson.name));
    Ok(Place {
        first: first.filter(|name| folder.join(name).exists()),
        folder,
        port,
        no_browser: options.no_browser,
    })
}

/// Builds the kernel of a checkout, and makes the pinned Python environment.
///
/// # Errors
///
/// If the machine lacks something, or if cargo (whose messages are on stderr), or the kernel's
/// `install` or `warm`, fails.
pub fn workbench(root: &Path) -> Result<Workbench> {
    require(root)?;
    let environment = python::ensure()?;
    let program = build(root)?;
    fetch(root);
    let prefix = Course::of_checkout(root).output().join("jupyter");
    Ok(Workbench {
        kernel: Kernel::install(program, prefix, &environment)?,
        environment,
        scripts: Scripts::unpack()?,
    })
}

/// The same with the kernel of a wheel.
fn workbench_of_wheel(root: &Path, wheel: &Path) -> Result<Workbench> {
    prerequisites::check_cells().with_python().require()?;
    let environment = python::ensure()?;
    let program = wheel::program(wheel, &places::cache_folder()?, &environment)?;
    let prefix = Course::of_checkout(root).output().join("jupyter");
    Ok(Workbench {
        kernel: Kernel::install(program, prefix, &environment)?,
        environment,
        scripts: Scripts::unpack()?,
    })
}

fn require(root: &Path) -> Result<()> {
    let report = prerequisites::check_cells();
    report.with_python().with_build(&target(root)).require()
}

/// The Python program of this name in `benches/`: a file or a folder.
fn program(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join("benches");
    let found = [format!("{name}.py"), format!("{name}/__main__.py")];
    let mut found = found.into_iter().map(|name| folder.join(name));
    let found = found.find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "there is no Python program `{name}` in {}",
            folder.display()
        )
    })
}

/// Runs a measurement in the environment that has the kernels.
fn measure(workbench: &Workbench, program: &Path, arguments: &[String]) -> Result<()> {
    let mut command = workbench.environment.command("python");
    workbench.kernel.prepare(&mut command);
    let status = command.arg(program).args(arguments).status();
    let status = status.with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        bail!("{} ended with {status}", program.display());
    }
    Ok(())
}

fn run_all(
    workbench: &Workbench,
    course: &Course,
    lessons: &[Lesson],
    options: &Options,
) -> Result<()> {
    let output = options.output.clone().unwrap_or_else(|| course.output());
    let n_cpus = options.cpus.unwrap_or(0);
    let how = lesson::How {
        kernel: options.kernel.clone(),
        prove: options.prove,
        cpus: confine::allowed_cpus().into_iter().take(n_cpus).collect(),
        offline: options.offline,
    };
    let load = options.under_load.then(confine::Load::start);
    let mut failed = Vec::new();
    let mut table =
        String::from("| lesson | seconds | slowest cell | remark |\n| --- | --- | --- | --- |\n");
    for lesson in lessons {
        match lesson::run(workbench, lesson, &how, &output) {
            Ok(executed) => {
                println!("{}", executed.notebook.display());
                println!("{}", executed.page.display());
                table.push_str(&row(lesson, &executed.times));
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    drop(load);
    pages::lead_to_each_other(&output, &course.lessons()?)?;
    if lessons.len() > 1 {
        println!("\n{table}");
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("{}", failed.join("; "))
    }
}

/// How long a lesson took, and whether a learner had to wait without an announcement.
fn row(lesson: &Lesson, times: &lesson::Times) -> String {
    let remark = if times.slowest_seconds > 60.0 {
        "a cell took over 60 s".to_owned()
    } else if times.unannounced.is_empty() {
        String::new()
    } else {
        format!("over 10 s, not announced: {}", times.unannounced.join(", "))
    };
    format!(
        "| {} | {:.1} | {} ({:.1}) | {remark} |\n",
        lesson.number, times.seconds, times.slowest, times.slowest_seconds
    )
}

/// Fetches the library's dependencies for every platform: the stock kernel's `:dep` runs
/// `cargo metadata`, which needs all of them, and lessons run offline. Our kernel does not need
/// them.
fn fetch(root: &Path) {
    let step = Step::start("Crates that the stock kernel looks at");
    let mut command = cargo(root);
    command
        .args(["fetch", "--locked", "--quiet"])
        .stdin(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => step.done(),
        _ => step.failed(),
    }
}

/// One line of cargo's `--message-format json`.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds the program `forklore`, with the dependency features of `cargo test --workspace`, so that
/// the two commands share one build.
fn build(root: &Path) -> Result<PathBuf> {
    let mut command = cargo(root);
    command
        .args(["build", "--workspace", "--bin", "forklore", "--locked"])
        .arg("--message-format=json-render-diagnostics");
    let first_time = !target(root).join("debug/forklore").exists();
    if first_time {
        eprintln!(
            "  Building the kernel. The first time this takes 6 to 10 minutes on 2 cores: it \
             contains rust-analyzer."
        );
    } else {
        command.arg("--quiet");
    }
    let step = Step::start("Kernel");
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        step.failed();
        bail!(
            "the kernel could not be built ({}); see cargo's message above",
            output.status
        );
    }
    let program = built_program(&output.stdout, "forklore")?;
    step.done();
    Ok(program)
}

/// The program of this name that cargo has built, by what it said in JSON.
pub(crate) fn built_program(said: &[u8], name: &str) -> Result<PathBuf> {
    String::from_utf8_lossy(said)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| {
            message
                .target
                .as_ref()
                .is_some_and(|target| target.name == name)
        })
        .filter_map(|message| message.executable)
        .next_back()
        .with_context(|| format!("cargo built no program named `{name}`"))
}

pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_cargo(&mut command).current_dir(root);
    command
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_files_or_folders() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(program(root, "survival").unwrap().ends_with("survival.py"));
        let folder = program(root, "conformance").unwrap();
        assert!(folder.ends_with("conformance/__main__.py"));
        let error = program(root, "nothing").unwrap_err().to_string();
        assert!(error.contains("benches"), "{error}");
    }
}
