//! Names of code that the kernel adds to a cell, and the tokens of a learner's code.

use ra_ap_syntax::{NodeOrToken, SyntaxNode, SyntaxToken};

/// Prefix of the modules that the kernel adds.
pub(crate) const PREFIX: &str = "forklore_";
/// Prefix of those that contain an item of a cell.
pub(super) const MADE: &str = "forklore_made_";

/// All tokens except comments and white space.
pub(super) fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    node.descendants_with_tokens()
        .filter_map(NodeOrToken::into_token)
        .filter(|token| !token.kind().is_trivia())
}
