"""A notebook that is run by a program fails where a cell fails, and only there."""

import nbclient
import nbformat
import pytest


def run(*cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    nbclient.NotebookClient(notebook, kernel_name="forklore", timeout=120).execute()
    return notebook


@pytest.mark.parametrize(
    "broken, ename",
    [('panic!("on purpose")', "Panic"), ('"x".parse::<i32>()?;', "QuestionMark")],
)
def test_nbclient_stops_at_the_cell_that_fails(broken, ename):
    with pytest.raises(nbclient.exceptions.CellExecutionError) as failed:
        run("let a = 1;", broken, "a")
    assert failed.value.ename == ename


def test_nbclient_gets_every_output():
    notebook = run('println!("text"); eprintln!("error"); 7', 'forklore::input("name? ").is_err()')
    outputs = [(output["output_type"], output.get("name")) for output in notebook.cells[0].outputs]
    assert sorted(outputs, key=str) == [("execute_result", None), ("stream", "stderr"), ("stream", "stdout")]
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert notebook.cells[1].outputs[0]["data"]["text/plain"] == "true"
