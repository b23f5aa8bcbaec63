//! Tests of `%time` and related magics: the positions of the learner's characters, and the code
//! that measures them.

use super::tests::run;
use super::*;

#[test]
fn time_takes_the_place_of_the_magic() {
    assert_eq!(run("%time f(x)"), "  _t!(f(x))");
    assert_eq!(run("%time f(x);"), "  _t!(f(x));");
    assert_eq!(run("%time v"), " _t!(&v)");
    assert_eq!(run("%time *p"), " _t!(&*p)");
    assert_eq!(
        run("%time (0..9)\n  .sum::<i32>()"),
        "  _t!((0..9)\n  .sum::<i32>())"
    );
    assert_eq!(run("%time   f(x) // why"), "    _t!(f(x)) // why");
}

#[test]
fn time_of_a_let_leaves_the_value_where_it_was() {
    assert_eq!(run("%time let mut x = f(y);"), "  let mut x = _t!(f(y));");
    assert_eq!(
        run("%time let x: u8 =\n  f(y);\nx"),
        "      let x: u8 =\n  _t!(f(y));\nx"
    );
}

#[test]
fn time_on_several_lines() {
    assert_eq!(
        run("let a = 1;\n%time f(a);\n// and\n%time g(a)"),
        "let a = 1;\n  _t!(f(a));\n// and\n  _t!(g(a))"
    );
    assert_eq!(run(":dep x\n%time f()"), ":dep x\n  _t!(f())");
}

#[test]
fn time_of_a_cell_starts_and_stops_a_clock() {
    assert_eq!(
        run("%%time\nlet v = f();\ng(&v)"),
        "forklore::display::cell::start!(_clock);\n\
         let v = f();forklore::display::cell::stop!(_clock, \ng(&v))"
    );
    assert_eq!(
        run("%%time\nf()"),
        "forklore::display::cell::start!(_clock);forklore::display::cell::stop!(_clock, \nf())"
    );
    assert_eq!(
        run("%%time\nlet v = f(); // x"),
        "forklore::display::cell::start!(_clock);\nlet v = f(); // x\nforklore::display::cell::stop!(_clock);"
    );
    let program = run("%%time\nfn main() {}");
    assert!(
        program.ends_with("main();\nforklore::display::cell::stop!(_clock);"),
        "{program}"
    );
    assert!(run("\n \n%%time\nf()").starts_with("\n \nforklore"));
    assert!(run("%%time\nlet v = f();\nv").ends_with("_clock, &\nv)"));
    assert!(run("%%time\n:dep x\nf()").starts_with("\n:dep x\nforklore"));
}

#[test]
fn timeit_runs_an_expression_or_a_scope() {
    assert_eq!(run("%timeit f(x)"), "   _ti!(f(x))");
    assert_eq!(run("%timeit v"), "  _ti!(&v)");
    assert_eq!(
        run("%%timeit\nlet v = f();\ng(v)"),
        "forklore::display::cell::timeit!({\nlet v = f();\ng(v)\n})"
    );
    assert!(
        plan("%timeit let x = 3;")
            .unwrap_err()
            .message
            .contains("`%%timeit`")
    );
}

#[test]
fn timeit_takes_the_options_of_ipython() {
    assert_eq!(
        run("%timeit -n 10 f(x)"),
        format!("{}_ti!(f(x), Some(10), 7)", " ".repeat(9))
    );
    assert_eq!(run("%timeit -r3 f(x)").trim(), "_ti!(f(x), None, 3)");
    assert_eq!(run("%timeit -n * 2").trim(), "_ti!(-n * 2)");
    assert!(run("%%timeit -n 5 -r 2\nf(x)").ends_with("f(x)\n}, Some(5), 2)"));
}
