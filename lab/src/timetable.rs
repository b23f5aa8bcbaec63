//! A day's timetable, computed from the lessons' minutes.

use std::fmt::Write;

/// A break of 15 minutes before a lesson that would make people sit for longer than this.
const LONGEST_SITTING: u32 = 95;
const BREAK: u32 = 15;
const LUNCH: u32 = 60;
/// Lunch is at the first break after about three hours.
const BEFORE_LUNCH: u32 = 165;
/// Courses start at nine.
const START: u32 = 9 * 60;

/// The lessons that fit into half a day: the set-up that all need, and the core.
pub const HALF_DAY: [&str; 5] = ["00", "02", "04", "06", "07"];
/// The lessons that fit into a day: all of the core, and which pool to choose.
pub const FULL_DAY: [&str; 9] = ["00", "01", "02", "03", "04", "05", "06", "07", "08"];

/// The timetable of some lessons, given as number, title and minutes, as rows of a Markdown table.
pub fn timetable<'a>(lessons: impl IntoIterator<Item = (&'a str, &'a str, u32)>) -> String {
    let mut text = String::from("| from | to | |\n| --- | --- | --- |\n");
    let (mut now, mut sitting, mut had_lunch) = (START, 0, false);
    let mut row = |now: &mut u32, minutes: u32, what: &str| {
        let clock = |time: u32| format!("{:02}:{:02}", time / 60, time % 60);
        let _ = writeln!(
            text,
            "| {} | {} | {what} |",
            clock(*now),
            clock(*now + minutes)
        );
        *now += minutes;
    };
    for (number, title, minutes) in lessons {
        if sitting > 0 && sitting + minutes > LONGEST_SITTING {
            if !had_lunch && now - START >= BEFORE_LUNCH {
                row(&mut now, LUNCH, "*lunch*");
                had_lunch = true;
            } else {
                row(&mut now, BREAK, "*break*");
            }
            sitting = 0;
        }
        row(&mut now, minutes, &format!("{number} · {title}"));
        sitting += minutes;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sitting_is_too_long_and_there_is_one_lunch() {
        let lessons = (0..9).map(|_| ("01", "a lesson", 40));
        let text = timetable(lessons);
        assert!(text.contains("| 09:00 | 09:40 | 01 · a lesson |"), "{text}");
        assert!(text.contains("| 10:20 | 10:35 | *break* |"), "{text}");
        assert_eq!(text.matches("*lunch*").count(), 1, "{text}");
        assert_eq!(text.matches("a lesson").count(), 9);
    }

    #[test]
    fn a_single_lesson_needs_no_break() {
        assert!(!timetable([("01", "one", 45)]).contains("break"));
    }
}
