//! Which variables a cell may have changed, according to its text.
//!
//! The code that evcxr generates around a cell unwinds it after a panic, or after an error at a
//! `?`, and its process is as healthy as before. Continuing in that process keeps the threads of
//! earlier cells, but not the values of variables that the cell has changed. The text shows which
//! variables these can be:
//!
//! ```text
//! let mut list = evcxr_variable_store.take_variable::<Vec<i32>>(stringify!(list));    every variable is loaded,
//! …                                                                                    the cell runs,
//!     println!("EVCXR_PANIC_NOTIFICATION");
//! evcxr_variable_store.put_variable::<Vec<i32>>(stringify!(list), list);               and is kept unless it was moved
//! ```
//!
//! A name in the cell counts as used, even in a string (`"{list:?}"`) or a comment.

const STORE: &str = "evcxr_variable_store.";
const LOAD: &str = "evcxr_variable_store.take_variable::<";
const KEEP: &str = "evcxr_variable_store.put_variable::<";
const END: &str = "EVCXR_PANIC_NOTIFICATION";

/// Types whose values a cell cannot change through a shared reference.
const FROZEN: &str = "i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 bool char str String Vec Box Option Result \
    HashMap HashSet BTreeMap BTreeSet VecDeque Duration Instant PathBuf std alloc core string vec boxed option result collections \
    hash_map hash_set btree_map btree_set vec_deque time path static";
/// Types that represent something outside the variable, which nothing restores.
const HANDLES: &str =
    "Pool ThreadPool GilPool Process Child forklore pool process threads gil spawn";

/// The variables that a cell may change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    variables: Vec<Variable>,
}

#[derive(Debug, PartialEq, Eq)]
struct Variable {
    name: String,
    how: How,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum How {
    /// It is `mut`.
    Mutably,
    /// The cell moves it, or defines another of the same name.
    Moved,
    /// It may contain something that changes through a shared reference.
    Inside,
}

impl Touched {
    /// Reads the file that was compiled for a cell.
    pub(crate) fn by(source: &str) -> Touched {
        let end = source.rfind(END).unwrap_or(source.len());
        let (before, after) = source.split_at(end);
        let is_load = |line: &&str| line.trim_start().starts_with("let ") && line.contains(LOAD);
        let begin = before.lines().rfind(is_load).map_or(0, |line| {
            line.as_ptr() as usize - before.as_ptr() as usize + line.len()
        });
        let cell: Vec<&str> = before[begin..]
            .lines()
            .filter(|line| !line.trim_start().starts_with(STORE))
            .collect();
        let kept: Vec<&str> = after
            .lines()
            .filter_map(|line| parse_name(line, KEEP))
            .collect();
        let loads = before[..begin]
            .lines()
            .filter(is_load)
            .filter_map(parse_load);
        let used = loads.filter(|load| cell.iter().any(|line| has_word(line, load.name)));
        let variables = used.filter_map(|load| {
            let how = if !kept.contains(&load.name) {
                How::Moved
            } else if only(load.type_name, HANDLES) {
                return None;
            } else if load.is_mut {
                How::Mutably
            } else if only(load.type_name, FROZEN) {
                return None;
            } else {
                How::Inside
            };
            let name = load.name.to_owned();
            Some(Variable { name, how })
        });
        Touched {
            variables: variables.collect(),
        }
    }

    /// The variables to copy before the cell runs, if they can be copied.
    pub(crate) fn names(&self) -> String {
        let names = self.variables.iter().map(|variable| variable.name.as_str());
        names.collect::<Vec<_>>().join(" ")
    }

    /// These variables have been copied, so they will be restored.
    pub(crate) fn forget(&mut self, guarded: &str) {
        let is_guarded = |variable: &Variable| guarded.split(' ').any(|name| name == variable.name);
        self.variables.retain(|variable| !is_guarded(variable));
    }

    /// The variables that may have another value.
    pub(crate) fn changed(&self) -> Vec<String> {
        self.those(How::Mutably)
    }

    /// The variables that are gone.
    pub(crate) fn lost(&self) -> Vec<String> {
        self.those(How::Moved)
    }

    fn those(&self, how: How) -> Vec<String> {
        let those = self.variables.iter().filter(|variable| variable.how == how);
        those.map(|variable| variable.name.clone()).collect()
    }
}

struct Load<'a> {
    name: &'a str,
    type_name: &'a str,
    is_mut: bool,
}

fn parse_load(line: &str) -> Option<Load<'_>> {
    let (declared, _) = line.trim_start().strip_prefix("let ")?.split_once(" = ")?;
    let (_, rest) = line.split_once(LOAD)?;
    let (type_name, _) = rest.rsplit_once(">(stringify!(")?;
    Some(Load {
        name: declared.trim_start_matches("mut "),
        type_name,
        is_mut: declared.starts_with("mut "),
    })
}

fn parse_name<'a>(line: &'a str, call: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(call)?;
    let (_, rest) = rest.split_once(">(stringify!(")?;
    rest.split_once("),").map(|(name, _)| name)
}

/// Whether a type consists only of these words.
fn only(type_name: &str, words: &str) -> bool {
    let mut parts = type_name.split(|c: char| !is_part(c));
    parts.all(|part| {
        part.is_empty()
            || part.bytes().all(|byte| byte.is_ascii_digit())
            || words.split_whitespace().any(|word| word == part)
    })
}

fn has_word(line: &str, name: &str) -> bool {
    let name = name.trim_start_matches("r#");
    line.split(|c: char| !is_part(c)).any(|word| word == name)
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file like evcxr's: variables are `name: type`, or `mut name: type`; those with `!` are
    /// moved.
    fn source(variables: &[&str], cell: &str) -> String {
        let (mut loads, mut puts) = (String::new(), String::new());
        for variable in variables {
            let is_moved = variable.ends_with('!');
            let (declared, type_name) = variable.trim_end_matches('!').split_once(": ").unwrap();
            let name = declared.trim_start_matches("mut ");
            loads.push_str(&format!(
                "let {declared} = evcxr_variable_store.take_variable::<{type_name}>(stringify!({name}));\n"
            ));
            if !is_moved {
                puts.push_str(&format!(
                    "evcxr_variable_store.put_variable::<{type_name}>(stringify!({name}), {name});\n"
                ));
            }
        }
        format!(
            "fn list() {{}}\npub extern \"C\" fn run(\n{loads}match catch_unwind(\n{cell}\n\
             evcxr_variable_store.put_variable::<u8>(stringify!(fresh), fresh);\nOk(())}})();\n\
             println!(\"EVCXR_PANIC_NOTIFICATION\");\n}}}}\n{puts}evcxr_variable_store\n}}"
        )
    }

    fn of(variables: &[&str], cell: &str) -> (String, String, String) {
        let touched = Touched::by(&source(variables, cell));
        let (changed, lost) = (touched.changed().join(" "), touched.lost().join(" "));
        (touched.names(), changed, lost)
    }

    #[test]
    fn what_a_cell_only_reads_or_does_not_use_is_not_touched() {
        let variables = [
            "n: i32",
            "mut list: Vec<i32>",
            "map: std::collections::HashMap<String, Vec<[f64; 3]>>",
            "pool: forklore::pool::Pool",
        ];
        assert_eq!(of(&variables, "n + map.len(); pool.map(f, 0..n)").0, "");
        assert_eq!(of(&variables, "lists.push(1); list_2 += 1;").0, "");
        assert_eq!(of(&[], "panic!()").0, "");
    }

    #[test]
    fn what_a_cell_may_change_or_moves_away_is() {
        let variables = [
            "mut list: Vec<Vec<i32>>",
            "rx: std::sync::mpsc::Receiver<i32>!",
            "m: std::sync::Arc<std::sync::Mutex<u8>>",
            "mut r#type: String",
        ];
        let touched = of(
            &variables,
            "println!(\"{list:?}\"); for x in rx {}\n*m.lock()? = 1;",
        );
        assert_eq!(touched.0, "list rx m");
        assert_eq!((touched.1.as_str(), touched.2.as_str()), ("list", "rx"));
        assert_eq!(of(&variables, "type").1, "r#type");
    }

    #[test]
    fn what_was_copied_is_as_it_was() {
        let mut touched = Touched::by(&source(&["mut a: u8", "b: Vec<T>!"], "a; b"));
        touched.forget("b");
        assert_eq!(touched.changed(), ["a"]);
        assert!(touched.lost().is_empty());
        touched.forget("a c");
        assert_eq!(touched, Touched::default());
    }
}
