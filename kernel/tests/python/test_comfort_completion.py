"""Completion of what is no Rust: crates, versions, features and files; and what is shown of a call."""

import time

import pytest


@pytest.fixture
def complete(kernel):
    def complete(code):
        content = kernel.reply(kernel.client.complete(code, len(code)))["content"]
        return content["matches"], code[content["cursor_start"] : content["cursor_end"]]

    return complete


@pytest.fixture(scope="module")
def registry(kernel):
    """Has cargo look a crate up, unless it has before."""
    kernel.ok(':dep fastrand = "2"')


def test_crates_versions_and_features_complete_without_the_network(complete, registry):
    started = time.monotonic()
    names, word = complete(":dep fastr")
    assert "fastrand" in names and word == "fastr"
    print(f"completion of a crate: {time.monotonic() - started:.3f} s")
    # A crate that no session has had, because people look for it.
    assert "itertools" in complete(":dep itert")[0]
    versions, word = complete('1;\n:dep fastrand = "2.')
    assert word == "2." and all(version.startswith("2.") for version in versions) and versions, versions
    numbers = [[int(number) for number in version.split(".")] for version in versions]
    assert numbers == sorted(numbers, reverse=True)
    features, word = complete(':dep fastrand = { version = "2", default-features = false, features = ["st')
    assert "std" in features and word == "st"
    assert complete(':dep no_such_crate_at_all = "')[0] == []


def test_paths_complete_where_the_cells_are(kernel, complete, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cities.csv").write_text("")
    (tmp_path / "data" / ".hidden").write_text("")
    matches, word = complete(f'let text = std::fs::read_to_string("{tmp_path}/da')
    assert (matches, word) == (["data/"], "da")
    matches, word = complete(f'%%writefile {tmp_path}/data/ci')
    assert (matches, word) == (["cities.csv"], "ci")
    assert complete(f'f("{tmp_path}/data/')[0] == ["cities.csv"]
    kernel.ok(f'let completion_home = std::env::current_dir()?; std::env::set_current_dir("{tmp_path}")?;')
    assert complete('f("./data/c')[0] == ["cities.csv"]
    kernel.ok("std::env::set_current_dir(completion_home)?;")
    # A division is none, nor is a text to be formatted.
    assert "data/" not in complete('let half = 1 / da')[0]


def test_a_call_is_explained_between_its_parentheses(kernel):
    kernel.ok("/// Adds `x` and *y*.\n///\n/// # Panics\n/// Never.\nfn explained_add(x: i32, y: i32) -> i32 { x + y }")
    kernel.ok("let explained_list = vec![1, 2];")
    for code in ("explained_add(", "explained_add(1, ", "explained_list.push(", "let n = explained_add(explained_list.len() as i32, "):
        content = kernel.reply(kernel.client.inspect(code, len(code)))["content"]
        assert content["found"], code
        text = content["data"]["text/plain"]
        assert ("fn push" if "push" in code else "fn explained_add(x: i32, y: i32) -> i32") in text, (code, text)
        assert "text/html" in content["data"] or "text/markdown" in content["data"]
    content = kernel.reply(kernel.client.inspect("explained_list", 5))["content"]
    assert "Vec<i32>" in content["data"]["text/plain"], content
