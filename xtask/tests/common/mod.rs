//! What several tests need.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Starts `cargo lab` as the command says, and gives the address that it prints: the first thing on
/// stdout, which comes when the server answers.
pub fn open_lab(command: &mut Command) -> (Child, String) {
    let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
    let address = BufReader::new(program.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("http://"));
    let Some(address) = address else {
        let _ = program.wait();
        panic!("cargo lab printed no address");
    };
    (program, address.trim().to_owned())
}
