//! `cargo lab`: from a fresh clone to a lesson in JupyterLab, or to an executed lesson.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;

use crate::kernel::Kernel;
use crate::python::Environment;
use crate::{confine, kernel, lesson, pages, prerequisites, python};

/// What `cargo lab` can be asked.
#[derive(Debug, Args)]
pub struct Options {
    /// Run lessons without a browser (06, or several: 06 07, or all), then exit: with 1 if a cell failed
    #[arg(long, value_name = "LESSON", num_args = 1..)]
    run: Vec<String>,

    /// The kernel to run them on: `forklore`, or `rust-evcxr`, the stock one
    #[arg(long, default_value = "forklore", requires = "run")]
    kernel: String,

    /// Try the exercises on the way: unsolved, with typical wrong answers, and solved
    #[arg(long, requires = "run")]
    prove: bool,

    /// Let them use only so many CPUs
    #[arg(long, value_name = "N", requires = "run")]
    cpus: Option<usize>,

    /// Take the network away from them; for root
    #[arg(long, requires = "run")]
    offline: bool,

    /// Keep every CPU busy meanwhile: they shall say `inconclusive`, nothing wrong, and not fail
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

    /// Run a program of `benches/` that needs kernels (`conformance`, `survival`, `kernel`, `kernel_phases`), with its
    /// arguments behind it
    #[arg(long, value_name = "NAME", num_args = 1.., conflicts_with_all = ["run", "port"])]
    bench: Vec<String>,

    /// Name the lessons, and exit
    #[arg(long, conflicts_with_all = ["run", "port"])]
    list: bool,

    /// Look for what is missing on this machine, and exit
    #[arg(long, conflicts_with_all = ["run", "port", "list"])]
    check: bool,
}

/// Does what the options ask.
///
/// # Errors
///
/// When something is missing, a port is taken, a lesson is unknown, or a cell failed.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        for lesson in lesson::all()? {
            println!("{}", lesson.name);
        }
        return Ok(());
    }
    let bench = match options.bench.split_first() {
        Some((name, arguments)) => Some((program(name)?, arguments)),
        None => None,
    };
    // Everything that can be refused is refused before the first minute of building.
    let lessons = lesson::find_all(&options.run)?;
    if options.offline && !confine::can_take_network() {
        bail!(
            "--offline needs the right to make namespaces, which root has outside of most containers"
        );
    }
    let port = if options.run.is_empty() && bench.is_none() && !options.check {
        Some(free_port(options.port)?)
    } else {
        None
    };
    let folder = match &options.folder {
        Some(folder) => folder
            .canonicalize()
            .with_context(|| format!("cannot open the folder {}", folder.display()))?,
        None => lesson::folder(),
    };
    require()?;
    if options.check {
        println!("Nothing is missing.");
        return Ok(());
    }

    let environment = python::ensure()?;
    let kernel = kernel::ensure(&environment)?;
    match (port, bench) {
        (Some(port), _) => {
            let place = Place { folder, port };
            serve(&environment, &kernel, &place, None, options.no_browser)
        }
        (None, Some((program, arguments))) => measure(&environment, &kernel, &program, arguments),
        (None, None) => run_all(&environment, &kernel, &lessons, options),
    }
}

/// The Python program of this name in `benches/`: a file or a folder.
fn program(name: &str) -> Result<PathBuf> {
    let folder = crate::repository().join("benches");
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
fn measure(
    environment: &Environment,
    kernel: &Kernel,
    program: &Path,
    arguments: &[String],
) -> Result<()> {
    let mut command = environment.command("python");
    kernel.prepare(&mut command);
    let status = command.arg(program).args(arguments).status();
    let status = status.with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        bail!("{} ended with {status}", program.display());
    }
    Ok(())
}

/// Opens JupyterLab on a lesson, or on the first.
///
/// # Errors
///
/// When something is missing or JupyterLab ends by itself.
pub fn open_on(lesson: Option<&lesson::Lesson>, no_browser: bool) -> Result<()> {
    let port = free_port(None)?;
    require()?;
    let environment = python::ensure()?;
    let kernel = kernel::ensure(&environment)?;
    let folder = lesson::folder();
    let place = Place { folder, port };
    serve(&environment, &kernel, &place, lesson, no_browser)
}

/// What JupyterLab shows, and where.
struct Place {
    folder: PathBuf,
    port: u16,
}

/// Says what this machine lacks.
///
/// # Errors
///
/// When it lacks something without which nothing works.
pub fn require() -> Result<()> {
    report(&prerequisites::check())
}

fn report(report: &prerequisites::Report) -> Result<()> {
    for warning in &report.warnings {
        eprintln!("  Missing, and not needed: {warning}");
    }
    if report.missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = report
        .missing
        .iter()
        .map(|missing| format!("\n  - {missing}"))
        .collect();
    bail!(
        "this machine lacks what the lessons need; nothing was built:{}",
        list.concat()
    );
}

fn run_all(
    environment: &Environment,
    kernel: &Kernel,
    lessons: &[lesson::Lesson],
    options: &Options,
) -> Result<()> {
    let output = options.output.clone().unwrap_or_else(crate::lab_folder);
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
        match lesson::run(environment, kernel, lesson, &how, &output) {
            Ok(executed) => {
                println!("{}", executed.notebook.display());
                println!("{}", executed.page.display());
                table.push_str(&row(lesson, &executed.times));
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    drop(load);
    pages::lead_to_each_other(&output, &lesson::all()?)?;
    if lessons.len() > 1 {
        println!("\n{table}");
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("{}", failed.join("; "))
    }
}

/// How long a lesson took, and whether anybody had to wait without being told.
fn row(lesson: &lesson::Lesson, times: &lesson::Times) -> String {
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

/// The port to use: the one that was asked for, or the first free one from 8888 on.
fn free_port(asked: Option<u16>) -> Result<u16> {
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    match asked {
        Some(port) if free(port) => Ok(port),
        Some(port) => bail!(
            "port {port} is taken by another program; choose another with --port, or leave it out"
        ),
        None => (8888..8988)
            .find(|port| free(*port))
            .context("the ports 8888 to 8987 are all taken; choose one with --port"),
    }
}

/// Runs JupyterLab until it ends or this program is told to end.
fn serve(
    environment: &Environment,
    kernel: &Kernel,
    place: &Place,
    on: Option<&lesson::Lesson>,
    no_browser: bool,
) -> Result<()> {
    let token = token()?;
    let port = place.port;
    let lessons = lesson::all()?;
    let is_there =
        |lesson: &&lesson::Lesson| place.folder.join(format!("{}.ipynb", lesson.name)).exists();
    let first = on
        .or(lessons.first())
        .filter(is_there)
        .map(|lesson| format!("/tree/{}.ipynb", lesson.name));
    let address = format!(
        "http://127.0.0.1:{port}/lab{}?token={token}",
        first.unwrap_or_default()
    );

    // From here on signals are waited for, so that Ctrl-C ends JupyterLab in order.
    let signals: SigSet = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ]
    .into_iter()
    .collect();
    signals.thread_block()?;
    let mut server = start(environment, kernel, place, &token)?;
    if wait_until_ready(&mut server, port)? {
        eprintln!("\n  JupyterLab is ready. Open this address in a browser:\n");
        println!("    {address}\n");
        // A reader may be waiting for the address in a pipe.
        std::io::stdout().flush()?;
        eprintln!("  Ctrl-C ends it, and every kernel that it started.");
        if !no_browser && has_display() {
            open(environment, &address);
        }
    } else {
        bail!("JupyterLab ended at once; its messages are above (was port {port} just taken?)");
    }

    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(status) = server.try_wait()? {
                    bail!("JupyterLab ended by itself ({status}); its messages are above");
                }
            }
            _ => return stop(&mut server),
        }
    }
}

fn start(environment: &Environment, kernel: &Kernel, place: &Place, token: &str) -> Result<Child> {
    let Place { folder, port } = place;
    let mut command = environment.command("jupyter-lab");
    kernel.prepare(&mut command);
    command
        .current_dir(folder)
        .args([
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port_retries=0",
        ])
        .arg(format!("--ServerApp.port={port}"))
        .arg(format!("--ServerApp.root_dir={}", folder.display()))
        .args([
            "--ServerApp.allow_root=True",
            "--KernelSpecManager.ensure_native_kernel=False",
        ])
        .args(["--Application.log_level=ERROR"])
        // In the environment and not on the command line, which every user of the machine can read.
        .env("JUPYTER_TOKEN", token)
        .stdin(Stdio::null())
        // Its log goes where this program's messages go: stdout holds the address alone.
        .stdout(std::io::stderr())
        // A group of its own: Ctrl-C reaches this program only, which then ends it in order.
        .process_group(0);
    end_with_parent(&mut command);
    command.spawn().context("cannot start JupyterLab")
}

/// Lets the child get SIGTERM when this program is killed, and hear it: it would inherit the
/// signals that are blocked here.
fn end_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec the closure only makes two system calls, `prctl` and
    // `rt_sigprocmask`, on memory of its own.
    unsafe {
        command.pre_exec(|| {
            SigSet::empty().thread_set_mask()?;
            Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?)
        });
    }
}

/// Waits until the server answers; `false` when it has ended instead.
fn wait_until_ready(server: &mut Child, port: u16) -> Result<bool> {
    const LIMIT: Duration = Duration::from_secs(120);
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if server.try_wait()?.is_some() {
            return Ok(false);
        }
        if answers(port) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    stop(server)?;
    bail!(
        "JupyterLab did not answer on port {port} within {} s",
        LIMIT.as_secs()
    );
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let request = b"GET /api HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    let mut start = [0; 12];
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .is_ok()
        && stream.write_all(request).is_ok()
        && stream.read_exact(&mut start).is_ok()
        && start.starts_with(b"HTTP/1.")
}

/// Ends JupyterLab in order, and what is left of its group by force after a while.
fn stop(server: &mut Child) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(20);
    eprintln!("\n  Ending JupyterLab and its kernels …");
    let group = Pid::from_raw(i32::try_from(server.id())?);
    // Only the server: it shuts the kernels down through their own protocol.
    let _ = nix::sys::signal::kill(group, Signal::SIGTERM);
    let started = Instant::now();
    while server.try_wait()?.is_none() {
        if started.elapsed() > PATIENCE {
            let _ = killpg(group, Signal::SIGKILL);
            server.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn token() -> Result<String> {
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read /dev/urandom for a token")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn open(environment: &Environment, address: &str) {
    // The address was printed: a browser that does not start is no reason to stop.
    let _ = environment
        .command("python")
        .args(["-m", "webbrowser", address])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_by_name_or_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = free_port(Some(port)).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()), "{error}");
        let _also_taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 8888));
        assert_ne!(free_port(None).unwrap(), 8888);
    }

    #[test]
    fn measurements_are_files_or_folders() {
        assert!(program("survival").unwrap().ends_with("survival.py"));
        let folder = program("conformance").unwrap();
        assert!(folder.ends_with("conformance/__main__.py"));
        assert!(
            program("nothing")
                .unwrap_err()
                .to_string()
                .contains("benches")
        );
    }

    #[test]
    fn tokens_differ() {
        let one = token().unwrap();
        assert_eq!(one.len(), 48);
        assert_ne!(one, token().unwrap());
    }

    #[test]
    fn what_is_missing_is_said_at_once() {
        let missing = |what: &str| prerequisites::Missing {
            what: what.into(),
            remedy: format!("install {what}"),
        };
        let found = prerequisites::Report {
            missing: vec![missing("cc"), missing("python3")],
            warnings: vec![],
        };
        let error = report(&found).unwrap_err().to_string();
        assert!(
            error.contains("install cc") && error.contains("install python3"),
            "{error}"
        );
    }
}
