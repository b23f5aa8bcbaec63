//! Measures what work costs: wall time, CPU time of this process, and, separately, that of its
//! children.
//!
//! A parallel map spends its time in other processes. A stopwatch that reads only the caller's
//! clock, as IPython's `%time` does, reports a map of ten seconds of work as a few milliseconds.

use std::fmt;
use std::time::{Duration, Instant};

use crate::sys::clock;
pub use crate::sys::clock::CpuTime;

/// Runs `f` once and measures it.
///
/// The clocks are read before and after; reading them is not part of the measurement.
///
/// # Example
/// ```
/// let sum = forklore::time(|| (0..1000u64).sum::<u64>());
/// println!("{sum}");
/// assert_eq!(sum.value, 499_500);
/// ```
pub fn time<T>(f: impl FnOnce() -> T) -> Timed<T> {
    let watch = Stopwatch::start();
    // An unused result must still be computed.
    let value = std::hint::black_box(f());
    let times = watch.stop();
    Timed { value, times }
}

/// A value and the time it took. Prints as IPython's `%time` does.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed<T> {
    /// The value that the work returned.
    pub value: T,
    /// The times of the work.
    pub times: Times,
}

impl<T> std::ops::Deref for Timed<T> {
    type Target = Times;

    fn deref(&self) -> &Times {
        &self.times
    }
}

impl<T> fmt::Display for Timed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.times.fmt(f)
    }
}

/// The times of a piece of work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// Wall time from start to end.
    pub wall: Duration,
    /// CPU time of this process, summed over its threads.
    pub cpu: CpuTime,
    /// CPU time of its children and their descendants, running or not.
    pub children: CpuTime,
    /// Number of pages that this process touched for the first time, or that were copied because it
    /// wrote to a page it shared with another process. In the kernel, a cell's snapshot shares all
    /// pages from before the cell.
    pub page_faults: u64,
}

impl Times {
    /// Whether page faults took at least a tenth of the measured time, at one microsecond each, the
    /// least that one costs.
    ///
    /// A second run in the same process that writes to the same memory has none.
    ///
    /// # Example
    /// ```
    /// let quick = forklore::time(|| 1 + 1);
    /// assert!(!quick.is_marred_by_page_faults());
    /// ```
    pub fn is_marred_by_page_faults(&self) -> bool {
        let cost = Duration::from_micros(self.page_faults);
        self.page_faults >= LEAST_PAGE_FAULTS && cost >= self.wall / 10
    }
}

/// Any work has fewer page faults than this.
const LEAST_PAGE_FAULTS: u64 = 256;

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |label: &str, cpu: CpuTime| {
            writeln!(
                f,
                "{label}: user {}, sys: {}, total: {}",
                Short(cpu.user),
                Short(cpu.system),
                Short(cpu.total())
            )
        };
        line("CPU times", self.cpu)?;
        if self.children != CpuTime::default() {
            line("Children", self.children)?;
        }
        write!(f, "Wall time: {}", Short(self.wall))?;
        if self.is_marred_by_page_faults() {
            write!(
                f,
                "\nPage faults: {} (memory touched for the first time{})",
                self.page_faults,
                snapshots_in_words()
            )?;
        }
        Ok(())
    }
}

/// A stopwatch that also reads the CPU clocks.
///
/// # Example
/// ```
/// let watch = forklore::timing::Stopwatch::start();
/// let squares: Vec<u64> = (0..10).map(|x| x * x).collect();
/// println!("{}", watch.stop());
/// # assert_eq!(squares[9], 81);
/// ```
#[derive(Debug, Clone)]
pub struct Stopwatch {
    cpu: CpuTime,
    children: CpuTime,
    page_faults: u64,
    started: Instant,
}

impl Stopwatch {
    /// Reads the clocks, the wall clock last, so that the reading is not measured.
    pub fn start() -> Stopwatch {
        let children = clock::descendants();
        let cpu = clock::own();
        Stopwatch {
            cpu,
            children,
            page_faults: clock::page_faults(),
            started: Instant::now(),
        }
    }

    /// Reads the clocks again, the wall clock first, and returns the differences.
    pub fn stop(self) -> Times {
        let wall = self.started.elapsed();
        let cpu = clock::own().since(self.cpu);
        let page_faults = clock::page_faults() - self.page_faults;
        Times {
            wall,
            cpu,
            page_faults,
            children: clock::descendants().since(self.children),
        }
    }
}

/// Under the kernel there may be a snapshot: a write to one of its pages copies the page.
fn snapshots_in_words() -> &'static str {
    match std::env::var_os("FORKLORE_KERNEL") {
        Some(_) => {
            ", or copied because the cell's snapshot shares it: `%checkpoint off` measures without copies"
        }
        None => "",
    }
}

/// Measures `f` many times and reports best, mean and spread, as IPython's `%timeit` does.
///
/// There are 7 runs. Each makes as many calls as take at least 20 ms, or one call that takes
/// longer. Results go through [`std::hint::black_box`], so work with an unused result is not
/// optimised away.
///
/// # Example
/// ```
/// let measured = forklore::timeit(|| (0..1000u64).sum::<u64>());
/// println!("{measured}");
/// assert!(measured.best() <= measured.mean());
/// ```
pub fn timeit<T>(f: impl FnMut() -> T) -> Timeit {
    timeit_with(None, N_RUNS, f)
}

/// Measures `f` as [`timeit`] does, with `n_runs` runs of `loops` calls each. It makes at least one
/// of each.
///
/// # Example
/// ```
/// let measured = forklore::timing::timeit_with(Some(10), 3, || (0..1000u64).sum::<u64>());
/// assert_eq!((measured.loops(), measured.runs().len()), (10, 3));
/// ```
pub fn timeit_with<T>(loops: Option<u32>, n_runs: usize, mut f: impl FnMut() -> T) -> Timeit {
    let mut run = |loops: u32| {
        let started = Instant::now();
        for _ in 0..loops {
            std::hint::black_box(f());
        }
        started.elapsed()
    };
    let is_chosen = loops.is_none();
    let mut loops = loops.unwrap_or(1).max(1);
    let mut first = run(loops);
    while is_chosen && first < LEAST_RUN && loops < 1 << 30 {
        // Aim a little past the goal, so that one step is enough.
        let factor = LEAST_RUN.as_secs_f64() * 1.2 / first.as_secs_f64().max(1e-9);
        loops = (f64::from(loops) * factor.clamp(2.0, 100.0)) as u32;
        first = run(loops);
    }
    let runs = std::iter::once(first)
        .chain((1..n_runs).map(|_| run(loops)))
        .map(|run| run.as_secs_f64() / f64::from(loops))
        .collect();
    Timeit { loops, runs }
}

/// A shorter run would mostly measure the clock and the scheduler.
const LEAST_RUN: Duration = Duration::from_millis(20);
const N_RUNS: usize = 7;
/// A mean this much above the best run indicates that something else was running.
const NOISY: f64 = 1.25;

/// Several runs of one piece of work; times are per call.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeit {
    loops: u32,
    /// Seconds per call, a value for each run.
    runs: Vec<f64>,
}

impl Timeit {
    /// The number of calls in each run.
    pub fn loops(&self) -> u32 {
        self.loops
    }

    /// The time per call in each run, in the order of the runs.
    pub fn runs(&self) -> Vec<Duration> {
        self.runs
            .iter()
            .copied()
            .map(Duration::from_secs_f64)
            .collect()
    }

    /// The fastest run: what the work takes when nothing disturbs it.
    pub fn best(&self) -> Duration {
        Duration::from_secs_f64(self.runs.iter().copied().fold(f64::INFINITY, f64::min))
    }

    /// The mean over the runs.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.mean_seconds())
    }

    /// The standard deviation over the runs.
    pub fn sd(&self) -> Duration {
        let mean = self.mean_seconds();
        let squares: f64 = self.runs.iter().map(|run| (run - mean).powi(2)).sum();
        Duration::from_secs_f64((squares / (self.runs.len() - 1) as f64).sqrt())
    }

    /// Whether the runs differ so much that the machine was busy with something else.
    pub fn is_noisy(&self) -> bool {
        self.mean_seconds() > NOISY * self.best().as_secs_f64()
    }

    fn mean_seconds(&self) -> f64 {
        self.runs.iter().sum::<f64>() / self.runs.len() as f64
    }
}

impl fmt::Display for Timeit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ± {} per call (mean ± sd of {} runs of {} calls; best {})",
            Short(self.mean()),
            Short(self.sd()),
            self.runs.len(),
            self.loops,
            Short(self.best())
        )?;
        if self.is_noisy() {
            write!(
                f,
                "\nThe runs differ by more than a quarter: the machine is busy, trust the best only."
            )?;
        }
        Ok(())
    }
}

/// A duration with three digits and the unit that fits, as IPython prints it: `16.2 µs`.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 60.0 {
            let whole = self.0.as_secs();
            return write!(f, "{} min {} s", whole / 60, whole % 60);
        }
        let (value, unit) = match self.0.as_nanos() {
            0 => return f.write_str("0 ns"),
            n if n < 1_000 => (seconds * 1e9, "ns"),
            n if n < 1_000_000 => (seconds * 1e6, "µs"),
            n if n < 1_000_000_000 => (seconds * 1e3, "ms"),
            _ => (seconds, "s"),
        };
        let digits = match value {
            v if v >= 100.0 => 0,
            v if v >= 10.0 => 1,
            _ => 2,
        };
        let text = format!("{value:.digits$}");
        let text = if digits > 0 {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            &text
        };
        write!(f, "{text} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(nanos: u64) -> String {
        Short(Duration::from_nanos(nanos)).to_string()
    }

    #[test]
    fn durations_have_three_digits() {
        assert_eq!(short(0), "0 ns");
        assert_eq!(short(8_000), "8 µs");
        assert_eq!(short(16_200), "16.2 µs");
        assert_eq!(short(1_730_000), "1.73 ms");
        assert_eq!(short(123_456_789), "123 ms");
        assert_eq!(short(2_000_000_000), "2 s");
        assert_eq!(short(100), "100 ns");
        assert_eq!(short(125_000_000_000), "2 min 5 s");
    }

    #[test]
    fn times_print_as_ipython_does() {
        let micros = Duration::from_micros;
        let mut times = Times {
            wall: Duration::from_nanos(16_200),
            cpu: CpuTime {
                user: micros(8),
                system: micros(4),
            },
            ..Times::default()
        };
        assert_eq!(
            times.to_string(),
            "CPU times: user 8 µs, sys: 4 µs, total: 12 µs\nWall time: 16.2 µs"
        );
        times.children.user = micros(1500);
        assert_eq!(
            times.to_string(),
            "CPU times: user 8 µs, sys: 4 µs, total: 12 µs\n\
             Children: user 1.5 ms, sys: 0 ns, total: 1.5 ms\nWall time: 16.2 µs"
        );
    }

    #[test]
    fn page_faults_are_told_where_they_count() {
        let mut times = Times {
            wall: Duration::from_millis(10),
            page_faults: 900,
            ..Times::default()
        };
        assert!(!times.to_string().contains("Page faults"));
        times.page_faults = 1000;
        assert!(times.to_string().contains("\nPage faults: 1000 (memory"));
        times.wall = Duration::from_micros(1);
        times.page_faults = LEAST_PAGE_FAULTS - 1;
        assert!(!times.is_marred_by_page_faults());
    }

    #[test]
    fn fresh_memory_is_counted_in_pages() {
        let n_bytes = 64 << 20;
        let fresh = time(|| std::hint::black_box(vec![1_u8; n_bytes]));
        // Huge pages need one fault for 512 small ones.
        assert!(fresh.page_faults >= (n_bytes >> 21) as u64, "{fresh}");
    }

    #[test]
    fn the_spread_of_runs_is_reported() {
        let measured = Timeit {
            loops: 10,
            runs: vec![1.0, 1.0, 4.0],
        };
        assert_eq!(measured.best(), Duration::from_secs(1));
        assert_eq!(measured.mean(), Duration::from_secs(2));
        assert!((measured.sd().as_secs_f64() - 3f64.sqrt()).abs() < 1e-6);
        assert!(measured.is_noisy());
        assert!(measured.to_string().contains("the machine is busy"));
    }

    #[test]
    fn a_slow_call_is_made_once_a_run() {
        let mut n_calls = 0;
        let measured = timeit(|| {
            n_calls += 1;
            let until = Instant::now() + LEAST_RUN;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        });
        assert_eq!((measured.loops(), n_calls), (1, N_RUNS));
    }
}
