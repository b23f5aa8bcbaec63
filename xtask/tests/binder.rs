//! The files of `binder/`: repo2docker finds them, and the images' recipes copy what their steps
//! need.
//!
//! The images themselves are made and tried by `binder/try-root`, which needs root and Debian's
//! packages.

use std::fs;

use forklore_lab::{places, python};
use xtask::repository;

/// repo2docker writes the Dockerfile that it would hand to an engine; it needs none for that.
#[test]
fn repo2docker_makes_its_steps_of_our_files() {
    let requirements = repository().join("binder/try/requirements.txt");
    let cache = places::cache_folder().expect("a cache folder");
    let interpreter = python::find_interpreter().expect("a Python interpreter");
    let environment =
        python::ensure_in(&cache, &interpreter, &requirements).expect("repo2docker's environment");
    let output = environment
        .command("jupyter-repo2docker")
        .args(["--no-build", "--debug", "--user-id", "1000"])
        .args(["--user-name", "jovyan"])
        .arg(repository())
        .output()
        .expect("repo2docker can be run");
    let dockerfile = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let release = text("binder/runtime.txt").trim().replace("python-", "");
    assert!(log.contains(&format!("python={release}")), "{log}");
    let mut packages: Vec<String> = text("binder/apt.txt").lines().map(str::to_owned).collect();
    packages.sort();
    let steps = [
        format!(
            "apt-get install --yes --no-install-recommends {}",
            packages.join(" ")
        ),
        "pip install --no-cache-dir -r \"binder/requirements.txt\"".to_owned(),
        "RUN ./binder/postBuild".to_owned(),
        "ENV R2D_ENTRYPOINT=\"${REPO_DIR}/binder/start\"".to_owned(),
    ];
    // Each behind the one before it.
    let mut rest = &*dockerfile;
    for step in steps {
        let place = rest
            .find(&step)
            .unwrap_or_else(|| panic!("no `{step}` in its place in\n{dockerfile}"));
        rest = &rest[place + step.len()..];
    }
}

/// A file that a step reads and a recipe does not copy would be noticed only by who makes the
/// image.
#[test]
fn the_images_recipes_copy_what_their_steps_read() {
    let scripts = ["install", "postBuild", "start"];
    for recipe in ["binder/Containerfile", "binder/forklore.def"] {
        let recipe_text = text(recipe);
        for file in scripts.into_iter().chain(["apt.txt", "requirements.txt"]) {
            assert!(
                recipe_text.contains(&format!("binder/{file} ")),
                "{recipe} does not copy binder/{file}"
            );
            assert!(repository().join("binder").join(file).exists());
        }
        for copied in ["*.whl", "lessons", "binder/install /opt/forklore"] {
            assert!(recipe_text.contains(copied), "{recipe} has no {copied}");
        }
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
