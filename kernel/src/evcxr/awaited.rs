//! The tokio runtime of a session, and which cells run on it.
//!
//! evcxr runs every cell after the first one with an `.await` on a runtime, so no later cell could
//! create its own ("cannot start a runtime from within a runtime"). This module distinguishes three
//! kinds of cells:
//!
//! | the cell | runs |
//! | --- | --- |
//! | awaits | on the session's runtime, which is created again after a rollback ([`AWAITED`]) |
//! | starts something that needs a runtime, such as `tokio::spawn` | by itself, with that runtime entered ([`ENTERED`]) |
//! | anything else | by itself ([`PLAIN`]) |

use ra_ap_syntax::SyntaxKind;

use crate::cell::{Body, is_own};

/// The beginning of evcxr's code; the compiler breaks the line after it.
const BEGINS: &str = "let mut mutex =";
const NAME: &str = "lazy_arc(\"evcxr_tokio_runtime\"";
const ENDS: &str = ".block_on(async {";
/// Follows the cell's own code, in which `?` may be used.
const BEHIND: &str = "Ok::<(), EvcxrUserCodeError>(())";
const PLAIN: &str = "::forklore::store::Now";
const AWAITED: &str = "let _m_=evcxr_variable_store.runtime(tokio::runtime::Runtime::new);::forklore::store::lock(&_m_)";
const ENTERED: &str = "let _m_=evcxr_variable_store.runtime(tokio::runtime::Runtime::new);\
    let _r_=::forklore::store::lock(&_m_);let _e_=_r_.enter();::forklore::store::Now";

/// A byte range of the file that is compiled for a cell, and the text that replaces it.
pub(crate) fn runtime(text: &str) -> Option<(std::ops::Range<usize>, &'static str)> {
    let name = text.find(NAME)?;
    let begin = text[..name].rfind(BEGINS)?;
    let end = name + text[name..].find(ENDS)?;
    let cell = &text[end + ENDS.len()..];
    let cell = &cell[..cell.rfind(BEHIND).unwrap_or(cell.len())];
    let new = if awaits(cell) {
        AWAITED
    } else if needs_runtime(cell, text.contains("use tokio::")) {
        ENTERED
    } else {
        PLAIN
    };
    Some((begin..end, new))
}

/// Calls that panic outside a runtime.
const NEED_RUNTIME: [&str; 12] = [
    "spawn",
    "spawn_blocking",
    "spawn_local",
    "JoinSet",
    "sleep",
    "sleep_until",
    "interval",
    "interval_at",
    "timeout",
    "timeout_at",
    "current",
    "from_std",
];

/// Whether a cell starts something that needs a runtime, judged by its words. A cell with its own
/// runtime contains words that say so.
fn needs_runtime(cell: &str, imports_tokio: bool) -> bool {
    let words: Vec<&str> = words(cell).collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(word));
    (imports_tokio || has(&["tokio"]))
        && has(&NEED_RUNTIME)
        && !has(&["Runtime", "block_on", "enter"])
}

/// Whether a cell starts something that needs a runtime, and does not await: if no earlier cell has
/// awaited, there is no runtime.
pub(crate) fn lacks_runtime(cell: &str, imports_tokio: bool) -> bool {
    needs_runtime(cell, imports_tokio) && !awaits(cell)
}

/// Whether evcxr runs cells on a runtime by now, according to the file that was compiled last.
pub(crate) fn is_async(text: &str) -> bool {
    text.contains(PLAIN) || text.contains("evcxr_variable_store.runtime(")
}

/// Code before a cell that makes evcxr create a runtime.
pub(crate) const MAKE_RUNTIME: &str = "async {}.await; ";

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

/// Whether code awaits outside functions, closures and `async` blocks, as far as its text shows: an
/// unknown macro may await too, if it is one of those that are made for it.
fn awaits(code: &str) -> bool {
    Body::parse(code).tokens().any(|token| match token.kind() {
        SyntaxKind::AWAIT_KW => is_own(&token),
        SyntaxKind::IDENT => {
            let is_macro = ["join", "try_join", "select"].contains(&token.text());
            let is_called = token
                .next_token()
                .is_some_and(|next| next.kind() == SyntaxKind::BANG);
            let is_awaited = token.text() == "await";
            (is_awaited || is_macro && is_called) && is_own(&token)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_await_are_told_from_those_that_make_something_which_will() {
        for code in [
            "f().await",
            "let x = g().await?;",
            "if a { b.await; }",
            "println!(\"{}\", f().await);",
            "tokio::join!(a(), b());",
            "{ async { 1 } }.await",
        ] {
            assert!(awaits(code), "{code}");
        }
        for code in [
            "1 + 1",
            "let a = async { f().await };",
            "let rt = tokio::runtime::Runtime::new()?; rt.block_on(async { f().await });",
            "async fn g() { f().await }\ng()",
            "let f = || async { g().await };",
            "let join = 1; // f().await",
            "\"f().await\"",
        ] {
            assert!(!awaits(code), "{code}");
        }
    }

    #[test]
    fn the_runtime_s_place_is_found() {
        // In the form in which evcxr's `stringify!` prints it.
        let runtime = "let mut mutex =\nevcxr_variable_store.lazy_arc(\"evcxr_tokio_runtime\", ||\n\
             std::sync::Mutex::new(tokio::runtime::Runtime::new().unwrap())); match\n\
             mutex.lock() { Ok(guard) => guard, Err(poisoned) => poisoned.into_inner(), }";
        assert!(ENTERED.len() + runtime.matches('\n').count() <= runtime.len());
        let text = |cell: &str| format!("fn f() {{\n{runtime}\n{ENDS}\n{cell}\n{BEHIND}\n}});\n}}");
        for (cell, expected) in [
            ("1", PLAIN),
            ("let (a, b) = tokio::sync::mpsc::channel(1);", PLAIN),
            (
                "let rt = tokio::runtime::Runtime::new()?; rt.spawn(f())",
                PLAIN,
            ),
            ("tokio::spawn(async {})", ENTERED),
            ("f().await", AWAITED),
        ] {
            let text = text(cell);
            let (place, new) = super::runtime(&text).unwrap();
            assert_eq!(new, expected, "{cell}");
            assert_eq!(text[place].trim_end(), runtime);
        }
        let imported = format!("use tokio::spawn;\n{}", text("spawn(f())"));
        assert_eq!(super::runtime(&imported).unwrap().1, ENTERED);
        assert_eq!(super::runtime("fn f() {}"), None);
    }

    #[test]
    fn only_what_needs_a_runtime_and_has_none_lacks_one() {
        assert!(lacks_runtime("let handle = tokio::spawn(f());", false));
        assert!(lacks_runtime("spawn(f())", true));
        for code in [
            "std::thread::spawn(f)",
            "tokio::spawn(f()).await",
            "let runtime = tokio::runtime::Runtime::new()?; runtime.spawn(f());",
            "async fn later() { tokio::sync::Notify::new().notified().await }",
        ] {
            assert!(!lacks_runtime(code, false), "{code}");
        }
    }
}
