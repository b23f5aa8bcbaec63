//! Runs JupyterLab on a course, for this user only, until a signal ends this program.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;

use crate::python::Environment;
use crate::workbench::Workbench;

/// What JupyterLab shows, and where.
#[derive(Debug)]
pub struct Place {
    /// The folder that it opens.
    pub folder: PathBuf,
    /// The notebook in it that it shows first.
    pub first: Option<String>,
    /// The port that it listens on, on this machine only.
    pub port: u16,
    /// Whether to print only its address.
    pub no_browser: bool,
}

/// The port to use: the requested one, or the first free one from 8888 on.
pub fn free_port(asked: Option<u16>) -> Result<u16> {
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
///
/// # Errors
///
/// When JupyterLab does not start, or ends by itself.
pub fn serve(bench: &Workbench, place: &Place) -> Result<()> {
    let token = token()?;
    let first = place.first.as_ref().map(|name| format!("/tree/{name}"));
    let address = format!(
        "http://127.0.0.1:{}/lab{}?token={token}",
        place.port,
        first.unwrap_or_default()
    );

    // From here on this program waits for signals, so that Ctrl-C ends JupyterLab cleanly.
    let signals: SigSet = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ]
    .into_iter()
    .collect();
    signals.thread_block()?;
    let mut server = start(bench, place, &token)?;
    if wait_until_ready(&mut server, place.port)? {
        eprintln!("\n  JupyterLab is ready. Open this address in a browser:\n");
        println!("    {address}\n");
        // A reader may be waiting for the address in a pipe.
        std::io::stdout().flush()?;
        eprintln!("  Ctrl-C ends it, and every kernel that it started.");
        if !place.no_browser && has_display() {
            open(&bench.environment, &address);
        }
    } else {
        bail!(
            "JupyterLab ended at once; its messages are above (was port {} just taken?)",
            place.port
        );
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

fn start(bench: &Workbench, place: &Place, token: &str) -> Result<Child> {
    let Place { folder, port, .. } = place;
    let mut command = bench.environment.command("jupyter-lab");
    bench.kernel.prepare(&mut command);
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
        // In the environment, not on the command line, which every user of the machine can read.
        .env("JUPYTER_TOKEN", token)
        .stdin(Stdio::null())
        // Its log goes to stderr, like this program's messages: stdout has only the address.
        .stdout(std::io::stderr())
        // A separate group: Ctrl-C reaches only this program, which then ends JupyterLab cleanly.
        .process_group(0);
    end_with_parent(&mut command);
    command.spawn().context("cannot start JupyterLab")
}

/// Sends the child SIGTERM when this program is killed, and unblocks the signals that it would
/// inherit as blocked.
fn end_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes only two system calls, `prctl` and
    // `rt_sigprocmask`, on its own memory.
    unsafe {
        command.pre_exec(|| {
            SigSet::empty().thread_set_mask()?;
            Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?)
        });
    }
}

/// Waits until the server responds; `false` if it has ended instead.
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

/// Ends JupyterLab cleanly, and after a while kills what is left of its group.
fn stop(server: &mut Child) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(20);
    eprintln!("\n  Ending JupyterLab and its kernels …");
    let group = Pid::from_raw(i32::try_from(server.id())?);
    // Signal only the server: it shuts the kernels down through their own protocol.
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
    // The address was printed, so continue even if the browser does not start.
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
    fn tokens_differ() {
        let one = token().unwrap();
        assert_eq!(one.len(), 48);
        assert_ne!(one, token().unwrap());
    }
}
