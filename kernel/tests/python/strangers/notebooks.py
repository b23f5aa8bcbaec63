"""What public notebooks do with popular crates, in cells written for this test: the same calls, and what they show.

Needs the registry and compiles the crates, so it runs by command and not with the other tests:

    python3 kernel/tests/python/strangers/notebooks.py itertools serde_json regex rand ndarray statrs tokio plotters
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

# What compiling a crate may take on a busy machine.
SECONDS = 1200

# Cells, each with what it shows: a result, what it prints, or None for either.
SUBJECTS = {
    "itertools": [
        (':dep itertools = "0.14"\nuse itertools::Itertools;', None),
        ("(1..=3).cartesian_product('a'..='b').map(|(n, c)| format!(\"{n}{c}\")).join(\" \")", '"1a 1b 2a 2b 3a 3b"'),
        ("let words = [\"one\", \"two\", \"three\"];\nwords.iter().sorted_by_key(|word| word.len()).collect_vec()", '["one", "two", "three"]'),
        ("let groups = words.iter().chunk_by(|word| word.len());\nfor (len, group) in &groups { println!(\"{len} {}\", group.count()); }", "3 2\n5 1\n"),
        ("(0..4).tuple_windows().map(|(a, b)| a * b).collect::<Vec<i32>>()", "[0, 2, 6]"),
    ],
    "serde_json": [
        (':dep serde = { version = "1", features = ["derive"] }\n:dep serde_json = "1"\nuse serde::{Deserialize, Serialize};', None),
        ("#[derive(Debug, Serialize, Deserialize)]\nstruct Person { name: String, age: u8, phones: Vec<String> }", None),
        ('let text = r#"{"name": "Ada", "age": 36, "phones": ["1", "2"]}"#;\nlet person: Person = serde_json::from_str(text)?;\nperson.phones.len()', "2"),
        ("serde_json::to_string(&person)?", '"{\\"name\\":\\"Ada\\",\\"age\\":36,\\"phones\\":[\\"1\\",\\"2\\"]}"'),
        ('let value = serde_json::json!({"a": [1, 2, {"b": null}]});\nvalue["a"][2]["b"].is_null()', "true"),
    ],
    "regex": [
        (':dep regex = "1"\nuse regex::Regex;', None),
        (r'let date = Regex::new(r"(?P<year>\d{4})-(?P<month>\d{2})")?;', None),
        ('let found = date.captures("on 2026-11-30").unwrap();\n(&found["year"], &found["month"])', '("2026", "11")'),
        ('date.replace_all("2026-11 2025-01", "$month/$year")', '"11/2026 01/2025"'),
        ('for (whole, [year, month]) in date.captures_iter("2026-11 2025-01").map(|c| c.extract()) { println!("{whole} {year} {month}"); }', "2026-11 2026 11\n2025-01 2025 01\n"),
    ],
    "rand": [
        (':dep rand = "0.8"\nuse rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};', None),
        ("let mut rng = StdRng::seed_from_u64(1);\nlet roll: u8 = rng.gen_range(1..=6);\n(1..=6).contains(&roll)", "true"),
        ("let mut cards: Vec<u8> = (0..10).collect();\ncards.shuffle(&mut rng);\ncards.iter().map(|card| *card as u32).sum::<u32>()", "45"),
        ("let normal: Vec<f64> = (0..1000).map(|_| rng.gen::<f64>()).collect();\nnormal.iter().all(|x| (0.0..1.0).contains(x))", "true"),
    ],
    "ndarray": [
        (':dep ndarray = "0.16"\nuse ndarray::{arr2, array, s, Array, Array2, Axis};', None),
        ("let a = array![[1., 2., 3.], [4., 5., 6.]];\na.dim()", "(2, 3)"),
        ("a.sum_axis(Axis(0)).to_vec()", "[5.0, 7.0, 9.0]"),
        ("let view = a.slice(s![.., 1..]);\nview.mean()", "Some(4.0)"),
        ("let b = arr2(&[[1., 0.], [0., 1.], [1., 1.]]);\na.dot(&b).into_raw_vec_and_offset().0", "[4.0, 5.0, 10.0, 11.0]"),
        ("let zeros: Array2<f64> = Array::zeros((2, 2));\nzeros.len()", "4"),
    ],
    "statrs": [
        (':dep statrs = "0.18"\nuse statrs::distribution::{Continuous, ContinuousCDF, Normal};\nuse statrs::statistics::{Data, Distribution, OrderStatistics};', None),
        ("let normal = Normal::new(0.0, 1.0)?;\nformat!(\"{:.3} {:.3}\", normal.cdf(1.96), normal.pdf(0.0))", '"0.975 0.399"'),
        ("let mut data = Data::new([1.0, 5.0, 3.0, 4.0]);\n(data.mean(), data.median())", "(Some(3.25), 3.5)"),
    ],
    "tokio": [
        (':dep tokio = { version = "1", features = ["full"] }\nuse tokio::time::{sleep, Duration};', None),
        ("async fn later(x: u8) -> u8 { sleep(Duration::from_millis(5)).await; x }\nlater(3).await", "3"),
        ("let (tx, mut rx) = tokio::sync::mpsc::channel(2);\ntokio::spawn(async move { tx.send(7).await });\nrx.recv().await", "Some(7)"),
        ("tokio::join!(later(1), later(2))", "(1, 2)"),
        ('#[tokio::main]\nasync fn main() {\n    println!("{}", later(4).await);\n}', "4\n"),
    ],
    "plotters": [
        (':dep plotters = { version = "0.3", default_features = false, features = ["evcxr", "all_series"] }\nuse plotters::prelude::*;', None),
        ('let figure = evcxr_figure((320, 240), |root| {\n    root.fill(&WHITE)?;\n    let mut chart = ChartBuilder::on(&root).x_label_area_size(30).y_label_area_size(30)'
         '.build_cartesian_2d(-1f32..1f32, 0f32..1f32)?;\n    chart.configure_mesh().draw()?;\n'
         "    chart.draw_series(LineSeries::new((-50..=50).map(|x| x as f32 / 50.0).map(|x| (x, x * x)), &RED))?;\n    Ok(())\n});\nfigure", None),
    ],
}


def wrong(cells, kernel):
    """The number of cells that do not show what they should, each said."""
    n_wrong = 0
    for code, shows in cells:
        ran = kernel.run(code, timeout=SECONDS)
        shown = ran.stdout or ran.result
        if ran.status != "ok" or shows not in (None, shown):
            n_wrong += 1
            print(f"{code}\n  shows {shown!r}, not {shows!r}: {ran.reply['content'].get('evalue', '')}")
    return n_wrong


def main():
    from conftest import Kernel

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="+", choices=SUBJECTS)
    parser.add_argument("--kernel", default="forklore", help="a kernelspec's name, such as rust-evcxr")
    options = parser.parse_args()
    for subject in options.subjects:
        kernel = Kernel(options.kernel)
        cells = SUBJECTS[subject]
        n_wrong = wrong(cells, kernel)
        kernel.stop()
        print(f"{subject}: {len(cells) - n_wrong} of {len(cells)} cells show what they should ({options.kernel})", flush=True)


if __name__ == "__main__":
    main()
