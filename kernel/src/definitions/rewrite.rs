//! Items that evcxr takes for statements, or keeps when they come again, in a form in which it does neither.
//!
//! evcxr keeps an item under its name, and another of that name takes its place. What has no name is kept for good, so
//! a cell with an `impl` could not be run twice; and a macro that makes items is a statement to it, whose items are
//! gone with the cell. So the cell's text changes, within its lines:
//!
//! | in the cell | as evcxr gets it |
//! | --- | --- |
//! | `impl S { … }`, `extern "C" { … }` | an empty module in front, which gives it a name |
//! | `thread_local! { static X: T = e; }` | `static X: Key<T> = { thread_local! { static X: T = e; } Key::new(X) };` |
//! | `lazy_static! { static ref X: T = e; }` | `static X: LazyLock<T> = LazyLock::new(\|\| e);` |
//! | `make!(Widget);` | a module with the call, and `use` of what it may make: for rust-analyzer. What is compiled has the call at the top ([`unwrap`]) |

use std::collections::{BTreeSet, HashMap, HashSet};

use ra_ap_syntax::ast::{HasModuleItem, HasName};
use ra_ap_syntax::{AstNode, Edition, SourceFile, SyntaxNode, TextRange, ast};

use super::macros::{
    Form, QUOTING, begins_with_an_item, in_one_line, is_primitive, makes_only_impls, names_in,
    statics, tokens, words,
};
use crate::cell::Body;

/// How the modules are called that the kernel adds.
pub(crate) const PREFIX: &str = "forklore_";
const MADE: &str = "forklore_made_";
/// What has to be known of earlier cells for the next one.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// What is kept without a name of its own, by the one that it was given.
    unnamed: HashMap<String, Unnamed>,
    /// Macros that make items.
    makers: HashMap<String, Maker>,
    /// Names that a macro has made.
    made: HashSet<String>,
    n_named: u64,
}

/// A macro of a cell's that makes items.
#[derive(Debug, Clone)]
struct Maker {
    /// Its definition in one line: evcxr keeps items in no order, and a macro has to come before its use.
    text: String,
    /// The names that it may give what it makes.
    names: BTreeSet<String>,
    /// Whether it makes nothing that has a name.
    makes_only_impls: bool,
}

/// An `impl` or a block of foreign items.
#[derive(Debug, Clone)]
struct Unnamed {
    /// What it is for: two of another header have nothing to do with each other.
    header: String,
    names: BTreeSet<String>,
    /// Whether a second one is a conflict whatever is in it.
    is_whole: bool,
}

impl Unnamed {
    fn of(item: &ast::Item) -> Option<Unnamed> {
        let (body, names, is_whole) = match item {
            ast::Item::Impl(item) => {
                let list = item.assoc_item_list()?;
                let names = list.assoc_items().filter_map(|item| match item {
                    ast::AssocItem::Fn(item) => item.name(),
                    ast::AssocItem::Const(item) => item.name(),
                    ast::AssocItem::TypeAlias(item) => item.name(),
                    ast::AssocItem::MacroCall(_) => None,
                });
                let names = names.map(|name| name.text().to_string()).collect();
                (list.syntax().clone(), names, item.trait_().is_some())
            }
            ast::Item::ExternBlock(block) => {
                let list = block.extern_item_list()?;
                let names = list.extern_items().filter_map(|item| match item {
                    ast::ExternItem::Fn(item) => item.name(),
                    ast::ExternItem::Static(item) => item.name(),
                    ast::ExternItem::TypeAlias(item) => item.name(),
                    ast::ExternItem::MacroCall(_) => None,
                });
                let names = names.map(|name| name.text().to_string()).collect();
                (list.syntax().clone(), names, false)
            }
            _ => return None,
        };
        let end = body.text_range().start();
        let tokens = tokens(item.syntax()).filter(|token| token.text_range().start() < end);
        let header = tokens.map(|token| token.text().to_owned() + " ").collect();
        Some(Unnamed {
            header,
            names,
            is_whole,
        })
    }

    fn conflicts_with(&self, other: &Unnamed) -> bool {
        self.header == other.header && (self.is_whole || !self.names.is_disjoint(&other.names))
    }
}

/// The code as evcxr gets it; `None` if it is unchanged. `defined` are the names of all earlier items.
pub(super) fn rewrite(table: &mut Table, code: &str, defined: &HashSet<String>) -> Option<String> {
    let body = Body::parse(code);
    let mut edits = Vec::new();
    let mut has_name = false;
    for statement in body.statements() {
        let range = statement.text_range();
        let (start, end) = (body.offset(range.start()), body.offset(range.end()));
        if let Some(item) = ast::Item::cast(statement.clone()) {
            if let ast::Item::MacroRules(rules) = &item {
                table.note_maker(rules);
            }
            if let (false, Some(unnamed)) = (has_name, Unnamed::of(&item)) {
                let first = tokens(&statement)
                    .next()
                    .map_or(start, |token| body.offset(token.text_range().start()));
                edits.push((first..first, table.name(unnamed)));
            }
            has_name |= has_own_name(&item);
        } else if let Some(call) = macro_call(&statement)
            && let Some(new) = table.items_of(&call, &code[start..end], defined)
        {
            edits.push((start..end, new));
        }
    }
    if edits.is_empty() {
        return None;
    }
    let mut code = code.to_owned();
    for (range, new) in edits.into_iter().rev() {
        code.replace_range(range, &new);
    }
    Some(code)
}

/// Whether evcxr keeps what comes behind it under its name.
fn has_own_name(item: &ast::Item) -> bool {
    !matches!(
        item,
        ast::Item::Impl(_)
            | ast::Item::ExternBlock(_)
            | ast::Item::ExternCrate(_)
            | ast::Item::Use(_)
            | ast::Item::MacroRules(_)
            | ast::Item::MacroCall(_)
            | ast::Item::AsmExpr(_)
    )
}

fn macro_call(statement: &SyntaxNode) -> Option<ast::MacroCall> {
    let expression = match ast::ExprStmt::cast(statement.clone()) {
        Some(statement) => statement.expr()?,
        None => ast::Expr::cast(statement.clone())?,
    };
    match expression {
        ast::Expr::MacroExpr(expression) => expression.macro_call(),
        _ => None,
    }
}

impl Table {
    /// Gives it a name, and the place of what it conflicts with.
    fn name(&mut self, unnamed: Unnamed) -> String {
        let mut old: Vec<String> = self
            .unnamed
            .iter()
            .filter(|(_, known)| known.conflicts_with(&unnamed))
            .map(|(name, _)| name.clone())
            .collect();
        old.sort();
        let name = old.pop().unwrap_or_else(|| {
            self.n_named += 1;
            format!("{PREFIX}unnamed_{}", self.n_named)
        });
        let mut text = String::new();
        for name in old {
            self.unnamed.remove(&name);
            text += &format!("mod {name} {{}} ");
        }
        text += &format!("mod {name} {{}} ");
        self.unnamed.insert(name, unnamed);
        text
    }

    fn note_maker(&mut self, rules: &ast::MacroRules) {
        let (Some(name), Some(tree)) = (rules.name(), rules.token_tree()) else {
            return;
        };
        let name = name.text().to_string();
        self.makers.remove(&name);
        let bodies: Vec<ast::TokenTree> = tree
            .syntax()
            .children()
            .filter_map(ast::TokenTree::cast)
            .skip(1)
            .step_by(2)
            .filter(begins_with_an_item)
            .collect();
        let names: Vec<BTreeSet<String>> =
            bodies.iter().map(|body| names_in(body.syntax())).collect();
        let ranges: Vec<TextRange> = bodies
            .iter()
            .map(|body| body.syntax().text_range())
            .collect();
        if !names.is_empty() {
            let maker = Maker {
                text: in_one_line(rules, &ranges),
                names: names.into_iter().flatten().collect(),
                makes_only_impls: bodies.iter().all(makes_only_impls),
            };
            self.makers.insert(name, maker);
        }
    }

    /// The items that a call makes, if it makes any.
    fn items_of(
        &mut self,
        call: &ast::MacroCall,
        text: &str,
        defined: &HashSet<String>,
    ) -> Option<String> {
        let name = call.path()?.segment()?.name_ref()?.text().to_string();
        let tree = call.token_tree()?;
        match name.as_str() {
            "thread_local" => return statics(&tree, Form::ThreadLocal),
            "lazy_static" => return statics(&tree, Form::Lazy),
            _ if QUOTING.contains(&name.as_str()) => return None,
            _ => {}
        }
        let known = self.makers.get(&name).cloned();
        if known.is_none() && !begins_with_an_item(&tree) {
            return None;
        }
        let words = words(tree.syntax());
        let mut all: BTreeSet<String> =
            words.iter().filter(|w| !is_primitive(w)).cloned().collect();
        let is_nameless = known.as_ref().is_some_and(|known| known.makes_only_impls);
        let (maker, own_names) =
            known.map_or_else(Default::default, |known| (known.text, known.names));
        all.extend(own_names);
        all.retain(|name| !is_nameless && (self.made.contains(name) || !defined.contains(name)));
        self.made.extend(all.iter().cloned());
        let names: Vec<String> = all.into_iter().collect();
        // A call for the same thing takes the place of the one before. What an `impl` is for may take several words.
        let n_words = if is_nameless { words.len() } else { 1 };
        let of = words[..n_words.min(words.len())].join("_");
        let module = format!("{MADE}{name}_{of}").to_lowercase();
        let end = if text.trim_end().ends_with([';', '}']) {
            ""
        } else {
            ";"
        };
        let import = match names.join(", ") {
            names if names.is_empty() => String::new(),
            names => format!(" use {module}::{{{names}}};"),
        };
        Some(format!(
            "mod {module} {{ use super::*; {maker}{text}{end} }}{import}"
        ))
    }
}

/// The text that is compiled: macros that make items stand at the top, where what they make is known to everything.
pub(crate) fn unwrap(text: &str) -> Option<String> {
    if !text.contains(MADE) {
        return None;
    }
    let file = SourceFile::parse(text, Edition::Edition2024);
    let mut edits = Vec::new();
    for item in file.tree().items() {
        match &item {
            ast::Item::Module(module) => {
                let name = module
                    .name()
                    .map(|name| name.text().to_string())
                    .unwrap_or_default();
                let Some(list) = module.item_list().filter(|_| name.starts_with(MADE)) else {
                    continue;
                };
                let mut items = list.items();
                let mut own = items.next()?.syntax().text_range();
                if let Some(maker @ ast::Item::MacroRules(_)) = items.next() {
                    own = maker.syntax().text_range();
                }
                let (open, close) = (
                    list.syntax().text_range().start(),
                    list.syntax().text_range().end(),
                );
                edits.push((
                    usize::from(open)..usize::from(own.end()),
                    "{ pub(crate) use super::*; }".to_owned(),
                ));
                edits.push((usize::from(close) - 1..usize::from(close), " ".to_owned()));
            }
            ast::Item::Use(import)
                if import
                    .use_tree()
                    .is_some_and(|tree| tree.syntax().text().to_string().starts_with(MADE)) =>
            {
                let range = import.syntax().text_range();
                edits.push((
                    usize::from(range.start())..usize::from(range.end()),
                    String::new(),
                ));
            }
            _ => {}
        }
    }
    let mut text = text.to_owned();
    edits.sort_by_key(|(range, _)| range.start);
    for (range, new) in edits.iter().rev() {
        text.replace_range(range.clone(), new);
    }
    (!edits.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(table: &mut Table, code: &str) -> String {
        rewrite(table, code, &HashSet::new()).unwrap_or_else(|| code.to_owned())
    }

    #[test]
    fn what_has_no_name_gets_one_and_the_place_of_what_it_conflicts_with() {
        let mut table = Table::default();
        let mut run = |code: &str| rewritten(&mut table, code);
        let impls = [
            "impl S { fn a(&self) {} }",
            "impl S { fn b(&self) {} }",
            "impl Debug for S { }",
        ];
        for (code, n) in impls.iter().zip(1..) {
            let expected = format!("mod forklore_unnamed_{n} {{}} {code}");
            assert_eq!(run(code), expected);
            assert_eq!(run(code), expected, "run again");
        }
        let both = "impl S { fn a(&self) {}\nfn b(&self) {} }";
        assert_eq!(
            run(both),
            format!("mod forklore_unnamed_1 {{}} mod forklore_unnamed_2 {{}} {both}")
        );
        assert_eq!(
            run("struct S; impl S { fn a(&self) {} }"),
            "struct S; impl S { fn a(&self) {} }"
        );
        assert_eq!(run("// Why.\n#[inert] impl T { }").lines().count(), 2);
    }

    #[test]
    fn statics_in_macros_become_statics_on_their_lines() {
        let mut table = Table::default();
        let code = "thread_local! {\n    /// Doc.\n    pub static A: RefCell<Vec<(u8, u8)>> = RefCell::new(vec![]);\n    static B: u8 = const { 1 }\n}";
        let new = rewritten(&mut table, code);
        assert_eq!(new.lines().count(), code.lines().count());
        for part in [
            "    /// Doc.\n    pub static A: ::forklore::store::Key< RefCell<Vec<(u8, u8)>> > = { thread_local! { static A: RefCell<Vec<(u8, u8)>> = RefCell::new(vec![]) }",
            "\n    static B: ::forklore::store::Key< u8 > = { thread_local! { static B: u8 = const { 1 }\n }",
        ] {
            assert!(new.contains(part), "{new}");
        }
        let new = rewritten(
            &mut table,
            "lazy_static! { static ref A: Box<dyn Fn() -> u8> = Box::new(|| { 1 }); }",
        );
        assert_eq!(
            new.trim(),
            "static A: ::std::sync::LazyLock< Box<dyn Fn() -> u8> > = ::std::sync::LazyLock::new(||  Box::new(|| { 1 }));"
        );
    }

    #[test]
    fn a_macro_that_makes_items_is_one() {
        let mut table = Table::default();
        let maker = "macro_rules! make { ($n:ident) => { struct $n; struct Fixed; }; }";
        assert_eq!(rewritten(&mut table, maker), maker);
        assert_eq!(
            rewritten(&mut table, "make!(Widget);"),
            "mod forklore_made_make_widget { use super::*; macro_rules! make { ($n:ident) => { pub struct $n; pub struct Fixed; }; } make!(Widget); } use forklore_made_make_widget::{Fixed, Widget};"
        );
        let flags = "bitflags! { struct Flags: u32 { const A = 1; } }";
        assert!(
            rewritten(&mut table, flags).contains("use forklore_made_bitflags_flags::{A, Flags};")
        );
        for (maker, call, made) in [
            (
                "macro_rules! consts { ($($n:ident),*) => { $(const $n: u8 = 1;)* } }",
                "consts!(AA, BB);",
                "consts!(AA, BB); } use forklore_made_consts_aa::{AA, BB};",
            ),
            (
                "macro_rules! with { ($v:vis $n:ident) => { $v struct $n(*const u8); } }",
                "with!(pub Raw);",
                "with!(pub Raw); } use forklore_made_with_raw::{Raw};",
            ),
            (
                "macro_rules! hello { ($t:ty) => { impl Hello for $t {} } }",
                "hello!(Vec<u8>);",
                "mod forklore_made_hello_vec_u8 { use super::*; macro_rules! hello { ($t:ty) => { impl Hello for $t {} } } hello!(Vec<u8>); }",
            ),
        ] {
            rewritten(&mut table, maker);
            let new = rewritten(&mut table, call);
            assert!(new.ends_with(made), "{new}");
        }
        for plain in [
            "println!(\"x\");",
            "quantity!(const { 3 });",
            "vec![1]",
            "let x = make!(Widget);",
            "quote! { struct X; }",
            "assert!(true);",
        ] {
            assert_eq!(rewritten(&mut table, plain), plain);
        }
    }

    #[test]
    fn what_is_compiled_has_the_calls_at_the_top() {
        let text = "use forklore_made_make_W::W;\nmod forklore_made_make_W { use super::*; macro_rules! make { () => {} } make!(W);\n}\nmacro_rules! make { () => {} }\n";
        let new = unwrap(text).unwrap();
        assert_eq!(
            new,
            "\nmod forklore_made_make_W { pub(crate) use super::*; } make!(W);\n \nmacro_rules! make { () => {} }\n"
        );
        assert!(unwrap("fn f() {}").is_none());
    }
}
