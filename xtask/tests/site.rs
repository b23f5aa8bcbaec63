//! The documentation site: it is made by one command, and every link on its pages leads somewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::repository;

/// Without the course, which other tests run.
#[test]
fn every_link_of_the_site_leads_somewhere() {
    let site = Path::new(env!("CARGO_TARGET_TMPDIR")).join("site");
    let status = Command::new("python3")
        .arg(repository().join(".github/site/build.py"))
        .arg("--no-course")
        .arg(&site)
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");

    let mut wrong = Vec::new();
    for page in pages(&site) {
        let text = fs::read_to_string(&page).unwrap();
        let targets = ["href=\"", "src=\""].map(|attribute| text.split(attribute).skip(1));
        for target in targets.into_iter().flatten() {
            let target = target.split('"').next().unwrap();
            let (file, id) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") {
                continue;
            }
            let file = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let has_id = |text: String| text.contains(&format!("id=\"{id}\""));
            if !file.exists() || !id.is_empty() && !fs::read_to_string(file).is_ok_and(has_id) {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "links that lead nowhere:\n{}",
        wrong.join("\n")
    );
}

/// The pages of the documents. rustdoc itself checks the library's.
fn pages(site: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![site.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("api") {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "html")
            {
                pages.push(path);
            }
        }
    }
    assert!(
        pages.len() > 10,
        "{} pages in {}",
        pages.len(),
        site.display()
    );
    pages
}
