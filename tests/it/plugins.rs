//! Plugins: shared objects that map over their host's pool, and are unloaded, rebuilt and loaded
//! again in between.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use forklore::Pool;

use crate::starts::{METHODS, pool};
use crate::support::{Scene, scene_with, tests, text};

tests![a_pool_runs_the_code_that_its_owner_has];

pub const SCENES: &[Scene] = &[
    ("plugins_come_and_go", plugins_come_and_go),
    ("plugin_by_a_relative_path", plugin_by_a_relative_path),
];

/// The number that a plugin adds to each item, until a copy of it gets another number.
const ADDS: u64 = 0x5eed_0f9a_55ed_b10c;

const SOURCE: &str = r#"
use forklore::Pool;

static ADDS: u64 = 0x5eed_0f9a_55ed_b10c;

fn add(x: u64) -> u64 {
    // SAFETY: it is a number; read so, it is none that the compiler knows.
    x.wrapping_add(unsafe { std::ptr::read_volatile(&ADDS) })
}

#[unsafe(no_mangle)]
pub extern "C" fn map(pool: &Pool, sums: &mut Vec<Result<u64, String>>) {
    let results = pool.try_map(add, 0..4);
    let results = results.into_iter().map(|result| result.map_err(|error| error.to_string()));
    sums.extend(results);
}
"#;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlclose(handle: *mut c_void) -> c_int;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;

/// A loaded plugin.
struct Plugin(*mut c_void);

impl Plugin {
    fn load(path: &Path) -> Plugin {
        let name = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string; a plugin's initialisers are the library's own. The
        // message is a C string.
        unsafe {
            let handle = dlopen(name.as_ptr(), RTLD_NOW);
            assert!(
                !handle.is_null(),
                "{:?}",
                std::ffi::CStr::from_ptr(dlerror())
            );
            Plugin(handle)
        }
    }

    /// The plugin's results for 0, 1, 2, 3 on a pool.
    fn map(&self, pool: &Pool) -> Vec<Result<u64, String>> {
        type Map = extern "C" fn(&Pool, &mut Vec<Result<u64, String>>);
        let mut sums = Vec::new();
        // SAFETY: the plugin has such a function, compiled by the same compiler against the same
        // library.
        unsafe {
            let map = dlsym(self.0, c"map".as_ptr());
            std::mem::transmute::<*mut c_void, Map>(map)(pool, &mut sums);
        }
        sums
    }

    fn adds(&self, pool: &Pool, n: u64) {
        assert_eq!(self.map(pool), [n, n + 1, n + 2, n + 3].map(Ok));
    }

    /// Unloads it, and checks that it is gone.
    fn unload(self, path: &Path) {
        // SAFETY: nothing uses the plugin any more.
        unsafe { dlclose(self.0) };
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!maps.contains(name), "{name} is still loaded");
    }
}

/// The hash in the symbol of a function of the library, which differs between its builds.
fn hash(object: &Path) -> Option<String> {
    const NAME: &str = "_ZN8forklore4pool7workers5early4init17h";
    let bytes = fs::read(object).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let hashes = text.split(NAME).skip(1).filter_map(|rest| rest.get(..16));
    // The name stands in this function, too.
    let mut hashes = hashes.filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hashes.next().map(str::to_owned)
}

/// The library with which this binary was linked. Its folder may have others, with other features.
fn library() -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let linked = hash(&binary).expect("the tests call the library's `init`");
    let mut libraries = fs::read_dir(binary.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("libforklore-") && name.ends_with(".rlib")
        });
    libraries
        .find(|path| hash(path).as_ref() == Some(&linked))
        .unwrap()
}

/// Compiles a plugin into a separate folder.
fn build(folder: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let source = folder.join("plugin.rs");
    fs::write(&source, SOURCE).unwrap();
    let library = library();
    let built = folder.join("plugin.so");
    let output = Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "cdylib",
            "-C",
            "strip=symbols",
            "-o",
        ])
        .arg(&built)
        .arg("--extern")
        .arg(format!("forklore={}", library.display()))
        .arg("-L")
        .arg(format!(
            "dependency={}",
            library.parent().unwrap().display()
        ))
        .arg(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    built
}

/// A compiled plugin that can be copied with another number to add.
struct Template {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Template {
    fn read(folder: &Path) -> Template {
        let bytes = fs::read(folder.join("plugin.so")).unwrap();
        let number = ADDS.to_le_bytes();
        let found = bytes.chunks_exact(8).position(|eight| eight == number);
        let number_at = 8 * found.unwrap();
        Template { bytes, number_at }
    }

    /// Puts a plugin that adds `n` at a path, as a different file from the one before.
    fn put(&mut self, n: u64, path: &Path) {
        self.bytes[self.number_at..self.number_at + 8].copy_from_slice(&n.to_le_bytes());
        let new = path.with_extension("new");
        fs::write(&new, &self.bytes).unwrap();
        fs::rename(new, path).unwrap();
    }
}

fn plugins_come_and_go() {
    let folder = PathBuf::from(crate::support::scene_argument());
    let mut template = Template::read(&folder);
    for method in METHODS {
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.join(format!("lib{name}{method:?}.so")));
        template.put(100, &a);
        template.put(200, &b);
        template.put(300, &c);
        // Workers that are forked have the first one from the start.
        let first = Plugin::load(&a);
        let pool = pool(method, 2);
        first.adds(&pool, 100);
        first.adds(&pool, 100);
        first.unload(&a);
        // Most likely where the first one was.
        let second = Plugin::load(&b);
        second.adds(&pool, 200);
        second.unload(&b);
        let again = Plugin::load(&a);
        again.adds(&pool, 100);
        again.unload(&a);
        // Rebuilt under the same path, more than once.
        for n in [101, 102, 103] {
            template.put(n, &a);
            let rebuilt = Plugin::load(&a);
            rebuilt.adds(&pool, n);
            rebuilt.unload(&a);
        }
        // Replaced while it is loaded: what its owner has, or an error, but not the new code.
        let loaded = Plugin::load(&c);
        loaded.adds(&pool, 300);
        template.put(301, &c);
        let fresh = crate::starts::pool(method, 2);
        for (item, sum) in [&pool, &fresh]
            .iter()
            .flat_map(|pool| loaded.map(pool))
            .enumerate()
        {
            match sum {
                Ok(sum) => assert_eq!(sum, 300 + item as u64 % 4),
                Err(text) => assert!(text.contains("libc") && text.contains("replaced"), "{text}"),
            }
        }
        loaded.unload(&c);
        let reloaded = Plugin::load(&c);
        reloaded.adds(&pool, 301);
        reloaded.adds(&fresh, 301);
        reloaded.unload(&c);
    }
    println!("all right");
}

fn a_pool_runs_the_code_that_its_owner_has() {
    let built = build("plugins");
    let folder = built.parent().unwrap().to_str().unwrap();
    for (scene, _) in SCENES {
        let output = scene_with(scene, folder).output().unwrap();
        assert!(
            text(&output).contains("all right"),
            "{scene}: {}",
            text(&output)
        );
    }
}

fn plugin_by_a_relative_path() {
    let folder = PathBuf::from(crate::support::scene_argument());
    let mut template = Template::read(&folder);
    for (method, n) in METHODS.into_iter().zip([400, 500, 600]) {
        std::env::set_current_dir(&folder).unwrap();
        let path = PathBuf::from(format!("./librelative{n}.so"));
        template.put(n, &path);
        let pool = pool(method, 2);
        let plugin = Plugin::load(&path);
        std::env::set_current_dir("/").unwrap();
        plugin.adds(&pool, n);
    }
    println!("all right");
}
