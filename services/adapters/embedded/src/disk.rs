//! Where the engine's bytes lie: a directory of its own, or a test's disk.
//!
//! **Invariant:** one process at a time has the directory; after a failed fsync the pages that the
//! kernel may have forgotten to write are written anew before anything is read as durable.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::options::OpenError;

/// Something that can hold the engine's file and give it again after a failure.
pub trait Disk: Send + Sync + Debug + 'static {
    /// The file, opened anew; what was open before is closed by then.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// What to call the file in an error.
    fn name(&self) -> String;

    /// Whether it is worth trying to write again after the disk was full.
    fn has_room(&self) -> bool;
}

/// The directory of an engine, held by its lock until this is dropped.
#[derive(Debug)]
pub struct FileDisk {
    dir: PathBuf,
    has_failed_to_sync: Arc<AtomicBool>,
    // Held, never read.
    _lock: File,
}

const FILE: &str = "curfew.redb";
/// What a batch of 1,024 commits writes at most: some 4 kB of pages each.
const PROBE_BYTES: usize = 4 << 20;

impl FileDisk {
    /// Makes the directory where there is none, and takes its lock.
    pub fn claim(dir: &Path) -> Result<Self, OpenError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        if !dir.is_dir() {
            make_private_dir(dir).map_err(io(dir))?;
        }
        let path = dir.join("lock");
        let lock = private()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { path, source }),
        }
        Ok(Self {
            dir: dir.to_owned(),
            has_failed_to_sync: Arc::default(),
            _lock: lock,
        })
    }

    /// A failed fsync may leave pages that the kernel takes for written and the disk never had. They
    /// are still read as if they were there, so a copy of all that is read, synced, is the truth again.
    fn rewrite(&self) -> io::Result<()> {
        let (from, to) = (self.dir.join(FILE), self.dir.join("curfew.redb.rewritten"));
        let mut copy = private().create(true).truncate(true).open(&to)?;
        io::copy(&mut File::open(&from)?, &mut copy)?;
        copy.sync_all()?;
        fs::rename(&to, &from)?;
        sync_dir(&self.dir)
    }
}

impl Disk for FileDisk {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        if self.has_failed_to_sync.load(Ordering::SeqCst) {
            self.rewrite()?;
            self.has_failed_to_sync.store(false, Ordering::SeqCst);
        }
        let file = private().create(true).truncate(false).open(self.dir.join(FILE))?;
        // A file whose name is lost with the power would take everything with it.
        sync_dir(&self.dir)?;
        let backend = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(WatchedFile {
            backend,
            has_failed_to_sync: self.has_failed_to_sync.clone(),
        }))
    }

    fn name(&self) -> String {
        self.dir.join(FILE).display().to_string()
    }

    fn has_room(&self) -> bool {
        let path = self.dir.join("probe");
        let probe = private()
            .create(true)
            .truncate(true)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(&vec![0x5a; PROBE_BYTES])?;
                file.sync_all()
            });
        let removed = fs::remove_file(&path);
        probe.and(removed).is_ok()
    }
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        Some(_) | None => Ok(()),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    // Only Unix can sync a directory; elsewhere the file system's own journal must do.
    if cfg!(unix) {
        File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

/// redb's own file, without its lock (ours is on the directory), that remembers a failed fsync.
#[derive(Debug)]
struct WatchedFile {
    backend: FileBackend,
    has_failed_to_sync: Arc<AtomicBool>,
}

impl StorageBackend for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend
            .sync_data()
            .inspect_err(|_| self.has_failed_to_sync.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }
}

/// redb takes a backend by type; a disk gives one by trait.
#[derive(Debug)]
pub(crate) struct Opened(pub(crate) Box<dyn StorageBackend>);

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
