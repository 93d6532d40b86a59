//! The form of the house: layers, module headers, length of files, documents that name what exists.
//!
//! **Invariant:** rules are judged on files as they lie on disk, committed or not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Failed;
use crate::layers;
use crate::threats;
use crate::workspace::Workspace;

/// Longer than one sitting: no file outside tests may be.
const LINES_MAX: usize = 600;
/// From here on a file is to be looked at: nine in ten of the pleasant codebases are shorter.
const LINES_TO_LOOK_AT: usize = 400;

/// Documents whose paths must exist, once the documents do.
const DOCUMENTS: [&str; 11] = [
    "README.md",
    "services/ARCHITECTURE.md",
    "services/ERRORS.md",
    "services/SECURITY.md",
    "services/THREATS.md",
    "deploy/README.md",
    "deploy/quickstarts/python/README.md",
    "deploy/quickstarts/kafka/README.md",
    "proto/README.md",
    "deploy/RUNBOOK.md",
    "services/LIMITS.md",
];
/// What the top level shows: text that begins with one of these is a path.
const TOP_LEVEL: [&str; 4] = ["proto/", "services/", "deploy/", "load-tests/"];
/// What ends with one of these is a path if it begins with something beside the document.
const PATH_ENDS: [&str; 8] = ["/", ".rs", ".md", ".toml", ".proto", ".yaml", ".yml", ".json"];

/// Prints warnings and faults; any fault fails.
pub(crate) fn judge(workspace: &Workspace) -> Result<(), Failed> {
    let sources = Source::read_all(workspace)?;
    for source in sources.iter().filter(|source| source.lines() > LINES_TO_LOOK_AT) {
        println!(
            "warning: {} has {} lines: is it one thing?",
            source.path.display(),
            source.lines()
        );
    }
    let mut faults = layers::faults(workspace)?;
    faults.extend(sources.iter().filter_map(Source::fault_of_header));
    faults.extend(sources.iter().filter_map(Source::fault_of_length));
    faults.extend(threats::faults(workspace)?);
    for document in DOCUMENTS {
        faults.extend(missing_paths(&workspace.root, Path::new(document))?);
    }
    for fault in &faults {
        println!("fault: {fault}");
    }
    match faults.len() {
        0 => {
            println!(
                "{} crates and {} files keep to the house",
                workspace.packages.len(),
                sources.len()
            );
            Ok(())
        }
        count => Err(Failed::Said(format!("{count} faults in the house"))),
    }
}

/// A source file outside tests.
struct Source {
    /// From the root.
    path: PathBuf,
    text: String,
}

impl Source {
    fn read_all(workspace: &Workspace) -> Result<Vec<Self>, Failed> {
        let mut sources = Vec::new();
        for package in &workspace.packages {
            let mut directories = vec![workspace.root.join(workspace.place(package)).join("src")];
            while let Some(directory) = directories.pop() {
                for path in entries(&directory)? {
                    let from_root = path.strip_prefix(&workspace.root).unwrap_or(&path);
                    if path.is_dir() {
                        directories.push(path);
                    } else if path.extension().is_some_and(|extension| extension == "rs")
                        && !is_test(from_root)
                    {
                        sources.push(Self {
                            text: read(&path)?,
                            path: from_root.to_owned(),
                        });
                    }
                }
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(sources)
    }

    fn lines(&self) -> usize {
        self.text.lines().count()
    }

    fn fault_of_header(&self) -> Option<String> {
        let opens = self.text.starts_with("//! ");
        (!opens).then(|| format!("{} does not open with what it is (`//! …`)", self.path.display()))
    }

    fn fault_of_length(&self) -> Option<String> {
        let lines = self.lines();
        let path = self.path.display();
        (lines > LINES_MAX).then(|| format!("{path} has {lines} lines; {LINES_MAX} is the most"))
    }
}

/// `tests.rs`, or anything in a directory `tests`.
fn is_test(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// Faults of one document: links and paths in backticks that lead nowhere. No document, no faults.
fn missing_paths(root: &Path, document: &Path) -> Result<Vec<String>, Failed> {
    let full = root.join(document);
    if !full.exists() {
        return Ok(Vec::new());
    }
    let beside = full.parent().unwrap_or(root);
    let text = read(&full)?;
    let links = links(&text).filter(|link| !beside.join(link).exists());
    let named = in_backticks(&text).filter(|path| {
        let from_top = TOP_LEVEL.iter().any(|top| path.starts_with(top));
        let first = path.split('/').next().unwrap_or_default();
        let from_here = path.contains('/')
            && PATH_ENDS.iter().any(|end| path.ends_with(end))
            && !first.is_empty()
            && beside.join(first).exists();
        (from_top || from_here) && !root.join(path).exists() && !beside.join(path).exists()
    });
    Ok(links
        .chain(named)
        .map(|path| format!("{} names `{path}`, which does not exist", document.display()))
        .collect())
}

/// Targets of Markdown links that are files: no URLs, no anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next());
    targets.filter(|target| !target.is_empty() && !target.contains(':') && !target.starts_with('/'))
}

/// Words in backticks that could be paths: patterns, commands and choices are none.
fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    let words = text
        .lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    words.filter(|word| !word.is_empty() && !word.contains([' ', '*', '{', '<', '$', '…', '|', '(']))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Failed> {
    let failed = |source| Failed::Read {
        path: directory.to_owned(),
        source,
    };
    let entries = fs::read_dir(directory).map_err(failed)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
        .collect()
}

pub(crate) fn read(path: &Path) -> Result<String, Failed> {
    fs::read_to_string(path).map_err(|source| Failed::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Vec<Source> {
        let sources = Source::read_all(&Workspace::load().unwrap()).unwrap();
        assert!(sources.len() > 20, "the whole workspace is judged");
        sources
    }

    #[track_caller]
    fn check_none(faults: &[String]) {
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    }

    #[test]
    fn every_module_opens_with_a_header() {
        check_none(
            &sources()
                .iter()
                .filter_map(Source::fault_of_header)
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn no_file_outside_tests_is_longer_than_one_sitting() {
        check_none(
            &sources()
                .iter()
                .filter_map(Source::fault_of_length)
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn documents_name_only_paths_that_exist() {
        let root = Workspace::load().unwrap().root;
        let faults = DOCUMENTS
            .iter()
            .flat_map(|document| missing_paths(&root, Path::new(document)).unwrap());
        check_none(&faults.collect::<Vec<_>>());
    }

    #[test]
    fn a_path_that_leads_nowhere_is_named_and_words_are_no_paths() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("services/core")).unwrap();
        let text = "[a](services/core) [b](gone.md#part) [c](https://example.com/x) [d](#here)\n\
                    `services/core/` `services/lost.rs` `services/*/src` `core/mac` `cargo run services/x`\n";
        fs::write(root.join("README.md"), text).unwrap();
        let faults = missing_paths(root, Path::new("README.md")).unwrap();
        let expected = ["gone.md", "services/lost.rs"];
        assert_eq!(
            faults,
            expected.map(|path| format!("README.md names `{path}`, which does not exist"))
        );
    }

    #[test]
    fn a_module_without_a_header_and_a_long_one_are_faults() {
        let source = Source {
            path: "a.rs".into(),
            text: "\n".repeat(601),
        };
        assert_eq!(
            source.fault_of_length().unwrap(),
            "a.rs has 601 lines; 600 is the most"
        );
        assert_eq!(
            source.fault_of_header().unwrap(),
            "a.rs does not open with what it is (`//! …`)"
        );
    }
}
