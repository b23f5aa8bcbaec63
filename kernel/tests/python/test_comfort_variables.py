"""JupyterLab's debugger sidebar lists the variables of the session, and looking changes nothing."""

import itertools

import pytest

from conftest import DEADLINE, MINUTES

NUMBERS = itertools.count(1)


@pytest.fixture
def ask(kernel):
    """Asks as the front end's debugger does, on the control channel."""

    def ask(command, **arguments):
        channel = kernel.client.control_channel
        content = {"type": "request", "seq": next(NUMBERS), "command": command, "arguments": arguments}
        message = kernel.client.session.msg("debug_request", content)
        channel.send(message)
        while True:
            reply = channel.get_msg(timeout=DEADLINE)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                break
        assert reply["msg_type"] == "debug_reply"
        assert reply["content"]["request_seq"] == content["seq"]
        assert reply["content"]["command"] == command
        return reply["content"]

    return ask


def variables(ask):
    return {row["name"]: row for row in ask("inspectVariables")["body"]["variables"]}


def parts(ask, row):
    rows = ask("variables", variablesReference=row["variablesReference"])["body"]["variables"]
    return {row["name"]: row for row in rows}


def test_the_debugger_can_be_started_and_stopped(kernel, ask):
    info = kernel.reply(kernel.client.kernel_info())["content"]
    assert info["debugger"] is True and "debugger" in info["supported_features"]
    assert ask("debugInfo")["body"]["isStarted"] is False
    assert ask("initialize")["success"] and ask("attach")["success"]
    state = ask("debugInfo")["body"]
    assert state["isStarted"] is True and state["richRendering"] is True
    assert (state["breakpoints"], state["stoppedThreads"]) == ([], [])
    # What is not there is not pretended: a breakpoint is taken away again.
    asked = ask("setBreakpoints", source={"path": "x.rs"}, breakpoints=[{"line": 1}])
    assert asked["body"]["breakpoints"] == []
    refused = ask("continue", threadId=1)
    assert refused["success"] is False and "lists variables" in refused["message"]
    assert ask("disconnect")["success"]
    assert ask("debugInfo")["body"]["isStarted"] is False


def test_each_variable_has_its_type_value_and_size(kernel, ask):
    kernel.ok(
        "#[derive(Debug)] struct LookedAt { side: f64, names: Vec<String> }\n"
        "struct Unseen(u8, u8);\n"
        'let look_point = LookedAt { side: 1.5, names: vec!["a".into(), "b: c".into()] };\n'
        "let look_list = (0..2000).collect::<Vec<i64>>();\n"
        'let look_map = std::collections::BTreeMap::from([("one", 1), ("two", 2)]);\n'
        "let look_hidden = Unseen(1, 2);\n"
        "let look_number = 7_u16;"
    )
    rows = variables(ask)
    assert rows["look_number"]["value"] == "7" and rows["look_number"]["type"] == "u16 · 2 bytes"
    assert parts(ask, rows["look_number"])["value"]["value"] == "7"
    assert rows["look_list"]["type"] == "Vec<i64> · 2000 items"
    assert rows["look_list"]["value"].startswith("[0, 1, 2, ") and rows["look_list"]["value"].endswith("…")
    # A type without `Debug` shows itself.
    assert (rows["look_hidden"]["value"], rows["look_hidden"]["type"]) == ("Unseen", "Unseen · 2 bytes")
    assert not [name for name in rows if name.startswith("evcxr")]

    fields = parts(ask, rows["look_point"])
    assert fields["side"]["value"] == "1.5"
    assert fields["names"]["value"] == '["a", "b: c"]'
    assert parts(ask, fields["names"])["1"]["value"] == '"b: c"'
    assert parts(ask, rows["look_map"])['"two"']["value"] == "2"
    assert len(parts(ask, rows["look_list"])) == 100

    rich = ask("richInspectVariables", variableName="look_point")["body"]["data"]["text/plain"]
    assert rich.startswith("look_point: LookedAt") and "    side: 1.5,\n" in rich
    assert ask("richInspectVariables", variableName="no_such_variable")["success"] is False


def test_a_look_changes_nothing(kernel, ask):
    kernel.ok("let look_moved = vec![String::from(\"x\")]; let look_address = look_moved[0].as_ptr() as usize;")
    count = kernel.ok("look_moved.len()").reply["content"]["execution_count"]
    variables(ask)
    ran = kernel.ok("look_moved[0].as_ptr() as usize == look_address")
    assert ran.result == "true" and ran.reply["content"]["execution_count"] == count + 1
    variables(ask)
    kernel.ok("drop(look_moved);")
    assert "look_moved" not in variables(ask)


def test_a_debug_that_does_its_worst_costs_itself_only(kernel, ask):
    kernel.ok(
        "struct Worst(u8);\n"
        "impl std::fmt::Debug for Worst {\n"
        "    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {\n"
        '        println!("printed by Debug");\n'
        "        match self.0 {\n"
        '            0 => panic!("on purpose"),\n'
        "            1 => std::process::exit(3),\n"
        "            _ => loop {},\n"
        "        }\n"
        "    }\n"
        "}\n"
        "let look_a = 1_u8; let look_kept = std::cell::Cell::new(5);"
    )
    for n in range(3):
        # It comes after those before it in the list, whose values are there.
        kernel.ok(f"let look_worst = Worst({n});")
        rows = variables(ask)
        assert rows["look_a"]["value"] == "1" and rows["look_kept"]["value"] == "Cell { value: 5 }"
        assert rows["look_worst"]["type"].startswith("Worst")
        ran = kernel.ok("look_kept.get()")
        assert ran.result == "5" and ran.stdout == "", ran
    kernel.ok("std::mem::forget(look_worst);")


def test_while_a_cell_runs_the_list_is_that_of_before(kernel, ask):
    kernel.ok("let look_before = 1;")
    assert variables(ask)["look_before"]["value"] == "1"
    cell = kernel.start(f"let look_during = 2; {MINUTES}")
    kernel.next_output(cell, "execute_input")
    rows = variables(ask)
    assert rows["look_before"]["value"] == "1" and "look_during" not in rows
    kernel.interrupt()
    assert kernel.finish(cell).reply["content"]["ename"] == "Interrupt"
    assert "look_during" not in variables(ask)
    assert kernel.ok("look_before").result == "1"


def test_values_are_seen_beside_threads_and_pools(kernel, ask):
    kernel.ok(
        "let (look_sender, look_receiver) = std::sync::mpsc::channel::<u8>();\n"
        "let look_thread = std::thread::spawn(move || look_receiver.recv().unwrap_or(9));\n"
        "let look_pool = forklore::Pool::with_workers(1)?; let look_text = String::from(\"beside\");"
    )
    rows = variables(ask)
    assert rows["look_text"]["value"] == '"beside"'
    assert kernel.ok("drop(look_sender); look_thread.join().unwrap()").result == "9"
    assert kernel.ok("look_pool.map(|x: u8| x + 1, 0..2_u8)").result == "[1, 2]"
    kernel.ok("drop(look_pool);")
