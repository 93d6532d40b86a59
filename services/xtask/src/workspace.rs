//! The workspace as cargo tells it: packages, where they lie, what they state as dependencies.
//!
//! **Invariant:** nothing is resolved or fetched: `cargo metadata --no-deps` works without a network.

use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use crate::error::Failed;

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    /// By name.
    pub(crate) packages: Vec<Package>,
}

impl Workspace {
    /// The workspace that this crate belongs to, from whichever directory it is called.
    pub(crate) fn load() -> Result<Self, Failed> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
        let mut packages = metadata.packages;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            root: metadata.workspace_root.into(),
            target: metadata.target_directory.into(),
            packages,
        })
    }

    /// Where a package lies, from the root: `services/core`.
    pub(crate) fn place<'a>(&self, package: &'a Package) -> &'a Path {
        let directory = package
            .manifest_path
            .as_std_path()
            .parent()
            .unwrap_or(Path::new(""));
        directory.strip_prefix(&self.root).unwrap_or(directory)
    }

    /// The package of this name, where it is one of ours.
    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name.as_str() == name)
    }
}

/// What a package states: names of its own dependencies of the kinds that `wanted` takes.
pub(crate) fn dependencies(
    package: &Package,
    wanted: impl Fn(DependencyKind) -> bool,
) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(move |dependency| wanted(dependency.kind))
        .map(|dependency| dependency.name.as_str())
}

/// Whether a dependency of this kind is part of what is shipped or of how it is built.
pub(crate) fn is_shipped(kind: DependencyKind) -> bool {
    kind != DependencyKind::Development
}
