//! Messages between processes, even if senders and receivers are killed.

use std::collections::BTreeSet;
use std::time::Duration;

use forklore::{Pool, Process, Queue, Value, pipe};
use nix::sys::signal::{Signal, raise};

use crate::support::{Random, tests, wait_for_sleep, wait_until};

tests![
    messages_come_in_order,
    messages_have_any_size,
    each_message_is_received_once,
    a_full_queue_holds_the_sender,
    a_closed_queue_gives_what_it_has,
    waits_at_a_queue_have_an_end,
    a_queue_refuses_what_cannot_be,
    a_message_that_does_not_decode_is_an_error,
    a_killed_process_loses_its_message_only,
    killed_at_random,
    a_pipe_ends_when_its_senders_have,
    a_pipe_ends_when_its_senders_are_killed,
    a_child_that_receives_sees_the_end,
    a_pipe_in_one_process,
    a_pipe_is_bounded,
    a_sender_learns_that_nobody_receives,
    all_receivers_of_a_pipe_get_the_end,
    idle_workers_do_not_hold_a_pipe_open,
    tasks_send_through_a_pipe,
    pipes_leave_no_files,
    a_pipe_with_processes_killed_at_random,
];

/// Longer than anything takes here, shorter than the watchdog's limit.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

fn kill<T: serde::Serialize + serde::de::DeserializeOwned>(mut child: Process<T>) {
    child.kill();
    assert!(child.join().is_err_and(|error| error.signal() == Some(9)));
}

fn messages_come_in_order() {
    let queue = Queue::<u64>::bounded(7).unwrap();
    let sender = Process::spawn(|| (0..5_000).for_each(|n| queue.send(n).unwrap())).unwrap();
    for n in 0..5_000 {
        assert_eq!(queue.recv().unwrap(), n);
    }
    sender.join().unwrap();
    assert!(queue.is_empty() && queue.try_recv().unwrap().is_none());
}

fn messages_have_any_size() {
    let queue = Queue::<Vec<u8>>::bounded(3).unwrap();
    let sizes = [0, 1, 31, 32, 33, 40, 4_096, 1_000_000, 64 << 20, 2];
    let sender = Process::spawn(|| {
        for (index, size) in sizes.into_iter().enumerate() {
            queue.send(vec![index as u8; size]).unwrap();
        }
    })
    .unwrap();
    for (index, size) in sizes.into_iter().enumerate() {
        let message = queue.recv().unwrap();
        assert_eq!(message.len(), size);
        assert!(message.iter().all(|&byte| byte == index as u8));
    }
    sender.join().unwrap();
    let text = Queue::<(String, Option<f32>)>::bounded(1).unwrap();
    text.send(("é".repeat(20), Some(0.5))).unwrap();
    assert_eq!(text.recv().unwrap(), ("é".repeat(20), Some(0.5)));
}

fn each_message_is_received_once() {
    const N: u64 = 3_000;
    let queue = Queue::<u64>::bounded(16).unwrap();
    let send = |first: u64| (first..N).step_by(3).for_each(|n| queue.send(n).unwrap());
    let senders: Vec<_> = (0..3)
        .map(|first| Process::spawn(|| send(first)).unwrap())
        .collect();
    let receive = || queue.iter().collect::<Vec<u64>>();
    let receivers: Vec<_> = (0..3).map(|_| Process::spawn(receive).unwrap()).collect();
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
    queue.close();
    let lists: Vec<_> = receivers
        .into_iter()
        .map(|receiver| receiver.join().unwrap())
        .collect();
    for first in 0..3 {
        // One sender's messages stay in order, whichever process receives them.
        for list in &lists {
            assert!(list.iter().filter(|&n| n % 3 == first).is_sorted());
        }
    }
    let mut all = lists.concat();
    all.sort();
    assert_eq!(all, (0..N).collect::<Vec<_>>());
}

fn a_full_queue_holds_the_sender() {
    let (queue, n_sent) = (Queue::<u32>::bounded(2).unwrap(), Value::new(0u32).unwrap());
    let sender = Process::spawn(|| {
        for n in 0..5 {
            queue.send(n).unwrap();
            n_sent.set(n + 1);
        }
    })
    .unwrap();
    wait_until(|| n_sent.get() == 2);
    wait_for_sleep(sender.pid());
    assert_eq!((queue.len(), queue.capacity()), (2, 2));
    assert!(queue.send_timeout(9, SHORT).unwrap_err().is_timed_out());
    assert_eq!(
        (0..5).map(|_| queue.recv().unwrap()).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    sender.join().unwrap();
}

fn a_closed_queue_gives_what_it_has() {
    let queue = Queue::<u32>::bounded(2).unwrap();
    let waits = || queue.recv().unwrap_err().is_closed();
    let other = Queue::<u32>::bounded(1).unwrap();
    other.send(1).unwrap();
    let sends = Process::spawn(|| other.send(2).unwrap_err().is_closed()).unwrap();
    let receives = Process::spawn(waits).unwrap();
    wait_for_sleep(sends.pid());
    wait_for_sleep(receives.pid());
    queue.close();
    other.close();
    assert!(sends.join().unwrap() && receives.join().unwrap());
    assert!(queue.send(1).unwrap_err().is_closed());
    assert_eq!(other.recv().unwrap(), 1);
    assert!(other.recv().unwrap_err().is_closed());
    assert!(other.try_recv().unwrap_err().is_closed());
}

fn waits_at_a_queue_have_an_end() {
    let queue = Queue::<u32>::bounded(1).unwrap();
    assert!(queue.recv_timeout(SHORT).unwrap_err().is_timed_out());
    queue.send_timeout(1, Duration::ZERO).unwrap();
    assert!(queue.send_timeout(2, SHORT).unwrap_err().is_timed_out());
    assert_eq!(queue.recv_timeout(Duration::MAX).unwrap(), 1);
}

fn a_queue_refuses_what_cannot_be() {
    assert!(Queue::<u32>::bounded(0).unwrap_err().is_invalid_input());
    let error = Queue::<u32>::bounded(usize::MAX).unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
}

/// A number that is sent like any other, and refused by the receiver if it is odd.
#[derive(Debug, serde::Serialize)]
struct Even(u32);

impl<'de> serde::Deserialize<'de> for Even {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Even, D::Error> {
        match u32::deserialize(deserializer)? {
            n if n % 2 == 0 => Ok(Even(n)),
            n => Err(serde::de::Error::custom(format!("{n} is odd"))),
        }
    }
}

fn a_message_that_does_not_decode_is_an_error() {
    let queue = Queue::<Even>::bounded(4).unwrap();
    for n in 1..=2 {
        queue.send(Even(n)).unwrap();
    }
    assert!(queue.recv().unwrap_err().is_decode());
    assert_eq!(queue.recv().unwrap().0, 2);
}

fn a_killed_process_loses_its_message_only() {
    let queue = Queue::<Vec<u32>>::bounded(3).unwrap();
    let receiver = Process::spawn(|| {
        let message = queue.recv().unwrap();
        raise(Signal::SIGKILL).unwrap();
        message
    })
    .unwrap();
    wait_for_sleep(receiver.pid());
    for n in 0..3 {
        queue.send(vec![n; 100]).unwrap();
    }
    receiver.join().unwrap_err();
    assert_eq!(queue.recv().unwrap(), [1; 100]);
    assert_eq!(queue.recv().unwrap(), [2; 100]);
    assert!(queue.is_empty());
}

/// Kills senders and receivers at random moments. No process hangs, no message is received twice,
/// and each kill costs at most one message.
fn killed_at_random() {
    let mut random = Random::seeded();
    let queue = Queue::<(u64, Vec<u8>)>::bounded(4).unwrap();
    let results = Queue::<u64>::bounded(100_000).unwrap();
    let next = Value::new(0u64).unwrap();
    let send = || loop {
        let n = next.update(|n| n + 1);
        let size = if n.is_multiple_of(3) { 5_000 } else { 3 };
        queue.send((n, vec![n as u8; size])).unwrap();
    };
    let receive = || loop {
        let (n, bytes) = queue.recv().unwrap();
        assert!(bytes.iter().all(|&byte| byte == n as u8));
        results.send(n).unwrap();
    };
    let start = |is_sender: bool| {
        let child = if is_sender {
            Process::<()>::spawn(send)
        } else {
            Process::<()>::spawn(receive)
        };
        (is_sender, child.unwrap())
    };
    let mut children: Vec<_> = [true, true, false, false].map(start).into();
    let mut received = BTreeSet::new();
    const KILLS: u64 = 200;
    for _ in 0..KILLS {
        for _ in 0..random.below(20) {
            assert!(
                received.insert(results.recv_timeout(LONG).unwrap()),
                "received twice"
            );
        }
        let victim = random.below(children.len() as u64) as usize;
        let (is_sender, child) = children.swap_remove(victim);
        kill(child);
        children.push(start(is_sender));
    }
    let is_sender = |child: &(bool, Process<()>)| child.0;
    let (senders, receivers): (Vec<_>, Vec<_>) = children.into_iter().partition(is_sender);
    senders.into_iter().for_each(|(_, child)| kill(child));
    wait_until(|| queue.is_empty());
    // What was taken out is either in the results or on its way there.
    for (_, child) in receivers {
        wait_for_sleep(child.pid());
        kill(child);
    }
    while let Some(n) = results.try_recv().unwrap() {
        assert!(received.insert(n), "{n} was received twice");
    }
    let n_lost = next.get() - received.len() as u64;
    assert!(
        n_lost <= KILLS + 2,
        "{n_lost} messages were lost by {KILLS} kills"
    );
}

fn a_pipe_ends_when_its_senders_have() {
    let (sender, receiver) = pipe::<(u32, String)>().unwrap();
    let send = |who: u32| {
        let sender = sender.clone();
        (0..100).for_each(|n| sender.send((who, format!("{n}"))).unwrap());
    };
    let children: Vec<_> = (0..3)
        .map(|who| Process::spawn(|| send(who)).unwrap())
        .collect();
    drop(sender);
    let mut n_of = [0; 3];
    for (who, text) in receiver.iter() {
        assert_eq!(text, n_of[who as usize].to_string());
        n_of[who as usize] += 1;
    }
    assert_eq!(n_of, [100; 3]);
    assert!(receiver.recv().unwrap_err().is_closed());
    assert!(receiver.recv_timeout(LONG).unwrap_err().is_closed());
    children.into_iter().for_each(|child| child.join().unwrap());
}

fn a_pipe_ends_when_its_senders_are_killed() {
    let (sender, receiver) = pipe::<u32>().unwrap();
    let park = || loop {
        std::thread::park();
    };
    let child = Process::<()>::spawn(|| {
        sender.send(1).unwrap();
        park()
    })
    .unwrap();
    // The parent's own sender is alive: it does not count while the parent waits.
    assert_eq!(receiver.recv().unwrap(), 1);
    kill(child);
    assert!(receiver.recv().unwrap_err().is_closed());
    // The parent can still send, and does.
    sender.send(2).unwrap();
    assert_eq!(receiver.recv().unwrap(), 2);
}

fn a_child_that_receives_sees_the_end() {
    let (sender, receiver) = pipe::<u64>().unwrap();
    // The child has inherited the sender as well, and cannot drop what it does not own.
    let child = Process::spawn(|| receiver.iter().sum::<u64>()).unwrap();
    (1..=100).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    assert_eq!(child.join().unwrap(), 5_050);
}

fn a_pipe_in_one_process() {
    let (sender, receiver) = pipe::<String>().unwrap();
    assert!(receiver.recv_timeout(SHORT).unwrap_err().is_timed_out());
    assert_eq!(receiver.try_recv().unwrap(), None);
    sender.send("a".into()).unwrap();
    assert_eq!(receiver.recv().unwrap(), "a");
    // No other process could send: waiting would never end.
    assert!(receiver.recv().unwrap_err().is_closed());
    sender.send("b".into()).unwrap();
    let other = sender.clone();
    drop(sender);
    other.send("c".into()).unwrap();
    drop(other);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), ["b", "c"]);
}

fn a_pipe_is_bounded() {
    let (sender, receiver) = pipe::<Vec<u8>>().unwrap();
    sender.send(vec![0; 12 << 20]).unwrap();
    let error = sender.send_timeout(vec![0; 12 << 20], SHORT).unwrap_err();
    assert!(error.is_timed_out(), "{error}");
    assert_eq!(receiver.recv().unwrap().len(), 12 << 20);
    // A single message may be larger than all that.
    sender.send(vec![0; 40 << 20]).unwrap();
    let child = Process::spawn(|| (0..3).for_each(|_| sender.send(vec![1; 12 << 20]).unwrap()));
    assert_eq!(receiver.recv().unwrap().len(), 40 << 20);
    for _ in 0..3 {
        assert_eq!(receiver.recv().unwrap(), vec![1; 12 << 20]);
    }
    child.unwrap().join().unwrap();
}

fn a_sender_learns_that_nobody_receives() {
    let (sender, receiver) = pipe::<u32>().unwrap();
    // The child has inherited the receiver too, which does not count while it waits for room.
    let child = Process::spawn(|| {
        let mut n = 0;
        loop {
            match sender.send(n) {
                Ok(()) => n += 1,
                Err(error) => return (n, error.is_closed()),
            }
        }
    })
    .unwrap();
    assert_eq!(receiver.recv().unwrap(), 0);
    drop(receiver);
    let (n, is_closed) = child.join().unwrap();
    assert!(is_closed && n >= 1024, "{n}");
}

fn all_receivers_of_a_pipe_get_the_end() {
    let (sender, receiver) = pipe::<u32>().unwrap();
    let receivers: Vec<_> = (0..3)
        .map(|_| Process::spawn(|| receiver.iter().count()).unwrap())
        .collect();
    for n in 0..30 {
        sender.send(n).unwrap();
    }
    drop(sender);
    let n: usize = receivers
        .into_iter()
        .map(|receiver| receiver.join().unwrap())
        .sum();
    assert_eq!(n, 30);
}

fn idle_workers_do_not_hold_a_pipe_open() {
    let (sender, receiver) = pipe::<u32>().unwrap();
    let pool = Pool::with_workers(2).unwrap();
    sender.send(1).unwrap();
    drop(sender);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [1]);
    assert_eq!(pool.map(|x: u32| x + 1, [1, 2]), [2, 3]);
}

fn tasks_send_through_a_pipe() {
    let pool = Pool::with_workers(2).unwrap();
    let (sender, receiver) = pipe::<(usize, u32)>().unwrap();
    pool.map(|n: u32| sender.send((n as usize % 3, n)).unwrap(), 0..90);
    drop(sender);
    let mut counts = [0; 3];
    receiver.iter().for_each(|(index, _)| counts[index] += 1);
    assert_eq!(counts, [30; 3]);
}

fn pipes_leave_no_files() {
    let n_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = n_files();
    let (sender, receiver) = pipe::<u32>().unwrap();
    assert!(receiver.recv().unwrap_err().is_closed());
    drop(sender.clone());
    drop((sender, receiver));
    assert_eq!(n_files(), before);
}

/// The same as for a queue; and when all senders are gone, the receivers see the end.
fn a_pipe_with_processes_killed_at_random() {
    let mut random = Random::seeded();
    let (sender, receiver) = pipe::<u64>().unwrap();
    let n_received = Value::new(0u64).unwrap();
    let send = || {
        loop {
            sender.send(7).unwrap();
        }
    };
    let receive = || {
        for _ in receiver.iter() {
            n_received.update(|n| n + 1);
        }
    };
    let start = |is_sender: bool| {
        let child = if is_sender {
            Process::<()>::spawn(send)
        } else {
            Process::<()>::spawn(receive)
        };
        (is_sender, child.unwrap())
    };
    let mut children: Vec<_> = [true, true, false, false].map(start).into();
    for _ in 0..100 {
        let before = n_received.get();
        let n = random.below(2_000);
        wait_until(|| n_received.get() > before + n);
        let victim = random.below(children.len() as u64) as usize;
        let (is_sender, child) = children.swap_remove(victim);
        kill(child);
        children.push(start(is_sender));
    }
    let is_sender = |child: &(bool, Process<()>)| child.0;
    let (senders, receivers): (Vec<_>, Vec<_>) = children.into_iter().partition(is_sender);
    senders.into_iter().for_each(|(_, child)| kill(child));
    drop(sender);
    for (_, child) in receivers {
        child.join().unwrap();
    }
    assert!(receiver.recv().unwrap_err().is_closed());
}
