//! Whether a cell needs a tokio runtime.
//!
//! evcxr runs every cell after the first one with an `.await` on a runtime. So no cell could have one of its own any more
//! ("cannot start a runtime from within a runtime"). A cell that does not await itself gets something in its place
//! that only runs it; if it names tokio, with the runtime entered, so that `tokio::spawn` finds it.

use ra_ap_syntax::SyntaxKind;

use crate::cell::{Body, is_own};

/// What evcxr begins with; the compiler breaks the line behind it.
const BEGINS: &str = "let mut mutex =";
const NAME: &str = "lazy_arc(\"evcxr_tokio_runtime\"";
const ENDS: &str = ".block_on(async {";
/// Behind the cell's own code, where it may use `?`.
const BEHIND: &str = "Ok::<(), EvcxrUserCodeError>(())";
const PLAIN: &str = "::forklore::store::Now";
const ENTERED: &str = "let _m_=evcxr_variable_store.lazy_arc(\"evcxr_tokio_runtime\",||std::sync::Mutex::new(\
    tokio::runtime::Runtime::new().unwrap()));let _r_=::forklore::store::lock(&_m_);let _e_=_r_.enter();\
    ::forklore::store::Now";

/// What stands in the place of these bytes of the file that is compiled for a cell, if it does not await.
pub(crate) fn without_runtime(text: &str) -> Option<(std::ops::Range<usize>, &'static str)> {
    let name = text.find(NAME)?;
    let begin = text[..name].rfind(BEGINS)?;
    let end = name + text[name..].find(ENDS)?;
    let cell = &text[end + ENDS.len()..];
    let cell = &cell[..cell.rfind(BEHIND).unwrap_or(cell.len())];
    if awaits(cell) {
        return None;
    }
    let names_tokio = cell.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let new = match names_tokio.into_iter().any(|word| word == "tokio") {
        true => ENTERED,
        false => PLAIN,
    };
    Some((begin..end, new))
}

/// Whether code awaits outside of functions, closures and `async` blocks, as far as can be seen: a macro of unknown
/// kind may await too, if it is one of those that are made for it.
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
        // As evcxr's `stringify!` gives it.
        let runtime = "let mut mutex =\nevcxr_variable_store.lazy_arc(\"evcxr_tokio_runtime\", ||\n\
             std::sync::Mutex::new(tokio::runtime::Runtime::new().unwrap())); match\n\
             mutex.lock() { Ok(guard) => guard, Err(poisoned) => poisoned.into_inner(), }";
        assert!(ENTERED.len() + runtime.matches('\n').count() <= runtime.len());
        let text = |cell: &str| format!("fn f() {{\n{runtime}\n{ENDS}\n{cell}\n{BEHIND}\n}});\n}}");
        for (cell, expected) in [
            ("1", Some(PLAIN)),
            ("tokio::spawn(async {})", Some(ENTERED)),
            ("f().await", None),
        ] {
            let text = text(cell);
            let found = without_runtime(&text);
            assert_eq!(found.as_ref().map(|(_, new)| *new), expected, "{cell}");
            if let Some((place, _)) = found {
                assert_eq!(text[place].trim_end(), runtime);
            }
        }
        assert_eq!(without_runtime("fn f() {}"), None);
    }
}
