//! Tests of the rewriting: which code runs, and that the learner's characters keep their positions.

use proptest::prelude::*;

use super::*;

fn steps(text: &str) -> Vec<Step> {
    plan(text)
        .unwrap_or_else(|mistake| panic!("{text:?}: {mistake}"))
        .steps
}

/// The code that evcxr gets for a cell that is only Rust.
pub(super) fn run(text: &str) -> String {
    match &steps(text)[..] {
        [Step::Run(code)] => code.clone(),
        other => panic!("{text:?}: {other:?}"),
    }
}

/// The action for a cell that is only a magic.
fn done(text: &str) -> Action {
    match steps(text).pop() {
        Some(Step::Do(action)) => action,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn plain_cells_are_not_touched() {
    for text in [
        "1 + 1",
        "let x = 5;\nx",
        ":dep rand = \"0.9\"\nuse rand::Rng;",
        "let a = 7\n  % 4;",
        "let a = 7\n%b;",
        "let s = \"\n%time x\n\";",
        "/*\n%time x\n*/ 1",
        "match x {\n  _ => 3\n%time\n}",
        "f(1,\n%y)",
    ] {
        assert_eq!(run(text), text);
    }
}

#[test]
fn a_line_for_the_shell_is_a_script() {
    let plan = plan("// before\n!echo $HOME\n! ls\nlet a = !1;").unwrap();
    let [
        Step::Do(Action::Script(first)),
        Step::Do(Action::Script(second)),
        Step::Run(rust),
    ] = &plan.steps[..]
    else {
        panic!("{plan:?}")
    };
    assert_eq!(
        (first.program, &*first.text, &*second.text),
        ("sh", "echo $HOME", "ls")
    );
    assert_eq!(
        rust.trim_start_matches("// before"),
        "\n           \n    \nlet a = !1;"
    );
}

#[test]
fn a_cell_is_no_function_to_return_from() {
    for code in [
        "let a = 1;\nif a > 0 { return; }",
        "\nreturn Err(\"no\".into());",
    ] {
        let mistake = plan(code).unwrap_err();
        assert!(mistake.message.contains("`return` on line 2"), "{mistake}");
    }
    for code in [
        "fn f() -> u8 { return 1; }",
        "let f = |x: u8| { return x; };",
        "let a = async { return 1; };",
        "// return\nprintln!(\"return\");",
        "impl T for A { fn f(&self) { return; } }",
    ] {
        assert!(plan(code).is_ok(), "{code}");
    }
}

#[test]
fn an_empty_cell_runs_nothing() {
    assert_eq!(plan(" \n\n"), Ok(Plan::default()));
}

#[test]
fn magics_say_what_they_need() {
    for (text, part) in [
        ("%time", "needs something to time"),
        ("%time fn f() {}", "can time an expression"),
        ("%time let x;", "can time an expression"),
        ("f\n%time (3)", "end the one before it with a semicolon"),
        ("f\n%time%", "end the one before it with a semicolon"),
        ("%%time", "there are none"),
        ("%%time f(x)", "write `%time f(x)`"),
        ("%%time\n%time f()", "cannot be used inside"),
        ("%tiem f()", "did you mean `%time`"),
        ("%%tmie\nf()", "did you mean `%%time`"),
        (
            "%completely_unknown",
            "there is no `%completely_unknown`; `%lsmagic` lists",
        ),
        ("%%\n", "there is no `%%`"),
        ("%who 1", "is used so: `%who`"),
        ("%checkpoint sometimes", "on|off|auto"),
        ("%limit memory much", "[memory SIZE|off|auto]"),
        ("%limit memory 0", "[memory SIZE|off|auto]"),
        ("%export", "`%export FOLDER`"),
        ("%env A-B=1", "[NAME[=VALUE]]"),
        ("%%bash\n \n", "there are none"),
        ("%%writefile\n1", "[-a] FILE"),
    ] {
        let mistake = plan(text).unwrap_err();
        assert!(mistake.message.contains(part), "{text:?}: {mistake}");
    }
}

#[test]
fn what_stands_before_the_code_is_done_before_it() {
    let planned = steps("%lsmagic\n:dep x\n// why\n%who\n1 + 1\n%checkpoint off\n");
    let [
        Step::Say(list),
        Step::Do(Action::Variables),
        Step::Run(code),
        Step::Do(Action::Checkpoint(Some(policy))),
    ] = &planned[..]
    else {
        panic!("{planned:?}");
    };
    assert!(list.contains("%%time"));
    assert_eq!(
        code,
        "        \n:dep x\n// why\n    \n1 + 1\n               \n"
    );
    assert_eq!(policy, "off");
    assert!(matches!(&steps("%lsmagic")[..], [Step::Say(_)]));
    let mistake = plan("let a = 1;\n%who\na").unwrap_err();
    assert!(mistake.message.contains("not in its middle"), "{mistake}");
    assert!(
        matches!(&steps(":help")[..], [Step::Run(_), Step::Say(list)] if list.contains("%%bash"))
    );
}

#[test]
fn magics_are_read() {
    assert_eq!(done("%reset -f"), Action::Reset);
    assert_eq!(done("%checkpoint status"), Action::Checkpoint(None));
    let policy = Some("auto:1048576".to_owned());
    assert_eq!(done("%checkpoint auto:1M"), Action::Checkpoint(policy));
    for (text, bytes) in [
        ("%limit memory 1G", 1 << 30),
        ("%limit 512M", 512 << 20),
        ("%limit memory 1.5GiB", 3 << 29),
        ("%limit memory 4096", 4096),
    ] {
        let limit = MemoryLimit::Bytes(bytes);
        assert_eq!(done(text), Action::Limit(Some(limit)), "{text}");
    }
    assert_eq!(done("%limit off"), Action::Limit(Some(MemoryLimit::Off)));
    assert_eq!(done("%limit"), Action::Limit(None));
    assert_eq!(
        done("%profile debug"),
        Action::Profile(Some(Profile::Debug))
    );
    assert_eq!(done("%export a b"), Action::Export("a b".to_owned()));
    let script = Script {
        program: "bash",
        arguments: vec!["-x".to_owned()],
        text: "echo \"%time\"\n".to_owned(),
        file: "cell.sh",
        may_fail: false,
    };
    assert_eq!(done("%%bash -x\necho \"%time\"\n"), Action::Script(script));
    assert!(matches!(done("\n%%bash\nls"), Action::Script(script) if script.text == "ls"));
    let write = |appends| Action::Write {
        path: "a.txt".to_owned(),
        appends,
        text: "1\n".to_owned(),
    };
    assert_eq!(done("%%writefile a.txt\n1"), write(false));
    assert_eq!(done("%%writefile -a a.txt\n1\n"), write(true));
    for name in ["\"a b.txt\"", "'a b.txt'", "a b.txt"] {
        let write = done(&format!("%%writefile {name}\n1"));
        assert!(matches!(write, Action::Write { path, .. } if path == "a b.txt"));
    }
    let svg = done("%%svg\n<svg/>");
    assert!(matches!(svg, Action::Show { mime_type: "image/svg+xml", text } if text == "<svg/>"));
}

#[test]
fn commands_of_evcxr_that_the_kernel_has_a_part_in() {
    let planned = plan(":vars\n:fmt {:#?}\n:types\nv").unwrap().steps;
    let [
        Step::Do(Action::Pretty(true)),
        Step::Do(Action::ToggleTypes),
        Step::Run(code),
    ] = &planned[..]
    else {
        panic!("{planned:?}");
    };
    assert_eq!(code.trim_start().lines().next(), Some(":vars"));
    assert_eq!(code.lines().nth(3), Some("v"));
    assert!(plan(":fmt {}").unwrap_err().message.contains("{:#?}"));
    assert!(plan(":quit").unwrap_err().message.contains("Shut Down"));
    assert_eq!(plan("let a = 1;").unwrap().steps.len(), 1);
}

#[test]
fn the_environment_is_a_statement_where_it_stands() {
    assert_eq!(
        run("f();\n%env A=it's 1\ng()"),
        "f();\nunsafe { std::env::set_var(\"A\", \"it's 1\") };\ng()"
    );
    assert_eq!(run("%env A b"), run("%env A = b"));
    assert!(run("%env A").contains("A is not set"));
    assert!(run("%env").contains("vars_os"));
}

#[test]
fn a_question_is_a_name_and_nothing_else() {
    for text in ["?name", "name?", "??name", " name?? ", "? name\n"] {
        assert_eq!(done(text), Action::Describe("name".to_owned()), "{text}");
        assert_eq!(without_magics(text).trim(), "name");
    }
    assert_eq!(
        done("std::vec::Vec?"),
        Action::Describe("std::vec::Vec".to_owned())
    );
    assert_eq!(done("println!?"), Action::Describe("println".to_owned()));
    assert!(matches!(&steps("?%limit")[..], [Step::Say(text)] if text.contains("512M")));
    for text in ["f()?", "name?;", "(name)?", "let x = name?", "a.b?", "?"] {
        assert_eq!(run(text), text);
    }
}

#[test]
fn the_documentation_of_the_first_item_is_kept() {
    assert_eq!(
        run("/// What f is.\nfn f() {}"),
        " /// What f is.\nfn f() {}"
    );
    assert_eq!(
        run("//// No documentation.\n1"),
        "//// No documentation.\n1"
    );
    assert_eq!(run("// A comment.\nfn f() {}"), "// A comment.\nfn f() {}");
}

#[test]
fn a_program_runs_its_main_once() {
    let call = |text: &str| {
        let run = run(text);
        run.strip_prefix(text).map(|call| call.trim().to_owned())
    };
    let ended = "forklore::display::cell::ended(main())?;";
    for (text, expected) in [
        ("fn main() { f() }", "main();"),
        ("fn main() -> ExitCode { f() }", ended),
        (
            "// A program.\nuse a::b;\nmod c {}\npub fn main() -> Result<(), E> { f() }\nfn f() {}",
            ended,
        ),
        ("make!(Widget);\nfn main() {}", "main();"),
        (":dep a\n#![allow(unused)]\nfn main() {}", "main();"),
        ("#[tokio::main]\nasync fn main() {}", "main();"),
        ("#[tokio::main]\nasync fn main() -> Result<(), E> {}", ended),
        ("async fn main() {}", "main().await;"),
        (
            "async fn main() -> Result<(), E> {}",
            "forklore::display::cell::ended(main().await)?;",
        ),
        ("fn main() -> ! { loop {} }", "main();"),
        ("fn main() {}\nmain();", ""),
        ("fn main() {}\nmain()", ""),
        ("let a = 1;\nfn main() {}", ""),
        ("fn main() {}\nprintln!(\"a\");", ""),
        ("fn main(x: u8) {}", ""),
        ("fn main<T>() {}", ""),
        ("mod a { fn main() {} }", ""),
        ("fn main() {", ""),
    ] {
        assert_eq!(call(text).as_deref(), Some(expected), "{text}");
    }
    // The session decides what kind of crate it is.
    let program = "#![crate_type = \"bin\"]\nfn main() {}";
    assert_eq!(run(program).lines().next(), Some(" ".repeat(22).as_str()));
}

#[test]
fn rust_that_looks_like_a_command_is_rust() {
    for (text, expected) in [
        ("!true", " !true"),
        ("!0u8", " !0u8"),
        ("!done(1) && x", " !done(1) && x"),
        ("!v.is_empty()", " !v.is_empty()"),
        ("!(a && b)", " !(a && b)"),
        ("::std::mem::swap(a, b)", "\t::std::mem::swap(a, b)"),
        ("// why\n!true", "// why\n !true"),
    ] {
        assert_eq!(run(text), expected);
    }
    for text in ["!ls", "!true; echo a", "!script.sh --all", "!7z x archive"] {
        let Action::Script(script) = done(text) else {
            panic!("{text}")
        };
        assert_eq!(script.text, text[1..]);
    }
}

#[test]
fn a_negated_variable_is_rust() {
    let shielded = |text: &str| {
        shield_negation(text, |name, is_whole| match name {
            "done" | "n" => true,
            "list" => !is_whole,
            _ => false,
        })
    };
    for text in [
        "!done",
        "!done && x",
        "// why\n\n!done\n",
        "!n & 3;",
        "!done // no",
        "!list.is_whole",
        "!ls\n!done",
        ":dep a\n!done || b == c",
    ] {
        let expected = text
            .replace("!done", " !done")
            .replace("!n", " !n")
            .replace("!list", " !list");
        assert_eq!(shielded(text), Some(expected), "{text}");
    }
    for text in [
        "! done",
        "!ls",
        "!list",
        "!done.sh -x",
        "!done x",
        "!n -j",
        "1\n!done",
        "!done && (",
        "",
    ] {
        assert_eq!(shielded(text), None, "{text}");
    }
}

#[test]
fn variables_of_the_cell_alone() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| name.to_string())
            .collect::<Vec<_>>()
    };
    let unkept = as_locals(
        "let a = 1;\nlet (f, b) = (|x| x, 2); f(b)\n",
        &names(&["f"]),
    )
    .unwrap();
    assert_eq!(unkept.code, "let a = 1;\n_l!((f, b) = (|x| x, 2)); f(b)\n");
    assert_eq!(unkept.names, ["f", "b"]);
    assert_eq!(as_locals("let a = 1;", &names(&["b"])), None);
    assert_eq!(as_locals("if let Some(b) = c {}", &names(&["b"])), None);
    let dropped = |code| with_drops(code, &names(&["g"]));
    assert_eq!(
        dropped("let g = 1; g + 1"),
        "let g = 1; (g + 1).evcxr_display(); drop(g);"
    );
    assert_eq!(dropped("let g = 1;"), "let g = 1;\n drop(g);");
    assert_eq!(
        once_more("!ls\n:dep a\n:timing\nf()"),
        "   \n:dep a\n       \nf()"
    );
}

#[test]
fn a_closure_that_captures_nothing_is_a_function_pointer() {
    let pointers = |code: &str| {
        closures(code, ["kept"])?
            .as_pointers
            .map(|unkept| unkept.code)
    };
    for (code, expected) in [
        (
            "let f = |x: i32| x + 1; f(1)",
            Some("let f: fn(i32) -> _ = |x: i32| x + 1; f(1)"),
        ),
        (
            "let mut f = || -> u8 { 1 };",
            Some("let mut f: fn() -> u8 = || -> u8 { 1 };"),
        ),
        (
            "let f = |a, b: &str| a;",
            Some("let f: fn(_, &str) -> _ = |a, b: &str| a;"),
        ),
        (
            "let f = |kept: u8| kept;",
            Some("let f: fn(u8) -> _ = |kept: u8| kept;"),
        ),
        ("let f = |x: u8| x + kept;", None),
        ("let a = 1; let f = move || a;", None),
        ("let a = 1; let f = || println!(\"{a}\");", None),
        ("let f: fn(u8) -> u8 = |x| x;", None),
        ("let f = 1 | 2;", None),
        ("let f = |x| x; let f = f(1);", None),
    ] {
        assert_eq!(pointers(code).as_deref(), expected, "{code}");
    }
    let both = closures("let a = 1; let f = |x| x; let g = || a;", []).unwrap();
    let pointers = both.as_pointers.unwrap();
    assert_eq!(
        pointers.code,
        "let a = 1; let f: fn(_) -> _ = |x| x; _l!(g = || a);"
    );
    assert_eq!(pointers.names, ["g"]);
    assert_eq!(
        both.as_locals.code,
        "let a = 1; _l!(f = |x| x); _l!(g = || a);"
    );
}

#[test]
fn without_magics_keeps_every_place() {
    assert_eq!(without_magics("%time x.\n"), "      x.\n");
    assert_eq!(without_magics("%%time\nx"), "      \nx");
    assert_eq!(without_magics("%lsmagic\nx"), "        \nx");
    assert_eq!(without_magics("a % b"), "a % b");
}

proptest! {
    /// Nothing panics, whatever a cell contains, and code without magics is not changed.
    #[test]
    fn any_text_can_be_planned(text in "(%|%%|time|lsmagic|who|env|\\?|let|x|=|;|\\{|\\}|\\(|\"|//|/\\*|ä|:dep| |\n){0,24}") {
        let _ = without_magics(&text);
        if let Ok(Plan { steps }) = plan(&text) && let [Step::Run(code)] = &steps[..] {
            if !text.contains('%') && !text.contains("///") {
                prop_assert_eq!(code, &text);
            }
            prop_assert!(code.lines().count() >= text.trim_end().lines().count().saturating_sub(1));
        }
    }

    #[test]
    fn blanking_keeps_the_length(text in "(%|%%|time|lsmagic|env|\\?|x|=|;|\\{|\\}|ä|\n){0,24}") {
        prop_assert_eq!(without_magics(&text).len(), text.len());
    }
}
