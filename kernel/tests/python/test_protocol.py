"""Jupyter's messages: each is answered, none is fatal."""

import json
import time
import uuid

import zmq

from conftest import DEADLINE, MINUTES


def test_kernel_info(kernel):
    content = kernel.reply(kernel.client.kernel_info())["content"]
    assert content["status"] == "ok"
    assert content["implementation"] == "forklore"
    assert content["language_info"]["name"] == "rust"
    assert content["language_info"]["file_extension"] == ".rs"
    assert content["language_info"]["nbconvert_exporter"] == "script"


def test_a_cell_with_a_value_and_one_without(kernel):
    assert kernel.ok("let answer = 42;").result is None
    assert kernel.ok("answer").result == "42"
    assert kernel.ok("answer + 1").result == "43"
    assert kernel.ok("()").messages[1:] == []


def test_execution_count_and_history(kernel):
    first = kernel.ok("let h1 = 1;").reply["content"]["execution_count"]
    second = kernel.ok("h1 + 1")
    assert second.reply["content"]["execution_count"] == first + 1
    assert second.of_type("execute_input")[0]["execution_count"] == first + 1
    assert second.of_type("execute_result")[0]["execution_count"] == first + 1
    assert second.reply["content"]["user_expressions"] == {}

    client = kernel.client
    tail = kernel.reply(client.history(hist_access_type="tail", n=2))["content"]["history"]
    assert [entry[2] for entry in tail] == ["let h1 = 1;", "h1 + 1"]
    asked = client.history(hist_access_type="range", session=0, start=first, stop=first + 1)
    assert kernel.reply(asked)["content"]["history"][0][1:] == [first, "let h1 = 1;"]
    asked = client.history(hist_access_type="search", pattern="let h1*", n=1)
    assert kernel.reply(asked)["content"]["history"][0][2] == "let h1 = 1;"


def test_silent_and_store_history(kernel):
    count = kernel.ok("1").reply["content"]["execution_count"]
    silent = kernel.ok("2", silent=True)
    assert silent.of_type("execute_input") == []
    assert silent.of_type("execute_result") == []
    unstored = kernel.ok("3", store_history=False)
    assert unstored.result == "3"
    assert kernel.ok("4").reply["content"]["execution_count"] == count + 1
    tail = kernel.reply(kernel.client.history(hist_access_type="tail", n=2))["content"]["history"]
    assert [entry[2] for entry in tail] == ["1", "4"]


def test_user_expressions_are_evaluated_after_the_cell(kernel):
    ran = kernel.ok(
        "let ue = 20;",
        user_expressions={
            "sum": "ue + 1",
            "printed": '{ println!("aside"); ue }',
            "none": "()",
            "rich": 'forklore::display::show(&forklore::display::Bundle::html("<b>"))',
            "wrong": "no_such_name",
            "panics": 'panic!("on purpose")',
        },
    )
    values = ran.reply["content"]["user_expressions"]
    assert values["sum"] == {"status": "ok", "data": {"text/plain": "21"}, "metadata": {}}
    assert values["printed"]["data"] == {"text/plain": "20"} and ran.stdout == "aside\n"
    assert values["none"] == {"status": "ok", "data": {}, "metadata": {}}
    assert values["rich"]["data"] == {"text/html": "<b>"}
    assert (values["wrong"]["status"], values["wrong"]["ename"]) == ("error", "CompileError")
    assert values["panics"]["evalue"] == "on purpose" and values["panics"]["traceback"]
    assert ran.of_type("execute_result") == ran.of_type("error") == []
    failed = kernel.run("no_such_name", user_expressions={"sum": "ue + 1"})
    assert failed.reply["content"]["user_expressions"] == {}
    assert kernel.ok("ue").reply["content"]["user_expressions"] == {}


def test_is_complete(kernel):
    def ask(code):
        return kernel.reply(kernel.client.is_complete(code))["content"]

    assert ask("let x = 5;") == {"status": "complete"}
    assert ask("fn f() {") == {"status": "incomplete", "indent": "    "}
    assert ask("}") == {"status": "invalid"}
    assert ask("%time f(x)") == {"status": "complete"}
    assert ask("%%time\nlet s = \"") == {"status": "incomplete", "indent": ""}


def test_complete(kernel):
    kernel.ok("struct Completable { field_of_it: u8 }\nlet completable = Completable { field_of_it: 3 };")
    code = "let ä = 1; completable.fie"
    content = kernel.reply(kernel.client.complete(code, len(code)))["content"]
    assert "field_of_it" in content["matches"], content
    assert code[content["cursor_start"] : content["cursor_end"]] == "fie"
    assert not [m for m in content["matches"] if m.startswith("evcxr")]
    magics = kernel.reply(kernel.client.complete("%ti", 3))["content"]
    assert "%time" in magics["matches"] and magics["cursor_start"] == 0


def test_inspect(kernel):
    kernel.ok("/// Says what it is for.\nfn documented() {}")
    code = "documented()"
    content = kernel.reply(kernel.client.inspect(code, 10))["content"]
    assert content["found"] and "Says what it is for" in content["data"]["text/plain"], content
    nothing = kernel.reply(kernel.client.inspect("    ", 2))["content"]
    assert nothing == {"status": "ok", "found": False, "data": {}, "metadata": {}}


def test_comms_are_closed_politely(kernel):
    assert kernel.reply(kernel.client.comm_info())["content"]["comms"] == {}
    session = kernel.client.session
    comm = uuid.uuid4().hex
    content = {"comm_id": comm, "target_name": "unknown", "data": {}}
    message = session.msg("comm_open", content)
    kernel.client.shell_channel.send(message)
    closed = kernel.next_output(message["header"]["msg_id"], "comm_close")
    assert closed["comm_id"] == comm


def test_what_cannot_be_read_is_dropped_and_the_next_is_served(kernel):
    session = kernel.client.session
    socket = kernel.client.shell_channel.socket
    good = session.serialize(session.msg("kernel_info_request", {}))
    delimiter = good.index(b"<IDS|MSG>")
    bad_signature = list(good)
    bad_signature[delimiter + 1] = b"0" * 64
    no_hex = list(good)
    no_hex[delimiter + 1] = b"\xff\xfe"
    not_json = good[: delimiter + 1] + [session.sign([b"{", b"{}", b"{}", b"{}"])] + [b"{", b"{}", b"{}", b"{}"]
    for parts in (bad_signature, no_hex, not_json, good[: delimiter + 3], [b"<IDS|MSG>"], [b""], [b"x", b"y"]):
        socket.send_multipart(parts)
    assert kernel.ok("7").result == "7"


def test_binary_buffers_are_served(kernel):
    session = kernel.client.session
    message = session.msg("kernel_info_request", {})
    session.send(kernel.client.shell_channel.socket, message, buffers=[b"\xff\x00" * 1000])
    assert kernel.reply(message["header"]["msg_id"])["content"]["status"] == "ok"


def test_an_unknown_request_gets_an_error_reply(kernel):
    message = kernel.client.session.msg("make_coffee_request", {"sugar": 2})
    kernel.client.shell_channel.send(message)
    reply = kernel.reply(message["header"]["msg_id"])
    assert reply["msg_type"] == "make_coffee_reply"
    assert reply["content"]["status"] == "error"
    assert "make_coffee_request" in reply["content"]["evalue"]


def test_cells_queued_behind_an_error_are_aborted(kernel):
    sent = [kernel.start(code) for code in ("this does not compile", "1", "2")]
    statuses = [kernel.reply(msg_id)["content"]["status"] for msg_id in sent]
    assert statuses == ["error", "aborted", "aborted"]
    sent = [kernel.start(code, stop_on_error=False) for code in ("this does not compile", "1")]
    statuses = [kernel.reply(msg_id)["content"]["status"] for msg_id in sent]
    assert statuses == ["error", "ok"]
    assert kernel.ok("3").result == "3"


def test_what_needs_no_session_is_answered_while_a_cell_runs_and_the_rest_when_it_ends(kernel):
    kernel.ok("let running = 1;")
    cell = kernel.start(f"{MINUTES} running")
    kernel.next_output(cell, "execute_input")
    client = kernel.client
    later = [client.complete("runnin"), client.inspect("println")]
    for asked in (client.kernel_info(), client.is_complete("1"), client.history(n=1), client.comm_info()):
        assert kernel.reply(asked)["content"]["status"] in ("ok", "complete")
    kernel.interrupt()
    # Everything that is queued on the shell channel gets its answer, in order.
    assert kernel.reply(cell)["content"]["status"] == "error"
    completed, inspected = (kernel.reply(asked)["content"] for asked in later)
    assert "running" in completed["matches"] and inspected["found"]
    assert kernel.ok("running").result == "1"


def test_a_kernel_with_a_full_queue_shuts_down(new_kernel):
    kernel = new_kernel()
    cell = kernel.start(f'println!("runs"); {MINUTES}')
    kernel.next_output(cell)
    for _ in range(50):
        kernel.client.complete("std::")
        kernel.start("1")
    kernel.stop()


def test_a_subscriber_is_welcomed(kernel):
    context = zmq.Context.instance()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(f"tcp://127.0.0.1:{kernel.client.iopub_channel.socket.LAST_ENDPOINT.decode().rpartition(':')[2]}")
    deadline = time.monotonic() + DEADLINE
    try:
        while True:
            assert socket.poll(max(0, deadline - time.monotonic()) * 1000)
            # The frames are: topic, delimiter, signature, header, parent, metadata, content.
            _, _, _, header, _, _, content = socket.recv_multipart()
            if json.loads(header)["msg_type"] == "iopub_welcome":
                assert json.loads(content) == {"subscription": ""}
                break
    finally:
        socket.close(0)


def test_heartbeat(kernel):
    kernel.client.hb_channel.unpause()
    deadline = time.monotonic() + DEADLINE
    while not kernel.client.hb_channel.is_beating():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kernel.client.hb_channel.pause()


def test_inspect_finds_the_name_that_the_cursor_is_in(kernel):
    kernel.ok("/// Shines.\nfn silver() -> u8 { 1 }\nlet s = 'x'; let list = vec![1, 2];")

    def inspect(code, cursor):
        content = kernel.reply(kernel.client.inspect(code, cursor))["content"]
        return content["data"].get("text/plain", "")

    for cursor in range(7):
        assert "Shines" in inspect("silver", cursor), cursor
    for cursor in (8, 10, 13, 15):
        assert "Prints to the standard output" in inspect("let a = println!(\"\");", cursor), cursor
    assert "index" in inspect("list.iter().enumerate()", 14)
    assert "Shines" in inspect("let a = (1, silver(), 2);", 14)
    # Between the parentheses of a call, it is about what is called.
    assert "Shines" in inspect("silver(", 7)
    assert "u64" in inspect("let golden = 5_u64;", 6)
    assert "how long it took" in inspect("%time silver()", 3)


def test_completions_can_be_used_as_they_are(kernel):
    kernel.ok("let mut text = String::new(); let list = vec![1]; let maybe = Some(1);")

    def complete(code, cursor=None):
        content = kernel.reply(kernel.client.complete(code, len(code) if cursor is None else cursor))["content"]
        return content["matches"], code[content["cursor_start"] : content["cursor_end"]]

    for code, match, replaced in [
        ("%time list.le", "len()", "le"),
        ("%timeit -n 10 text.push_s", "push_str()", "push_s"),
        ("let a = 1;\n%time maybe.is_so", "is_some()", "is_so"),
        ("text.push_s", "push_str()", "push_s"),
        ("list.in", "insert()", "in"),
        ("list.iter().enum", "enumerate()", "enum"),
        ("list.as", "as_slice()", "as"),
        ("let b = Som", "Some()", "Som"),
        ("%profile de", "debug", "de"),
    ]:
        matches, word = complete(code)
        assert match in matches, (code, matches)
        assert word == replaced, (code, word)
        assert not [text for text in matches if "$" in text], matches
    assert complete("%%bash\nls tex")[0] == []


def test_a_header_without_a_user_is_answered(kernel):
    message = kernel.client.session.msg("kernel_info_request", {})
    message["header"]["username"] = None
    kernel.client.session.send(kernel.client.shell_channel.socket, message)
    assert kernel.reply(message["header"]["msg_id"])["content"]["status"] == "ok"
