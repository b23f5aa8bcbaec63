//! Numbers in shared memory.

use forklore::{Fork, Pool, Process, SharedArray, Value, fork};
use nix::sys::signal::{Signal, raise};

use crate::support::tests;

tests![
    an_array_is_written_by_workers,
    every_number_is_kept_as_it_is,
    no_update_is_lost,
    arrays_have_the_obvious_corners,
    parts_are_read_and_written,
    an_array_outlives_a_killed_writer,
    a_value_is_seen_by_all,
    a_value_orders_what_was_written_before,
    a_child_keeps_what_its_parent_dropped,
];

fn an_array_is_written_by_workers() {
    let pool = Pool::with_workers(3).unwrap();
    let array = SharedArray::<u64>::zeroed(10_000).unwrap();
    assert!(array.iter().all(|number| number == 0));
    pool.map(|i: usize| array.set(i, i as u64 * 3), 0..10_000);
    assert_eq!(
        array.to_vec(),
        (0..10_000).map(|i| i * 3).collect::<Vec<_>>()
    );
    // SAFETY: the map has returned, and with it all that wrote.
    assert_eq!(unsafe { array.as_slice() }, array.to_vec());
}

fn every_number_is_kept_as_it_is() {
    macro_rules! there_and_back {
        ($($numbers:expr),*) => { $(
            let numbers = $numbers;
            let array = SharedArray::from_slice(&numbers).unwrap();
            let child = Process::spawn(|| {
                let (first, last) = (array.get(0), array.get(1));
                array.write(0, &[last, first]);
            });
            child.unwrap().join().unwrap();
            assert_eq!(array.to_vec(), [numbers[1], numbers[0]]);
            let value = Value::new(numbers[0]).unwrap();
            assert_eq!(value.swap(numbers[1]), numbers[0]);
            assert_eq!(value.get(), numbers[1]);
        )* };
    }
    there_and_back!(
        [u8::MAX, 1],
        [u16::MAX, 1],
        [u32::MAX, 1],
        [u64::MAX, 1],
        [usize::MAX, 1],
        [i8::MIN, 1],
        [i16::MIN, 1],
        [i32::MIN, 1],
        [i64::MIN, 1],
        [isize::MIN, 1],
        [f32::MIN_POSITIVE, -0.5],
        [f64::MAX, f64::NEG_INFINITY],
        [true, false]
    );
    let nan = Value::new(f64::NAN).unwrap();
    assert!(nan.update(|x| x).is_nan());
}

fn no_update_is_lost() {
    let pool = Pool::with_workers(4).unwrap();
    let (value, sum) = (Value::new(0u32).unwrap(), Value::new(0.0f64).unwrap());
    let counts = SharedArray::<u16>::zeroed(7).unwrap();
    pool.map(
        |x: usize| {
            for _ in 0..100 {
                value.update(|n| n + 1);
                sum.update(|sum| sum + 0.5);
                counts.update(x % 7, |n| n + 1);
            }
        },
        0..70,
    );
    assert_eq!((value.get(), sum.get()), (7_000, 3_500.0));
    assert_eq!(counts.to_vec(), [1_000; 7]);
}

fn arrays_have_the_obvious_corners() {
    let none = SharedArray::<f64>::zeroed(0).unwrap();
    assert!(none.is_empty() && none.to_vec().is_empty());
    assert_eq!(none.read(..), Vec::<f64>::new());
    let error = SharedArray::<u64>::zeroed(usize::MAX).unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    // Addresses are cheap: only what is touched is memory.
    let large = SharedArray::<u8>::zeroed(1 << 36).unwrap();
    large.set((1 << 36) - 1, 7);
    assert_eq!(large.get(large.len() - 1), 7);
    let small = SharedArray::from_slice(&[1i32, 2]).unwrap();
    let beyond = std::panic::catch_unwind(|| small.get(2));
    assert!(beyond.is_err());
    assert_eq!(format!("{small:?}"), "[1, 2]");
    assert!(SharedArray::<u64>::zeroed(1 << 59).unwrap_err().is_os());
}

fn parts_are_read_and_written() {
    let array = SharedArray::<i32>::zeroed(6).unwrap();
    array.fill(9);
    array.write(2, &[1, 2, 3]);
    assert_eq!(array.read(1..=3), [9, 1, 2]);
    assert_eq!(array.read(4..), [3, 9]);
    for part in 0..2 {
        let child = Process::spawn(|| {
            // SAFETY: each child has a part of its own, and no process reads meanwhile.
            let slice = unsafe { array.slice_mut(3 * part..3 * part + 3) };
            slice.fill(part as i32);
        });
        child.unwrap().join().unwrap();
    }
    assert_eq!(array.to_vec(), [0, 0, 0, 1, 1, 1]);
    let too_much = std::panic::catch_unwind(|| array.write(5, &[1, 2]));
    assert!(too_much.is_err());
}

fn an_array_outlives_a_killed_writer() {
    let array = SharedArray::<u32>::zeroed(100).unwrap();
    let child = Process::spawn(|| {
        array.write(0, &[5; 50]);
        raise(Signal::SIGKILL).is_ok()
    });
    assert_eq!(child.unwrap().join().unwrap_err().signal(), Some(9));
    assert_eq!(array.iter().sum::<u32>(), 250);
}

fn a_value_is_seen_by_all() {
    let value = Value::new(1i64).unwrap();
    match fork().unwrap() {
        Fork::Child(_guard) => value.set(-7),
        Fork::Parent(child) => assert!(child.wait().is_success()),
    }
    assert_eq!(value.get(), -7);
    assert_eq!(value.update(|x| x * 2), -14);
    assert_eq!(format!("{value:?}"), "Value(-14)");
}

fn a_value_orders_what_was_written_before() {
    let array = SharedArray::<u64>::zeroed(1000).unwrap();
    let round = Value::new(0u64).unwrap();
    let child = Process::spawn(|| {
        for now in 1..=200 {
            array.fill(now);
            round.set(now);
        }
    })
    .unwrap();
    loop {
        let now = round.get();
        assert!(array.iter().all(|number| number >= now));
        if now == 200 {
            break;
        }
    }
    child.join().unwrap();
}

fn a_child_keeps_what_its_parent_dropped() {
    let array = SharedArray::from_slice(&[1u8, 2, 3]).unwrap();
    let go = Value::new(false).unwrap();
    let child = Process::spawn(|| {
        while !go.get() {
            std::thread::yield_now();
        }
        array.to_vec()
    })
    .unwrap();
    drop(array);
    go.set(true);
    assert_eq!(child.join().unwrap(), [1, 2, 3]);
}
