//! The fake exchange: whoever shares it hears what is told, unless it is cut.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use curfew_core::watermark::Watermarks as Told;
use tokio::sync::Notify;

use super::because;
use crate::watermarks::{Hearing, WatermarkError, Watermarks};

/// An exchange in memory. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct FakeWatermarks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    told: VecDeque<Arc<Told>>,
    is_down: bool,
}

impl FakeWatermarks {
    /// Nobody can tell anything until it is up again.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Everything that was told, in order.
    #[must_use]
    pub fn told(&self) -> Vec<Arc<Told>> {
        self.lock().told.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Watermarks for FakeWatermarks {
    async fn tell(&self, told: &Told) -> Result<(), WatermarkError> {
        let mut state = self.lock();
        if state.is_down {
            return Err(WatermarkError {
                what: "tell",
                source: because("it is down"),
            });
        }
        state.told.push_back(Arc::new(told.clone()));
        drop(state);
        self.0.changed.notify_waiters();
        Ok(())
    }

    async fn hear(&self) -> Result<Box<dyn Hearing>, WatermarkError> {
        let next = self.lock().told.len();
        Ok(Box::new(FakeHearing {
            of: self.clone(),
            next,
        }))
    }
}

#[derive(Debug)]
struct FakeHearing {
    of: FakeWatermarks,
    next: usize,
}

#[async_trait]
impl Hearing for FakeHearing {
    async fn next(&mut self) -> Result<Arc<Told>, WatermarkError> {
        loop {
            let changed = self.of.0.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that nothing is missed in between.
            changed.as_mut().enable();
            let told = self.of.lock().told.get(self.next).cloned();
            if let Some(told) = told {
                self.next += 1;
                return Ok(told);
            }
            changed.await;
        }
    }
}
