//! Finds which types a cell changes, by the text of their definitions.

use std::collections::{HashMap, HashSet};

use ra_ap_syntax::ast::HasName;
use ra_ap_syntax::{AstNode, NodeOrToken, SyntaxNode, ast};

/// What determines a type's layout in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    /// Its definition's tokens, without comments and without attributes that do not affect it.
    shape: String,
    /// All names in it.
    mentions: HashSet<String>,
}

/// The names whose meaning a cell changes, each with the item in the cell that causes it.
pub(super) type Changed = HashMap<String, String>;

/// Adds a cell's items to the types, and returns what that changes.
pub(super) fn define(types: &mut HashMap<String, Type>, items: &[ast::Item]) -> Changed {
    let mut changed = Changed::new();
    let mut replaced = Vec::new();
    for item in items {
        let Some(name) = name(item) else { continue };
        let new = shape(item).map(Type::of_shape);
        match types.get(&name) {
            Some(old) if new.as_ref() != Some(old) => {
                drop(changed.insert(name.clone(), name.clone()))
            }
            _ => {}
        }
        replaced.push((name, new));
    }
    // Spread through the old types, because a variable of an old type contains that type's parts.
    spread(types, &mut changed);
    for (name, new) in replaced {
        match new {
            Some(new) => types.insert(name, new),
            None => types.remove(&name),
        };
    }
    changed
}

/// Adds every type that contains a changed one.
fn spread(types: &HashMap<String, Type>, changed: &mut Changed) {
    loop {
        let more: Vec<(String, String)> = types
            .iter()
            .filter(|(name, _)| !changed.contains_key(*name))
            .filter_map(|(name, of)| {
                let mut causes = of.mentions.iter().filter_map(|part| changed.get(part));
                Some((name.clone(), causes.next()?.clone()))
            })
            .collect();
        if more.is_empty() {
            return;
        }
        changed.extend(more);
    }
}

/// The changed item that gives this text another meaning, if there is one.
pub(super) fn first_of(changed: &Changed, text: &str) -> Option<String> {
    if changed.is_empty() {
        return None;
    }
    let mut words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.find_map(|word| changed.get(word).cloned())
}

impl Type {
    fn of_shape(shape: String) -> Type {
        let words = shape.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        Type {
            mentions: words
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect(),
            shape,
        }
    }
}

/// The name under which evcxr keeps it.
pub(super) fn name(item: &ast::Item) -> Option<String> {
    let name = match item {
        ast::Item::Const(item) => item.name(),
        ast::Item::Enum(item) => item.name(),
        ast::Item::Fn(item) => item.name(),
        ast::Item::Module(item) => item.name(),
        ast::Item::Static(item) => item.name(),
        ast::Item::Struct(item) => item.name(),
        ast::Item::Trait(item) => item.name(),
        ast::Item::TypeAlias(item) => item.name(),
        ast::Item::Union(item) => item.name(),
        _ => None,
    };
    Some(name?.text().to_string())
}

/// `None` for an item that cannot be part of a type.
fn shape(item: &ast::Item) -> Option<String> {
    match item {
        ast::Item::Struct(_)
        | ast::Item::Enum(_)
        | ast::Item::Union(_)
        | ast::Item::Trait(_)
        | ast::Item::TypeAlias(_)
        | ast::Item::Const(_) => Some(tokens(item.syntax())),
        // The length of an array may be computed.
        ast::Item::Fn(function) if function.const_token().is_some() => Some(tokens(item.syntax())),
        ast::Item::Module(module) => {
            let items = module.item_list()?;
            let shapes = items.syntax().children().filter_map(ast::Item::cast);
            Some(
                shapes
                    .filter_map(|item| shape(&item))
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        }
        _ => None,
    }
}

/// The tokens of a definition. Of its attributes, only those that affect its layout; no comments.
fn tokens(node: &SyntaxNode) -> String {
    let mut text = String::new();
    for child in node.children_with_tokens() {
        match child {
            NodeOrToken::Token(token) if token.kind().is_trivia() => {}
            NodeOrToken::Token(token) => {
                text.push_str(token.text());
                text.push(' ');
            }
            NodeOrToken::Node(child) if is_irrelevant(&child) => {}
            NodeOrToken::Node(child) => text.push_str(&tokens(&child)),
        }
    }
    text
}

fn is_irrelevant(node: &SyntaxNode) -> bool {
    let attribute = ast::Attr::cast(node.clone());
    attribute.is_some_and(|attribute| !attribute.syntax().text().to_string().contains("repr"))
}
