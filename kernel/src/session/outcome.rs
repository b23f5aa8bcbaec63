//! Why a cell failed.

/// The error's name if supervisor and user process are gone, including all variables.
pub(super) const SUPERVISOR_LOST: &str = "Killed";

/// Why a cell failed, in the fields of a Jupyter error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellError {
    /// The error's name: `Panic`, `QuestionMark`, `CompileError`, `Interrupt`, `Exit`, `Abort`,
    /// `SegmentationFault`, `StackOverflow`, `BusError`, `IllegalInstruction`, `ArithmeticFault`,
    /// `OutOfMemory`, `Killed`, `Error`.
    pub ename: String,
    /// What happened, in a sentence.
    pub evalue: String,
    /// The lines to show, with ANSI colours.
    pub traceback: Vec<String>,
}

impl CellError {
    /// Whether the cell failed before any of it ran.
    pub(super) fn is_before_running(&self) -> bool {
        matches!(self.ename.as_str(), "CompileError" | "Error")
    }

    pub(crate) fn new(ename: &str, evalue: impl Into<String>) -> CellError {
        let evalue = evalue.into();
        let traceback = vec![format!("\x1b[1;31m{ename}\x1b[0m: {evalue}")];
        CellError {
            ename: ename.to_owned(),
            evalue,
            traceback,
        }
    }
}
