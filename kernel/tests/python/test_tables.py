"""Values that are tables: lists of structs, tuples and maps, and maps."""

import re


def cells_of(html):
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]


def shown(kernel, code):
    """The text and the table of the value that a cell shows."""
    [result] = kernel.ok(code).of_type("execute_result")
    return result["data"]["text/plain"], result["data"].get("text/html")


def test_a_vector_of_structs_is_a_table_and_its_text_is_there_too(kernel):
    kernel.ok("#[derive(Debug, Clone)] pub struct TablePlanet { name: String, moons: u32, mass: Option<f64> }")
    kernel.ok(
        'let table_planets = vec![TablePlanet { name: "a <b>, \\"c\\"".into(), moons: 0, mass: None },\n'
        'TablePlanet { name: "}".into(), moons: 12, mass: Some(-1.5) }];'
    )
    text, html = shown(kernel, "table_planets")
    assert text.startswith('[TablePlanet { name: "a <b>, \\"c\\"", moons: 0, mass: None }, '), text
    assert cells_of(html) == [
        ["", "name", "moons", "mass"],
        ["0", "a &lt;b&gt;, &quot;c&quot;", "0", "None"],
        ["1", "}", "12", "Some(-1.5)"],
    ]
    assert "<caption>2 rows of TablePlanet</caption>" in html
    assert '<td style="text-align: right">12</td>' in html
    # Also for a slice, behind a magic, and with types.
    assert cells_of(shown(kernel, "&table_planets[1..]")[1])[1][1] == "}"
    assert shown(kernel, "%time table_planets.clone()")[1] == html
    kernel.ok(":types")
    text, typed = shown(kernel, "table_planets.clone()")
    kernel.ok(":types")
    assert text.startswith(": Vec<TablePlanet> = [") and typed == html
    kernel.ok(":fmt {:#?}")
    text, pretty = shown(kernel, "table_planets")
    kernel.ok(":fmt {:?}")
    assert text.startswith("[\n    TablePlanet {\n") and pretty == html


def test_long_tables_say_what_they_leave_out(kernel):
    text, html = shown(kernel, "(0..1000).map(|n| (n, n * n)).collect::<Vec<(u32, u32)>>()")
    assert text.endswith("(999, 998001)]")
    assert "1000 rows, the first 20 are shown" in html
    rows = cells_of(html)
    assert (len(rows), rows[-1]) == (22, ["… 980 more"])


def test_maps_are_tables_of_keys_and_values(kernel):
    _, html = shown(kernel, 'std::collections::BTreeMap::from([("a: b", vec![1]), ("c", vec![])])')
    assert cells_of(html) == [["key", "value"], ["a: b", "[1]"], ["c", "[]"]]
    _, html = shown(kernel, "std::collections::HashMap::from([(1, 'x')])")
    assert cells_of(html)[1] == ["1", "'x'"]


def test_other_values_stay_text(kernel):
    assert kernel.ok("()").of_type("execute_result") == []
    for code in ["1 + 1", '"[(1, 2), (3, 4)]"', "vec![1, 2]", "Vec::<(i32, i32)>::new()", "vec![Some(1), None]"]:
        assert shown(kernel, code)[1] is None, code
    printed = kernel.ok('println!("[(1, 2), (3, 4)]");')
    assert [m["msg_type"] for m in printed.messages] == ["execute_input", "stream"]


def test_a_trait_that_shows_values_is_called_by_its_name(kernel):
    """As kernel/README.md says of evcxr_image: its trait and the kernel's have a method of one name."""
    kernel.ok(
        "#[derive(Debug)] pub struct TablePicture;\n"
        "pub trait TableDisplay { fn evcxr_display(&self); }\n"
        "impl TableDisplay for TablePicture { fn evcxr_display(&self) {\n"
        'println!("EVCXR_BEGIN_CONTENT text/html\\n<hr>\\nEVCXR_END_CONTENT"); } }'
    )
    ran = kernel.ok("TableDisplay::evcxr_display(&TablePicture);")
    assert [d["data"] for d in ran.of_type("display_data")] == [{"text/html": "<hr>"}]
