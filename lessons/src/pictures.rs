//! Diagrams for the lessons' explanations: drawn like the figures, so that they follow the page's
//! colours and have a description in words.

use forklore::figure::{BoxLook, Diagram, Figure, Stacked, Unit};

/// The palette's indices, and their meaning in all diagrams.
const OLD: BoxLook = BoxLook::Filled(0);
const NEW: BoxLook = BoxLook::Filled(1);
const THREAD: BoxLook = BoxLook::Filled(4);

/// Two processes that share their pages after a fork, and the one page that is copied when the
/// child writes to it.
///
/// # Example
/// ```
/// assert!(forklore_course::copy_on_write().description().contains("a copy of it"));
/// ```
pub fn copy_on_write() -> Figure {
    const DESCRIPTION: &str = "Two situations side by side. Right after the fork, the page tables of parent and child \
        both have arrows to the same four pages of memory. After the child has written to page 2, the parent's table \
        still points to the old page 2 and the child's to a copy of it; they share the pages 1, 3 and 4 as before.";
    let mut diagram = Diagram::new("Copy-on-write, page by page", DESCRIPTION, 250.0);
    for (left, is_written) in [(0.0, false), (330.0, true)] {
        let [parent, memory, child] = [12.0, 118.0, 224.0].map(|x| left + x);
        let title = if is_written {
            "after the child has written to page 2"
        } else {
            "right after the fork"
        };
        diagram = diagram.text((left + 155.0, 16.0), title);
        for (x, name) in [
            (parent, "parent's table"),
            (memory, "memory"),
            (child, "child's table"),
        ] {
            diagram = diagram.text((x + 37.0, 40.0), name);
        }
        for page in 0..4 {
            let y = 50.0 + 38.0 * f64::from(page);
            let name = (page + 1).to_string();
            diagram = diagram
                .boxed(BoxLook::Frame, (parent, y), (74.0, 26.0), &name)
                .boxed(OLD, (memory, y), (74.0, 26.0), &format!("page {name}"))
                .boxed(BoxLook::Frame, (child, y), (74.0, 26.0), &name)
                .arrow((parent + 74.0, y + 13.0), (memory, y + 13.0));
            let is_copied = is_written && page == 1;
            let to_y = if is_copied { 215.0 } else { y + 13.0 };
            diagram = diagram.arrow((child, y + 13.0), (memory + 74.0, to_y));
        }
        if is_written {
            diagram = diagram.boxed(NEW, (memory, 202.0), (74.0, 26.0), "copy of 2");
        }
    }
    diagram.figure()
}

/// Two processes, each with its own memory, beside one process with two threads.
///
/// # Example
/// ```
/// assert!(forklore_course::memories().description().contains("thread"));
/// ```
pub fn memories() -> Figure {
    const DESCRIPTION: &str = "On the left are two processes, each with a thread and a memory of its own: in the \
        parent's the counter is 100, in the child's it is 150. On the right is one process with two threads and one \
        memory, to which both have an arrow: the counter is 150 for both.";
    let process = |diagram: Diagram, x: f64, name: &str, counter: &str| {
        diagram
            .boxed(BoxLook::Frame, (x, 30.0), (140.0, 140.0), name)
            .boxed(THREAD, (x + 35.0, 60.0), (70.0, 28.0), "thread")
            .boxed(OLD, (x + 10.0, 126.0), (120.0, 30.0), counter)
            .arrow((x + 70.0, 88.0), (x + 70.0, 126.0))
    };
    let mut diagram = Diagram::new("Two memories, or one", DESCRIPTION, 182.0)
        .text((158.0, 18.0), "two processes")
        .text((485.0, 18.0), "two threads of one process");
    diagram = process(diagram, 8.0, "parent", "counter 100");
    diagram = process(diagram, 166.0, "child", "counter 150");
    diagram
        .boxed(BoxLook::Frame, (346.0, 30.0), (278.0, 140.0), "process")
        .boxed(THREAD, (372.0, 60.0), (80.0, 28.0), "thread 1")
        .boxed(THREAD, (518.0, 60.0), (80.0, 28.0), "thread 2")
        .boxed(OLD, (425.0, 126.0), (120.0, 30.0), "counter 150")
        .arrow((412.0, 88.0), (462.0, 126.0))
        .arrow((558.0, 88.0), (508.0, 126.0))
        .figure()
}

/// How a map's chunks get from the caller to the workers, and the results back.
///
/// # Example
/// ```
/// assert!(forklore_course::chunks_on_a_board().description().contains("counter"));
/// ```
pub fn chunks_on_a_board() -> Figure {
    const DESCRIPTION: &str = "The caller writes the arguments, cut into four chunks, to a board in shared memory. A \
        counter says which chunk is next. Two workers, whenever they are free, each claim the next chunk by moving the \
        counter on; they write their results to the board, and the caller collates them in the order of the arguments.";
    let mut diagram = Diagram::new("The way of a map", DESCRIPTION, 216.0)
        .boxed(
            BoxLook::Frame,
            (150.0, 8.0),
            (310.0, 200.0),
            "board, in shared memory",
        )
        .boxed(OLD, (8.0, 84.0), (84.0, 44.0), "caller");
    for (chunk, items) in ["0 to 5", "6 to 11", "12 to 17", "18 to 23"]
        .into_iter()
        .enumerate()
    {
        let x = 162.0 + 73.0 * chunk as f64;
        let look = if chunk < 2 { NEW } else { BoxLook::Filled(2) };
        diagram = diagram.boxed(look, (x, 62.0), (66.0, 26.0), items);
        diagram = diagram.boxed(BoxLook::Frame, (x, 156.0), (66.0, 26.0), "results");
    }
    diagram
        .text((304.0, 52.0), "chunks: two claimed, two left")
        .text((341.0, 128.0), "counter: next is 12")
        .arrow((341.0, 114.0), (341.0, 90.0))
        .boxed(THREAD, (544.0, 48.0), (84.0, 44.0), "worker 1")
        .boxed(THREAD, (544.0, 130.0), (84.0, 44.0), "worker 2")
        .arrow((92.0, 96.0), (160.0, 76.0))
        .text((121.0, 76.0), "split")
        .arrow((160.0, 168.0), (92.0, 120.0))
        .text((112.0, 160.0), "collate")
        .arrow((455.0, 70.0), (544.0, 66.0))
        .text((502.0, 56.0), "claim")
        .arrow((455.0, 80.0), (544.0, 140.0))
        .arrow((544.0, 84.0), (455.0, 160.0))
        .arrow((544.0, 160.0), (455.0, 172.0))
        .text((502.0, 190.0), "results")
        .figure()
}

/// Two processes, each of which holds the lock that the other waits for.
///
/// # Example
/// ```
/// assert!(forklore_course::circle_of_locks().description().contains("waits"));
/// ```
pub fn circle_of_locks() -> Figure {
    const DESCRIPTION: &str = "A circle of four. Process A holds lock 0 and waits for lock 1. Process B holds lock 1 \
        and waits for lock 0. No arrow leads out of the circle.";
    Diagram::new("A circle of waiting", DESCRIPTION, 186.0)
        .boxed(THREAD, (100.0, 14.0), (120.0, 40.0), "process A")
        .boxed(OLD, (420.0, 14.0), (120.0, 40.0), "lock 1")
        .boxed(THREAD, (420.0, 132.0), (120.0, 40.0), "process B")
        .boxed(OLD, (100.0, 132.0), (120.0, 40.0), "lock 0")
        .dashed_arrow((220.0, 34.0), (420.0, 34.0))
        .text((320.0, 26.0), "waits for")
        .arrow((480.0, 132.0), (480.0, 54.0))
        .text((510.0, 98.0), "holds")
        .dashed_arrow((420.0, 152.0), (220.0, 152.0))
        .text((320.0, 144.0), "waits for")
        .arrow((160.0, 54.0), (160.0, 132.0))
        .text((130.0, 98.0), "holds")
        .figure()
}

/// The run time of a program by number of workers, if a share of it is serial: Amdahl's law as
/// lengths.
///
/// # Example
/// ```
/// let figure = forklore_course::amdahl_bars(0.2);
/// assert_eq!(figure.table().rows()[1], ["2 workers", "20.0 %", "40.0 %", "60.0 %"]);
/// ```
pub fn amdahl_bars(serial_share: f64) -> Figure {
    let title = format!(
        "{:.0} % of the work is serial: what is left of the run time",
        100.0 * serial_share
    );
    let chart = Stacked::new(&title).axis("share of the serial run time", Unit::Share);
    let chart = [1.0, 2.0, 4.0, 8.0, 1_000.0]
        .into_iter()
        .fold(chart, |chart, workers| {
            let s = if workers == 1.0 { "" } else { "s" };
            let name = format!("{} worker{s}", Unit::Count.format(workers));
            let parts = [
                ("serial", serial_share),
                ("parallel", (1.0 - serial_share) / workers),
            ];
            chart.bar(&name, &parts)
        });
    chart.figure()
}
