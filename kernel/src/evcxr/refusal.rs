//! Cells that evcxr or rustc refuses because a variable cannot be kept for later cells.

use serde_json::Value;

use super::engine::{Error, EvalOutputs};

/// evcxr's messages, before the name in backquotes, about a variable whose type it cannot write.
const REFUSALS: [&str; 2] = ["The variable `", UNKNOWN_TYPE];
const UNKNOWN_TYPE: &str = "Couldn't automatically determine type of variable `";
/// The compiler's errors about a value that does not live as long as the session.
const OF_LIFETIMES: [&str; 10] = [
    "E0310", "E0373", "E0499", "E0502", "E0503", "E0505", "E0506", "E0521", "E0597", "E0716",
];
/// The compiler's error about a type that contains `!`, such as the handle of a thread that never
/// ends: it can be inferred, but not written.
const UNSTABLE: &str = "E0658";
const NEVER: &str = "`!` type";
/// The error about a variable that is moved while another borrows from it.
const MOVED_WHILE_BORROWED: &str = "E0505";
/// This text identifies the generated lines that put a variable into the store.
const PUT: &str = "evcxr_variable_store.put_variable::<";
const PUT_IN_ANALYSIS: &str = "evcxr_variable_store(";

/// Why a variable is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Closure,
    /// Its type has no name: it contains a closure or an `impl Trait`.
    Nameless,
    Borrows,
}

impl Why {
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Why::Closure => {
                "a closure has no type to keep it by; box it: `let f: Box<dyn Fn(i32) -> i32> = Box::new(…);`"
            }
            Why::Nameless => "its type has no name to keep it by; collect or box it",
            Why::Borrows => "it borrows from another variable; clone it to keep it",
        }
    }
}

/// What keeps a cell from running.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Variables that cannot be kept.
    pub(crate) unkept: Vec<(String, Why)>,
    /// Variables that are not kept, but borrow from a kept variable until the end of the cell.
    pub(crate) to_drop: Vec<String>,
}

pub(crate) fn is_of_unknown_type(result: &Result<EvalOutputs, Error>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.to_string().starts_with(UNKNOWN_TYPE))
}

impl Refused {
    pub(crate) fn of(result: &Result<EvalOutputs, Error>, said: &[Value]) -> Refused {
        match result {
            Ok(_) => Refused::default(),
            Err(Error::CompilationErrors(_)) => Refused::by_compiler(said),
            Err(error) => Refused::by_evcxr(&error.to_string()),
        }
    }

    fn by_evcxr(message: &str) -> Refused {
        let name = REFUSALS.iter().find_map(|start| {
            let (name, _) = message.strip_prefix(start)?.split_once('`')?;
            Some(name.to_owned())
        });
        let why = match message.contains("is a closure") {
            true => Why::Closure,
            false => Why::Nameless,
        };
        Refused {
            unkept: name.into_iter().map(|name| (name, why)).collect(),
            to_drop: Vec::new(),
        }
    }

    fn by_compiler(said: &[Value]) -> Refused {
        let mut refused = Refused::default();
        for message in said {
            let code = message["code"]["code"].as_str().unwrap_or_default();
            let title = message["message"].as_str().unwrap_or_default();
            let is_never = code == UNSTABLE && title.contains(NEVER);
            if message["level"] != "error" || !(is_never || OF_LIFETIMES.contains(&code)) {
                continue;
            }
            let why = if is_never {
                Why::Nameless
            } else {
                Why::Borrows
            };
            for span in message["spans"].as_array().into_iter().flatten() {
                let label = span["label"].as_str().unwrap_or_default();
                let is_the_move = code == MOVED_WHILE_BORROWED && span["is_primary"] == true;
                if let Some(name) = dropped_name(label) {
                    refused.to_drop.push(name);
                } else if let Some(name) = put_name(span).filter(|_| !is_the_move) {
                    let is_known = refused.unkept.iter().any(|(known, _)| *known == name);
                    if !is_known {
                        refused.unkept.push((name, why));
                    }
                }
            }
        }
        refused
    }
}

/// The variable that is put into the store by the line of a position in the generated file.
fn put_name(span: &Value) -> Option<String> {
    let line = span["text"][0]["text"].as_str()?.trim();
    let name = match line.strip_prefix(PUT_IN_ANALYSIS) {
        Some(rest) => rest.split_once(')')?.0,
        None => {
            line.strip_prefix(PUT)?;
            line.rsplit_once(", ")?.1.strip_suffix(");")?
        }
    };
    Some(name.to_owned())
}

/// The variable in "borrow might be used here, when `guard` is dropped and runs ...".
fn dropped_name(label: &str) -> Option<String> {
    let (_, rest) = label.split_once("might be used here, when `")?;
    let (name, _) = rest.split_once("` is dropped")?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(code: &str, spans: Value) -> Value {
        json!({"level": "error", "code": {"code": code}, "spans": spans})
    }

    #[test]
    fn a_refusal_of_evcxr_names_the_variable() {
        for (message, why) in [
            (
                "The variable `f` is a closure, which cannot be persisted.\nYou",
                Why::Closure,
            ),
            (
                "The variable `f` has type `impl Fn()` which cannot be persisted.",
                Why::Nameless,
            ),
            (
                "Couldn't automatically determine type of variable `f`.\nPlease",
                Why::Nameless,
            ),
        ] {
            let refused = Refused::by_evcxr(message);
            assert_eq!(refused.unkept, [("f".to_owned(), why)], "{message}");
        }
        assert_eq!(Refused::by_evcxr("no such command"), Refused::default());
    }

    #[test]
    fn a_borrower_is_told_from_what_it_borrows_from() {
        let line = |name: &str, kind: &str| json!([{"text": format!("evcxr_variable_store.put_variable::<{kind}>(stringify!({name}), {name});")}]);
        let said = [
            error(
                "E0505",
                json!([
                    {"is_primary": true, "label": "move out of `v` occurs here", "text": line("v", "Vec<i32>")},
                    {"is_primary": false, "label": "borrow later used here", "text": line("first", "&i32")},
                ]),
            ),
            error(
                "E0308",
                json!([{"is_primary": true, "label": null, "text": line("other", "u8")}]),
            ),
        ];
        let refused = Refused::by_compiler(&said);
        assert_eq!(refused.unkept, [("first".to_owned(), Why::Borrows)]);
        assert!(refused.to_drop.is_empty());
    }

    #[test]
    fn a_type_that_cannot_be_written_is_not_kept() {
        let line = "evcxr_variable_store.put_variable::<JoinHandle<!>>(stringify!(spins), spins);";
        let mut said = error(
            "E0658",
            json!([{"is_primary": true, "text": [{"text": line}]}]),
        );
        said["message"] = "the `!` type is experimental".into();
        let refused = Refused::by_compiler(std::slice::from_ref(&said));
        assert_eq!(refused.unkept, [("spins".to_owned(), Why::Nameless)]);
        said["message"] = "use of unstable library feature".into();
        assert_eq!(Refused::by_compiler(&[said]), Refused::default());
    }

    #[test]
    fn a_guard_is_dropped_before_its_lock_is_moved() {
        let label = "borrow might be used here, when `guard` is dropped and runs the `Drop` code";
        let said = [error(
            "E0505",
            json!([{"is_primary": false, "label": label, "text": []}]),
        )];
        assert_eq!(Refused::by_compiler(&said).to_drop, ["guard"]);
    }
}
