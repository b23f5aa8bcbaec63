//! The memory limit: which guard ends which greed, and that nothing else is lost.

use crate::cells::Cells;

const SHARED: &str = "unsafe extern \"C\" { fn mmap(at: *mut u8, n: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> *mut u8; }
    fn touch(n: usize) -> u8 { let at = unsafe { mmap(std::ptr::null_mut(), n, 3, 0x21, -1, 0) };
        for i in (0..n).step_by(4096) { unsafe { at.add(i).write_volatile(1) } } 7 }";

pub fn a_greedy_cell_is_rolled_back() {
    let mut cells = Cells::start();
    cells.ok(SHARED);
    cells.ok("let kept = vec![7; 1000]; let mut changed = 1;");
    let unlimited = cells.magic("%limit").unwrap();
    assert!(unlimited.contains("are in use"), "{unlimited}");
    let refused = cells.magic("%limit memory 1M").unwrap_err();
    assert!(refused.evalue.contains("use"), "{refused:?}");
    let limited = cells.magic("%limit memory 300M").unwrap();
    assert!(
        limited
            .starts_with("the cells may use 300 MiB of memory together (`%limit memory 300 MiB`)"),
        "{limited}"
    );
    let greedy = [
        // One allocation that is too large, and several that are too many: refused by the system, at
        // once. The last is so large that the supervisor, which looks from time to time, never sees
        // too much.
        (
            "std::hint::black_box(vec![1_u8; 600 << 20]).len()",
            "600 MiB",
        ),
        (
            "let mut all = Vec::new(); loop { all.push(vec![1_u8; 100 << 20]); }",
            "100 MiB",
        ),
        // Memory that is no process's own, and processes that are modest each: seen by the
        // supervisor.
        (
            "touch(600 << 20); loop {}",
            "of memory; the limit is 300 MiB",
        ),
        (
            "for _ in 0..4 { if fork() == 0 { let _all = std::hint::black_box(vec![1_u8; 150 << 20]); loop { pause(); } } } loop { pause(); }",
            "of memory; the limit is 300 MiB",
        ),
    ];
    for (code, part) in greedy {
        let error = cells.fails(&format!("changed = 2; {code}"), "OutOfMemory");
        assert!(
            error.evalue.contains(part) && error.evalue.contains("`%limit memory 300 MiB`"),
            "{code}: {error:?}"
        );
        assert_eq!(
            cells.ok("println!(\"{} {changed}\", kept.len());"),
            "1000 1\n"
        );
    }
    let script = "%%python\nall = [bytearray(1 << 20) for _ in range(600)]";
    // Python is refused more at the same moment at which all processes together have too much:
    // which of the two is seen first is a matter of luck.
    let ended = cells.magic(script).unwrap_err();
    let was_refused = ended.ename == "ScriptError" && cells.stderr().contains("MemoryError");
    assert!(was_refused || ended.ename == "OutOfMemory", "{ended:?}");
    // What is modest goes on, and a limit that is lifted is no more.
    cells.ok("drop(std::hint::black_box(vec![1_u8; 100 << 20]));");
    cells.magic("%limit off").unwrap();
    assert_eq!(
        cells.ok("println!(\"{}\", std::hint::black_box(vec![1_u8; 600 << 20]).len());"),
        "629145600\n"
    );
    cells.finish();
}
