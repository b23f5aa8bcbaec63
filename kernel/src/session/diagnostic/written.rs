//! Maps positions in the compiled code to positions in the written code: magics and closures are
//! rewritten within their lines.

use std::ops::Range;

/// The maximum number of word comparisons for a line.
const MAX_COMPARISONS: usize = 1 << 20;

/// Converts a position in `code` to one in `written`, which has the same lines, but other words in
/// some of them.
pub(super) fn as_written(code: &str, written: &str, bytes: Range<usize>) -> Range<usize> {
    if code == written {
        return bytes;
    }
    let start = place(code, written, bytes.start, bytes.is_empty());
    if bytes.is_empty() {
        return start..start;
    }
    start..place(code, written, bytes.end, true).max(start)
}

fn place(code: &str, written: &str, at: usize, is_end: bool) -> usize {
    let before = &code[..at];
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let Some(begin_written) = nth_line(written, before.matches('\n').count()) else {
        return written.len();
    };
    let line = code[begin..].lines().next().unwrap_or_default();
    let line_written = written[begin_written..].lines().next().unwrap_or_default();
    begin_written + column(line, line_written, at - begin, is_end)
}

/// The offset at which the line with this index begins.
pub(super) fn nth_line(text: &str, index: usize) -> Option<usize> {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).nth(index)
}

fn column(line: &str, written: &str, column: usize, is_end: bool) -> usize {
    if line == written {
        return column;
    }
    let pairs = common_words(line, written);
    let within = pairs.iter().find(|(word, _)| match is_end {
        true => word.start < column && column <= word.end,
        false => word.start <= column && column < word.end,
    });
    if let Some((word, same)) = within {
        return same.start + column - word.start;
    }
    let next = pairs.iter().find(|(word, _)| word.start >= column);
    let last = pairs.iter().rev().find(|(word, _)| word.end <= column);
    match is_end {
        true => last.map_or(0, |(_, same)| same.end),
        false => next.map_or(written.len(), |(_, same)| same.start),
    }
}

/// The words that two lines have in common, in order: the longest common subsequence.
fn common_words(a: &str, b: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let (a_words, b_words) = (words(a), words(b));
    let (n_a, n_b) = (a_words.len(), b_words.len());
    if n_a * n_b > MAX_COMPARISONS {
        return Vec::new();
    }
    let is_same = |i: usize, j: usize| a[a_words[i].clone()] == b[b_words[j].clone()];
    // The number of words that the remainders from here on have in common.
    let mut lengths = vec![vec![0_usize; n_b + 1]; n_a + 1];
    for i in (0..n_a).rev() {
        for j in (0..n_b).rev() {
            lengths[i][j] = match is_same(i, j) {
                true => lengths[i + 1][j + 1] + 1,
                false => lengths[i + 1][j].max(lengths[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < n_a && j < n_b {
        if is_same(i, j) {
            pairs.push((a_words[i].clone(), b_words[j].clone()));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Names, numbers, and single characters of other kinds.
fn words(line: &str) -> Vec<Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut is_open = false;
    for (at, c) in line.char_indices() {
        match words.last_mut() {
            Some(word) if is_open && is_part(c) => word.end = at + c.len_utf8(),
            _ if c.is_whitespace() => {}
            _ => words.push(at..at + c.len_utf8()),
        }
        is_open = is_part(c);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_the_words_around_it() {
        let written = "let a = 1;\nlet r1 = &mut s; let r2 = &mut s; r1.clear();";
        let code = "let a = 1;\n_l!(r1 = &mut s); _l!(r2 = &mut s); r1.clear();";
        let find = |text: &str, wanted: &str| {
            let at = text.rfind(wanted).unwrap();
            at..at + wanted.len()
        };
        for wanted in ["&mut s", "r2", "r1", "clear", "a"] {
            let found = as_written(code, written, find(code, wanted));
            assert_eq!(found, find(written, wanted), "{wanted}");
        }
        let end = find(code, "r2").end;
        assert_eq!(
            as_written(code, written, end..end).start,
            find(written, "r2").end
        );
        assert_eq!(as_written("x\ny", "x", 2..3), 1..1);
    }
}
