//! All magics, in one table, from which they are run, listed, completed and explained.

use super::lines::LineMagic;
use super::steps::{Action, Captured, MemoryLimit, Mistake, Profile, Script, Step, usage};
use super::timed;

/// A magic.
pub(super) struct Magic {
    pub(super) name: &'static str,
    /// The arguments that may follow the name.
    arguments: &'static str,
    what: &'static str,
    pub(super) form: Form,
}

/// Returns the code with Rust in place of the magic.
pub(super) type Rewrite = fn(&str, &LineMagic) -> Result<String, Mistake>;

/// What a magic does with a cell. Each function gets the magic's name and the text after it.
pub(super) enum Form {
    /// Rust replaces the line.
    Code(Rewrite),
    /// A step runs before or after the cell's Rust.
    Line(fn(&str, &str) -> Result<Step, Mistake>),
    /// The lines below are Rust. The function gets the cell first.
    Rust(fn(&str, &str, &str) -> Result<String, Mistake>),
    /// The lines below are another language. The function gets them last.
    Text(fn(&str, &str, &str) -> Result<Vec<Step>, Mistake>),
    /// The lines below are a cell of their own, including magics; one step runs before it and one
    /// after it.
    Around(fn(&str, &str) -> Result<[Step; 2], Mistake>),
}

#[rustfmt::skip]
static MAGICS: &[Magic] = &[
    Magic { name: "%time", arguments: "CODE", what: "run the rest of the line and say how long it took", form: Form::Code(timed::statement) },
    Magic { name: "%%time", arguments: "", what: "the same for the whole cell", form: Form::Rust(timed::cell) },
    Magic { name: "%timeit", arguments: "[-n LOOPS] [-r RUNS] CODE", what: "run the rest of the line many times and say how long it takes", form: Form::Code(timed::statement) },
    Magic { name: "%%timeit", arguments: "[-n LOOPS] [-r RUNS]", what: "the same for the whole cell, in a scope of its own", form: Form::Rust(timed::cell) },
    Magic { name: "%profile", arguments: "debug|release", what: "compile the cells to come with checks for overflow and debug assertions and without optimisation, or the other way round (the default)", form: Form::Line(profile) },
    Magic { name: "%warnings", arguments: "on|off", what: "whether the compiler's warnings about a cell are shown (the default)", form: Form::Line(warnings) },
    Magic { name: "%explain", arguments: "[ERROR]", what: "what the compiler has to say of an error such as E0382, or of the last one", form: Form::Line(explain) },
    Magic { name: "%who", arguments: "", what: "list the variables with their types", form: Form::Line(who) },
    Magic { name: "%ps", arguments: "", what: "list the processes and threads of the session, with the cells that started them", form: Form::Line(processes) },
    Magic { name: "%reset", arguments: "", what: "forget all variables and definitions", form: Form::Line(reset) },
    Magic { name: "%env", arguments: "[NAME[=VALUE]]", what: "show the environment of the cells, or set a variable in it", form: Form::Code(environment) },
    Magic { name: "%checkpoint", arguments: "on|off|auto|auto:SIZE|status", what: "whether a cell that fails is rolled back: always, never, or while at most 256 MiB (or SIZE) of memory are in use (the default)", form: Form::Line(checkpoint) },
    Magic { name: "%limit", arguments: "[memory SIZE|off|auto]", what: "roll a cell back that uses more memory than SIZE, such as 1G or 512M; by default the limit is what the scheduler or container gives", form: Form::Line(limit) },
    Magic { name: "%export", arguments: "FOLDER", what: "write the cells that have run so far as a cargo project", form: Form::Line(export) },
    Magic { name: "%lock", arguments: "", what: "put the versions of the notebook's crates into this cell, as a `%%lock`", form: Form::Line(lock) },
    Magic { name: "%%lock", arguments: "", what: "pin the crates to come to these versions, one a line", form: Form::Text(pin) },
    Magic { name: "%%capture", arguments: "[NAME]", what: "run the cell and show nothing of it; what it prints becomes the variable NAME", form: Form::Around(capture) },
    Magic { name: "%%bash", arguments: "[--out NAME] [--no-raise-error] [OPTIONS]", what: "run the cell with bash; what it prints becomes the variable NAME, and with --no-raise-error a script that fails is no error", form: Form::Text(script) },
    Magic { name: "%%python", arguments: "[--out NAME] [--no-raise-error] [OPTIONS]", what: "the same with the machine's python3", form: Form::Text(script) },
    Magic { name: "%%writefile", arguments: "[-a] FILE", what: "write the cell to a file, or append it with -a", form: Form::Text(write_file) },
    Magic { name: "%%html", arguments: "", what: "show the cell as HTML", form: Form::Text(show) },
    Magic { name: "%%javascript", arguments: "", what: "have the browser run the cell, where the front end trusts the notebook", form: Form::Text(show) },
    Magic { name: "%%latex", arguments: "", what: "show the cell as LaTeX", form: Form::Text(show) },
    Magic { name: "%%markdown", arguments: "", what: "show the cell as Markdown", form: Form::Text(show) },
    Magic { name: "%%svg", arguments: "", what: "show the cell as an SVG picture", form: Form::Text(show) },
    Magic { name: "%lsmagic", arguments: "", what: "list these", form: Form::Line(list_magics) },
];

impl Magic {
    /// Whether the rest of its line is Rust.
    pub(super) fn takes_rust(&self) -> bool {
        matches!(self.form, Form::Code(_)) && self.name != "%env"
    }

    fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments)
            .trim_end()
            .to_owned()
    }

    /// The text for `?%name`.
    pub(super) fn help(&self) -> String {
        format!("{}\n    {}\n", self.usage(), self.what)
    }
}

/// The magic with this name.
pub(super) fn find(name: &str) -> Option<&'static Magic> {
    MAGICS.iter().find(|magic| magic.name == name)
}

/// The names of the magics that begin with `prefix`.
pub fn magics_with_prefix(prefix: &str) -> impl Iterator<Item = &'static str> {
    MAGICS
        .iter()
        .map(|magic| magic.name)
        .filter(move |name| name.starts_with(prefix))
}

/// The text for `?%name`, if there is such a magic.
pub fn magic_help(name: &str) -> Option<String> {
    find(name).map(Magic::help)
}

/// The words that a magic accepts as its argument; `None` if it takes Rust.
pub fn words_for(name: &str) -> Option<Vec<&'static str>> {
    let magic = find(name)?;
    let is_word = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let words = magic.arguments.split(['|', '[', ']', ' ']).filter(is_word);
    (!magic.takes_rust()).then(|| words.collect())
}

/// The text for `%lsmagic`.
pub(super) fn list() -> String {
    let width = MAGICS
        .iter()
        .map(|magic| magic.usage().len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for magic in MAGICS {
        text.push_str(&format!("{:width$}  {}\n", magic.usage(), magic.what));
    }
    for (usage, what) in [
        ("?NAME or NAME?", "say what is known about a name"),
        (
            "!COMMAND",
            "run the line with the shell; where a variable `done` can be negated, `!done` is Rust, and `! done` the command",
        ),
    ] {
        text.push_str(&format!("{usage:width$}  {what}\n"));
    }
    text.push_str("Commands of evcxr begin with a colon; `:help` lists them.\n");
    text
}

/// The mistake of using a magic that does not exist.
pub(super) fn unknown(name: &str) -> Mistake {
    let nearest = MAGICS
        .iter()
        .map(|magic| (edit_distance(name, magic.name), magic.name))
        .min()
        .filter(|(distance, _)| *distance <= name.len().div_ceil(2))
        .map(|(_, known)| format!("did you mean `{known}`? "))
        .unwrap_or_default();
    Mistake {
        name: "UnknownMagic",
        message: format!("there is no `{name}`; {nearest}`%lsmagic` lists what there is"),
    }
}

/// The mistake of giving a magic an argument that it cannot use.
fn misused(name: &str) -> Mistake {
    let usage_line = find(name).map(Magic::usage).unwrap_or_default();
    usage(&format!("`{name}` is used so: `{usage_line}`"))
}

/// For a magic that takes no arguments.
fn alone(name: &str, arguments: &str, step: Step) -> Result<Step, Mistake> {
    match arguments {
        "" => Ok(step),
        _ => Err(misused(name)),
    }
}

fn list_magics(name: &str, arguments: &str) -> Result<Step, Mistake> {
    alone(name, arguments, Step::Say(list()))
}

fn explain(name: &str, arguments: &str) -> Result<Step, Mistake> {
    if arguments.is_empty() {
        return Ok(Step::Do(Action::Explain(None)));
    }
    let number = arguments.trim_start_matches(['e', 'E']);
    match number.len() {
        1..=4 if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            let number = format!("E{number:0>4}");
            Ok(Step::Do(Action::Explain(Some(number))))
        }
        _ => Err(misused(name)),
    }
}

fn who(name: &str, arguments: &str) -> Result<Step, Mistake> {
    alone(name, arguments, Step::Do(Action::Variables))
}

fn processes(name: &str, arguments: &str) -> Result<Step, Mistake> {
    alone(name, arguments, Step::Do(Action::Processes))
}

fn lock(name: &str, arguments: &str) -> Result<Step, Mistake> {
    alone(name, arguments, Step::Do(Action::Lock))
}

fn pin(name: &str, arguments: &str, text: &str) -> Result<Vec<Step>, Mistake> {
    let pinned = Step::Do(Action::Pin(text.to_owned()));
    Ok(vec![alone(name, arguments, pinned)?])
}

fn capture(name: &str, arguments: &str) -> Result<[Step; 2], Mistake> {
    let variable = match arguments {
        "" => None,
        variable if is_variable(variable) => Some(variable.to_owned()),
        _ => return Err(misused(name)),
    };
    Ok([
        Step::Do(Action::Capture(Captured::All)),
        Step::Do(Action::Assign(variable)),
    ])
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn reset(name: &str, arguments: &str) -> Result<Step, Mistake> {
    // As in IPython, where `-f` means: do not ask.
    let arguments = arguments.strip_prefix("-f").unwrap_or(arguments);
    alone(name, arguments, Step::Do(Action::Reset))
}

fn profile(name: &str, arguments: &str) -> Result<Step, Mistake> {
    let profile = match arguments {
        "" => None,
        "debug" => Some(Profile::Debug),
        "release" => Some(Profile::Release),
        _ => return Err(misused(name)),
    };
    Ok(Step::Do(Action::Profile(profile)))
}

fn warnings(name: &str, arguments: &str) -> Result<Step, Mistake> {
    let are_shown = match arguments {
        "" => None,
        "on" => Some(true),
        "off" => Some(false),
        _ => return Err(misused(name)),
    };
    Ok(Step::Do(Action::Warnings(are_shown)))
}

fn checkpoint(name: &str, arguments: &str) -> Result<Step, Mistake> {
    let policy = match arguments {
        "" | "status" => None,
        "on" | "off" | "auto" => Some(arguments.to_owned()),
        other => match other.strip_prefix("auto:").and_then(bytes_of) {
            Some(bytes) => Some(format!("auto:{bytes}")),
            None => return Err(misused(name)),
        },
    };
    Ok(Step::Do(Action::Checkpoint(policy)))
}

fn limit(name: &str, arguments: &str) -> Result<Step, Mistake> {
    let limit = match arguments.strip_prefix("memory").unwrap_or(arguments).trim() {
        "" => None,
        "off" => Some(MemoryLimit::Off),
        "auto" => Some(MemoryLimit::Auto),
        size => match bytes_of(size) {
            Some(bytes) => Some(MemoryLimit::Bytes(bytes)),
            None => return Err(misused(name)),
        },
    };
    Ok(Step::Do(Action::Limit(limit)))
}

fn export(name: &str, arguments: &str) -> Result<Step, Mistake> {
    match arguments {
        "" => Err(misused(name)),
        folder => Ok(Step::Do(Action::Export(unquoted(folder).to_owned()))),
    }
}

/// `%env`: a statement replaces the line, so that it takes effect at its position, and is rolled
/// back with the cell.
fn environment(code: &str, magic: &LineMagic) -> Result<String, Mistake> {
    let arguments = code[magic.name_end..magic.line_end].trim();
    let (variable, value) = match arguments.split_once(['=', ' ']) {
        Some((variable, value)) => (variable.trim(), Some(value.trim_start_matches(['=', ' ']))),
        None => (arguments, None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !variable.chars().all(is_name) || (variable.is_empty() && value.is_some()) {
        return Err(misused("%env"));
    }
    let statement = match value {
        Some(value) => format!("unsafe {{ std::env::set_var({variable:?}, {value:?}) }};"),
        None if variable.is_empty() => {
            "for (name, value) in std::env::vars_os() { println!(\"{}={}\", name.display(), value.display()); };".to_owned()
        }
        None => format!(
            "match std::env::var_os({variable:?}) {{ Some(value) => println!(\"{{}}\", value.display()), None => println!(\"{variable} is not set\") }};"
        ),
    };
    let mut code = code.to_owned();
    code.replace_range(magic.start..magic.line_end, &statement);
    Ok(code)
}

fn script(name: &str, arguments: &str, text: &str) -> Result<Vec<Step>, Mistake> {
    if text.trim().is_empty() {
        return Err(usage(&format!(
            "`{name}` runs the lines below it, and there are none"
        )));
    }
    let (program, file) = match name {
        "%%python" => ("python3", "cell.py"),
        _ => ("bash", "cell.sh"),
    };
    let (mut variable, mut may_fail, mut rest) = (None, false, Vec::new());
    let mut words = arguments.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "--out" => {
                let named = words.next().filter(|name| is_variable(name));
                variable = Some(named.ok_or_else(|| misused(name))?.to_owned());
            }
            "--no-raise-error" => may_fail = true,
            _ => rest.push(word.to_owned()),
        }
    }
    let mut steps = vec![Step::Do(Action::Script(Script {
        program,
        arguments: rest,
        text: text.to_owned(),
        file,
        may_fail,
    }))];
    if variable.is_some() {
        steps.insert(0, Step::Do(Action::Capture(Captured::Stdout)));
        steps.push(Step::Do(Action::Assign(variable)));
    }
    Ok(steps)
}

fn show(name: &str, arguments: &str, text: &str) -> Result<Vec<Step>, Mistake> {
    let mime_type = match name {
        "%%html" => "text/html",
        "%%javascript" => "application/javascript",
        "%%latex" => "text/latex",
        "%%svg" => "image/svg+xml",
        _ => "text/markdown",
    };
    let text = text.to_owned();
    let shown = Step::Do(Action::Show { mime_type, text });
    Ok(vec![alone(name, arguments, shown)?])
}

/// A file's name as in a shell: in quotes if it contains spaces.
fn unquoted(name: &str) -> &str {
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let name = name.strip_prefix(quote)?.strip_suffix(quote)?;
        (!name.contains(quote)).then_some(name)
    });
    quoted.unwrap_or(name)
}

fn write_file(name: &str, arguments: &str, text: &str) -> Result<Vec<Step>, Mistake> {
    let (appends, path) = match arguments.strip_prefix("-a ") {
        Some(path) => (true, path.trim()),
        None => (false, arguments),
    };
    let path = unquoted(path);
    if path.is_empty() || path == "-a" {
        return Err(misused(name));
    }
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(vec![Step::Do(Action::Write {
        path: path.to_owned(),
        appends,
        text,
    })])
}

/// Parses a size such as `512M`, `1.5G`, `1GiB` or `4096`.
fn bytes_of(text: &str) -> Option<u64> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let shift = match unit
        .trim()
        .to_ascii_uppercase()
        .trim_end_matches("IB")
        .trim_end_matches('B')
    {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * (1_u64 << shift) as f64;
    (bytes >= 1.0 && bytes < (1_u64 << 50) as f64).then_some(bytes as u64)
}

/// Formats a size with a suitable unit: `1.5 GiB`.
pub fn bytes_in_words(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift {
            let number = format!("{:.1}", bytes as f64 / (1_u64 << shift) as f64);
            return format!("{} {unit}", number.trim_end_matches(".0"));
        }
    }
    format!("{bytes} bytes")
}

/// The number of characters to insert, remove or replace to turn one text into the other
/// (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
