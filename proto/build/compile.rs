//! How the `.proto` files of this directory are found and compiled: one way for the build and for the tests.
//!
//! **Invariant:** no `protoc`, no network: the compiler is a crate, and what it includes lies beside the sources.

use std::io;
use std::path::{Path, PathBuf};

/// Every `.proto` file under `curfew/`, relative to `root` and in order, so that outputs do not depend on the disk.
pub(crate) fn sources(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("curfew")];
    // Bounded by the tree itself, which has no links.
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path.strip_prefix(root).map_err(io::Error::other)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Compiles the sources with everything that they import.
pub(crate) fn compile(root: &Path, comments: bool) -> io::Result<protox::Compiler> {
    let mut compiler = protox::Compiler::new([root]).map_err(io::Error::other)?;
    compiler.include_imports(true).include_source_info(comments);
    compiler.open_files(sources(root)?).map_err(io::Error::other)?;
    Ok(compiler)
}
