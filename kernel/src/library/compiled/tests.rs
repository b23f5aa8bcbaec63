use super::*;

const NAME: &str = "small-0123456789abcdef";

/// Writes what cargo leaves after a compile into a session's folder, as if it had compiled at a
/// given second.
fn compile(target: &Path, name: &str, content: &str, secs: u64) {
    let profile = target.join("x86_64-unknown-linux-gnu/debug");
    let (package, hash) = name.rsplit_once('-').unwrap();
    let files = [
        (format!("deps/lib{package}-{hash}.rlib"), content),
        (format!("deps/{package}-{hash}.d"), "sources"),
        (format!(".fingerprint/{name}/lib-{package}"), hash),
        (format!(".fingerprint/{name}/lib-{package}.json"), "{}"),
    ];
    for (file, content) in files {
        let path = profile.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }
}

fn library(target: &Path, name: &str) -> Option<String> {
    let (package, hash) = name.rsplit_once('-').unwrap();
    let path = format!("x86_64-unknown-linux-gnu/debug/deps/lib{package}-{hash}.rlib");
    fs::read_to_string(target.join(path)).ok()
}

fn of(names: &[&str]) -> HashSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A cache with a store, and the folders of three sessions.
fn setting(name: &str) -> (PathBuf, Store, [PathBuf; 3]) {
    let root = scratch(name);
    let sessions = ["a", "b", "c"].map(|name| root.join(name));
    for session in &sessions {
        fs::create_dir(session).unwrap();
    }
    let store = Store::at(root.join("crates-1"));
    (root, store, sessions)
}

#[test]
fn what_one_session_has_compiled_another_has_with_its_time() {
    let (root, store, [a, b, c]) = setting("two");
    assert!(store.fetch(&a, &of(&["small"])).is_empty());
    compile(&a, NAME, "code", 1_000);
    store.keep(&a, &of(&["small"]), &Fetched::new()).unwrap();
    assert!(store.fetch(&b, &of(&["other"])).is_empty());
    let fetched = store.fetch(&b, &of(&["small"]));
    assert_eq!(fetched.get(NAME), Some(&Duration::from_secs(1_000)));
    assert_eq!(library(&b, NAME).as_deref(), Some("code"));
    // The session has it now.
    assert!(store.fetch(&b, &of(&["small"])).is_empty());
    // Cargo writes its own files in place: those must not be the store's.
    let note = format!("x86_64-unknown-linux-gnu/debug/.fingerprint/{NAME}/lib-small");
    fs::write(b.join(&note), "").unwrap();
    assert_eq!(store.fetch(&c, &of(&["small"])).len(), 1);
    assert_eq!(
        fs::read_to_string(c.join(note)).unwrap(),
        "0123456789abcdef"
    );
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_was_not_compiled_to_its_end_is_not_kept() {
    let (root, store, [a, b, _]) = setting("half");
    compile(&a, NAME, "code", 1_000);
    let notes = a.join(format!(
        "x86_64-unknown-linux-gnu/debug/.fingerprint/{NAME}"
    ));
    fs::write(notes.join("lib-small"), "").unwrap();
    store.keep(&a, &of(&["small"]), &Fetched::new()).unwrap();
    fs::write(notes.join("lib-small"), "0123456789abcdef").unwrap();
    fs::remove_file(notes.join("lib-small.json")).unwrap();
    store.keep(&a, &of(&["small"]), &Fetched::new()).unwrap();
    assert!(store.fetch(&b, &of(&["small"])).is_empty());
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_is_damaged_is_compiled_again_and_kept_in_its_stead() {
    let (root, store, [a, b, c]) = setting("damaged");
    compile(&a, NAME, "code", 1_000);
    store.keep(&a, &of(&["small"]), &Fetched::new()).unwrap();
    let list = store.folder().join(NAME).join(LIST);
    let bytes = fs::read(&list).unwrap();
    fs::write(&list, &bytes[..bytes.len() / 2]).unwrap();
    assert!(store.fetch(&b, &of(&["small"])).is_empty());
    compile(&b, NAME, "again", 2_000);
    store.keep(&b, &of(&["small"]), &Fetched::new()).unwrap();
    store.fetch(&c, &of(&["small"]));
    assert_eq!(library(&c, NAME).as_deref(), Some("again"));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_cargo_could_not_use_is_replaced_and_what_another_made_meanwhile_is_not() {
    let (root, store, [a, b, c]) = setting("replaced");
    compile(&a, NAME, "code", 1_000);
    store.keep(&a, &of(&["small"]), &Fetched::new()).unwrap();
    // Session b looked before a was ready.
    compile(&b, NAME, "meanwhile", 2_000);
    store.keep(&b, &of(&["small"]), &Fetched::new()).unwrap();
    let fetched = store.fetch(&c, &of(&["small"]));
    assert_eq!(library(&c, NAME).as_deref(), Some("code"));
    compile(&c, NAME, "again", 3_000);
    store.keep(&c, &of(&["small"]), &fetched).unwrap();
    let d = root.join("d");
    store.fetch(&d, &of(&["small"]));
    assert_eq!(library(&d, NAME).as_deref(), Some("again"));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_depends_on_a_crate_is_never_older_than_it() {
    let (root, store, [a, b, c]) = setting("order");
    let above = "above-fedcba9876543210";
    // Session a has both, but the stored version of the lower one is session b's later one.
    compile(&a, NAME, "code", 1_000);
    compile(&a, above, "code", 1_001);
    compile(&b, NAME, "code", 2_000);
    let both = of(&["small", "above"]);
    store.keep(&b, &both, &Fetched::new()).unwrap();
    store.keep(&a, &both, &Fetched::new()).unwrap();
    let fetched = store.fetch(&c, &both);
    assert!(fetched[above] > fetched[NAME], "{fetched:?}");
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_was_used_longest_ago_makes_room_and_what_was_used_today_stays() {
    let (root, store, [a, _, _]) = setting("room");
    let day = Duration::from_secs(24 * 3600);
    let now = SystemTime::now();
    let names = [("new", 0), ("recent", 2), ("old", 3), ("older", 40)];
    for (name, days) in names {
        let unit = format!("{name}-0123456789abcdef");
        compile(&a, &unit, "code", 1_000);
        store.keep(&a, &of(&[name]), &Fetched::new()).unwrap();
        let list = fs::File::open(store.folder().join(unit).join(LIST)).unwrap();
        list.set_modified(now - days * day).unwrap();
    }
    let left = |limit_bytes| {
        room::make(store.folder(), limit_bytes, now);
        let mut left: Vec<String> = room::kept(store.folder())
            .into_iter()
            .map(|kept| package(&kept.unit).unwrap().to_owned())
            .collect();
        left.sort();
        left
    };
    assert_eq!(left(u64::MAX), ["new", "old", "recent"]);
    let n_bytes = room::kept(store.folder())[0].n_bytes;
    assert_eq!(left(n_bytes * 5 / 2), ["new", "recent"]);
    assert_eq!(left(0), ["new"]);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_store_that_others_can_change_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let (root, store, [a, b, _]) = setting("others");
    compile(&a, NAME, "code", 1_000);
    store.keep(&a, &of(&["small"]), &Fetched::new()).unwrap();
    let set = |mode| fs::set_permissions(store.folder(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o777);
    assert!(store.fetch(&b, &of(&["small"])).is_empty());
    set(0o700);
    assert_eq!(store.fetch(&b, &of(&["small"])).len(), 1);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn only_packages_from_elsewhere_than_a_folder_are_kept() {
    let lock = "version = 4\n\n[[package]]\nname = \"ctx\"\nversion = \"1.0.0\"\n\n\
        [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n\n\
        [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"git+x\"\n\n\
        [[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
    assert_eq!(packages(lock), of(&["a"]));
}

#[test]
fn what_a_cell_has_asked_for_is_known_to_the_letter() {
    let (root, store, _) = setting("known");
    assert!(!store.knows("rand"));
    store.note("rand").unwrap();
    assert!(store.knows("rand") && !store.knows("rand = \"0.8\""));
    fs::remove_dir_all(root).unwrap();
}
