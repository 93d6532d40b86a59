//! What one subscriber is behind: frames, bounded in bytes.
//!
//! **Invariant:** a reader that does not read costs its queue and no more; what it did not take is
//! dropped, and the Resume that it finds instead names exactly what it took.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::watch_revocations_response::Frame;
use prost::Message as _;
use tokio::sync::Notify;

use crate::metrics::Counters;

/// A frame, and where the stream stands once it was taken.
#[derive(Debug)]
pub(super) struct Step {
    frame: Frame,
    bytes: usize,
    /// `None`: where it stood before.
    at: Option<Vec<u64>>,
}

impl Step {
    /// A frame after which the subscriber holds everything below these offsets.
    pub(super) fn to(frame: Frame, at: Vec<u64>) -> Self {
        Self {
            bytes: bytes_of(&frame),
            frame,
            at: Some(at),
        }
    }

    /// A frame that leaves the subscriber where it was.
    pub(super) fn by_the_way(frame: Frame) -> Self {
        Self {
            bytes: bytes_of(&frame),
            frame,
            at: None,
        }
    }
}

fn bytes_of(frame: &Frame) -> usize {
    pb::WatchRevocationsResponse {
        frame: Some(frame.clone()),
    }
    .encoded_len()
}

/// Why nothing more can be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stopped {
    /// Nobody listens.
    Gone,
    /// The reader did not read in time.
    Slow,
}

#[derive(Debug, Default)]
struct State {
    steps: VecDeque<Step>,
    bytes: usize,
    taken: Option<Vec<u64>>,
    is_closed: bool,
    is_gone: bool,
}

/// The queue between the feed and the transport.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    bytes_max: usize,
    wait_max: Duration,
    // One waiter each, so that a wake-up never goes to the wrong one.
    filled: Notify,
    emptied: Notify,
    left: Notify,
    counters: Arc<Counters>,
}

impl Queue {
    pub(super) fn new(bytes_max: usize, wait_max: Duration, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            bytes_max,
            wait_max,
            filled: Notify::new(),
            emptied: Notify::new(),
            left: Notify::new(),
            counters,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame; waits for room, but not for ever. A frame larger than the queue waits for an empty one.
    pub(super) async fn push(&self, step: Step) -> Result<(), Stopped> {
        let bytes = step.bytes;
        let has_room = |state: &State| state.steps.is_empty() || state.bytes + bytes <= self.bytes_max;
        let room = async {
            loop {
                // The one writer: a wake-up between look and wait is kept as a permit.
                let emptied = self.emptied.notified();
                {
                    let state = self.lock();
                    if state.is_gone {
                        return Err(Stopped::Gone);
                    }
                    if has_room(&state) {
                        return Ok(());
                    }
                }
                emptied.await;
            }
        };
        tokio::time::timeout(self.wait_max, room)
            .await
            .unwrap_or(Err(Stopped::Slow))?;
        let mut state = self.lock();
        if state.is_gone {
            return Err(Stopped::Gone);
        }
        state.bytes += bytes;
        state.steps.push_back(step);
        drop(state);
        self.counters.queue(bytes, true);
        self.filled.notify_one();
        Ok(())
    }

    /// The last frame; where nothing was taken yet, or not a whole snapshot, it leads to a new one.
    ///
    /// `drop_rest`: what waits is dropped, and the frame says where the reader really is.
    pub(super) fn close(&self, mut resume: pb::Resume, drop_rest: bool, keeps_positions: bool) {
        let mut state = self.lock();
        if drop_rest {
            state.steps.clear();
            self.counters.queue(std::mem::take(&mut state.bytes), false);
        }
        let last = state.steps.iter().rev().find_map(|step| step.at.as_ref());
        if keeps_positions && let Some(at) = last.or(state.taken.as_ref()) {
            resume.positions = watermarks(at);
        }
        state.steps.push_back(Step::by_the_way(Frame::Resume(resume)));
        state.is_closed = true;
        drop(state);
        self.filled.notify_one();
    }

    /// The next frame; `None`: that was all.
    async fn next(&self) -> Option<Frame> {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.lock();
                if let Some(step) = state.steps.pop_front() {
                    let bytes = step.bytes.min(state.bytes);
                    state.bytes -= bytes;
                    self.counters.queue(bytes, false);
                    if step.at.is_some() {
                        state.taken = step.at;
                    }
                    drop(state);
                    self.emptied.notify_one();
                    return Some(step.frame);
                }
                if state.is_closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Waits until nobody listens any more.
    pub(super) async fn gone(&self) {
        loop {
            let left = self.left.notified();
            if self.lock().is_gone {
                return;
            }
            left.await;
        }
    }
}

/// The reading end: the queue learns when it is dropped.
#[derive(Debug)]
pub(super) struct Reader(pub(super) Arc<Queue>);

impl Reader {
    pub(super) async fn next(&self) -> Option<Frame> {
        self.0.next().await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_gone = true;
        state.steps.clear();
        self.0.counters.queue(std::mem::take(&mut state.bytes), false);
        drop(state);
        self.0.emptied.notify_one();
        self.0.left.notify_one();
    }
}

/// Offsets of all partitions on the wire.
pub(super) fn watermarks(next: &[u64]) -> Vec<pb::Watermark> {
    (0_u32..)
        .zip(next)
        .map(|(partition, next_offset)| pb::Watermark {
            partition,
            next_offset: *next_offset,
        })
        .collect()
}
