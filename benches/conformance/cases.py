"""What kernels do in the cases that matter: each takes a session and says in a few words what happened.

None says that the case has no sense for the kernel.
"""

import os
import pathlib
import signal
import tempfile
import time

from session import GRACE, PATIENCE, Hangs, Session, n_left_of, text

ROOT = pathlib.Path(__file__).resolve().parents[2]
SLEEP = "std::thread::sleep(std::time::Duration::from_secs(600));"
FLUSH = "std::io::Write::flush(&mut std::io::stdout()).unwrap();"
FORK = 'unsafe extern "C" { safe fn fork() -> i32; }'
SPAWN = 'std::process::Command::new("sleep").arg("600").spawn().unwrap(); println!("runs"); '
SLOW = "#[allow(long_running_const_eval)] const N: u64 = { let mut i = 0; while i < 9_000_000_000 { i += 1 } i };\nN"
DEEP = (
    "fn deep(n: u64) -> u64 { let a = [n; 64]; if n == u64::MAX { 0 } else { deep(n + 1) + std::hint::black_box(a)[3] } }\n"
    "deep(0)"
)
BUSY_WITH_A_CHILD = {
    True: "import subprocess; subprocess.Popen(['sleep', '600']); print('runs')\nwhile True: pass",
    False: SPAWN + "loop {}",
}


def interrupted(rust, python, wait):
    def case(session):
        if session.is_python and python is None:
            return None
        session.keep()
        msg_id = session.client.execute(python if session.is_python else rust)
        wait(session, msg_id)
        ended = session.interrupt(msg_id)
        # What comes in the same moment may still be aborted with the cell.
        time.sleep(0.3)
        return f"{ended}, {session.is_kept()}"

    return case


def after_output(session, msg_id):
    session.output(msg_id)


def after_a_second(session, msg_id):
    session.output(msg_id, "execute_input")
    time.sleep(1.5)


def crate(files):
    """A new crate with these files."""
    folder = pathlib.Path(tempfile.mkdtemp())
    manifest = '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2024"\n[workspace]\n'
    for name, content in {"Cargo.toml": manifest, "src/lib.rs": "pub fn seven() -> u8 { 7 }", **files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


def interrupt_dependency(session):
    """A crate whose build does not end."""
    if session.is_python:
        return None
    session.keep()
    mark = pathlib.Path(tempfile.mkdtemp()) / "started"
    script = f'fn main() {{ std::fs::write("{mark}", "").unwrap(); loop {{ std::thread::park(); }} }}'
    folder = crate({"build.rs": script})
    msg_id = session.client.execute(f':dep tiny = {{ path = "{folder}" }}\ntiny::seven()')
    deadline = time.monotonic() + 120
    while not mark.exists():
        if time.monotonic() > deadline:
            return "its build does not start"
        time.sleep(0.05)
    ended = session.interrupt(msg_id)
    time.sleep(0.3)
    return f"{ended}, {session.is_kept()}"


def interrupt_when_idle(session):
    session.keep()
    session.manager.interrupt_kernel()
    time.sleep(0.5)
    return session.is_kept()


def ends(rust, python):
    def case(session):
        session.keep()
        try:
            reply, _ = session.run(python if session.is_python else rust)
            said = f"{reply['status']}: {reply.get('ename', '')} {reply.get('evalue', '')}".strip()
        except Hangs:
            return "no reply" if not session.is_python else "the kernel dies: no reply, all lost"
        return f"{said.splitlines()[0][:70]}; {session.is_kept()}"

    return case


def queued(session):
    bad = "no_such_name"
    sent = [session.client.execute(code) for code in (bad, "1", "2")]
    return ", ".join(session.reply(msg_id)["status"] for msg_id in sent)


def no_newline(session):
    code = (
        f'print("x", end="", flush=True); import time; t = time.time(); time.sleep(2); print(t)'
        if session.is_python
        else f'print!("x"); {FLUSH} let t = std::time::SystemTime::now(); std::thread::sleep(std::time::Duration::from_secs(2)); '
        'println!("{}", t.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64());'
    )
    msg_id = session.client.execute(code)
    first = session.output(msg_id, patience=10)["text"]
    seen = time.time()
    written = float((first + session.output(msg_id)["text"]).lstrip("x"))
    return f"shown after {(seen - written) * 1000:.0f} ms"


def progress_bar(session):
    code = (
        "import time\nfor i in range(5):\n    print(i, end='\\r', flush=True); time.sleep(0.3)"
        if session.is_python
        else f'for i in 0..5 {{ print!("{{i}}\\r"); {FLUSH} std::thread::sleep(std::time::Duration::from_millis(300)); }} println!();'
    )
    started = time.monotonic()
    msg_id = session.client.execute(code)
    times = []
    while len(times) < 5:
        seen = session.output(msg_id, patience=10)["text"]
        times += [time.monotonic() - started] * max(1, seen.count("\r"))
    return "live" if times[4] - times[0] > 0.9 else "all at once, at the end"


def not_utf8(session):
    code = (
        "import os; os.write(1, b'a\\xffb\\n')"
        if session.is_python
        else 'std::io::Write::write_all(&mut std::io::stdout(), b"a\\xffb\\n").unwrap();'
    )
    _, first = session.run(code)
    one, two = (f"print({n})" if session.is_python else f'println!("{n}");' for n in (1, 2))
    later = [text(session.run(code)[1]) for code in (one, two)]
    return f"shows {text(first)!r}; the cells after it show {later[0]!r}, {later[1]!r}"


def rich(session):
    if session.is_python:
        code = "from IPython.display import HTML, display\nfor i in range(3): print(i); display(HTML(f'<b>{i}</b>'))"
    else:
        code = 'for i in 0..3 { println!("{i}\\nEVCXR_BEGIN_CONTENT text/html\\n<b>{i}</b>\\nEVCXR_END_CONTENT"); }'
    _, messages = session.run(code)
    kinds = [kind for kind, _ in messages if kind in ("stream", "display_data", "execute_result")]
    return " ".join("text" if kind == "stream" else "rich" for kind in kinds)


def unterminated(session):
    if session.is_python:
        return None
    _, messages = session.run('println!("EVCXR_BEGIN_CONTENT text/html\\nnever ended");')
    return "shown as text" if "never ended" in text(messages) else "not shown"


def many_lines(session):
    code = "for i in range(200_000): print(i)" if session.is_python else 'for i in 0..200_000 { println!("{i}"); }'
    started = time.monotonic()
    _, messages = session.run(code, patience=120)
    elapsed = time.monotonic() - started
    whole = text(messages) == "".join(f"{i}\n" for i in range(200_000))
    n_messages = sum(kind == "stream" for kind, _ in messages)
    return f"{elapsed:.1f} s, {n_messages:,} messages, {'whole' if whole else 'incomplete'}"


def fork_returns(session):
    session.keep()
    code = "import os; os.fork()" if session.is_python else f"{FORK}\nfork();"
    session.run(code)
    time.sleep(1)
    return session.is_kept()


def read_line(session):
    code = (
        "input('name? ')"
        if session.is_python
        else "let mut line = String::new(); std::io::stdin().read_line(&mut line).unwrap(); line"
    )
    msg_id = session.client.execute(code)
    try:
        session.get(session.client.get_stdin_msg, PATIENCE)
    except Hangs:
        try:
            session.reply(msg_id, 1)
        except Hangs:
            return "not asked; the cell hangs"
        return f"not asked; then {session.run('1 + 1')[0]['status']}"
    session.client.input("Ada")
    return f"asked, answered: {session.output(msg_id, 'execute_result')['data']['text/plain']}"


def shutdown(session):
    session.output(session.client.execute(BUSY_WITH_A_CHILD[session.is_python]))
    started = time.monotonic()
    n_left = session.stop()
    return f"{time.monotonic() - started - GRACE:.1f} s, {n_left} processes left"


def restart(session):
    session.output(session.client.execute(BUSY_WITH_A_CHILD[session.is_python]))
    before = session.pids()
    started = time.monotonic()
    session.client.stop_channels()
    session.manager.restart_kernel()
    session.connect()
    elapsed = time.monotonic() - started
    return f"{elapsed:.1f} s, {n_left_of(before, after=1)} processes left"


def killed(session):
    session.output(session.client.execute(BUSY_WITH_A_CHILD[session.is_python]))
    before = session.pids()
    os.kill(session.manager.provisioner.pid, signal.SIGKILL)
    return f"{n_left_of(before, after=1)} processes left"


def bad_messages(session):
    wire, socket = session.client.session, session.client.shell_channel.socket
    parts = wire.serialize(wire.msg("kernel_info_request", {}))
    parts[parts.index(b"<IDS|MSG>") + 1] = b"0" * 64
    socket.send_multipart(parts)
    try:
        signature = session.run("1")[0]["status"]
    except Hangs:
        return "bad signature: the kernel answers no more"
    message = wire.msg("kernel_info_request", {})
    wire.send(socket, message, buffers=[b"\xff\x00" * 100])
    try:
        buffers = session.reply(message["header"]["msg_id"])["status"]
    except Hangs:
        buffers = "no answer"
    return f"bad signature: dropped, then {signature}; binary buffer: {buffers}"


def protocol(session):
    """The small print, one by one."""
    client = session.client
    wrong = []

    def check(name, test):
        try:
            is_right = test()
        except (Hangs, KeyError, IndexError, TypeError):
            is_right = False
        if not is_right:
            wrong.append(name)

    check("execution_count from 1", lambda: session.run("1")[0]["execution_count"] == 1)
    check("user_expressions is {}", lambda: session.run("1")[0]["user_expressions"] == {})
    asked = {"user_expressions": {"two": "1 + 1"}}
    value = lambda: session.run("1", **asked)[0]["user_expressions"]["two"]["data"]["text/plain"]
    check("user_expressions", lambda: value() == "2")
    check("silent", lambda: [m for m in session.run("1", silent=True)[1] if m[0] != "status"] == [])
    count = lambda **options: session.run("1", **options)[0]["execution_count"]
    check("store_history", lambda: count() == count(store_history=False))
    check("is_complete", lambda: session.reply(client.is_complete("(1,"), 5)["status"] == "incomplete")
    check("history", lambda: len(session.reply(client.history(hist_access_type="tail", n=2), 5)["history"]) == 2)
    check("comm_info", lambda: session.reply(client.comm_info(), 5)["comms"] is not None)
    check("inspect", lambda: session.reply(client.inspect("print" if session.is_python else "println", 5), 10)["found"])
    sleep = "import time; time.sleep(600)" if session.is_python else SLEEP
    session.output(client.execute(sleep), "execute_input")
    check("kernel_info while a cell runs", lambda: session.reply(client.kernel_info(), 3)["status"] == "ok")
    return "all right" if not wrong else f"{len(wrong)} of 10 wrong or missing: {', '.join(wrong)}"


def dependency(session):
    if session.is_python:
        return None
    folder = crate({})
    started = time.monotonic()
    _, messages = session.run(f':dep tiny = {{ path = "{folder}" }}\ntiny::seven()', patience=120)
    seen = "Compiling tiny" in text(messages) + text(messages, "stderr")
    return f"{'shown' if seen else 'not shown'} ({time.monotonic() - started:.1f} s)"


def warnings(session):
    if session.is_python:
        return None
    _, messages = session.run("fn f() -> Result<u8, u8> { Ok(1) }\nf();")
    return "shown" if "must be used" in text(messages, "stderr") else "not shown"


def first_result(session):
    """From the start of the kernel's process to the first result of a pool, in the first cell that can give one."""
    if session.is_python:
        cells = ["from multiprocessing import Pool\npool = Pool()\npool.map(abs, range(3))"]
    else:
        cells = ["use forklore::*;\nlet pool: Pool = Pool::new()?;\npool.map(|x: u64| x + 1, 0..3)"]
    if session.name == "rust-evcxr":
        cells.insert(0, f':dep forklore = {{ path = "{ROOT}", features = ["full"] }}')
    for cell in cells:
        reply, _ = session.run(cell, patience=300)
        if reply["status"] != "ok":
            return f"failed: {reply.get('evalue')}"
    return f"{time.monotonic() - session.started:.1f} s"


first_result.is_first = True


def memory(session):
    cells = ["1 + 1", "a = 1", "a + 1", "'x' * 3", "print(a)"]
    rust = ["1 + 1", "let a = 1;", "a + 1", '"x".repeat(3)', 'println!("{a}");']
    for code in cells if session.is_python else rust:
        session.run(code)
    total = 0
    for pid in session.pids():
        try:
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        except OSError:
            pass
    return f"{total / 1024:.0f} MB"


def measure(case, kernel):
    """What happens in a case on a kernel of its own, as some do not survive some."""
    session = Session(kernel)
    try:
        if not getattr(case, "is_first", False):
            session.settle()
        return case(session)
    except Hangs:
        return "hangs"
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"
    finally:
        if session.manager.has_kernel:
            session.stop()
