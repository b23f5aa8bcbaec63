//! Which of a process's pages are its own, and which it still shares after a fork.
//!
//! Linux reports it page by page: bit 56 of an entry of `/proc/PID/pagemap` is set if this process
//! alone maps the page (since Linux 4.2). The file is readable without privileges, for the process
//! itself and for others of the same user.

mod draw;
mod pagemap;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::display::{self, Bundle};
use crate::sys::process_id;

use super::number::escape;
use super::{Slider, Sliding};

/// Photographs of a piece of memory, page by page: before a fork, after it, after each write.
///
/// [`take`](Pages::take) photographs the pages of the process that calls it. In a child that was
/// forked later, it photographs both the parent's pages and the child's, at the same addresses. The
/// photographs are part of the value: a child takes them, and returns it.
///
/// In a notebook they are shown one at a time, with a slider; anywhere else they print as text, `#`
/// for a page that the process has alone and `.` for a shared one.
///
/// A photograph is of addresses. It does not follow memory that was freed or that moved (a vector
/// that grew).
///
/// # What else shares a page
///
/// - A page of zeros that was never written is the same for all processes, or is not in memory at
///   all.
/// - In the forklore kernel, a snapshot of the last cell's variables is a fork too, so they are
///   shared before you fork. Photograph memory that the same cell has written, or switch the
///   snapshots off with `%checkpoint off`.
/// - A huge page (2 MB) is photographed as the ordinary pages that it consists of, and the
///   description says how much of the memory lies in such pages. When one of them is written, Linux
///   copies 4 KiB, and splits the huge page of the process that writes. For the other process it is
///   less exact: Linux 6.18 reports that it has the whole huge page alone, though all but one of
///   its pages are still shared.
///
/// # Fork safety
/// Designed for forks: see above. A child that may not read its parent's pages (because it has
/// changed its user) photographs only its own.
///
/// # Example
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use forklore::Process;
/// use forklore::figure::Pages;
///
/// let mut numbers = vec![1_u64; 64 * 512]; // 64 pages of 4096 bytes
/// let mut film = Pages::of("A child writes", &numbers);
/// film.take("before the fork");
/// let child = Process::spawn(|| {
///     film.take("after the fork");
///     numbers[0] += 1;
///     film.take("after a write by the child");
///     film
/// })?;
/// let mut film: Pages = child.join()?;
/// film.take("after the child has ended");
/// println!("{film}");
/// if let Some(why) = film.unreadable() {
///     println!("{why}");
/// } else {
///     assert_eq!(film.photographs().len(), 4);
///     assert_eq!(film.photographs()[1].n_own_of_child(), Some(0));
/// }
/// # Ok(()) }
/// ```
///
/// The file and its bits: proc_pid_pagemap(5), and "Examining Process Page Tables" in the
/// documentation of Linux.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Pages {
    title: String,
    address: usize,
    n_bytes: usize,
    /// The process that made this value: the parent.
    owner: u32,
    photographs: Vec<Photograph>,
    unreadable: Option<String>,
}

/// The state of one page of one process, as Linux reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PageState {
    /// In memory, and mapped by this process only.
    Own,
    /// In memory, and mapped by another process too.
    Shared,
    /// Not in memory: never written, or swapped out.
    Absent,
}

/// The pages at one moment. See [`Pages`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Photograph {
    moment: String,
    /// Empty if they could not be read.
    parent: Vec<PageState>,
    /// Empty if the parent took the photograph.
    child: Vec<PageState>,
    /// How much of the memory lies in huge pages, in the process that took the photograph.
    huge_bytes: usize,
}

impl Pages {
    /// Prepares to photograph the pages that hold `memory`; the first and the last page may hold
    /// other data too. The calling process is the parent.
    pub fn of<T>(title: &str, memory: &[T]) -> Pages {
        Pages::at(title, memory.as_ptr().addr(), size_of_val(memory))
    }

    fn at(title: &str, address: usize, n_bytes: usize) -> Pages {
        Pages {
            title: title.to_owned(),
            address,
            n_bytes,
            owner: process_id(),
            photographs: Vec::new(),
            unreadable: None,
        }
    }

    /// Photographs the pages now: those of this process and, if it is not the parent, those of the
    /// parent. `moment` says what has just happened.
    ///
    /// If Linux does not report which pages are shared, [`unreadable`](Pages::unreadable) says why.
    /// A photograph takes some microseconds, and about 20 ns per page.
    pub fn take(&mut self, moment: &str) {
        let pages = pagemap::pages_of(self.address, self.n_bytes);
        let own = match pagemap::own(&pages) {
            Ok(own) => own,
            Err(why) => {
                self.unreadable = Some(why);
                return;
            }
        };
        let (parent, child) = match self.owner == process_id() {
            true => (own, Vec::new()),
            false => (
                pagemap::of_process(self.owner, &pages).unwrap_or_default(),
                own,
            ),
        };
        self.photographs.push(Photograph {
            moment: moment.to_owned(),
            parent,
            child,
            huge_bytes: pagemap::huge_bytes(self.address, self.n_bytes),
        });
    }

    /// The photographs, in the order in which they were taken.
    pub fn photographs(&self) -> &[Photograph] {
        &self.photographs
    }

    /// Why there are no photographs, or no further ones: `/proc` is not Linux's own, as under
    /// gVisor; Linux is older than 4.2; or the process has changed its user.
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// All photographs with a slider, for a page; and why there are no further ones.
    pub fn html(&self) -> String {
        let mut html = self
            .sliding()
            .map_or_else(String::new, |sliding| sliding.html());
        if let Some(why) = self.why_no_more() {
            let (title, why) = (escape(&self.title), escape(why));
            html.push_str(&format!("<p><strong>{title}</strong>: {why}.</p>"));
        }
        html
    }

    /// All photographs in words and letters; and why there are no further ones.
    pub fn text(&self) -> String {
        let mut parts = match self.photographs.is_empty() {
            true => Vec::new(),
            false => vec![self.title.clone()],
        };
        let photographs = self.photographs.iter();
        parts.extend(photographs.map(|photograph| photograph.figure().text()));
        parts.extend(
            self.why_no_more()
                .map(|why| format!("{}: {why}.", self.title)),
        );
        parts.join("\n\n")
    }

    /// Shows the photographs below the earlier output.
    ///
    /// # Panics
    /// As `println!` does, if standard output cannot be written.
    pub fn show(&self) {
        display::show(&Bundle::html(self.html()).with_text(self.text()));
    }

    /// Called by evcxr to show a cell's value.
    #[doc(hidden)]
    pub fn evcxr_display(&self) {
        self.show();
    }

    fn sliding(&self) -> Option<Sliding> {
        if self.photographs.is_empty() {
            return None;
        }
        let moments: Vec<&str> = self.photographs.iter().map(Photograph::moment).collect();
        let slider = Slider::new(&self.title).control("moment", &moments, 0);
        Some(slider.figures(|at| self.photographs[at[0]].figure()))
    }

    fn why_no_more(&self) -> Option<&str> {
        let none = self
            .photographs
            .is_empty()
            .then_some("no photograph was taken");
        self.unreadable().or(none)
    }
}

impl Photograph {
    /// What had just happened.
    pub fn moment(&self) -> &str {
        &self.moment
    }

    /// The parent's pages, in the order of their addresses; empty if this process could not read
    /// them.
    pub fn parent(&self) -> &[PageState] {
        &self.parent
    }

    /// The child's pages, in the order of their addresses; empty if the parent took the photograph.
    pub fn child(&self) -> &[PageState] {
        &self.child
    }

    /// The number of pages that the parent has alone; `None` if this process could not read them.
    pub fn n_own_of_parent(&self) -> Option<usize> {
        n_own(&self.parent)
    }

    /// The number of pages that the child has alone; `None` if the parent took the photograph.
    pub fn n_own_of_child(&self) -> Option<usize> {
        n_own(&self.child)
    }
}

fn n_own(pages: &[PageState]) -> Option<usize> {
    (!pages.is_empty()).then(|| count(pages, PageState::Own))
}

fn count(pages: &[PageState], state: PageState) -> usize {
    pages.iter().filter(|page| **page == state).count()
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Photograph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.figure().text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_photographs_there_is_a_sentence() {
        let mut film = Pages::of("a <film>", &[1_u8; 10]);
        assert_eq!(film.text(), "a <film>: no photograph was taken.");
        film.unreadable = Some("Linux does not say".to_owned());
        assert_eq!(film.text(), "a <film>: Linux does not say.");
        assert!(film.html().contains("a &lt;film&gt;</strong>: Linux does"));
    }

    #[test]
    fn a_slider_goes_through_the_photographs() {
        let mut film = Pages::at("film", 0, 0);
        for moment in ["before", "after"] {
            film.photographs.push(Photograph {
                moment: moment.to_owned(),
                parent: vec![PageState::Own, PageState::Shared],
                child: Vec::new(),
                huge_bytes: 0,
            });
        }
        let html = film.html();
        assert!(html.contains("data-names=\"before|after\""), "{html}");
        assert_eq!(html.matches("<svg").count(), 2);
        assert_eq!(film.text().matches("#.").count(), 2, "{film}");
    }
}
