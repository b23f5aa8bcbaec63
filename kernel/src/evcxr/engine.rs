//! evcxr itself: compiles code, remembers variables and items, and has the supervisor run what it
//! has compiled.

use std::process::Command;

use ::evcxr::{CommandContext, Completions, EvalContext};
use anyhow::Result;

pub(crate) use ::evcxr::{CompilationError, Error, EvalOutputs};

/// A session's evcxr. It lives on one thread.
pub(crate) struct Evcxr(CommandContext);

impl Evcxr {
    /// Starts evcxr with `supervisor` as the command of what it takes for its runtime. Gives the
    /// lines that the supervisor itself writes to standard error.
    ///
    /// # Errors
    ///
    /// When the supervisor cannot be started, or evcxr's own first cell does not compile.
    pub(crate) fn start(
        supervisor: Command,
    ) -> Result<(Evcxr, impl Iterator<Item = String> + use<>), Error> {
        let (context, outputs) = EvalContext::with_subprocess_command(supervisor)?;
        let context = CommandContext::with_eval_context(context);
        Ok((Evcxr(context), outputs.stderr.into_iter()))
    }

    /// Compiles and runs code, or does what a `:command` says.
    ///
    /// # Errors
    ///
    /// Why it has not compiled, or not reached its end.
    pub(crate) fn execute(&mut self, code: &str) -> Result<EvalOutputs, Error> {
        self.0.execute(code)
    }

    /// Puts another level of optimisation into the manifest, from the next cell on.
    ///
    /// # Errors
    ///
    /// When it is empty.
    pub(crate) fn set_level(&mut self, level: &str) -> Result<(), Error> {
        self.0.set_opt_level(level)
    }

    /// What could stand at a byte of the code.
    ///
    /// # Errors
    ///
    /// When the code cannot be analysed.
    pub(crate) fn completions(&mut self, code: &str, at: usize) -> Result<Completions> {
        self.0.completions(code, at)
    }

    /// What is known of the thing that ends at a byte of the code, as plain text and as HTML.
    ///
    /// # Errors
    ///
    /// When the code cannot be analysed.
    pub(crate) fn inspect(&mut self, code: &str, at: usize) -> Result<Option<(String, String)>> {
        let (plain, html) = self.0.hover_at(code, at)?;
        Ok((plain != "No documentation found").then_some((plain, html)))
    }

    /// The variables, and their types.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.variables_and_types()
    }

    /// The names of the items that all cells have.
    pub(crate) fn items(&self) -> impl Iterator<Item = &str> {
        self.0.defined_item_names()
    }

    /// The program that was compiled last; empty if it cannot be read.
    pub(crate) fn last_source(&self) -> String {
        self.0.last_source().unwrap_or_default()
    }
}

/// Serves as the runtime of the unmodified evcxr, and does not return, if this process was started
/// for that; likewise as its wrapper around rustc.
pub(crate) fn serve_if_asked() {
    ::evcxr::runtime_hook();
}
