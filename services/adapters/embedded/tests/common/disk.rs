//! A disk in memory that fails on purpose: full, refusing fsync, losing power.
//!
//! What is written is read again at once, as from a page cache; only a sync makes it survive a
//! power loss. A loss keeps a random part of the unsynced writes, in pieces of a sector.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use curfew_embedded::Disk;
use redb::StorageBackend;

use super::Seeded;

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk {
    state: Arc<Mutex<State>>,
    released: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct State {
    /// What is read.
    cached: Vec<u8>,
    /// What survives a power loss.
    durable: Vec<u8>,
    /// Writes since the last sync: offset and bytes.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// The most bytes that fit.
    capacity: Option<usize>,
    /// Bytes that may still be written.
    budget: Option<usize>,
    /// Syncs that succeed before one fails.
    syncs_until_failure: Option<u64>,
    has_no_power: bool,
    /// Syncs wait, and how many do.
    holds_syncs: bool,
    held_syncs: u64,
    syncs: u64,
    failures: u64,
    /// What was durable after each sync, the newest last, where it is asked for.
    history: Option<Vec<Vec<u8>>>,
    /// Only the newest file may write.
    opened: u64,
}

impl TestDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// No more than `bytes` fit from now on, what is there counted.
    pub(crate) fn limit(&self, bytes: Option<usize>) {
        self.lock().capacity = bytes;
    }

    /// Only so many bytes are written from now on, wherever they go.
    pub(crate) fn budget(&self, bytes: Option<usize>) {
        self.lock().budget = bytes;
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().cached.len()
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// How many operations were refused.
    pub(crate) fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// The sync after `n` more fails, once.
    pub(crate) fn fail_sync_after(&self, n: u64) {
        self.lock().syncs_until_failure = Some(n);
    }

    /// Syncs wait from now on.
    pub(crate) fn hold_syncs(&self) {
        self.lock().holds_syncs = true;
    }

    /// Waits until a sync waits.
    pub(crate) fn wait_for_a_held_sync(&self) {
        let mut state = self.lock();
        while state.held_syncs == 0 {
            state = self.released.wait(state).unwrap();
        }
    }

    /// Waits until so many syncs have succeeded.
    pub(crate) fn wait_for_syncs(&self, syncs: u64) {
        let mut state = self.lock();
        while state.syncs < syncs {
            state = self.released.wait(state).unwrap();
        }
    }

    pub(crate) fn release_syncs(&self) {
        self.lock().holds_syncs = false;
        self.released.notify_all();
    }

    /// Nothing works any more; what was not synced is lost but for a random part.
    pub(crate) fn lose_power(&self, chance: &Seeded) {
        let mut state = self.lock();
        state.has_no_power = true;
        let unsynced = std::mem::take(&mut state.unsynced);
        // Each sector of each write reached the platter or did not, in any order.
        for (offset, bytes) in unsynced {
            for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                let at = offset + n * SECTOR;
                if chance.below(2) == 0 && at + sector.len() <= state.durable.len() {
                    state.durable[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
    }

    pub(crate) fn restore_power(&self) {
        let mut state = self.lock();
        state.has_no_power = false;
        state.cached = state.durable.clone();
        state.unsynced.clear();
        state.syncs_until_failure = None;
    }

    /// Keeps what each sync made durable.
    pub(crate) fn keep_history(&self) {
        self.lock().history = Some(Vec::new());
    }

    /// Goes back to what was durable `syncs` ago.
    pub(crate) fn go_back(&self, syncs: usize) {
        let mut state = self.lock();
        let history = state.history.as_mut().unwrap();
        history.truncate(history.len() - syncs);
        let image = history.last().unwrap().clone();
        state.cached = image.clone();
        state.durable = image;
        state.unsynced.clear();
    }
}

impl Disk for TestDisk {
    fn name(&self) -> String {
        "the disk of a test".to_owned()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.lock();
        state.check_power()?;
        state.opened += 1;
        Ok(Box::new(TestFile {
            disk: self.clone(),
            number: state.opened,
        }))
    }

    fn has_room(&self) -> bool {
        let state = self.lock();
        state.budget.is_none_or(|left| left > 1 << 20)
            && state
                .capacity
                .is_none_or(|capacity| capacity > state.cached.len() + (1 << 20))
    }
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    number: u64,
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        if self.has_no_power {
            Err(io::Error::other("no power"))
        } else {
            Ok(())
        }
    }

    fn full(&mut self) -> io::Error {
        self.failures += 1;
        io::Error::from(ErrorKind::StorageFull)
    }
}

impl TestFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        state.check_power()?;
        if state.opened != self.number {
            return Err(io::Error::other(
                "a file that was opened again since is still in use",
            ));
        }
        Ok(state)
    }
}

impl StorageBackend for TestFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state()?;
        let offset = usize::try_from(offset).unwrap();
        let from = state.cached.get(offset..offset + out.len());
        out.copy_from_slice(from.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let len = usize::try_from(len).unwrap();
        if state
            .capacity
            .is_some_and(|capacity| len > capacity && len > state.cached.len())
        {
            return Err(state.full());
        }
        state.cached.resize(len, 0);
        // The length is the file system's own record: it survives, its new part as zeros.
        state.durable.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        if state.holds_syncs {
            state.held_syncs += 1;
            self.disk.released.notify_all();
            while state.holds_syncs {
                state = self.disk.released.wait(state).unwrap();
            }
            state.held_syncs -= 1;
            state.check_power()?;
        }
        match state.syncs_until_failure {
            Some(0) => {
                state.syncs_until_failure = None;
                state.failures += 1;
                return Err(io::Error::other("fsync failed on purpose"));
            }
            Some(n) => state.syncs_until_failure = Some(n - 1),
            None => {}
        }
        state.syncs += 1;
        self.disk.released.notify_all();
        state.durable = state.cached.clone();
        state.unsynced.clear();
        let durable = state.durable.clone();
        if let Some(history) = &mut state.history {
            history.push(durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let offset = usize::try_from(offset).unwrap();
        if let Some(left) = state.budget {
            if left < data.len() {
                return Err(state.full());
            }
            state.budget = Some(left - data.len());
        }
        let to = state.cached.get_mut(offset..offset + data.len());
        to.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?
            .copy_from_slice(data);
        state.unsynced.push((offset, data.to_vec()));
        Ok(())
    }
}
