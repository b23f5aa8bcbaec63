//! The house's rules that a machine can check.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sources::{Module, Sources, imported_paths, module, root, table, upward_imports};

use crate::support::tests;

tests![
    modules_use_only_lower_layers,
    the_pools_rooms_stand_on_each_other,
    the_kernels_rooms_stand_on_each_other,
    few_files_import_each_other,
    the_seam_knows_the_plan_and_contexts_alone,
    files_have_one_job,
    comments_are_as_wide_as_code,
    the_kernels_file_names_stand_for_one_file,
    libc_stays_in_sys,
    one_place_tells_the_kernels_roles,
    evcxr_stays_in_its_room,
    panics_are_caught_in_one_place,
    public_types_have_names_of_their_own,
    bincode_is_behind_wire_alone,
    statics_are_those_of_the_invariant,
    use_trees_are_taken_apart,
];

/// How many imports in the pool may point from a lower room to a higher one: code above the
/// transport begins a call and knows what carries it, and settings name what a worker is given.
const MAX_UPWARD_IMPORTS: usize = 10;

/// The folders of the crates that are checked: the library, the course and the kernel.
const CRATES: [&str; 3] = ["src", "lessons/src", KERNEL];
const KERNEL: &str = "kernel/src";

fn modules_use_only_lower_layers() {
    let layers = table("## The library's layers");
    let upward = upward_imports(&Sources::of("src"), &layers, None);
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

fn the_pools_rooms_stand_on_each_other() {
    let rooms = table("### The pool's rooms");
    let upward = upward_imports(&Sources::of("src"), &rooms, Some("pool"));
    let list = upward.join("\n");
    assert!(upward.len() <= MAX_UPWARD_IMPORTS, "{list}");
    assert!(rooms.len() <= 6, "{} floors", rooms.len());
}

fn the_kernels_rooms_stand_on_each_other() {
    let rooms = table("### The kernel's rooms");
    let upward = upward_imports(&Sources::of(KERNEL), &rooms, None);
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

/// At most two files import each other; what more files share goes into a file of its own.
fn few_files_import_each_other() {
    for folder in CRATES {
        few_of_a_crate_import_each_other(&Sources::of(folder));
    }
}

fn few_of_a_crate_import_each_other(sources: &Sources) {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = sources
        .modules()
        .map(|module| (module, sources.reached_from(module)))
        .collect();
    for (module, reaches) in &reached {
        let circle: Vec<String> = reaches
            .iter()
            .filter(|other| reached[**other].contains(module))
            .map(|other| other.join("::"))
            .collect();
        assert!(circle.len() <= 2, "a circle: {}", circle.join(", "));
    }
}

fn the_seam_knows_the_plan_and_contexts_alone() {
    let sources = Sources::of("src");
    let seam = module("pool::call::transport");
    let of_pool: Vec<&Module> = sources.imports[&seam]
        .iter()
        .filter(|used| used[0] == "pool")
        .collect();
    assert_eq!(of_pool, [&module("pool::context"), &module("pool::plan")]);
}

fn files_have_one_job() {
    for folder in CRATES {
        for (name, text) in Sources::of(folder).files() {
            let n_lines = text.lines().count();
            assert!(n_lines <= 500, "{folder}/{name} has {n_lines} lines");
        }
    }
}

/// `rustfmt` on stable does not wrap comments. Tables, diagrams and examples may be wider.
fn comments_are_as_wide_as_code() {
    for folder in CRATES {
        for (name, text) in Sources::of(folder).files() {
            let mut is_example = false;
            for (index, line) in text.lines().enumerate() {
                let comment = line.trim_start().strip_prefix("//");
                let comment = comment.map(|text| text.trim_start_matches(['/', '!']).trim());
                is_example &= comment.is_some();
                let Some(comment) = comment else { continue };
                is_example ^= comment.starts_with("```");
                let is_drawn = ["──", "  ", "\\n"]
                    .iter()
                    .any(|mark| comment.contains(mark));
                let is_free = is_example || is_drawn || comment.starts_with('|');
                let fits = line.chars().count() <= 100;
                assert!(fits || is_free, "{folder}/{name}:{}: {line}", index + 1);
            }
        }
    }
}

fn the_kernels_file_names_stand_for_one_file() {
    let sources = Sources::of(KERNEL);
    let mut known = BTreeMap::new();
    let code = sources.files().map(|(path, _)| path);
    for path in code.filter(|path| path.ends_with(".rs")) {
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Some(other) = known.insert(name, path) {
            let is_usual = matches!(name, "mod.rs" | "tests.rs");
            assert!(is_usual, "{other} and {path} have one name");
        }
    }
}

/// Unsafe OS calls have a safe interface in `sys`; in the kernel, reading `/proc` has one there
/// too.
fn libc_stays_in_sys() {
    for (folder, marks) in [("src", &["libc::"][..]), (KERNEL, &["libc::", "\"/proc"])] {
        for (module, code) in &Sources::of(folder).code {
            let name = module.join("::");
            let may = module[0] == "sys";
            // A script for the shell has its own reasons.
            let code = code.replace(">>\"/proc/$PPID", "");
            let is_clean = may || marks.iter().all(|mark| !code.contains(mark));
            assert!(is_clean, "{folder}: {name} asks the OS itself");
        }
    }
}

/// A process of the kernel's program determines its role in a single file.
fn one_place_tells_the_kernels_roles() {
    for (module, code) in &Sources::of(KERNEL).code {
        let name = module.join("::");
        let tells = [
            "EVCXR_VARIABLE)",
            "ASKED_VARIABLE)",
            "evcxr::serve_if_asked()",
        ];
        let is_elsewhere = name != "command::role" && tells.iter().any(|call| code.contains(call));
        assert!(!is_elsewhere, "{name} tells roles: see command/role.rs");
    }
}

/// Another version of evcxr changes only one room.
fn evcxr_stays_in_its_room() {
    for (module, code) in &Sources::of(KERNEL).code {
        let calls = code.replace("crate::evcxr::", "").contains("evcxr::");
        let name = module.join("::");
        assert!(!calls || module[0] == "evcxr", "{name} calls evcxr itself");
    }
}

/// The payload of a caught panic may panic when it is dropped; one module handles that.
fn panics_are_caught_in_one_place() {
    for (module, code) in &Sources::of("src").code {
        let catches = code.contains("catch_unwind") && module[0] != "caught";
        let name = module.join("::");
        assert!(!catches, "{name} catches panics: use caught::run");
    }
}

/// A name that two public types share is ambiguous.
fn public_types_have_names_of_their_own() {
    const KINDS: [&str; 6] = [
        "struct ",
        "enum ",
        "union ",
        "trait ",
        "unsafe trait ",
        "type ",
    ];
    let sources = Sources::of("src");
    let mut seen: BTreeMap<&str, &Module> = BTreeMap::new();
    for (module, code) in &sources.code {
        let public = code.lines().filter_map(|line| line.strip_prefix("pub "));
        for item in public {
            let Some(rest) = KINDS.iter().find_map(|kind| item.strip_prefix(kind)) else {
                continue;
            };
            let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            if let Some(other) = seen.insert(name, module) {
                let [one, other] = [module, other].map(|module| module.join("::"));
                panic!("{one} and {other} both have a public {name}");
            }
        }
    }
    assert!(seen.contains_key("Pool") && seen.contains_key("Map"));
}

/// It is no longer maintained: only one file uses it, and none of its types is in the interface.
fn bincode_is_behind_wire_alone() {
    for (module, code) in &Sources::of("src").code {
        let name = module.join("::");
        let is_known = code.contains("bincode");
        assert_eq!(is_known, name == "wire", "{name} and bincode");
        let is_shown = |line: &&str| line.starts_with("pub ") && line.contains("bincode");
        assert_eq!(
            code.lines().map(str::trim_start).find(is_shown),
            None,
            "{name}"
        );
    }
}

/// Each copy of the library in a notebook has its own statics, so every new one is a decision.
fn statics_are_those_of_the_invariant() {
    let sources = Sources::of("src");
    let lines = sources.code.values().flat_map(|code| code.lines());
    let in_code: BTreeSet<&str> = lines.filter_map(static_name).collect();

    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, invariant) = text.split_once("**No state in statics**").unwrap();
    let (invariant, _) = invariant.split_once("\n6. ").unwrap();
    let named: BTreeSet<&str> = invariant.split('`').skip(1).step_by(2).collect();
    assert_eq!(in_code, named);
}

fn use_trees_are_taken_apart() {
    let paths = |code| imported_paths(code).into_iter().collect::<Vec<_>>();
    let code = "use super::{a::{self, B}, c::D as E};\nfn f() { crate::g::h(self::i::J) }";
    let expected = [
        "crate::g::h",
        "self::i::J",
        "super",
        "super::a",
        "super::a::B",
        "super::c::D",
    ];
    assert_eq!(paths(code), expected);
    assert_eq!(paths("pub use a::B; macro!($crate::c::d);"), [""; 0]);
    assert_eq!(paths("pub(in crate::pool) use std::fmt;"), [""; 0]);
    assert_eq!(
        paths("pub(in crate::a) fn f() {}\nuse std::fmt;"),
        ["std::fmt"]
    );
}

/// The static that a line of code declares. `&'static` is none.
fn static_name(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("static ")?;
    let before = before.trim();
    let is_visibility = |word: &str| word.starts_with("pub") || word.ends_with(')');
    let (name, _) = rest.trim_start_matches("mut ").split_once(':')?;
    before
        .split(' ')
        .all(|word| word.is_empty() || is_visibility(word))
        .then_some(name)
}
