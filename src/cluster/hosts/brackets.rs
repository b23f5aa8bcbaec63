//! Expands Slurm's short form of many names: `node[01-03,07]`, `rack[1-2]n[1-4]`.
//!
//! Follows scontrol(1), "hostlist"; no Slurm program is run.

use std::ops::RangeInclusive;

use super::host::{MAX_HOSTS, MAX_NAME_BYTES};

/// The entries of a list: the texts between the commas that are outside brackets.
pub(super) fn entries(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    list.split(move |c| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
}

/// All names that an entry stands for, in Slurm's order: the last bracket counts first. At most
/// `max` names.
///
/// # Errors
/// What is wrong with the entry.
pub(super) fn names(entry: &str, max: usize) -> Result<Vec<String>, String> {
    let parts = parts(entry)?;
    let n_bytes: usize = parts.iter().map(Part::max_bytes).sum();
    if n_bytes > MAX_NAME_BYTES {
        return Err(format!(
            "a host's name would have {n_bytes} bytes, and {MAX_NAME_BYTES} are the most"
        ));
    }
    let n_names = parts
        .iter()
        .try_fold(1usize, |n, part| n.checked_mul(part.n_texts()));
    if n_names.is_none_or(|n| n > max) {
        return Err(format!("it stands for more than {MAX_HOSTS} hosts"));
    }

    let mut names = vec![String::new()];
    for part in &parts {
        let longer = names.iter().flat_map(|name| part.after(name));
        names = longer.collect();
    }
    Ok(names)
}

/// A part of a name.
enum Part<'a> {
    /// The same in all names.
    Text(&'a str),
    /// One number out of these ranges.
    Numbers(Vec<Numbers>),
}

/// The range of numbers in a bracket, zero-padded to a width.
struct Numbers {
    range: RangeInclusive<u64>,
    width: usize,
}

impl Part<'_> {
    /// The number of texts that the part stands for.
    fn n_texts(&self) -> usize {
        match self {
            Part::Text(_) => 1,
            Part::Numbers(all) => all
                .iter()
                .fold(0, |n, numbers| n.saturating_add(numbers.count())),
        }
    }

    fn max_bytes(&self) -> usize {
        match self {
            Part::Text(text) => text.len(),
            Part::Numbers(all) => all.iter().map(Numbers::max_bytes).max().unwrap_or(0),
        }
    }

    /// The names that start with `name` and continue with each of the part's texts.
    fn after(&self, name: &str) -> Vec<String> {
        match self {
            Part::Text(text) => vec![format!("{name}{text}")],
            Part::Numbers(all) => {
                let each = all.iter().flat_map(|numbers| {
                    let Numbers { range, width } = numbers;
                    range
                        .clone()
                        .map(move |number| format!("{name}{number:0width$}"))
                });
                each.collect()
            }
        }
    }
}

impl Numbers {
    fn count(&self) -> usize {
        let n = (self.range.end() - self.range.start()).saturating_add(1);
        usize::try_from(n).unwrap_or(usize::MAX)
    }

    fn max_bytes(&self) -> usize {
        self.width.max(self.range.end().to_string().len())
    }

    /// Parses `07` or `1-3`; the width is that of the first number.
    fn parse(text: &str) -> Result<Numbers, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (start, end) = (number(first, text)?, number(last, text)?);
        if start > end {
            return Err(format!("the range \"{text}\" runs backwards"));
        }
        Ok(Numbers {
            range: start..=end,
            width: first.len(),
        })
    }
}

fn number(digits: &str, within: &str) -> Result<u64, String> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "\"{within}\" in brackets is neither a number nor a range such as 1-4"
        ));
    }
    digits
        .parse()
        .map_err(|_| format!("the number {digits} in brackets is too large"))
}

fn parts(entry: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = entry;
    while let Some(open) = rest.find(['[', ']']) {
        let (text, bracket) = rest.split_at(open);
        let Some(inside) = bracket.strip_prefix('[') else {
            return Err(format!(
                "the bracket that closes after \"{text}\" was never opened"
            ));
        };
        let Some(close) = inside.find(['[', ']']) else {
            return Err(format!("the bracket after \"{text}\" is not closed"));
        };
        if inside[close..].starts_with('[') {
            return Err(format!(
                "the bracket after \"{text}\" has another one inside"
            ));
        }
        let numbers = inside[..close]
            .split(',')
            .map(|text| Numbers::parse(text.trim()));
        parts.push(Part::Text(text));
        parts.push(Part::Numbers(numbers.collect::<Result<_, _>>()?));
        rest = &inside[close + 1..];
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}
