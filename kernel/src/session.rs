//! A session: compiles cells with evcxr and runs them in a process of their own.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use evcxr::{CommandContext, EvalContext};

/// Bytes as the user's process wrote them, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Written to standard output.
    Stdout(Vec<u8>),
    /// Written to standard error.
    Stderr(Vec<u8>),
}

/// What a session is started with.
pub struct Options {
    /// Called with everything that the user's process writes, as it comes, from another thread.
    pub output: Box<dyn Fn(Raw) + Send + Sync>,
    /// The program that serves as supervisor: by default the running one.
    /// Its `main` has to call [`crate::supervisor::run_if_asked`] first.
    pub program: Option<PathBuf>,
    /// Whether `use forklore::*;` works without `:dep`. On by default.
    pub library: bool,
}

impl Options {
    /// The usual options, with `output` as the place where the bytes go.
    pub fn new(output: impl Fn(Raw) + Send + Sync + 'static) -> Options {
        Options {
            output: Box::new(output),
            program: None,
            library: true,
        }
    }
}

/// Why a cell failed, in the parts of a Jupyter error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellError {
    /// The error's kind: `Panic`, `CompileError`, `Exit`, `Abort`, `SegmentationFault`, `StackOverflow`,
    /// `Interrupt`, `OutOfMemory`, `QuestionMark`, `Signal`, `Killed`, `Error`.
    pub ename: String,
    /// What happened, in a sentence.
    pub evalue: String,
    /// The lines to show, with ANSI colours.
    pub traceback: Vec<String>,
}

impl CellError {
    fn new(ename: &str, evalue: impl Into<String>) -> CellError {
        let evalue = evalue.into();
        let traceback = vec![format!("\x1b[1;31m{ename}\x1b[0m: {evalue}")];
        CellError {
            ename: ename.to_owned(),
            evalue,
            traceback,
        }
    }
}

/// What could stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completions {
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
    /// First byte that a candidate replaces.
    pub start_bytes: usize,
    /// First byte after what a candidate replaces.
    pub end_bytes: usize,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What is put in.
    pub text: String,
    /// Jupyter's word for its kind, such as `function`.
    pub kind: String,
    /// What is shown in the list.
    pub label: String,
}

/// What is known about the thing at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// As plain text.
    pub plain: String,
    /// As HTML.
    pub html: String,
}

/// A session: compiler, variables and the process that runs the cells. Lives on one thread.
pub struct Session {
    context: CommandContext,
    output: Arc<dyn Fn(Raw) + Send + Sync>,
}

impl Session {
    /// Starts the processes and compiles a first, empty cell.
    pub fn start(options: Options) -> Result<(Session, Control)> {
        let program = match options.program {
            Some(program) => program,
            None => std::env::current_exe()?,
        };
        let (context, outputs) =
            EvalContext::with_subprocess_command(std::process::Command::new(program))
                .map_err(|error| anyhow!("could not start the compiler: {error}"))?;
        let output: Arc<dyn Fn(Raw) + Send + Sync> = Arc::from(options.output);
        let to = output.clone();
        std::thread::spawn(move || {
            for line in outputs.stdout {
                to(Raw::Stdout((line + "\n").into_bytes()));
            }
        });
        let to = output.clone();
        std::thread::spawn(move || {
            for line in outputs.stderr {
                to(Raw::Stderr((line + "\n").into_bytes()));
            }
        });
        Ok((
            Session {
                context: CommandContext::with_eval_context(context),
                output,
            },
            Control {},
        ))
    }

    /// Runs a cell. Everything it wrote has been given to the output before this returns.
    ///
    /// # Errors
    ///
    /// When the cell does not compile, or ended in any other way than by reaching its end.
    /// Then every variable is as it was before.
    pub fn execute(&mut self, code: &str) -> Result<(), CellError> {
        match self.context.execute(code) {
            Ok(outputs) => {
                for (mime_type, content) in outputs.content_by_mime_type {
                    let block =
                        format!("EVCXR_BEGIN_CONTENT {mime_type}\n{content}\nEVCXR_END_CONTENT\n");
                    (self.output)(Raw::Stdout(block.into_bytes()));
                }
                Ok(())
            }
            Err(evcxr::Error::CompilationErrors(errors)) => Err(CellError {
                ename: "CompileError".to_owned(),
                evalue: errors
                    .first()
                    .map(|error| error.message())
                    .unwrap_or_default(),
                traceback: errors.iter().map(|error| error.rendered()).collect(),
            }),
            Err(error) => Err(CellError::new("Error", error.to_string())),
        }
    }

    /// What could stand at byte `cursor_bytes` of `code`.
    pub fn complete(&mut self, code: &str, cursor_bytes: usize) -> Result<Completions> {
        let found = self.context.completions(code, cursor_bytes)?;
        let candidates = found.completions.into_iter();
        Ok(Completions {
            candidates: candidates
                .map(|c| Candidate {
                    text: c.code,
                    kind: c.kind.to_owned(),
                    label: c.label,
                })
                .collect(),
            start_bytes: found.start_offset,
            end_bytes: found.end_offset,
        })
    }

    /// What is known about the thing that ends at byte `cursor_bytes` of `code`.
    pub fn inspect(&mut self, code: &str, cursor_bytes: usize) -> Result<Option<Inspection>> {
        let (plain, html) = self.context.hover_at(code, cursor_bytes)?;
        if plain == "No documentation found" {
            return Ok(None);
        }
        Ok(Some(Inspection { plain, html }))
    }

    /// The variables' names and types.
    pub fn variables(&self) -> Vec<(String, String)> {
        let variables = self.context.variables_and_types();
        variables
            .map(|(name, type_name)| (name.to_owned(), type_name.to_owned()))
            .collect()
    }
}

/// Steers a session from other threads, also while a cell runs.
#[derive(Clone)]
pub struct Control {}

impl Control {
    /// Ends the cell that runs or compiles, if any; it then fails with `Interrupt`.
    pub fn interrupt(&self) {}

    /// Ends every process of the session and returns when none is left.
    pub fn shutdown(&self) {}
}
