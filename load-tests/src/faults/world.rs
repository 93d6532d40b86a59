//! What clients, the injector and the sweeps share: the history, and when somebody was not answered last.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::history::{Broken, History, Ms};
use crate::clock::Mono;

/// Revoked tokens that guards are asked about all the time: the newest.
const WATCHED_MAX: usize = 48;

/// Shared by all.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) runtime: Handle,
    history: Mutex<History>,
    beat: Mutex<Beat>,
    begun: Mono,
    watched: Mutex<VecDeque<(String, String)>>,
    paused: tokio::sync::watch::Sender<bool>,
}

/// What was answered, and what was not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    /// Answers since somebody was not answered.
    pub(crate) well: u64,
    /// When somebody was not answered last, as far as answers have come.
    pub(crate) missed: Option<Mono>,
}

#[derive(Debug, Default)]
struct Beat {
    pulse: Pulse,
    seconds: Vec<Second>,
}

/// One second of a run.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Second {
    pub(crate) answered: u64,
    pub(crate) unanswered: u64,
}

pub(crate) const fn ms(at: Mono) -> Ms {
    at.0 / 1_000_000
}

impl World {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            history: Mutex::default(),
            beat: Mutex::default(),
            begun: Mono::now(),
            watched: Mutex::default(),
            paused: tokio::sync::watch::Sender::new(false),
        }
    }

    pub(crate) const fn begun(&self) -> Mono {
        self.begun
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub(crate) fn history_changes(&self, lost_from: Mono) {
        self.history().history_changes(ms(lost_from));
    }

    pub(crate) fn history_changed(&self, at: Mono) {
        self.history().history_changed(ms(at));
    }

    pub(crate) fn zombie_answered(&self, what: &str) {
        let told = format!("a primary without replicas answered {what}");
        self.history()
            .broken(Broken::ZombieAnswered, ms(Mono::now()), told);
    }

    pub(crate) fn answered(&self) {
        let mut beat = lock(&self.beat);
        beat.pulse.well += 1;
        self.count(&mut beat, |second| second.answered += 1);
    }

    pub(crate) fn missed(&self) {
        self.history().unanswered();
        let mut beat = lock(&self.beat);
        beat.pulse = Pulse {
            well: 0,
            missed: Some(Mono::now()),
        };
        self.count(&mut beat, |second| second.unanswered += 1);
    }

    fn count(&self, beat: &mut Beat, change: impl FnOnce(&mut Second)) {
        // A run of a day has 86,400 seconds.
        let at = Mono::now().since(self.begun).as_secs() as usize;
        if beat.seconds.len() <= at {
            beat.seconds.resize(at + 1, Second::default());
        }
        if let Some(second) = beat.seconds.get_mut(at) {
            change(second);
        }
    }

    pub(crate) fn pulse(&self) -> Pulse {
        lock(&self.beat).pulse
    }

    pub(crate) fn seconds(&self) -> Vec<Second> {
        lock(&self.beat).seconds.clone()
    }

    /// Guards are asked about this token from now on.
    pub(crate) fn watch(&self, session: &str, access_token: &str) {
        let mut watched = lock(&self.watched);
        watched.push_back((session.to_owned(), access_token.to_owned()));
        if watched.len() > WATCHED_MAX {
            watched.pop_front();
        }
    }

    pub(crate) fn watched(&self) -> Vec<(String, String)> {
        lock(&self.watched).iter().cloned().collect()
    }

    /// Clients ask nothing until they are let go on.
    pub(crate) fn pause(&self) {
        self.paused.send_replace(true);
    }

    pub(crate) fn go_on(&self) {
        self.paused.send_replace(false);
    }

    /// Waits while clients are to ask nothing.
    pub(crate) async fn unpaused(&self) {
        // The sender lives as long as this does.
        let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
