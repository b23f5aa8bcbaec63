use super::*;

#[test]
fn a_variable_is_taken_as_it_was_put() {
    let mut store = empty();
    store.put_variable("words", vec!["a".to_owned()]);
    assert!(store.check_variable::<Vec<String>>("words"));
    assert_eq!(store.take_variable::<Vec<String>>("words"), ["a"]);
    assert!(store.variables.is_empty());
}

#[test]
fn another_type_is_noticed_and_what_is_not_there_is_no_mistake() {
    let mut store = empty();
    store.put_variable("a", 1_u8);
    assert!(!store.check_variable::<u16>("a"));
    assert!(store.check_variable::<u16>("b"));
}

#[test]
fn what_is_nothing_without_its_threads_is_lost_with_them() {
    let mut store = empty();
    store.put_variable("a", Box::new(1_u8));
    assert_eq!(store.variables["a"].threads_of, None);
    let name = "alloc::sync::Arc<tokio::runtime::runtime::Runtime>";
    assert_eq!(process_of_threads(name), Some(std::process::id()));
    let variable = store.variables.get_mut("a").unwrap();
    variable.threads_of = process_of_threads(name);
    assert!(store.check_variable::<Box<u8>>("a"));
    store.variables.get_mut("a").unwrap().threads_of = Some(1);
    assert!(!store.check_variable::<Box<u8>>("a"));
    assert!(store.variables.is_empty());
}

#[test]
fn a_key_is_the_thread_s_own() {
    thread_local! { static COUNT: std::cell::Cell<u8> = const { std::cell::Cell::new(1) }; }
    static SHARED: Key<std::cell::Cell<u8>> = Key::new(COUNT);
    SHARED.set(2);
    assert_eq!(COUNT.get(), 2);
    assert_eq!(std::thread::spawn(|| SHARED.get()).join().unwrap(), 1);
}

fn first() -> io::Result<u8> {
    Ok(1)
}

#[test]
fn a_runtime_is_made_once_and_again_for_another_process_or_another_tokio() {
    let mut store = empty();
    let runtime = store.runtime(first);
    assert!(Arc::ptr_eq(&runtime, &store.runtime(first)));
    let kept = store.variables.get_mut(RUNTIME).unwrap();
    kept.value
        .downcast_mut::<Shared<Mutex<u8>>>()
        .unwrap()
        .maker
        .pid += 1;
    assert!(!Arc::ptr_eq(&runtime, &store.runtime(first)));
    assert_eq!(*lock(&store.runtime(|| Ok("another type"))), "another type");
}

#[test]
fn what_a_cell_asks_for_again_is_made_once() {
    let mut store = empty();
    let mut cell = || store.lazy_arc("shared", || 1_u8);
    assert!(Arc::ptr_eq(&cell(), &cell()));
}

#[test]
fn what_a_cell_changed_or_moved_is_put_back() {
    let mut store = empty();
    store.put_variable("list", vec![1]);
    store.put_variable("pair", (1_u8, [2_u16; 3]));
    store.put_variable("text", "a".to_owned());
    store.put_variable("channel", std::sync::mpsc::channel::<u8>());
    let guarded = store.guard("list pair text channel missing");
    assert_eq!(guarded, "list pair text");
    store.put_variable("list", vec![1, 2]);
    store.take_variable::<(u8, [u16; 3])>("pair");
    store.take_variable::<String>("text");
    store.settle(true);
    assert_eq!(store.take_variable::<Vec<i32>>("list"), [1]);
    assert_eq!(
        store.take_variable::<(u8, [u16; 3])>("pair"),
        (1, [2, 2, 2])
    );
    assert_eq!(store.take_variable::<String>("text"), "a");
    assert!(store.guarded.is_empty());
}

#[test]
fn copies_are_thrown_away_where_the_cell_reached_its_end() {
    let mut store = empty();
    store.put_variable("list", vec![1]);
    assert_eq!(store.guard("list"), "list");
    store.put_variable("list", vec![1, 2]);
    store.settle(false);
    assert_eq!(store.take_variable::<Vec<i32>>("list"), [1, 2]);
}

#[test]
fn a_future_runs_to_its_end_here() {
    assert_eq!(Now.block_on(async { 1 }), 1);
    let (sender, receiver) = std::sync::mpsc::channel::<std::task::Waker>();
    let waking = std::thread::spawn(move || receiver.recv().unwrap().wake());
    let mut n_polls = 0;
    let pending_once = std::future::poll_fn(|context| {
        n_polls += 1;
        if n_polls == 1 {
            sender.send(context.waker().clone()).unwrap();
            return Poll::Pending;
        }
        Poll::Ready(n_polls)
    });
    assert!(Now.block_on(pending_once) >= 2);
    waking.join().unwrap();
}

#[test]
fn what_is_too_large_is_not_copied() {
    let mut store = empty();
    store.put_variable("large", vec![0_u8; GUARDED_BYTES + 1]);
    store.put_variable("small", 1);
    assert_eq!(store.guard("large small"), "small");
}
