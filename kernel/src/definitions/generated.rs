//! What code that the kernel adds to a cell is called, and the tokens of a learner's own.

use ra_ap_syntax::{NodeOrToken, SyntaxNode, SyntaxToken};

/// How the modules are called that the kernel adds.
pub(crate) const PREFIX: &str = "forklore_";
/// How those of them are called that hold an item of a cell.
pub(super) const MADE: &str = "forklore_made_";

/// All tokens but comments and space.
pub(super) fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    node.descendants_with_tokens()
        .filter_map(NodeOrToken::into_token)
        .filter(|token| !token.kind().is_trivia())
}
