//! Where the memory that processes share is, and what happens when it runs out.

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use forklore::{
    Barrier, Condition, Event, Lock, Process, Queue, RLock, Semaphore, SharedArray, StartMethod,
    TaskError, Value, pipe,
};

use nix::sys::signal::{Signal, raise};

use crate::starts::{METHODS, pool};
use crate::support::{Scene, children, power, scene_argument, scene_with, tests, text, wait_until};

tests![
    nothing_needs_dev_shm,
    a_task_that_takes_all_memory_dies_alone,
    results_that_take_all_memory_leave_nothing,
];

pub const SCENES: &[Scene] = &[
    ("dev_shm_is_full", || with_dev_shm(full)),
    ("dev_shm_is_absent", || with_dev_shm(absent)),
    ("a_task_is_greedy", || in_group(a_task_is_greedy)),
    ("results_are_too_many", || in_group(results_are_too_many)),
];

fn nothing_needs_dev_shm() {
    for scene in ["dev_shm_is_full", "dev_shm_is_absent"] {
        for method in METHODS {
            let output = scene_with(scene, &format!("{method:?}")).output().unwrap();
            assert!(
                output.status.success(),
                "{scene} {method:?}: {}",
                text(&output)
            );
        }
    }
}

/// Uses everything that shares memory, with a private `/dev/shm`.
fn with_dev_shm(make: fn()) {
    // SAFETY: the calls take numbers and give numbers.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    let namespaces = if user == 0 { 0 } else { libc::CLONE_NEWUSER } | libc::CLONE_NEWNS;
    // SAFETY: the call takes a number; this process has one thread.
    let code = unsafe { libc::unshare(namespaces) };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    if user != 0 {
        // A namespace without users lets no process make files.
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/uid_map", format!("0 {user} 1")).unwrap();
        fs::write("/proc/self/gid_map", format!("0 {group} 1")).unwrap();
    }
    mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
    make();
    share_everything(method(&scene_argument()));
}

fn full() {
    mount("none", "/dev/shm", "tmpfs", 0, "size=4096");
    let mut file = fs::File::create("/dev/shm/full").unwrap();
    let outcome = file.write_all(&[1; 8192]);
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
}

/// A `/dev` with only what every program expects.
fn absent() {
    let name = format!("forklore-dev-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).unwrap();
    let dev = folder.to_str().unwrap();
    mount("none", dev, "tmpfs", 0, "");
    for device in ["null", "zero", "urandom"] {
        let place = folder.join(device);
        fs::write(&place, "").unwrap();
        mount(
            &format!("/dev/{device}"),
            place.to_str().unwrap(),
            "",
            libc::MS_BIND,
            "",
        );
    }
    mount(dev, "/dev", "", libc::MS_MOVE, "");
    fs::remove_dir(&folder).unwrap();
    assert!(!Path::new("/dev/shm").exists() && Path::new("/dev/null").exists());
}

fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong, options: &str) {
    let [from, to, kind, options] =
        [source, target, kind, options].map(|text| CString::new(text).unwrap());
    // SAFETY: all four are strings that end with a zero.
    let code = unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    let error = std::io::Error::last_os_error();
    assert_eq!(code, 0, "mount of {source} at {target}: {error}");
}

fn method(name: &str) -> StartMethod {
    let known = METHODS
        .into_iter()
        .find(|known| format!("{known:?}") == name);
    known.unwrap()
}

/// Uses everything that processes share or wait for, once.
pub fn share_everything(method: StartMethod) {
    let pool = pool(method, 2);
    let large = pool.map(|n: u8| vec![n; 1 << 20], 0..8);
    assert!(
        (0..8)
            .zip(&large)
            .all(|(n, bytes)| bytes.len() == 1 << 20 && bytes[7] == n)
    );
    let array = SharedArray::<u64>::zeroed(1 << 20).unwrap();
    let (count, sum) = (Value::new(0u64).unwrap(), Lock::new(0u64).unwrap());
    let permits = Semaphore::new(1).unwrap();
    let queue = Queue::<Vec<u64>>::bounded(4).unwrap();
    pool.map(
        |x: u64| {
            let _permit = permits.acquire().unwrap();
            array.set(x as usize, x);
            count.update(|n| n + 1);
            *sum.lock().unwrap() += x;
        },
        0..20,
    );
    assert_eq!(
        (count.get(), *sum.lock().unwrap(), array.get(19)),
        (20, 190, 19)
    );
    let (sender, receiver) = pipe::<u64>().unwrap();
    let child = Process::spawn(|| {
        queue.send(vec![7; 100_000]).unwrap();
        sender.send(8).unwrap();
    });
    assert_eq!(queue.recv().unwrap().len(), 100_000);
    assert_eq!(receiver.recv().unwrap(), 8);
    child.unwrap().join().unwrap();
    let (go, both) = (Event::new().unwrap(), Barrier::new(2).unwrap());
    let (turn, changed) = (Lock::new(0).unwrap(), Condition::new().unwrap());
    let outer = RLock::new().unwrap();
    let child = Process::spawn(|| {
        go.wait();
        let _outer = outer.lock().unwrap();
        *turn.lock().unwrap() += 1;
        changed.notify_all();
        both.wait().unwrap();
    });
    go.set();
    let turn = changed.wait_while(turn.lock().unwrap(), |turn| *turn == 0);
    assert_eq!(*turn.unwrap(), 1);
    both.wait().unwrap();
    child.unwrap().join().unwrap();
    assert!(outer.lock().is_ok());
}

/// The memory limit of all processes of a group together.
const GROUP_BYTES: u64 = 96 << 20;

/// A control group with little memory, and without swap.
struct Group(PathBuf);

impl Group {
    /// `None` if this process cannot create one: it is not root, or no hierarchy is writable.
    fn new() -> Option<Group> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own_of = |controllers: &str| {
            let mark = format!(":{controllers}:");
            let line = own.lines().find(|line| line.contains(&mark))?;
            Some(
                line.splitn(3, ':')
                    .nth(2)?
                    .trim_start_matches('/')
                    .to_owned(),
            )
        };
        let root = Path::new("/sys/fs/cgroup");
        let version_1 = own_of("memory").map(|group| root.join("memory").join(group));
        let version_2 = own_of("").map(|group| root.join(group));
        let limits = [
            (
                version_1,
                "memory.limit_in_bytes",
                "memory.memsw.limit_in_bytes",
            ),
            (version_2, "memory.max", "memory.swap.max"),
        ];
        let name = format!("forklore-test-{}", std::process::id());
        limits.into_iter().find_map(|(parent, limit, swap)| {
            let folder = parent?.join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Group(folder);
            fs::write(group.0.join(limit), GROUP_BYTES.to_string()).ok()?;
            let most = if limit == "memory.max" {
                0
            } else {
                GROUP_BYTES
            };
            // Where there is no swap, there is no limit of it either.
            let _ = fs::write(group.0.join(swap), most.to_string());
            Some(group)
        })
    }

    /// Plays a scene in the group, and waits until all of its processes are gone.
    fn play(&self, scene: &str, method: StartMethod) -> Output {
        let argument = format!("{method:?} {}", self.0.display());
        let output = scene_with(scene, &argument).output().unwrap();
        // An owner that was killed is gone before its workers are.
        let processes = self.0.join("cgroup.procs");
        wait_until(|| fs::read_to_string(&processes).unwrap().is_empty());
        output
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let outcome = fs::remove_dir(&self.0);
        assert!(outcome.is_ok() || std::thread::panicking(), "{outcome:?}");
    }
}

fn in_group(play: fn(StartMethod)) {
    let argument = scene_argument();
    let (method_name, group) = argument.split_once(' ').unwrap();
    let own_pid = std::process::id().to_string();
    fs::write(Path::new(group).join("cgroup.procs"), own_pid).unwrap();
    play(method(method_name));
}

fn is_died_for_memory(error: &TaskError) -> bool {
    error.signal() == Some(9) && error.to_string().contains("memory ran out")
}

fn a_task_is_greedy(method: StartMethod) {
    let pool = pool(method, 2);
    for _ in 0..3 {
        let greedy = |x: usize| match x {
            3 => vec![1u8; 2 * GROUP_BYTES as usize].len(),
            _ => x,
        };
        let results = pool.try_map(greedy, 0..8);
        let error = results[3].as_ref().unwrap_err();
        assert!(is_died_for_memory(error), "{error}");
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 7);
        assert_eq!(pool.map(power, 0..3), [0, 1, 1024]);
    }
    // A process killed by another is not said to have been short of memory.
    let suicidal = |x: u32| {
        if x == 2 {
            raise(Signal::SIGKILL).unwrap();
        }
        x
    };
    let results = pool.try_map(suicidal, 0..4);
    let error = results[2].as_ref().unwrap_err();
    assert!(
        error.signal() == Some(9) && !is_died_for_memory(error),
        "{error}"
    );
    drop(pool);
    assert_eq!(children(), Vec::<i32>::new());
}

fn a_task_that_takes_all_memory_dies_alone() {
    let Some(group) = Group::new() else {
        println!("no control group can be made here");
        return;
    };
    for method in METHODS {
        let output = group.play("a_task_is_greedy", method);
        assert!(output.status.success(), "{method:?}: {}", text(&output));
    }
}

/// Results are kept, so in the end the only process that Linux can kill is the owner.
fn results_are_too_many(method: StartMethod) {
    let pool = pool(method, 2);
    let results = pool.try_map(|x: u8| vec![x; 8 << 20], 0..40);
    assert_eq!(results.len(), 40);
    let errors: Vec<&TaskError> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    assert!(!errors.is_empty());
    println!("{}", errors[0]);
}

fn results_that_take_all_memory_leave_nothing() {
    let Some(group) = Group::new() else {
        println!("no control group can be made here");
        return;
    };
    for method in METHODS {
        let output = group.play("results_are_too_many", method);
        let is_told = output.status.success() && text(&output).contains("memory");
        let is_killed = output.status.signal() == Some(9);
        assert!(is_told || is_killed, "{method:?}: {}", text(&output));
    }
}
