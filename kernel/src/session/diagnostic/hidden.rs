//! Errors that evcxr hides from rustc: if the cell's items may have some, rustc checks the items
//! alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use serde_json::Value;

use super::message::{GENERATED, Message};
use super::source::Sources;
use super::{Cells, in_a_line, is_error, render};
use crate::cell;
use crate::library::toolchain::Compiler;
use crate::session::CellError;

/// The file's folder in the session's own.
const FOLDER: &str = "items";
/// Errors about names that do not exist.
const LACKS: [&str; 10] = [
    "E0404", "E0405", "E0412", "E0422", "E0423", "E0425", "E0432", "E0433", "E0463", "E0531",
];

/// The error for a cell that defines a name twice, or has another such error. Finds nothing if
/// rustc cannot be run.
pub(in crate::session) fn hidden(cells: Cells<'_>, folder: &Path) -> Option<CellError> {
    let file = cell::doubtful_items(cells.code)?;
    let said = ask(&file, &folder.join(FOLDER)).ok()?;
    let is_hidden = |json: &Value| cell::HIDDEN_ERRORS.contains(&code_of(json));
    let sources = Sources::of_file(cells, file);
    // The names that the file lacks may be in earlier cells, and errors that follow from that are
    // not this cell's mistakes.
    let lacks_some = said.iter().any(|json| LACKS.contains(&code_of(json)));
    let is_shown = |json: &&Value| is_error(json) && (is_hidden(json) || !lacks_some);
    if !said.iter().any(is_hidden) {
        return None;
    }
    let shown = said.iter().filter(is_shown);
    let messages: Vec<Message> = shown.map(|json| Message::read(json, &sources)).collect();
    let traceback = messages
        .iter()
        .map(|message| render::render(message, &sources));
    Some(CellError {
        ename: "CompileError".to_owned(),
        evalue: in_a_line(messages.first()?),
        traceback: traceback.collect(),
    })
}

fn code_of(json: &Value) -> &str {
    json["code"]["code"].as_str().unwrap_or_default()
}

/// rustc's messages about a file.
fn ask(file: &str, folder: &Path) -> Result<Vec<Value>> {
    let path = folder.join(GENERATED);
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    fs::write(&path, file)?;
    let output = Command::new(Compiler::find()?.rustc())
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .args(["--error-format", "json", "-A", "warnings", GENERATED])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let messages = said.lines().map(serde_json::from_str);
    Ok(messages.filter_map(Result::ok).collect())
}
