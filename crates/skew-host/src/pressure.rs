//! How loaded this machine is: samples of processes that wait for a core, of stalls for memory and disk, and of what is
//! free; and whether that explains that something took too long. Where the kernel does not say (no `/proc`), nothing does.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::lock;

/// How often the machine is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How many samples are remembered: those of the last hour.
const SAMPLES: usize = 7200;
/// Samples from so long before a time are taken to be about it.
const BEFORE: Duration = Duration::from_secs(1);

/// Processes per core that are ready to run, on average, from which on a machine is overloaded. Some work of its own is
/// normal: networks at one for each core, while something is compiled, come to 2 to 4. At 15, limits of 12 to 20 s were
/// seen to pass in systems that work.
const RUNNABLE: f64 = 10.0;
/// Share of the time in which something must have waited for a core besides, where the kernel tells: many processes that
/// all have one are no overload.
const CPU: f64 = 0.5;
/// Share of the time in which everything waited for memory.
const MEMORY: f64 = 0.2;
/// Share of the time in which everything waited for a disk.
const IO: f64 = 0.5;
/// Share of the memory that has to be free.
const FREE_MEMORY: f64 = 0.02;
/// Bytes of the disk that have to be free.
const FREE_DISK: u64 = 64 << 20;

/// What the machine was like in a short while. A field is none where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Processes and threads that were ready to run or ran.
    pub runnable: Option<f64>,
    /// Cores.
    pub cores: usize,
    /// Share of the time in which something waited for a core, from 0 to 1.
    pub cpu: Option<f64>,
    /// Share of the time in which everything waited for memory.
    pub memory: Option<f64>,
    /// Share of the time in which everything waited for a disk.
    pub io: Option<f64>,
    /// Bytes of memory that could be given, and all.
    pub free_memory: Option<(u64, u64)>,
    /// Bytes of the disk that are free.
    pub free_disk: Option<u64>,
}

/// Whether these samples, of one stretch of time, explain that something took too long: with figures.
pub fn overload(samples: &[Sample]) -> Option<String> {
    let mean = |of: &dyn Fn(&Sample) -> Option<f64>| {
        let known: Vec<f64> = samples.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let mut why = Vec::new();
    let per_core = mean(&|sample| sample.runnable.map(|runnable| runnable / sample.cores.max(1) as f64));
    if let Some(per_core) = per_core.filter(|per_core| *per_core >= RUNNABLE)
        && mean(&|sample| sample.cpu).is_none_or(|cpu| cpu >= CPU)
    {
        why.push(format!("on average {per_core:.0} processes were ready to run for each core"));
    }
    if let Some(memory) = mean(&|sample| sample.memory).filter(|memory| *memory >= MEMORY) {
        why.push(format!("everything waited for memory {:.0} % of the time", memory * 100.0));
    }
    if let Some(io) = mean(&|sample| sample.io).filter(|io| *io >= IO) {
        why.push(format!("everything waited for a disk {:.0} % of the time", io * 100.0));
    }
    let least = samples.iter().filter_map(|sample| sample.free_memory).min_by_key(|(free, _)| *free);
    if let Some((free, all)) = least.filter(|(free, all)| (*free as f64) < *all as f64 * FREE_MEMORY) {
        why.push(format!("{} of {} MiB of memory were free", free >> 20, all >> 20));
    }
    if let Some(free) = samples.iter().filter_map(|sample| sample.free_disk).min().filter(|free| *free < FREE_DISK) {
        why.push(format!("{} MiB of the disk were free", free >> 20));
    }
    (!why.is_empty()).then(|| why.join(", "))
}

type Samples = Mutex<VecDeque<(Instant, Sample)>>;

/// Watches this machine. Clones share what was seen; it is watched until the last one is gone.
#[derive(Debug, Clone, Default)]
pub struct Pressure(Arc<Samples>);

impl Pressure {
    /// Watches this machine, and the disk that has this directory, from now on.
    pub fn watch(dir: &Path) -> Self {
        let pressure = Self::default();
        let (samples, dir) = (Arc::downgrade(&pressure.0), dir.to_owned());
        std::thread::spawn(move || watch(&samples, &dir));
        pressure
    }

    /// One that has seen this until now: for tests of what a load leads to.
    pub fn seen(samples: impl IntoIterator<Item = Sample>) -> Self {
        let now = Instant::now() + Duration::from_secs(3600);
        Self(Arc::new(Mutex::new(samples.into_iter().map(|sample| (now, sample)).collect())))
    }

    /// Whether the machine was overloaded since a time: with figures.
    pub fn overload(&self, since: Instant) -> Option<String> {
        let samples = lock(&self.0);
        let of = |(at, sample): &(Instant, Sample)| (*at + BEFORE >= since).then_some(*sample);
        overload(&samples.iter().filter_map(of).collect::<Vec<_>>())
    }
}

fn watch(samples: &Weak<Samples>, dir: &Path) {
    let mut before = (Instant::now(), Stalls::read());
    loop {
        std::thread::sleep(EVERY);
        let Some(samples) = samples.upgrade() else { return };
        let now = (Instant::now(), Stalls::read());
        let sample = sample(&before.1, &now.1, now.0 - before.0, dir);
        let mut samples = lock(&samples);
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back((now.0, sample));
        before = now;
    }
}

/// Microseconds of stalls since the machine started.
struct Stalls {
    cpu: Option<u64>,
    memory: Option<u64>,
    io: Option<u64>,
}

impl Stalls {
    fn read() -> Self {
        let read = |of: &str, kind| total(&fs::read_to_string(format!("/proc/pressure/{of}")).ok()?, kind);
        Self { cpu: read("cpu", "some"), memory: read("memory", "full"), io: read("io", "full") }
    }
}

/// The total of a line of one of the kernel's pressure files.
fn total(text: &str, kind: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

fn sample(before: &Stalls, now: &Stalls, time: Duration, dir: &Path) -> Sample {
    let share = |before: Option<u64>, now: Option<u64>| {
        let stalled = now?.saturating_sub(before?);
        Some((stalled as f64 / time.as_micros().max(1) as f64).min(1.0))
    };
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let (runnable, cores) = runnable(&stat, &fs::read_to_string("/proc/loadavg").unwrap_or_default());
    let disk = rustix::fs::statvfs(dir).ok();
    Sample {
        runnable,
        cores,
        cpu: share(before.cpu, now.cpu),
        memory: share(before.memory, now.memory),
        io: share(before.io, now.io),
        free_memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        free_disk: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
    }
}

/// Processes that are ready to run or run, of which this one is one, and cores: from `/proc/stat`, else the average of the
/// last minute from `/proc/loadavg`.
fn runnable(stat: &str, load: &str) -> (Option<f64>, usize) {
    let cores = stat.lines().filter(|line| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '))).count();
    let cores = if cores == 0 { crate::cores() } else { cores };
    let running = stat.lines().find_map(|line| line.strip_prefix("procs_running ")?.trim().parse::<f64>().ok());
    let average = || load.split_ascii_whitespace().next()?.parse().ok();
    (running.map(|running| running - 1.0).or_else(average), cores)
}

/// Memory that can be given without swapping, and all, in bytes.
fn memory(text: &str) -> Option<(u64, u64)> {
    let of = |key: &str| -> Option<u64> {
        let value = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(value.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some((of("MemAvailable:")?, of("MemTotal:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(runnable: f64, cpu: Option<f64>) -> Sample {
        Sample { runnable: Some(runnable), cores: 2, cpu, ..Sample::default() }
    }

    #[test]
    fn a_busy_machine_is_not_overloaded_and_an_overloaded_one_says_how() {
        let normal = Sample {
            memory: Some(0.01),
            io: Some(0.2),
            free_memory: Some((4 << 30, 24 << 30)),
            free_disk: Some(10 << 30),
            ..sample(8.0, Some(0.99))
        };
        let fifteen = "on average 15 processes were ready to run for each core";
        for (samples, want) in [
            (vec![], None),
            (vec![Sample::default()], None),
            (vec![normal; 20], None),
            (vec![sample(30.0, Some(1.0)); 20], Some(fifteen)),
            (vec![sample(30.0, None); 20], Some(fifteen)),
            // A peak is no overload, and neither are many that all have a core.
            ([vec![normal; 19], vec![sample(60.0, Some(1.0))]].concat(), None),
            (vec![sample(30.0, Some(0.1)); 20], None),
            (vec![Sample { memory: Some(0.34), ..normal }], Some("everything waited for memory 34 % of the time")),
            (vec![Sample { io: Some(0.7), ..normal }], Some("everything waited for a disk 70 % of the time")),
            (
                vec![normal, Sample { free_memory: Some((100 << 20, 24 << 30)), ..normal }],
                Some("100 of 24576 MiB of memory were free"),
            ),
            (vec![Sample { free_disk: Some(3 << 20), ..normal }], Some("3 MiB of the disk were free")),
        ] {
            assert_eq!(overload(&samples).as_deref(), want, "{samples:?}");
        }
    }

    #[test]
    fn only_the_time_that_is_asked_for_counts() {
        let busy = sample(40.0, Some(1.0));
        assert!(Pressure::seen([busy]).overload(Instant::now()).is_some());
        let pressure = Pressure::default();
        let then = Instant::now();
        lock(&pressure.0).push_back((then, busy));
        assert!(pressure.overload(then).is_some());
        assert_eq!(pressure.overload(then + BEFORE + Duration::from_millis(1)), None);
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let pressure = "some avg10=11.54 avg60=48.28 avg300=67.51 total=492342736\nfull avg10=0.00 total=7\n";
        assert_eq!((total(pressure, "some"), total(pressure, "full")), (Some(492_342_736), Some(7)));
        assert_eq!(total("", "some"), None);
        let stat = "cpu  1 2\ncpu0 1 2\ncpu1 1 2\nprocs_running 9\n";
        assert_eq!(runnable(stat, ""), (Some(8.0), 2));
        assert_eq!(runnable("", "4.39 5.03 2.83 3/189 5968").0, Some(4.39));
        assert_eq!(memory("MemTotal: 4 kB\nMemAvailable: 2 kB\n"), Some((2048, 4096)));
        assert_eq!(memory(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_is_watched() {
        let pressure = Pressure::watch(Path::new("/"));
        let begun = Instant::now();
        while lock(&pressure.0).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no sample");
            std::thread::sleep(Duration::from_millis(20));
        }
        let sample = lock(&pressure.0)[0].1;
        assert!(sample.cores > 0 && sample.runnable.is_some() && sample.free_memory.is_some(), "{sample:?}");
    }
}
