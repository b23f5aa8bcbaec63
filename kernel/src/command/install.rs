//! The two kernelspecs: where Jupyter looks for kernels, and what the specs contain.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use forklore_lab::find_program;
use serde_json::{Value, json};

/// The folders in which the kernels are installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The user's own folders.
    User,
    /// The folders of the Python environment that `jupyter` belongs to.
    SysPrefix,
    /// `share/jupyter` below this folder.
    Prefix(PathBuf),
}

/// A kernelspec.
struct Spec {
    /// The name of its folder, which is its name for `jupyter`.
    name: &'static str,
    /// The name that users see.
    display_name: &'static str,
    /// The subcommand that serves it.
    subcommand: &'static str,
    /// Whether JupyterLab's debugger, which lists the variables, can be enabled.
    lists_variables: bool,
    /// File names and contents.
    files: &'static [(&'static str, &'static [u8])],
}

const SPECS: [Spec; 2] = [
    Spec {
        name: "forklore",
        display_name: "Rust (forklore)",
        subcommand: "kernel",
        lists_variables: true,
        files: &[
            ("logo-svg.svg", include_bytes!("../../logo/forklore.svg")),
            (
                "logo-64x64.png",
                include_bytes!("../../logo/forklore-64.png"),
            ),
            (
                "logo-32x32.png",
                include_bytes!("../../logo/forklore-32.png"),
            ),
        ],
    },
    Spec {
        name: "rust-evcxr",
        display_name: "Rust (evcxr)",
        subcommand: "evcxr",
        lists_variables: false,
        files: &[
            ("logo-svg.svg", include_bytes!("../../logo/evcxr.svg")),
            ("logo-64x64.png", include_bytes!("../../logo/evcxr-64.png")),
            ("logo-32x32.png", include_bytes!("../../logo/evcxr-32.png")),
        ],
    },
];

impl Spec {
    /// `kernel.json`.
    fn json(&self, program: &Path) -> Result<Value> {
        let program = program.to_str().ok_or_else(|| {
            anyhow!(
                "the path of this program, {}, is not UTF-8, and a kernelspec cannot hold it",
                program.display()
            )
        })?;
        Ok(json!({
            "argv": [program, self.subcommand, "--connection-file", "{connection_file}"],
            "display_name": self.display_name,
            "language": "rust",
            // A signal would also reach the compiler and a cell's programs, in any order.
            "interrupt_mode": "message",
            "metadata": {
                "debugger": self.lists_variables,
                "language_info": {
                    "name": "rust",
                    "mimetype": "text/rust",
                    "file_extension": ".rs",
                    "pygments_lexer": "rust",
                    "codemirror_mode": "rust",
                    "nbconvert_exporter": "script",
                },
            },
        }))
    }
}

/// Installs both kernels.
///
/// # Errors
///
/// If there is no folder to install to, or it cannot be written.
pub fn install(place: Place) -> Result<()> {
    let kernels = kernels_folder(&place)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    for spec in &SPECS {
        let folder = kernels.join(spec.name);
        write_spec(spec, &folder, &program)
            .map_err(|error| way_out(error, &folder, "install", &place))?;
        println!("installed {} in {}", spec.display_name, folder.display());
    }
    for warning in missing_tools() {
        eprintln!("warning: {warning}");
    }
    if place == Place::User && find_program("jupyter").is_none() {
        eprintln!(
            "warning: there is no `jupyter` on the PATH; install one with `python3 -m pip install jupyterlab`"
        );
    }
    Ok(())
}

/// Writes both kernelspecs below a folder.
pub(crate) fn write_specs(kernels: &Path) -> Result<()> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    for spec in &SPECS {
        write_spec(spec, &kernels.join(spec.name), &program)?;
    }
    Ok(())
}

/// The folders in which Jupyter looks for `kernels/`, in order.
pub(crate) fn searched_folders() -> Vec<PathBuf> {
    if let Some(jupyter) = find_program("jupyter") {
        let searched = searched_by_jupyter(&jupyter);
        if !searched.is_empty() {
            return searched;
        }
    }
    let variable = std::env::var_os("JUPYTER_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&variable).collect();
    folders.extend(user_data());
    folders.extend(sys_prefix().map(|prefix| prefix.join("share/jupyter")));
    folders.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
    folders
}

/// Removes both kernels.
///
/// # Errors
///
/// If none is installed there, or it cannot be removed.
pub fn uninstall(place: Place) -> Result<()> {
    let kernels = kernels_folder(&place)?;
    let mut n_removed = 0;
    for spec in &SPECS {
        let folder = kernels.join(spec.name);
        match fs::remove_dir_all(&folder) {
            Ok(()) => {
                println!("removed {}", folder.display());
                n_removed += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(way_out(error.into(), &folder, "uninstall", &place)),
        }
    }
    if n_removed == 0 {
        bail!(
            "neither kernel is installed in {}; `jupyter kernelspec list` shows where they are, and \
             --user, --sys-prefix and --prefix say which place is meant",
            kernels.display()
        );
    }
    Ok(())
}

fn write_spec(spec: &Spec, folder: &Path, program: &Path) -> Result<()> {
    let json = serde_json::to_vec_pretty(&spec.json(program)?)?;
    fs::create_dir_all(folder)?;
    for (name, bytes) in spec.files {
        write_whole(&folder.join(name), bytes)?;
    }
    // Last, because this file makes the kernel visible to Jupyter.
    write_whole(&folder.join("kernel.json"), &json)
}

/// Writes a file atomically: a reader sees either the old or the new content.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    written.inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })?;
    Ok(())
}

/// An error about a folder, with what the user can do about it.
fn way_out(error: anyhow::Error, folder: &Path, what: &str, place: &Place) -> anyhow::Error {
    let denied = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let hint = match place {
        _ if !denied => String::new(),
        Place::User => "; --prefix FOLDER takes one that can be written".to_owned(),
        _ => format!("; `forklore {what} --user` needs no permission"),
    };
    error.context(format!("cannot {what} {}{hint}", folder.display()))
}

fn kernels_folder(place: &Place) -> Result<PathBuf> {
    let data = match place {
        Place::Prefix(prefix) => prefix.join("share/jupyter"),
        Place::SysPrefix => sys_prefix()?.join("share/jupyter"),
        Place::User => user_data()?,
    };
    Ok(data.join("kernels"))
}

/// The user's data folder, according to Jupyter's own rules.
fn user_data() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set("JUPYTER_DATA_DIR") {
        return Ok(folder.into());
    }
    if let Some(folder) = set("XDG_DATA_HOME") {
        return Ok(Path::new(&folder).join("jupyter"));
    }
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.ok_or_else(|| {
        anyhow!("no home folder is known; set HOME, or say where with --prefix FOLDER")
    })?;
    Ok(home.join(if cfg!(target_os = "macos") {
        "Library/Jupyter"
    } else {
        ".local/share/jupyter"
    }))
}

/// The environment that `jupyter` belongs to: the active one if there is one, or else that of the
/// command.
fn sys_prefix() -> Result<PathBuf> {
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(prefix) = std::env::var_os(name).filter(|prefix| !prefix.is_empty()) {
            return Ok(prefix.into());
        }
    }
    let Some(jupyter) = find_program("jupyter") else {
        bail!(
            "there is no `jupyter` on the PATH and no active Python environment, so --sys-prefix has no meaning; \
             activate the environment, or install with --user, or say where with --prefix FOLDER"
        );
    };
    let beside = jupyter
        .parent()
        .and_then(Path::parent)
        .map(Path::to_path_buf);
    let searched = searched_by_jupyter(&jupyter);
    if let Some(prefix) = beside
        && searched.contains(&prefix.join("share/jupyter"))
    {
        return Ok(prefix);
    }
    // The command is a wrapper around one in another environment; Jupyter knows its own
    // environment.
    let own = |path: &Path| !path.starts_with("/usr") && path.ends_with("share/jupyter");
    let user = user_data().unwrap_or_default();
    searched
        .into_iter()
        .find(|path| own(path) && *path != user)
        .and_then(|path| Some(path.parent()?.parent()?.to_path_buf()))
        .ok_or_else(|| {
            anyhow!(
                "`jupyter --paths` names no Python environment; say where to install with --prefix FOLDER"
            )
        })
}

/// The data folders of `jupyter --paths --json`.
fn searched_by_jupyter(jupyter: &Path) -> Vec<PathBuf> {
    let output = Command::new(jupyter).args(["--paths", "--json"]).output();
    let paths: Value = match output {
        Ok(output) => serde_json::from_slice(&output.stdout).unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let data = paths["data"].as_array().into_iter().flatten();
    data.filter_map(Value::as_str).map(PathBuf::from).collect()
}

/// The tools that the kernel lacks, each with the command that installs it.
fn missing_tools() -> Vec<String> {
    let mut missing = Vec::new();
    if find_program("cargo").is_none() {
        missing.push(
            "there is no `cargo` on the PATH, and cells are compiled with it; install Rust from https://rustup.rs"
                .to_owned(),
        );
    }
    match rust_source() {
        Some(folder) if !folder.exists() => missing.push(
            "the Rust component `rust-src` is missing, and without it a `let` needs a type; \
             install it with `rustup component add rust-src`"
                .to_owned(),
        ),
        _ => {}
    }
    missing
}

/// The folder where the standard library's source would be.
pub(crate) fn rust_source() -> Option<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernelspecs_name_this_program_and_the_connection_file() {
        for spec in &SPECS {
            let json = spec.json(Path::new("/opt/forklore")).unwrap();
            assert_eq!(json["argv"][0], "/opt/forklore");
            assert_eq!(json["argv"][3], "{connection_file}");
            assert_eq!(json["interrupt_mode"], "message");
            assert_eq!(json["language"], "rust");
        }
    }

    /// The wheel installs its kernelspecs as files, and its program two folders above them.
    #[test]
    fn the_wheels_kernelspecs_are_these_with_a_path_of_their_own() {
        let wheel = Path::new(env!("CARGO_MANIFEST_DIR")).join("wheel/data/share/jupyter/kernels");
        let program = Path::new("{resource_dir}/../../../../bin/forklore");
        for spec in &SPECS {
            let folder = wheel.join(spec.name);
            let json: Value =
                serde_json::from_slice(&fs::read(folder.join("kernel.json")).unwrap()).unwrap();
            assert_eq!(json, spec.json(program).unwrap());
            for (name, bytes) in spec.files {
                assert_eq!(fs::read(folder.join(name)).unwrap(), *bytes, "{name}");
            }
        }
        assert_eq!(fs::read_dir(wheel).unwrap().count(), SPECS.len());
    }

    #[test]
    fn a_file_is_replaced_whole_and_no_draft_stays() {
        let folder = std::env::temp_dir().join(format!("forklore-install-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("kernel.json");
        write_whole(&path, b"old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
