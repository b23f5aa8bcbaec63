//! The shared objects of this process: which one contains an address, and where one is loaded.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A loaded object: its path in the loader's list, empty for the program itself, and the distance
/// between the addresses in its file and those in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) path: PathBuf,
    pub(crate) base: usize,
}

/// The object with `address` in one of its loaded segments.
pub(crate) fn holding(address: usize) -> Option<Object> {
    let mut search = Search {
        matches: &|info| is_within(info, address),
        found: None,
    };
    search.run();
    search.found
}

/// The number of objects unloaded so far: while it stays the same, the addresses of loaded objects
/// stay valid.
pub(crate) fn n_unloaded() -> u64 {
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        size: usize,
        n_unloaded: *mut libc::c_void,
    ) -> i32 {
        if size >= size_of::<libc::dl_phdr_info>() {
            // SAFETY: `info` is the loader's, valid for this call, with the size that it states;
            // `n_unloaded` is the number below.
            unsafe { *n_unloaded.cast::<u64>() = (*info).dlpi_subs };
        }
        1
    }
    let mut n_unloaded = 0u64;
    // SAFETY: `first` gets the pointer passed here, and the walk ends, with the first object,
    // before this returns.
    unsafe {
        libc::dl_iterate_phdr(Some(first), (&raw mut n_unloaded).cast());
    }
    n_unloaded
}

/// A file that is mapped into memory: its device and inode from `/proc/self/maps`. Compare them
/// only with each other: for a file on an overlay, `stat` may report another device.
pub(crate) type MappedFile = [u64; 2];

/// The file that a part of this process's memory is mapped from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) file: MappedFile,
    /// The file's absolute path; `None` if it no longer has one.
    pub(crate) path: Option<PathBuf>,
}

/// The mapping that covers an address, if it is of a file.
pub(crate) fn mapping_at(address: usize) -> Option<Mapping> {
    let lines = std::fs::read("/proc/self/maps").ok()?;
    let mut lines = lines.split(|&byte| byte == b'\n').filter_map(Line::of);
    let line = lines.find(|line| (line.start..line.end).contains(&address))?;
    line.mapping()
}

/// An address at which code of a file is mapped.
pub(crate) fn code_of(file: MappedFile) -> Option<usize> {
    let lines = std::fs::read("/proc/self/maps").ok()?;
    let mut lines = lines.split(|&byte| byte == b'\n').filter_map(Line::of);
    let line = lines.find(|line| line.file == file && line.is_code)?;
    Some(line.start)
}

/// A line of `/proc/PID/maps` (proc(5)).
struct Line<'a> {
    start: usize,
    end: usize,
    is_code: bool,
    file: MappedFile,
    path: &'a [u8],
}

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Option<Line<'a>> {
        // start-end permissions offset major:minor inode, then blanks and the path, which may
        // contain blanks.
        let mut rest = line;
        let mut word = || {
            let n_blanks = rest.iter().take_while(|&&byte| byte == b' ').count();
            let begun = &rest[n_blanks..];
            let n = begun.iter().take_while(|&&byte| byte != b' ').count();
            rest = &begun[n..];
            std::str::from_utf8(&begun[..n]).ok()
        };
        let (start, end) = word()?.split_once('-')?;
        let is_code = word()?.contains('x');
        word()?;
        let (major, minor) = word()?.split_once(':')?;
        let inode = word()?.parse().ok()?;
        let hex = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Line {
            start: hex(start)? as usize,
            end: hex(end)? as usize,
            is_code,
            file: [hex(major)? << 32 | hex(minor)?, inode],
            path: rest.trim_ascii_start(),
        })
    }

    fn mapping(&self) -> Option<Mapping> {
        // Memory without a file has inode 0.
        if self.file[1] == 0 {
            return None;
        }
        let has_path = self.path.starts_with(b"/") && !self.path.ends_with(b" (deleted)");
        let path = has_path.then(|| PathBuf::from(OsStr::from_bytes(self.path)));
        Some(Mapping {
            file: self.file,
            path,
        })
    }
}

/// The object at `path` (empty: the program itself), which is loaded if necessary.
pub(crate) fn load(path: &Path) -> Result<Object> {
    if path.as_os_str().is_empty() {
        return program();
    }
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::function_not_found(format!("{} is not a path", path.display())))?;
    // SAFETY: the name is a C string; loading runs the object's initialisers, as it did in the
    // process that named this object.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        return Err(Error::function_not_found(format!(
            "cannot load the shared object that holds it: {}",
            last_error()
        )));
    }
    let mut map: *const LinkMap = std::ptr::null();
    // SAFETY: the handle is open and never closed; the call writes one pointer.
    let code = unsafe { libc::dlinfo(handle, libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) };
    if code != 0 || map.is_null() {
        return Err(Error::function_not_found(format!(
            "cannot tell where {} was loaded: {}",
            path.display(),
            last_error()
        )));
    }
    // SAFETY: the loader keeps the map of an open handle, and its first field is the base.
    let base = unsafe { (*map).base };
    Ok(Object {
        path: path.to_owned(),
        base,
    })
}

/// Whether code could be called at `address`: it lies in an executable segment.
pub(crate) fn is_executable(address: usize) -> bool {
    let mut search = Search {
        matches: &|info| {
            segments(info)
                .iter()
                .any(|segment| segment.p_flags & libc::PF_X != 0 && covers(info, segment, address))
        },
        found: None,
    };
    search.run();
    search.found.is_some()
}

/// The part of `struct link_map` that is the loader's stable interface (`<link.h>`).
#[repr(C)]
struct LinkMap {
    base: usize,
}

fn program() -> Result<Object> {
    let mut search = Search {
        matches: &|_| true,
        found: None,
    };
    search.run();
    search
        .found
        .ok_or_else(|| Error::function_not_found("the loader does not list the program"))
}

/// A walk over the loaded objects, starting with the program, that stops at the first match.
struct Search<'a> {
    matches: &'a dyn Fn(&libc::dl_phdr_info) -> bool,
    found: Option<Object>,
}

impl Search<'_> {
    fn run(&mut self) {
        // SAFETY: `visit` gets the pointer passed here, and the walk ends before this returns.
        unsafe {
            libc::dl_iterate_phdr(Some(visit), std::ptr::from_mut(self).cast());
        }
    }
}

unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut libc::c_void,
) -> i32 {
    // SAFETY: `data` is the search that `run` passed, to which this is the only access during the
    // walk; `info` is the loader's and valid for this call.
    let (search, info) = unsafe { (&mut *data.cast::<Search<'_>>(), &*info) };
    if !(search.matches)(info) {
        return 0;
    }
    // SAFETY: the loader's names are C strings.
    let name = unsafe { CStr::from_ptr(info.dlpi_name) };
    search.found = Some(Object {
        path: PathBuf::from(OsStr::from_bytes(name.to_bytes())),
        base: info.dlpi_addr as usize,
    });
    1
}

fn is_within(info: &libc::dl_phdr_info, address: usize) -> bool {
    segments(info)
        .iter()
        .any(|segment| covers(info, segment, address))
}

fn covers(info: &libc::dl_phdr_info, segment: &libc::Elf64_Phdr, address: usize) -> bool {
    let start = (info.dlpi_addr as usize).wrapping_add(segment.p_vaddr as usize);
    segment.p_type == libc::PT_LOAD && address.wrapping_sub(start) < segment.p_memsz as usize
}

fn segments(info: &libc::dl_phdr_info) -> &[libc::Elf64_Phdr] {
    if info.dlpi_phdr.is_null() {
        return &[];
    }
    // SAFETY: the loader's table has the stated number of headers, for as long as the object stays
    // loaded, which is at least for this visit.
    unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) }
}

fn last_error() -> String {
    // SAFETY: the message is null or a C string that stays until this thread's next call.
    unsafe {
        let message = libc::dlerror();
        if message.is_null() {
            "no reason given".to_owned()
        } else {
            CStr::from_ptr(message).to_string_lossy().into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_the_program_is_found_again() {
        let address = a_function_of_the_program_is_found_again as *const () as usize;
        let object = holding(address).unwrap();
        assert_eq!(object.path, PathBuf::new());
        assert_eq!(load(&object.path).unwrap(), object);
        assert!(is_executable(address));
    }

    #[test]
    fn a_function_of_a_library_is_found_by_its_path() {
        let object = holding(libc::getpid as *const () as usize).unwrap();
        assert!(object.path.to_string_lossy().contains("libc"));
        assert_eq!(load(&object.path).unwrap().base, object.base);
    }

    #[test]
    fn data_is_not_code_and_the_stack_is_in_no_object() {
        let local = 0u8;
        assert_eq!(holding(std::ptr::from_ref(&local) as usize), None);
        assert!(!is_executable(std::ptr::from_ref(&local) as usize));
    }

    #[test]
    fn a_library_is_found_by_its_file() {
        let address = libc::getpid as *const () as usize;
        let mapping = mapping_at(address).unwrap();
        let path = mapping.path.unwrap();
        assert!(path.is_absolute() && path.to_string_lossy().contains("libc"));
        let code = code_of(mapping.file).unwrap();
        assert_eq!(holding(code), holding(address));
        let local = 0u8;
        assert_eq!(mapping_at(std::ptr::from_ref(&local) as usize), None);
        assert_eq!(code_of([0, 0xffff_ffff_ffff]), None);
        assert_eq!(n_unloaded(), n_unloaded());
    }

    #[test]
    fn lines_of_the_maps_are_read() {
        let read = |line: &'static str| Line::of(line.as_bytes());
        let line = read("7f00-7f10 r-xp 00001000 08:1f 4711      /usr/lib/my lib.so").unwrap();
        assert_eq!((line.start, line.end, line.is_code), (0x7f00, 0x7f10, true));
        let mapping = line.mapping().unwrap();
        assert_eq!(mapping.file, [8 << 32 | 0x1f, 4711]);
        assert_eq!(mapping.path, Some(PathBuf::from("/usr/lib/my lib.so")));
        let gone = read("7f00-7f10 r--p 0 08:01 4711 /tmp/a.so (deleted)").unwrap();
        assert_eq!(gone.mapping().unwrap().path, None);
        assert_eq!(
            read("7f00-7f10 rw-p 0 00:00 0 [heap]").unwrap().mapping(),
            None
        );
        assert!(
            ["", "7f00", "7f00-7f10 r-xp 0 08 1", "x-y r-xp 0 08:01 1"]
                .map(read)
                .iter()
                .all(Option::is_none)
        );
    }

    #[test]
    fn a_missing_object_is_named() {
        let error = load(Path::new("/nowhere/libcode.so")).unwrap_err();
        assert!(error.is_function_not_found());
        assert!(error.to_string().contains("/nowhere/libcode.so"), "{error}");
    }
}
