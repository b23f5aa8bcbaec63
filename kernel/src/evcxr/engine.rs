//! evcxr itself: compiles code, remembers variables and items, and passes compiled code to the
//! supervisor to run.

use std::process::Command;

use ::evcxr::{CommandContext, Completions, EvalContext};
use anyhow::Result;

pub(crate) use ::evcxr::{CompilationError, Error, EvalOutputs};

/// A session's evcxr. It lives on one thread.
pub(crate) struct Evcxr(CommandContext);

impl Evcxr {
    /// Starts evcxr, with `supervisor` as the command of its runtime. Returns the lines that the
    /// supervisor itself writes to standard error.
    ///
    /// # Errors
    ///
    /// If the supervisor cannot be started, or evcxr's own first cell does not compile.
    pub(crate) fn start(
        supervisor: Command,
    ) -> Result<(Evcxr, impl Iterator<Item = String> + use<>), Error> {
        let (context, outputs) = EvalContext::with_subprocess_command(supervisor)?;
        let context = CommandContext::with_eval_context(context);
        Ok((Evcxr(context), outputs.stderr.into_iter()))
    }

    /// Compiles and runs code, or executes a `:command`.
    ///
    /// # Errors
    ///
    /// Why the code has not compiled, or not reached its end.
    pub(crate) fn execute(&mut self, code: &str) -> Result<EvalOutputs, Error> {
        self.0.execute(code)
    }

    /// Puts another optimisation level into the manifest, from the next cell on.
    ///
    /// # Errors
    ///
    /// If the level is empty.
    pub(crate) fn set_level(&mut self, level: &str) -> Result<(), Error> {
        self.0.set_opt_level(level)
    }

    /// The completions at a byte of the code.
    ///
    /// # Errors
    ///
    /// If the code cannot be analysed.
    pub(crate) fn completions(&mut self, code: &str, at: usize) -> Result<Completions> {
        self.0.completions(code, at)
    }

    /// Information about the name that ends at a byte of the code, as plain text and as HTML.
    ///
    /// # Errors
    ///
    /// If the code cannot be analysed.
    pub(crate) fn inspect(&mut self, code: &str, at: usize) -> Result<Option<(String, String)>> {
        let (plain, html) = self.0.hover_at(code, at)?;
        Ok((plain != "No documentation found").then_some((plain, html)))
    }

    /// The variables, and their types.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.variables_and_types()
    }

    /// The names of the items of all cells.
    pub(crate) fn items(&self) -> impl Iterator<Item = &str> {
        self.0.defined_item_names()
    }

    /// The program that was compiled last; empty if it cannot be read.
    pub(crate) fn last_source(&self) -> String {
        self.0.last_source().unwrap_or_default()
    }
}

/// If this process was started as the runtime of the unmodified evcxr, or as its wrapper around
/// rustc: serves as that, and does not return.
pub(crate) fn serve_if_asked() {
    ::evcxr::runtime_hook();
}
