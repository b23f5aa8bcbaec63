//! A plugin that is loaded, mapped over, rebuilt and loaded again while one pool lives.
//!
//! `cargo run --example plugin`

use std::ffi::{CString, c_void};
use std::path::Path;
use std::process::Command;

use forklore::{Pool, Result};

/// A shared object that is loaded, and the function that it offers.
struct Plugin {
    handle: *mut c_void,
    filter: extern "C" fn(u8) -> u8,
}

impl Plugin {
    /// Compiles the filter and loads it.
    fn build(folder: &Path, filter: &str) -> Plugin {
        let (source, built) = (folder.join("plugin.rs"), folder.join("plugin.so"));
        let code =
            format!("#[unsafe(no_mangle)] extern \"C\" fn filter(x: u8) -> u8 {{ {filter} }}");
        std::fs::write(&source, code).unwrap();
        let rustc = ["--edition=2024", "--crate-type=cdylib", "-o"];
        let status = Command::new("rustc")
            .args(rustc)
            .arg(&built)
            .arg(&source)
            .status();
        assert!(status.unwrap().success(), "the plugin does not compile");
        let path = CString::new(built.to_str().unwrap()).unwrap();
        // SAFETY: both names are C strings, and the plugin was compiled with such a function a
        // moment ago.
        unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            let filter = libc::dlsym(handle, c"filter".as_ptr());
            assert!(!filter.is_null(), "the plugin has no filter");
            let filter = std::mem::transmute::<*mut c_void, extern "C" fn(u8) -> u8>(filter);
            Plugin { handle, filter }
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // SAFETY: the filter is private, so nothing calls it any more.
        unsafe { libc::dlclose(self.handle) };
    }
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("plugin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let pool = Pool::with_workers(2)?;
    let pixels = [0, 100, 200];
    // The closure has captured the plugin, so its workers are forked for the map and have what its
    // owner has loaded.
    for (filter, expected) in [
        ("255 - x", [255, 155, 55]),
        ("x / 2", [0, 50, 100]),
        ("x.saturating_add(100)", [100, 200, 255]),
    ] {
        let plugin = Plugin::build(&folder, filter);
        let filtered = pool.map(|pixel: u8| (plugin.filter)(pixel), pixels);
        println!("{filter}: {filtered:?}");
        assert_eq!(filtered, expected);
    }
    // A plugin that aborts costs its items, and not its host.
    let plugin = Plugin::build(&folder, "if x == 200 { std::process::abort() } else { x }");
    let filtered = pool.try_map(|pixel: u8| (plugin.filter)(pixel), pixels);
    println!("{}", filtered[2].as_ref().unwrap_err());
    assert_eq!(filtered[1], Ok(100));
    std::fs::remove_dir_all(&folder).unwrap();
    Ok(())
}
