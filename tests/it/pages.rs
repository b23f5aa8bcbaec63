//! Photographs of copy-on-write, compared with what the processes have written.

use forklore::figure::{PageState, Pages, Photograph};
use forklore::{Barrier, Process, SharedArray};

use crate::support::{Random, tests};

tests![
    each_page_that_is_written_is_its_own,
    what_the_parent_writes_is_seen_from_the_child,
    shared_memory_stays_shared,
    what_was_never_written_is_not_in_memory,
    a_child_that_may_not_look_says_so,
];

const N_PAGES: usize = 64;

/// Memory that fills whole pages, if pages have 4096 bytes.
#[derive(Clone)]
#[repr(align(4096))]
struct Page([u8; 4096]);

/// Memory that this process has alone.
fn written() -> Vec<Page> {
    vec![Page([1; 4096]); N_PAGES]
}

fn of_all(state: PageState) -> [PageState; N_PAGES] {
    [state; N_PAGES]
}

fn last(film: &Pages) -> &Photograph {
    film.photographs().last().unwrap()
}

/// Whether this system can be tested. If it does not report shared pages, there is a sentence and
/// no photograph.
fn is_said(film: &Pages) -> bool {
    let Some(why) = film.unreadable() else {
        return true;
    };
    assert!(film.photographs().is_empty() && film.text().contains(why));
    println!("left out: {why}");
    false
}

fn each_page_that_is_written_is_its_own() {
    let mut random = Random::seeded();
    let mut pages = written();
    let mut film = Pages::of("a child writes", &pages);
    film.take("before");
    if !is_said(&film) {
        return;
    }
    assert_eq!(last(&film).parent(), of_all(PageState::Own));
    assert!(last(&film).child().is_empty() && last(&film).n_own_of_child().is_none());
    let child = Process::spawn(|| {
        film.take("after the fork");
        let mut expected = vec![of_all(PageState::Shared)];
        for _ in 0..20 {
            let page = random.below(N_PAGES as u64) as usize;
            pages[page].0[random.below(4096) as usize] += 1;
            let mut next = expected[expected.len() - 1];
            next[page] = PageState::Own;
            expected.push(next);
            film.take("after a write");
        }
        (film, expected.concat())
    });
    let (mut film, expected): (Pages, Vec<PageState>) = child.unwrap().join().unwrap();
    assert_eq!(film.photographs().len(), 22);
    for (photograph, expected) in film.photographs()[1..].iter().zip(expected.chunks(N_PAGES)) {
        assert_eq!(photograph.child(), expected, "{photograph:?}");
        // The old page is the parent's alone once the child has its copy.
        assert_eq!(photograph.parent(), expected, "{photograph:?}");
    }
    film.take("after the child's end");
    assert_eq!(last(&film).parent(), of_all(PageState::Own));
}

fn what_the_parent_writes_is_seen_from_the_child() {
    let mut pages = written();
    let mut film = Pages::of("the parent writes", &pages);
    let turn = Barrier::new(2).unwrap();
    let child = Process::spawn(|| {
        turn.wait().unwrap();
        turn.wait().unwrap();
        film.take("after the parent's write");
        film
    })
    .unwrap();
    turn.wait().unwrap();
    pages[5].0[0] = 2;
    turn.wait().unwrap();
    let film: Pages = child.join().unwrap();
    if is_said(&film) {
        let mut expected = of_all(PageState::Shared);
        expected[5] = PageState::Own;
        assert_eq!(last(&film).parent(), expected);
        assert_eq!(last(&film).child(), expected);
    }
}

fn shared_memory_stays_shared() {
    let shared = SharedArray::<u64>::zeroed(16 * 512).unwrap();
    shared.fill(1);
    // SAFETY: nothing is read or written through it; it says where the memory is.
    let mut film = Pages::of("shared memory", unsafe { shared.as_slice() });
    let child = Process::spawn(|| {
        shared.fill(2);
        film.take("after the child's writes");
        film
    });
    let film: Pages = child.unwrap().join().unwrap();
    if is_said(&film) {
        assert!(last(&film).child().len() >= 16);
        assert_eq!(last(&film).n_own_of_child(), Some(0), "{film}");
        assert_eq!(last(&film).n_own_of_parent(), Some(0), "{film}");
    }
}

fn what_was_never_written_is_not_in_memory() {
    // So much that it is a mapping of its own, and no page of it was another's before.
    const BYTES: usize = 64 << 20;
    let mut zeros: Vec<u8> = vec![0; BYTES];
    zeros[BYTES / 2] = 1;
    let mut film = Pages::of("zeros", &zeros[..BYTES / 4]);
    film.take("now");
    if is_said(&film) {
        let absent = |page: &&PageState| **page == PageState::Absent;
        let n_pages = last(&film).parent().len();
        let n_absent = last(&film).parent().iter().filter(absent).count();
        // The allocator writes to the first.
        assert!(n_absent + 1 >= n_pages, "{n_absent} of {n_pages}");
    }
    let mut nothing = Pages::of("nothing", &zeros[..0]);
    nothing.take("now");
    assert!(nothing.text().starts_with("nothing"), "{nothing}");
}

fn a_child_that_may_not_look_says_so() {
    const NOBODY: u32 = 65_534;
    let pages = written();
    let mut film = Pages::of("another user", &pages);
    film.take("as the parent's user");
    let child = Process::spawn(|| {
        // SAFETY: a system call without memory. Without privileges it fails.
        let is_changed = unsafe { libc::setuid(NOBODY) } == 0;
        film.take("as another user");
        (film, is_changed)
    });
    let (film, is_changed): (Pages, bool) = child.unwrap().join().unwrap();
    if !is_changed {
        println!("needs root, to become another user: left out");
    } else if let Some(why) = film.unreadable() {
        // Linux does not let a process that has changed its user look at itself.
        assert!(
            film.text().contains(why) && film.html().contains(why),
            "{film}"
        );
    } else {
        assert!(last(&film).parent().is_empty(), "{film}");
    }
}
