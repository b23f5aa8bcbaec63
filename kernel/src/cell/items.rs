//! Makes items behave as in a file: what `cfg` excludes is removed, and functions may use a macro
//! that is defined after them.
//!
//! evcxr keeps only the last item of each name in a cell, and gives items to the compiler in any
//! order.

use ra_ap_syntax::ast::{self, HasAttrs};
use ra_ap_syntax::{AstNode, SyntaxKind, SyntaxNode};

use super::code::Body;
use super::lines::{blank, commands_end};

/// Makes a macro visible in the whole crate, and not only after its definition.
const EXPORT: &str = "#[macro_export] ";

/// Blanks the code that `#[cfg(…)]` excludes from the cell, and the attribute where it includes the
/// code. An attribute that only the compiler can decide stays.
pub(super) fn configure(code: &mut String) {
    if !code.contains("cfg") {
        return;
    }
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let mut places = Vec::new();
    for statement in body.statements() {
        // The attributes of an expression statement belong to its expression.
        let attributes: Vec<_> = outer_attributes(&statement).collect();
        for attribute in &attributes {
            match condition(attribute).and_then(|condition| holds(&condition)) {
                Some(true) => places.push(attribute.syntax().text_range()),
                Some(false) => places.push(statement.text_range()),
                None => {}
            }
        }
    }
    for range in places {
        let place = |size| from + body.offset(size);
        blank(code, place(range.start()), place(range.end()));
    }
}

/// Marks the cell's macros so that they work at any position in the crate.
pub(super) fn export_macros(code: &mut String) {
    if !code.contains("macro_rules") {
        return;
    }
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let macros: Vec<_> = body
        .statements()
        .filter_map(ast::MacroRules::cast)
        .collect();
    for definition in macros.into_iter().rev() {
        let is_exported = definition.attrs().any(|attribute| {
            attribute
                .syntax()
                .text()
                .to_string()
                .contains("macro_export")
        });
        if let Some(token) = definition.macro_rules_token().filter(|_| !is_exported) {
            code.insert_str(from + body.offset(token.text_range().start()), EXPORT);
        }
    }
}

/// Escapes a method named `gen`, as rand's was for years: in the cells' edition that is a keyword.
pub(super) fn escape_gen(code: &mut String) {
    if !code.contains(".gen") {
        return;
    }
    let from = commands_end(code);
    let body = Body::parse(&code[from..]);
    let tokens: Vec<_> = body.tokens().collect();
    for pair in tokens.windows(2).rev() {
        if pair[0].text() == "." && pair[1].text() == "gen" {
            code.insert_str(from + body.offset(pair[1].text_range().start()), "r#");
        }
    }
}

fn outer_attributes(statement: &SyntaxNode) -> impl Iterator<Item = ast::Attr> + use<> {
    let owner = match statement.kind() {
        SyntaxKind::EXPR_STMT => statement.first_child(),
        _ => Some(statement.clone()),
    };
    let children = owner
        .into_iter()
        .flat_map(|owner| owner.children().collect::<Vec<_>>());
    children
        .filter_map(ast::Attr::cast)
        .filter(|attribute| attribute.excl_token().is_none())
}

/// The text between the parentheses of `#[cfg(…)]`.
fn condition(attribute: &ast::Attr) -> Option<String> {
    let text = attribute.syntax().text().to_string();
    let inner = text.strip_prefix("#[")?.strip_suffix(']')?.trim();
    let rest = inner.strip_prefix("cfg")?.trim_start();
    Some(rest.strip_prefix('(')?.strip_suffix(')')?.to_owned())
}

/// Whether a condition holds for the cells' crate, if that is known without the compiler.
fn holds(condition: &str) -> Option<bool> {
    let condition = condition.trim();
    if let Some((name, inner)) = condition.split_once('(') {
        let inner = inner.trim_end().strip_suffix(')')?;
        let parts: Vec<Option<bool>> = parts_of(inner).into_iter().map(holds).collect();
        let has = |value| parts.contains(&Some(value));
        let is_known = parts.iter().all(Option::is_some);
        return match name.trim() {
            "all" if has(false) => Some(false),
            "all" => is_known.then_some(true),
            "any" if has(true) => Some(true),
            "any" => is_known.then_some(false),
            "not" => parts.first().copied().flatten().map(|holds| !holds),
            _ => None,
        };
    }
    match condition.split_once('=') {
        Some((name, value)) => {
            let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
            has_value(name.trim(), value)
        }
        None => match condition {
            "true" | "unix" => Some(cfg!(unix) || condition == "true"),
            // Nothing that only `--cfg` can set is set.
            "debug_assertions" | "overflow_checks" => None,
            _ => Some(false),
        },
    }
}

fn has_value(name: &str, value: &str) -> Option<bool> {
    let width = usize::BITS.to_string();
    let is = match name {
        "target_os" => std::env::consts::OS,
        "target_arch" => std::env::consts::ARCH,
        "target_family" => std::env::consts::FAMILY,
        "target_pointer_width" => &width,
        "target_endian" if cfg!(target_endian = "little") => "little",
        "panic" => "unwind",
        // The cells' crate has no features.
        "feature" => return Some(false),
        _ => return None,
    };
    Some(is == value)
}

/// The texts between the commas that are outside parentheses.
fn parts_of(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_the_cells() {
        for (condition, expected) in [
            ("unix", Some(cfg!(unix))),
            ("windows", Some(false)),
            ("test", Some(false)),
            ("some_condition", Some(false)),
            ("panic = \"unwind\"", Some(true)),
            ("not(panic = \"unwind\")", Some(false)),
            ("all()", Some(true)),
            ("any()", Some(false)),
            (
                "all(unix, not(windows), any(test, target_os = \"linux\",))",
                Some(cfg!(target_os = "linux")),
            ),
            ("debug_assertions", None),
            ("any(debug_assertions, unix)", Some(true)),
            ("all(debug_assertions, unix)", None),
            ("target_feature = \"sse2\"", None),
        ] {
            assert_eq!(holds(condition), expected, "{condition}");
        }
    }

    #[test]
    fn what_is_configured_out_is_blank() {
        let configured = |code: &str| {
            let mut code = code.to_owned();
            configure(&mut code);
            code.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let two = "#[cfg(unix)]\nfn f() {}\n#[cfg(not(unix))]\nfn f() { no() }";
        assert_eq!(configured(two), "fn f() {}");
        assert_eq!(
            configured("#[cfg(windows)]\nuse std::os::windows;\nf()"),
            "f()"
        );
        assert_eq!(configured("#[cfg(unix)] { let a = 1; }"), "{ let a = 1; }");
        assert_eq!(
            configured("#[cfg(test)]\nmod tests { #[test] fn t() {} }"),
            ""
        );
        assert_eq!(configured("#[cfg(unix)] f(1);"), "f(1);");
        let kept = "#[cfg(debug_assertions)] f(1);";
        assert_eq!(configured(kept), kept);
    }

    #[test]
    fn a_method_may_be_called_gen() {
        let mut code =
            "let x: u8 = rng.gen();\nrng.gen::<f64>(); rng.gen_range(0..3); \".gen()\"".to_owned();
        escape_gen(&mut code);
        let expected =
            "let x: u8 = rng.r#gen();\nrng.r#gen::<f64>(); rng.gen_range(0..3); \".gen()\"";
        assert_eq!(code, expected);
    }

    #[test]
    fn a_macro_is_exported_once() {
        let mut code = ":dep a\n#[macro_export]\nmacro_rules! a { () => {} }\n  macro_rules! b { () => {} }\nb!()".to_owned();
        export_macros(&mut code);
        assert_eq!(code.matches(EXPORT.trim()).count(), 2);
        assert!(
            code.contains("\n  #[macro_export] macro_rules! b {"),
            "{code}"
        );
    }
}
