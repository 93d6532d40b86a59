//! Where things lie that are fetched once and outlive `target/`.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::error::Error;

/// Chooses the directory; without it, `curfew` in the user's cache directory.
const OVERRIDE: &str = "CURFEW_CACHE_DIR";

/// The cache directory, made if it was not there: `$CURFEW_CACHE_DIR`, `$XDG_CACHE_HOME/curfew` or `~/.cache/curfew`.
pub(crate) fn directory(part: &str) -> Result<PathBuf, Error> {
    // Who has no home has the system's temporary directory.
    let chosen = set(OVERRIDE)
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("curfew")))
        .or_else(|| set("HOME").map(|home| home.join(".cache").join("curfew")))
        .unwrap_or_else(|| env::temp_dir().join("curfew-cache"));
    let directory = chosen.join(part);
    fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
    Ok(directory)
}

fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
