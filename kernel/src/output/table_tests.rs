//! Tests of which values are tables, and what the tables say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[derive(Debug, Clone)]
#[allow(dead_code)]
struct Point {
    x: f64,
    label: &'static str,
    path: Option<(i32, char)>,
}

#[derive(Debug)]
#[allow(dead_code)]
struct Pair(i32, &'static str);

#[derive(Debug)]
#[allow(dead_code)]
enum Shape {
    Circle { r: f64 },
    Square { r: f64 },
    Empty,
}

fn points(n: usize) -> Vec<Point> {
    let point = |n: usize| Point {
        x: n as f64 - 0.5,
        label: "a, \"b\" <c>",
        path: (n > 0).then_some((-1, '}')),
    };
    (0..n).map(point).collect()
}

/// The caption, and the rows' texts, which must be the same for `{:?}` and `{:#?}`.
fn read(value: &dyn Debug) -> Option<(String, Vec<Vec<String>>)> {
    let plain = table(&format!("{value:?}"));
    assert_eq!(plain, table(&format!("{value:#?}")));
    Some(text_of(&plain?))
}

fn text_of(html: &str) -> (String, Vec<Vec<String>>) {
    let (head, rest) = html.split_once("</caption>").expect("a caption");
    let caption = head.strip_prefix("<table><caption>").expect("a table");
    let cell = |cell: &str| {
        let (_, text) = cell.split_once('>').expect("a tag");
        text.to_owned()
    };
    let rows = rest.split("</tr>").filter(|row| row.contains("<tr>"));
    let rows = rows.map(|row| {
        let row = row.replace("</th>", "</td>");
        let (_, row) = row.split_once("<tr>").expect("a row");
        row.split_terminator("</td>").map(cell).collect()
    });
    (caption.to_owned(), rows.collect())
}

#[test]
fn a_list_of_structs_has_a_column_for_each_field() {
    let (caption, rows) = read(&points(2)).unwrap();
    assert_eq!(caption, "2 rows of Point");
    let label = "a, &quot;b&quot; &lt;c&gt;";
    let expected = [
        ["", "x", "label", "path"],
        ["0", "-0.5", label, "None"],
        ["1", "0.5", label, "Some((-1, '}'))"],
    ];
    assert_eq!(rows, expected);
    let html = table(&format!("{:?}", points(1))).unwrap();
    assert!(
        html.contains("<td style=\"text-align: right\">-0.5</td>"),
        "{html}"
    );
    assert!(
        html.contains("<th scope=\"col\" style=\"text-align: right\">x</th>"),
        "{html}"
    );
    assert!(
        html.contains("<td style=\"text-align: left\">None</td>"),
        "{html}"
    );
}

#[test]
fn tuples_maps_and_lists_of_one_length_have_tables_too() {
    let tuples = [(f64::NAN, "a"), (f64::NEG_INFINITY, "b\n")];
    let (caption, rows) = read(&tuples).unwrap();
    assert_eq!(caption, "2 rows");
    assert_eq!(
        rows,
        [["", "0", "1"], ["0", "NaN", "a"], ["1", "-inf", "b\\n"]]
    );
    assert_eq!(read(&[Pair(1, "a")]).unwrap().0, "1 row of Pair");
    let map = BTreeMap::from([("a: b", vec![1, 2]), ("c", vec![])]);
    let (caption, rows) = read(&map).unwrap();
    assert_eq!(caption, "2 entries");
    assert_eq!(rows, [["key", "value"], ["a: b", "[1, 2]"], ["c", "[]"]]);
    let (_, rows) = read(&[[1, 2], [3, 4]]).unwrap();
    assert_eq!(rows[2], ["1", "3", "4"]);
    // A set has no order.
    let (caption, rows) = read(&BTreeSet::from([(1, 2), (3, 4)])).unwrap();
    assert_eq!(
        (caption.as_str(), rows[1].join(" ")),
        ("2 rows", "1 2".to_owned())
    );
}

#[test]
fn maps_in_a_list_have_one_order() {
    let text = r#"[{"b": 1, "a": 2}, {"a": 3, "b": 4}]"#;
    let (_, rows) = text_of(&table(text).unwrap());
    assert_eq!(
        rows,
        [
            ["", "&quot;b&quot;", "&quot;a&quot;"],
            ["0", "1", "2"],
            ["1", "4", "3"]
        ]
        .map(|row| row.map(|cell| cell.replace("&quot;", "")))
    );
    assert_eq!(table(r#"[{"a": 1}, {"b": 1}]"#), None);
    let map: HashMap<usize, usize> = (0..1000).map(|n| (n, n)).collect();
    assert!(read(&map).unwrap().0.starts_with("1000 entries"));
    assert_eq!(read(&[map]), None);
}

#[test]
fn the_caption_says_what_is_not_shown() {
    let (caption, rows) = read(&points(1000)).unwrap();
    assert_eq!(caption, "1000 rows of Point, the first 20 are shown");
    assert_eq!(rows.len(), 22);
    assert_eq!(rows[21], ["… 980 more"]);
    let (caption, rows) = read(&vec![vec![0; 50]; 2]).unwrap();
    assert_eq!(caption, "2 rows, the first 20 of 50 columns");
    assert_eq!((rows[1].len(), rows[1][21].as_str()), (22, "…"));
    let long = BTreeMap::from([(1, "ä".repeat(61)), (2, "ä".repeat(60))]);
    let (caption, rows) = read(&long).unwrap();
    assert_eq!(caption, "2 entries, cells have at most 60 characters");
    assert_eq!(rows[1][1], "ä".repeat(59) + "…");
    assert_eq!(rows[2][1], "ä".repeat(60));
}

#[test]
fn other_values_have_no_table() {
    let others: [&dyn Debug; 16] = [
        &(),
        &1,
        &"[Point { x: 1 }]",
        &String::from("[(1, 2), (3, 4)]"),
        &Some(1),
        &points(1)[0],
        &vec![1, 2],
        &["a"],
        &Vec::<Point>::new(),
        &BTreeMap::<i32, i32>::new(),
        &[Some(1), None],
        &[Some(1), Some(2)],
        &[(1,)],
        &BTreeSet::from([1]),
        &[
            Shape::Circle { r: 1.0 },
            Shape::Square { r: 1.0 },
            Shape::Empty,
        ],
        &vec![vec![1, 2], vec![3]],
    ];
    for value in others {
        assert_eq!(read(value), None, "{value:?}");
    }
    assert_eq!(table("[P { x: 1, .. }]"), None);
    assert_eq!(table("[(1, 2), (3, 4)] and more"), None);
    assert_eq!(table("[(1, 2), (3, 4)], shape=[2, 2]"), None);
}

#[test]
fn an_array_of_two_dimensions_is_a_table() {
    let tail = "strides=[2, 1], layout=Cc (0x5), const ndim=2";
    let (caption, rows) = text_of(
        &table(&format!(
            "[[1.0, 2.5],\n [3.0, -4.0]], shape=[2, 2], {tail}"
        ))
        .unwrap(),
    );
    assert_eq!(caption, "2 × 2");
    assert_eq!(
        rows,
        [["", "0", "1"], ["0", "1.0", "2.5"], ["1", "3.0", "-4.0"]]
    );
    let text = format!("[[0, ..., 1],\n ...,\n [2, ..., 3]], shape=[100, 40], {tail}");
    let html = table(&text).unwrap();
    let (caption, rows) = text_of(&html);
    assert_eq!(caption, "100 × 40, the middle is left out");
    assert_eq!(rows[0], ["", "0", "...", "39"]);
    assert_eq!(rows[2], ["...", "...", "...", "..."]);
    assert_eq!(rows[3], ["99", "2", "...", "3"]);
    assert!(
        html.contains("<td style=\"text-align: right\">3</td>"),
        "{html}"
    );
    let deep = "[[[0, 0]],\n\n [[0, 0]]], shape=[2, 1, 2], strides=[2, 2, 1]";
    assert_eq!(table(deep), None);
    assert_eq!(table(&format!("[[]], shape=[1, 0], {tail}")), None);
    assert_eq!(table(&format!("[...], shape=[1, 0], {tail}")), None);
}

#[test]
fn only_a_text_becomes_a_table_and_it_stays() {
    let text = ": Vec<(i32, i32)> = [(1, 2)]";
    let mut data = Map::from_iter([("text/plain".to_owned(), json!(text))]);
    add_table(&mut data);
    assert_eq!(data["text/plain"], json!(text));
    assert!(data["text/html"].as_str().unwrap().starts_with("<table>"));
    let mut own = Map::from_iter([
        ("text/plain".to_owned(), json!("[(1, 2)]")),
        ("text/html".to_owned(), json!("<b>")),
    ]);
    add_table(&mut own);
    assert_eq!(own["text/html"], json!("<b>"));
    let mut other = Map::from_iter([("text/plain".to_owned(), json!("[1, 2]"))]);
    add_table(&mut other);
    assert_eq!(other.len(), 1);
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_cut_has_no_table(
        text in r#"[\[\]{}(),:"'\\ \n.a-zA1-3ä-]{0,60}"#,
        rows in prop::collection::vec((any::<f64>(), any::<String>(), any::<char>()), 1..30),
        cut in any::<prop::sample::Index>(),
    ) {
        let _ = table(&text);
        let _ = table(&format!("[[{text}], [{text}]], shape=[2, 2], strides=[{text}"));
        for whole in [format!("{rows:?}"), format!("{rows:#?}")] {
            let html = table(&whole).expect("a list of tuples");
            let n_rows = html.matches("<th scope=\"row\"").count();
            prop_assert_eq!(n_rows, rows.len().min(N_SHOWN));
            let ends: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
            prop_assert_eq!(table(&whole[..*cut.get(&ends)]), None);
        }
    }
}
