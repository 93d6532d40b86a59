//! The directory of one server.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::Error;

/// Where a server keeps its files.
#[derive(Debug)]
pub(crate) enum Directory {
    /// Goes with the server.
    Own(TempDir),
    /// Somebody else's: it stays.
    Given(PathBuf),
}

impl Directory {
    /// `given`, made if it was not there, or a new temporary one.
    pub(crate) fn new(given: Option<&Path>) -> Result<Self, Error> {
        if let Some(path) = given {
            fs::create_dir_all(path).map_err(Error::file("create", path))?;
            return Ok(Self::Given(path.to_owned()));
        }
        let own = tempfile::Builder::new()
            .prefix("curfew-")
            .tempdir()
            .map_err(Error::file("create a directory in", std::env::temp_dir()))?;
        Ok(Self::Own(own))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(own) => own.path(),
            Self::Given(path) => path,
        }
    }

    /// Writes a file of it.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        fs::write(&path, text).map_err(Error::file("write", &path))?;
        Ok(path)
    }
}
