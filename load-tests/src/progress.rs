//! Live progress on standard error, for people; nothing where nobody looks.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::Mono;
use crate::open_loop::Live;

/// How often a run's line is drawn again.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Where progress is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    is_shown: bool,
}

/// Something that is shown until it is finished.
#[derive(Debug)]
pub(crate) struct Shown {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Progress {
    /// Shown on standard error where that is a terminal.
    pub(crate) fn new() -> Self {
        use std::io::IsTerminal as _;
        Self {
            is_shown: std::io::stderr().is_terminal(),
        }
    }

    fn bar(self, length: u64, name: &str, template: &str) -> ProgressBar {
        if !self.is_shown {
            // Logs want a line for each thing that takes a while, not a picture of it.
            eprintln!("curfew-load: {name}");
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar
    }

    /// So many of something.
    pub(crate) fn count(self, name: &str, length: u64) -> Shown {
        Shown::of(self.bar(
            length,
            name,
            "{prefix:32} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
        ))
    }

    /// Something without parts.
    pub(crate) fn wait(self, name: &str) -> Shown {
        let bar = self.bar(0, name, "{prefix:32} {spinner} {elapsed}");
        bar.enable_steady_tick(DRAW_EVERY);
        Shown::of(bar)
    }

    /// Some time that is filled with one thing after the other.
    pub(crate) fn steps(self, name: &str, length: Duration) -> Shown {
        let bar = self.bar(length.as_secs(), name, "{prefix} {bar:24} {elapsed} {msg}");
        let (drawn, begun) = (bar.clone(), Mono::now());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let draw = move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(DRAW_EVERY);
                drawn.set_position(Mono::now().since(begun).as_secs());
            }
        };
        Shown {
            bar,
            stop,
            thread: self.is_shown.then(|| std::thread::spawn(draw)),
        }
    }

    /// A run of an open loop.
    pub(crate) fn run(self, name: &str, length: Duration, live: Arc<Live>) -> Shown {
        let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let bar = self.bar(ms(length), name, "{prefix:32} {bar:24} {msg}");
        let stop = Arc::new(AtomicBool::new(false));
        let (drawn, stopped, begun) = (bar.clone(), stop.clone(), Mono::now());
        let mut last = (begun, 0);
        let draw = move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(DRAW_EVERY);
                let (now, answered) = (Mono::now(), live.answered.load(Ordering::Relaxed));
                let seconds = now.since(last.0).as_secs_f64().max(1e-3);
                let rate = (answered - last.1) as f64 / seconds;
                last = (now, answered);
                drawn.set_position(ms(now.since(begun)));
                let phase = if live.is_measuring.load(Ordering::Relaxed) {
                    ""
                } else {
                    " (warm-up)"
                };
                drawn.set_message(Cow::Owned(format!(
                    "{rate:>7.0}/s, {} under way, {} not answered{phase}",
                    live.in_flight.load(Ordering::Relaxed),
                    live.not_answered.load(Ordering::Relaxed),
                )));
            }
        };
        Shown {
            bar,
            stop,
            thread: self.is_shown.then(|| std::thread::spawn(draw)),
        }
    }
}

impl Shown {
    fn of(bar: ProgressBar) -> Self {
        Self {
            bar,
            stop: Arc::default(),
            thread: None,
        }
    }

    /// One more of something, told from anywhere.
    pub(crate) fn counter(&self) -> impl Fn() + Clone + Send + 'static {
        let bar = self.bar.clone();
        move || bar.inc(1)
    }

    /// What is done now; a line of its own where nobody looks at a picture.
    pub(crate) fn say(&self, what: String) {
        if self.bar.is_hidden() {
            eprintln!("curfew-load: {what}");
        }
        self.bar.set_message(Cow::Owned(what));
    }

    /// Something that is to be read at once, and stays.
    pub(crate) fn note(&self, what: &str) {
        self.bar.suspend(|| eprintln!("curfew-load: {what}"));
    }

    pub(crate) fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
        self.bar.finish_and_clear();
    }
}
