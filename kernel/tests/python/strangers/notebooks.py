"""What public notebooks do with popular crates, in cells written for this test: the same calls, and what they show.

Needs the registry and compiles the crates, so it runs by command and not with the other tests:

    python3 kernel/tests/python/strangers/notebooks.py itertools serde_json regex rand ndarray statrs tokio display plotters
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

# What compiling a crate may take on a busy machine.
SECONDS = 1200

# A chart, as plotters shows it.
SVG = ("text/html", "<svg")


def chart(x, y, draws):
    """A cell with a chart over these ranges, in which `draws` draws."""
    return (f"evcxr_figure((320, 240), |root| {{\n    root.fill(&WHITE)?;\n    let mut chart = ChartBuilder::on(&root).x_label_area_size(30).y_label_area_size(30)"
            f".build_cartesian_2d({x}, {y})?;\n    chart.configure_mesh().disable_x_mesh().draw()?;\n    {draws}\n    Ok(())\n}})")


# Cells, each with what it shows: a result or what it prints, a MIME type with a part of what is shown, or None for any.
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
        (':dep plotters = { version = "0.3", default_features = false, features = ["evcxr", "all_series", "all_elements"] }\nuse plotters::prelude::*;', None),
        ('evcxr_figure((320, 240), |root| {\n    root.fill(&YELLOW)?;\n    root.draw(&Text::new("Hello", (50, 100), ("Arial", 60).into_font()))?;\n    Ok(())\n}).style("width:60%")', SVG),
        ('let figure = evcxr_figure((320, 240), |root| {\n    root.fill(&WHITE)?;\n    let mut chart = ChartBuilder::on(&root).caption("y=x^2", ("Arial", 30).into_font()).margin(5)'
         '.x_label_area_size(30).y_label_area_size(30).build_cartesian_2d(-1f32..1f32, -0.1f32..1f32)?;\n    chart.configure_mesh().draw()?;\n'
         "    chart.draw_series(LineSeries::new((-50..=50).map(|x| x as f32 / 50.0).map(|x| (x, x * x)), &RED))?.label(\"y = x^2\")"
         ".legend(|(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], &RED));\n"
         "    chart.configure_series_labels().background_style(&WHITE.mix(0.8)).border_style(&BLACK).draw()?;\n    Ok(())\n});\nfigure", SVG),
        ("// A figure is a value like any other.\nfigure", SVG),
        ("let points: Vec<(f64, f64)> = (0..60).map(|i| (f64::from(i) * 0.1, (f64::from(i) * 0.7).sin())).collect();\npoints.len()", "60"),
        (chart("0f64..6f64", "-1f64..1f64", "chart.draw_series(points.iter().map(|(x, y)| Circle::new((*x, *y), 3, GREEN.filled())))?;"), SVG),
        (chart("0f64..6f64", "-1f64..1f64", "chart.draw_series(PointSeries::of_element(points.iter().step_by(20).copied(), 5, &RED, &|c, s, st| "
               'EmptyElement::at(c) + Circle::new((0, 0), s, st.filled()) + Text::new(format!("{:?}", c), (10, 0), ("sans-serif", 10).into_font())))?;'), SVG),
        (chart("(0u32..10u32).into_segmented()", "0u32..10u32", "let data = [1u32, 1, 2, 3, 3, 3, 7];\n    chart.draw_series(Histogram::vertical(&chart).style(RED.mix(0.5).filled()).data(data.iter().map(|x| (*x, 1))))?;"), SVG),
        (chart("0..10", "0..10", "chart.draw_series((0..10).map(|x| Rectangle::new([(x, 0), (x + 1, x)], HSLColor(f64::from(x) / 10.0, 0.7, 0.5).filled())))?;"), SVG),
        (chart("0f64..6f64", "-1f64..1f64", "chart.draw_series(AreaSeries::new(points.iter().copied(), 0.0, &BLUE.mix(0.2)).border_style(&BLUE))?;"), SVG),
        (chart("0f64..6f64", "-2f64..2f64", "chart.draw_series(points.iter().map(|(x, y)| ErrorBar::new_vertical(*x, y - 0.2, *y, y + 0.2, BLUE.filled(), 5)))?;"), SVG),
        (chart("1f64..1000f64", "(1f64..1_000_000f64).log_scale()", "chart.draw_series(LineSeries::new((1..1000).map(|x| (f64::from(x), f64::from(x).powi(2))), &BLACK))?;"), SVG),
        (chart('["a", "b"][..].into_segmented()', "0f32..10f32", 'let quartiles = Quartiles::new(&[1, 2, 3, 5, 8]);\n    chart.draw_series(vec![Boxplot::new_vertical(SegmentValue::CenterOf(&"a"), &quartiles)])?;'), SVG),
        (chart("0..5", "0f32..9f32", "chart.draw_series([(1, 2.0, 5.0, 1.0, 4.0), (3, 4.0, 6.0, 2.0, 3.0)].map(|(x, o, h, l, c)| CandleStick::new(x, o, h, l, c, GREEN.filled(), RED, 15)))?;"), SVG),
        ('evcxr_figure((640, 240), |root| {\n    for (area, n) in root.split_evenly((1, 2)).iter().zip(1..) {\n        let mut chart = ChartBuilder::on(area).caption(format!("x^{n}"), ("sans-serif", 20))'
         ".build_cartesian_2d(0f64..1f64, 0f64..1f64)?;\n        chart.draw_series(LineSeries::new((0..=50).map(|x| f64::from(x) / 50.0).map(|x| (x, x.powi(n))), &BLUE))?;\n    }\n    Ok(())\n})", SVG),
        ("evcxr_figure((320, 240), |root| {\n    let mut chart = ChartBuilder::on(&root).build_cartesian_3d(-3.0..3.0, -3.0..3.0, -3.0..3.0)?;\n    chart.configure_axes().draw()?;\n"
         "    chart.draw_series(SurfaceSeries::xoz((-15..=15).map(|x| f64::from(x) / 5.0), (-15..=15).map(|z| f64::from(z) / 5.0), |x, z| (x * x + z * z).cos()).style(&BLUE.mix(0.5)))?;\n    Ok(())\n})", SVG),
        (chart("0..40", "0..40", "let area = chart.plotting_area();\n    for (x, y) in (0..40).flat_map(|x| (0..40).map(move |y| (x, y))) {\n        area.draw_pixel((x, y), &HSLColor(f64::from(x * y % 40) / 40.0, 1.0, 0.5))?;\n    }"), SVG),
        ('evcxr_figure((320, 240), |root| {\n    let (sizes, colours, labels) = ([60.0, 40.0], [RED, BLUE], ["yes", "no"]);\n    root.draw(&Pie::new(&(160, 120), &80.0, &sizes, &colours, &labels))?;\n    Ok(())\n})', SVG),
        ("fn wave(k: f64) -> plotters::evcxr::SVGWrapper {\n    evcxr_figure((320, 100), |root| {\n        let mut chart = ChartBuilder::on(&root).build_cartesian_2d(0f64..6f64, -1f64..1f64)?;\n"
         "        chart.draw_series(LineSeries::new((0..=60).map(|x| f64::from(x) / 10.0).map(|x| (x, (x * k).sin())), &RED))?;\n        Ok(())\n    })\n}\nwave(2.0)", SVG),
        ("for k in 1..3 {\n    wave(f64::from(k)).evcxr_display();\n}", SVG),
    ],
    # evcxr's own tour: values that say themselves how they are shown.
    "display": [
        (':dep evcxr_runtime = "1.1"\nuse std::fmt::Debug;', None),
        ('pub struct Matrix<T> { pub values: Vec<T>, pub row_size: usize }\nimpl<T: Debug> Matrix<T> {\n    pub fn evcxr_display(&self) {\n        let mut html = String::from("<table>");\n'
         '        for row in self.values.chunks(self.row_size) {\n            html += "<tr>";\n            for value in row { html += &format!("<td>{value:?}</td>"); }\n            html += "</tr>";\n        }\n'
         '        println!("EVCXR_BEGIN_CONTENT text/html\\n{html}</table>\\nEVCXR_END_CONTENT");\n    }\n}', None),
        ("let matrix = Matrix { values: vec![1, 2, 3, 4], row_size: 2 };\nmatrix", ("text/html", "<td>3</td>")),
        # The smallest image there is: one transparent point.
        ('const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";\n'
         'struct Dot;\nimpl evcxr_runtime::Display for Dot {\n    fn evcxr_display(&self) { evcxr_runtime::mime_type("image/png").text(PNG); }\n}', None),
        ("use evcxr_runtime::Display;\nlet dot = Dot;\ndot.evcxr_display();", ("image/png", "iVBORw0KGgo")),
        ("dot", ("image/png", "iVBORw0KGgo")),
        ('evcxr_runtime::mime_type("text/html").text("<b>bold</b>");', ("text/html", "<b>bold</b>")),
    ],
}


def wrong(cells, kernel):
    """The number of cells that do not show what they should, each said."""
    n_wrong = 0
    for code, shows in cells:
        ran = kernel.run(code, timeout=SECONDS)
        if isinstance(shows, tuple):
            mime_type, part = shows
            shown = [content["data"].get(mime_type, "") for content in ran.of_type("display_data") + ran.of_type("execute_result")]
            is_right = any(part in data for data in shown)
        else:
            shown = ran.stdout or ran.result
            is_right = shows in (None, shown)
        if ran.status != "ok" or not is_right:
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
