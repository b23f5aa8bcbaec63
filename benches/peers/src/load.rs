//! Processes that keep processors busy, so that a pool must share them.

use std::hint::black_box;
use std::process::{Child, Command};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// A process that computes until this value is dropped.
pub struct Busy(Child);

impl Busy {
    pub fn start() -> Busy {
        let mut command = Command::new(std::env::current_exe().expect("the program's path"));
        Busy(command.arg("busy").spawn().expect("a process"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number of processes that keep every processor busy.
pub fn one_for_each_processor() -> usize {
    forklore::Cpus::detect().online()
}

/// Runs as such a process; it ends with the process that started it.
pub fn be_busy() -> ! {
    set_pdeathsig(Signal::SIGKILL).expect("Linux");
    loop {
        black_box(0);
    }
}
