//! What a part costs: processor time and memory, as the system counts them.
//!
//! **Invariant:** the system counts processor time in ticks of 10 ms: a difference is good to one tick for each process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use procfs::process::Process;
use serde::{Deserialize, Serialize};

use crate::clock::Mono;

/// How often parts are looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Processor time since the start of a process, or of several, and present memory.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) user_ms: f64,
    pub(crate) system_ms: f64,
    pub(crate) rss_mib: f64,
}

impl Usage {
    /// Of one process; `None`: it is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let process = Process::new(i32::try_from(pid).ok()?).ok()?;
        let stat = process.stat().ok()?;
        let tick_ms = 1e3 / procfs::ticks_per_second() as f64;
        Some(Self {
            user_ms: stat.utime as f64 * tick_ms,
            system_ms: stat.stime as f64 * tick_ms,
            rss_mib: stat.rss as f64 * procfs::page_size() as f64 / f64::from(1 << 20),
        })
    }

    /// Of this process.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id()).unwrap_or_default()
    }

    /// The sum over processes that are there.
    pub(crate) fn of_all(pids: &[u32]) -> Self {
        pids.iter()
            .filter_map(|pid| Self::of(*pid))
            .fold(Self::default(), |sum, one| Self {
                user_ms: sum.user_ms + one.user_ms,
                system_ms: sum.system_ms + one.system_ms,
                rss_mib: sum.rss_mib + one.rss_mib,
            })
    }

    /// Processor time spent since `earlier`, ms.
    pub(crate) fn cpu_ms_since(&self, earlier: &Self) -> f64 {
        self.user_ms + self.system_ms - earlier.user_ms - earlier.system_ms
    }
}

/// One look at a part.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// From the sampler's start.
    pub(crate) at_s: f64,
    /// Processor time in the interval before, as a part of one core.
    pub(crate) cores: f64,
    pub(crate) rss_mib: f64,
}

/// A part and its samples.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct PartSamples {
    pub(crate) part: String,
    pub(crate) samples: Vec<Sample>,
}

struct Part {
    name: String,
    pids: Vec<u32>,
    last: Usage,
    samples: Vec<Sample>,
}

/// Looks at parts once a second, until it is stopped.
pub(crate) struct Sampler {
    parts: Arc<Mutex<Vec<Part>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sampler")
    }
}

impl Sampler {
    pub(crate) fn start() -> Self {
        let parts: Arc<Mutex<Vec<Part>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (looked_at, stopped) = (parts.clone(), stop.clone());
        let start = Mono::now();
        let thread = std::thread::spawn(move || {
            let mut last = start;
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(SAMPLE_EVERY);
                let now = Mono::now();
                let interval = now.since(last);
                if interval < SAMPLE_EVERY / 2 {
                    continue;
                }
                look(&looked_at, now.since(start), interval);
                last = now;
            }
        });
        Self {
            parts,
            stop,
            thread: Some(thread),
        }
    }

    /// Looks at one more part from here on: the sum of these processes.
    pub(crate) fn add(&self, name: &str, pids: Vec<u32>) {
        let last = Usage::of_all(&pids);
        self.parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Part {
                name: name.to_owned(),
                pids,
                last,
                samples: Vec::new(),
            });
    }

    pub(crate) fn stop(mut self) -> Vec<PartSamples> {
        self.halt();
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = parts.drain(..).map(|part| PartSamples {
            part: part.name,
            samples: part.samples,
        });
        parts.collect()
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.halt();
    }
}

fn look(parts: &Mutex<Vec<Part>>, at: Duration, interval: Duration) {
    for part in parts.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
        let now = Usage::of_all(&part.pids);
        if now.rss_mib == 0.0 {
            // It ended: nothing is to be told of it.
            continue;
        }
        part.samples.push(Sample {
            at_s: at.as_secs_f64(),
            // Processes that ended take their time with them: never less than nothing.
            cores: (now.cpu_ms_since(&part.last) / 1e3 / interval.as_secs_f64()).max(0.0),
            rss_mib: now.rss_mib,
        });
        part.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_its_processor_time_grows() {
        let before = Usage::own();
        assert!(before.rss_mib > 0.1, "{before:?}");
        let mut spent = 0;
        // Until the system has counted a tick; a bound keeps a broken count from hanging the suite.
        for round in 0..u64::MAX {
            spent = std::hint::black_box(spent ^ round);
            if round % 100_000 == 0 && Usage::own().cpu_ms_since(&before) > 0.0 {
                break;
            }
            assert!(round < 50_000_000_000, "no tick was ever counted");
        }
        assert!(Usage::own().cpu_ms_since(&before) > 0.0);
    }

    #[test]
    fn a_process_that_is_gone_costs_nothing() {
        assert_eq!(Usage::of(u32::MAX), None);
        assert_eq!(Usage::of_all(&[u32::MAX]), Usage::default());
    }
}
