//! What goes wrong under the engine, shared by everybody whose batch it hit.
//!
//! **Invariant:** a fault says nothing about what the disk holds; outcomes are unknown.

use std::io::ErrorKind;
use std::sync::Arc;

use curfew_ports::log::LogError;
use curfew_ports::store::StoreError;

use crate::options::OpenError;

#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Fault {
    why: Arc<str>,
    pub(crate) is_full: bool,
}

impl Fault {
    pub(crate) fn new(why: &str) -> Self {
        Self {
            why: why.into(),
            is_full: false,
        }
    }

    pub(crate) fn full() -> Self {
        Self {
            why: "no room was left at the last try".into(),
            is_full: true,
        }
    }

    pub(crate) fn closed() -> Self {
        Self::new("the engine is closed")
    }

    pub(crate) fn of_file(self, file: &str) -> OpenError {
        OpenError::Engine {
            file: file.to_owned(),
            why: self.to_string(),
        }
    }

    pub(crate) fn of_store(self, what: &'static str) -> StoreError {
        if self.is_full {
            StoreError::Full {
                source: Box::new(self),
            }
        } else {
            StoreError::Unavailable {
                what,
                source: Box::new(self),
            }
        }
    }

    pub(crate) fn of_log(self, what: &'static str) -> LogError {
        LogError::Unavailable {
            what,
            source: Box::new(self),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        let full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        );
        Self {
            why: error.to_string().into(),
            is_full: full,
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        if let redb::Error::Io(error) = error {
            return error.into();
        }
        Self::new(&error.to_string())
    }
}

macro_rules! from_redb {
    ($($error:ident)*) => {
        $(
            impl From<redb::$error> for Fault {
                fn from(error: redb::$error) -> Self {
                    redb::Error::from(error).into()
                }
            }
        )*
    };
}

from_redb!(StorageError TableError TransactionError CommitError DatabaseError SetDurabilityError);
