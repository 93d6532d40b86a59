//! How many calls run at once: found from how long they take (additive increase, multiplicative decrease).
//!
//! Queueing is where latency comes from: by Little's law n calls in progress at a throughput of t take n/t
//! each, and above what the processors and the disk can overlap a larger n raises n/t and leaves t as it is.
//! So n shrinks while more than one call in ten is slower than the target, and grows while n is what holds
//! calls back. One step a window, so that a step is judged by calls that ran after it.
//!
//! **Invariant:** no clock is read here; every instant arrives as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How long calls are looked at before a step: several calls' time, and short beside a person's patience.
const WINDOW: Duration = Duration::from_millis(100);
/// So few calls say nothing.
const CALLS_MIN: u32 = 20;
/// A window that long is judged by however few calls there were.
const WINDOW_MAX: Duration = Duration::from_secs(1);
/// Fewer than these at once would leave the disk's group commit and two processors idle.
const AT_ONCE_MIN: usize = 32;
/// Where the search begins: the embedded engine commits 32,000 a second for 256 callers at once, and only a
/// tenth more for 1,024, at eight times the latency.
const AT_ONCE_FIRST: usize = 256;

/// What the calls of one window said.
#[derive(Debug)]
pub(super) struct Window {
    target: Duration,
    at_once_max: usize,
    at_once: usize,
    since: Option<Instant>,
    done: u32,
    slow: u32,
    was_held_back: bool,
    /// The time between two departures while calls waited; `None`: not seen yet.
    interval: Option<Duration>,
}

impl Window {
    pub(super) fn new(target: Duration, at_once_max: usize) -> Self {
        Self {
            target,
            at_once_max: at_once_max.max(1),
            at_once: AT_ONCE_FIRST.min(at_once_max.max(1)),
            since: None,
            done: 0,
            slow: 0,
            was_held_back: false,
            interval: None,
        }
    }

    /// How many may run at once.
    pub(super) const fn at_once(&self) -> usize {
        self.at_once
    }

    /// How long `ahead` calls take to depart, as far as is known.
    pub(super) fn time_for(&self, ahead: usize) -> Duration {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.interval.unwrap_or_default().saturating_mul(ahead)
    }

    /// A call had to wait or was refused.
    pub(super) fn held_back(&mut self, now: Instant) {
        if !self.was_held_back {
            // What departed before says how much was asked, not how much can be done.
            self.begin(now);
            self.was_held_back = true;
        }
    }

    /// A call ended after it ran so long.
    pub(super) fn ended(&mut self, ran: Duration, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.done = self.done.saturating_add(1);
        self.slow = self.slow.saturating_add(u32::from(ran > self.target));
        let length = now.saturating_duration_since(since);
        if (length >= WINDOW && self.done >= CALLS_MIN) || length >= WINDOW_MAX {
            self.step(length);
            self.begin(now);
        }
    }

    fn step(&mut self, length: Duration) {
        if self.slow.saturating_mul(10) > self.done {
            self.at_once = (self.at_once - self.at_once / 10).max(AT_ONCE_MIN.min(self.at_once_max));
        } else if self.was_held_back {
            self.at_once = (self.at_once + self.at_once / 16 + 1).min(self.at_once_max);
        }
        if self.was_held_back {
            let seen = length / self.done.max(1);
            // Half old, half new: one odd window does not turn everybody away.
            self.interval = Some(self.interval.map_or(seen, |known| (known + seen) / 2));
        }
    }

    const fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        self.done = 0;
        self.slow = 0;
        self.was_held_back = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(100);

    fn windows(window: &mut Window, now: &mut Instant, n: usize, ran: Duration, held_back: bool) {
        for _ in 0..n {
            if held_back {
                window.held_back(*now);
            }
            for _ in 0..=100 {
                window.ended(ran, *now);
                *now += Duration::from_millis(1);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_calls_shrink_it_to_a_floor_and_fast_ones_that_are_held_back_grow_it_to_a_ceiling() {
        let mut window = Window::new(TARGET, 1_024);
        let mut now = Instant::now();
        assert_eq!(window.at_once(), AT_ONCE_FIRST);
        windows(&mut window, &mut now, 5, TARGET * 2, true);
        let shrunk = window.at_once();
        assert!(shrunk < AT_ONCE_FIRST);
        windows(&mut window, &mut now, 100, TARGET * 2, true);
        assert_eq!(window.at_once(), AT_ONCE_MIN);
        windows(&mut window, &mut now, 200, TARGET / 2, true);
        assert_eq!(window.at_once(), 1_024);
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_where_nothing_is_held_back() {
        let mut window = Window::new(TARGET, 1_024);
        windows(&mut window, &mut Instant::now(), 50, TARGET / 2, false);
        assert_eq!(window.at_once(), AT_ONCE_FIRST);
        assert_eq!(
            window.time_for(100),
            Duration::ZERO,
            "the demand is not the capacity"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_slow_call_in_twenty_changes_nothing() {
        let mut window = Window::new(TARGET, 1_024);
        let mut now = Instant::now();
        for n in 0..2_000 {
            let ran = if n % 20 == 0 { TARGET * 2 } else { TARGET / 2 };
            window.ended(ran, now);
            now += Duration::from_millis(1);
        }
        assert_eq!(window.at_once(), AT_ONCE_FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_those_ahead_is_told_from_what_departs() {
        let mut window = Window::new(TARGET, 1_024);
        windows(&mut window, &mut Instant::now(), 20, TARGET / 2, true);
        // One departs each millisecond.
        let wait = window.time_for(100).as_millis();
        assert!((90..=110).contains(&wait), "{wait}");
    }

    #[test]
    fn a_pool_smaller_than_the_floor_is_not_exceeded() {
        let window = Window::new(TARGET, 4);
        assert_eq!(window.at_once(), 4);
    }
}
