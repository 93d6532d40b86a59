//! `cargo xtask bench`: runs the criterion benches and reports what criterion found.
//!
//! A bench file does nothing for this but use criterion and, for the measurements that the project names, the
//! names of [`NAMED`]: an id is one of a name if it is that name or begins with it and a slash
//! (`jose/sign/ES256` is a `jose/sign`). Any other id is reported too, under its own name.
//! What is measured in bytes is told by the throughput: an id that ends in `bytes_per_entry` states
//! `Throughput::Bytes(bytes)`, and those bytes are reported instead of a time.
//!
//! **Invariant:** numbers are criterion's medians, unrounded in JSON; a named measurement without a bench is shown as missing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cargo_metadata::TargetKind;
use serde::{Deserialize, Serialize};

use crate::error::Failed;
use crate::program;
use crate::workspace::Workspace;

/// The measurements that the project names, and the ids under which its benches take them.
const NAMED: [(&str, &str); 8] = [
    ("refresh decision", "core/refresh_decision"),
    ("token codec", "core/refresh_token"),
    ("MAC", "core/mac"),
    ("sign", "jose/sign"),
    ("verify", "jose/verify"),
    ("guard deny check", "guard/deny_check"),
    ("full check of a seen token", "guard/check_seen"),
    ("index bytes per entry", "core/index/bytes_per_entry"),
];

/// The last part of an id whose value is its throughput, in bytes.
const BYTES: &str = "bytes_per_entry";

/// One measurement.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Measured {
    /// What the project calls it, where it has a name for it.
    name: Option<&'static str>,
    /// Criterion's id.
    id: String,
    /// The median, or the bytes.
    value: f64,
    /// `ns` or `bytes`.
    unit: &'static str,
}

#[derive(Serialize)]
struct Report {
    measured: Vec<Measured>,
    /// Names without a measurement.
    missing: Vec<&'static str>,
}

pub(crate) fn run(workspace: &Workspace, json: bool, no_run: bool) -> Result<(), Failed> {
    let criterion = workspace.target.join("criterion");
    let mut since = SystemTime::UNIX_EPOCH;
    if !no_run {
        since = stamp(&criterion)?;
        for (package, bench) in benches(workspace) {
            program::run_aside(
                &workspace.root,
                "cargo",
                &["bench", "--package", package, "--bench", bench],
            )?;
        }
    }
    let report = report(read_all(&criterion, since)?);
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failed::Said(error.to_string()))?;
        println!("{text}");
    } else {
        print!("{}", table(&report));
    }
    match report.measured.len() {
        0 => Err(Failed::Said("no bench measured anything".to_owned())),
        _ => Ok(()),
    }
}

/// Package and bench, for each bench target of the workspace.
fn benches(workspace: &Workspace) -> Vec<(&str, &str)> {
    workspace
        .packages
        .iter()
        .flat_map(|package| {
            let benches = package
                .targets
                .iter()
                .filter(|target| target.kind.contains(&TargetKind::Bench));
            benches.map(|target| (package.name.as_str(), target.name.as_str()))
        })
        .collect()
}

/// What criterion writes of a bench: `benchmark.json`.
#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
enum Throughput {
    Bytes(u64),
    #[serde(untagged)]
    Other(serde::de::IgnoredAny),
}

/// And of what it measured: `estimates.json`, in ns.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// When this run began, by the clock of the file system that the measurements will lie on.
fn stamp(criterion: &Path) -> Result<SystemTime, Failed> {
    let path = criterion.join(".begun");
    let written = fs::create_dir_all(criterion).and_then(|()| fs::write(&path, []));
    let read = written.and_then(|()| fs::metadata(&path)?.modified());
    read.map_err(|source| Failed::Read { path, source })
}

/// Every measurement under criterion's directory that was written at `since` or later.
fn read_all(criterion: &Path, since: SystemTime) -> Result<Vec<Measured>, Failed> {
    let mut measured = Vec::new();
    let mut directories = vec![criterion.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for path in entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
        {
            let estimates = path.join("estimates.json");
            if path.ends_with("new") && estimates.is_file() {
                let written = fs::metadata(&estimates).and_then(|metadata| metadata.modified());
                if written.map_err(|source| Failed::Read {
                    path: estimates.clone(),
                    source,
                })? >= since
                {
                    measured.push(read_one(&path.join("benchmark.json"), &estimates)?);
                }
            } else {
                directories.push(path);
            }
        }
    }
    measured.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(measured)
}

fn read_one(benchmark: &Path, estimates: &Path) -> Result<Measured, Failed> {
    let Benchmark { full_id, throughput } = read_json(benchmark)?;
    let Estimates { median } = read_json(estimates)?;
    let name = NAMED
        .iter()
        .find(|(_, id)| is_one_of(&full_id, id))
        .map(|(name, _)| *name);
    let in_bytes = full_id.rsplit('/').next() == Some(BYTES);
    let (value, unit) = match (in_bytes, throughput) {
        // An entry takes far less than 2^32 bytes.
        (true, Some(Throughput::Bytes(bytes))) => {
            (f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)), "bytes")
        }
        (true, Some(Throughput::Other(_)) | None) => {
            let what = format!("`{full_id}` states no `Throughput::Bytes`");
            return Err(Failed::Malformed {
                path: benchmark.to_owned(),
                what,
            });
        }
        (false, _) => (median.point_estimate, "ns"),
    };
    Ok(Measured {
        name,
        id: full_id,
        value,
        unit,
    })
}

fn is_one_of(id: &str, name: &str) -> bool {
    id.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Failed> {
    let bytes = fs::read(path).map_err(|source| Failed::Read {
        path: PathBuf::from(path),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Failed::Malformed {
        path: path.into(),
        what: error.to_string(),
    })
}

/// Named measurements first, in the order of [`NAMED`], then all others by id.
fn report(measured: Vec<Measured>) -> Report {
    let place = |measured: &Measured| {
        NAMED
            .iter()
            .position(|(name, _)| measured.name == Some(name))
            .unwrap_or(NAMED.len())
    };
    let mut measured = measured;
    measured.sort_by_key(place);
    let is_missing = |name: &&str| !measured.iter().any(|one| one.name == Some(name));
    let missing = NAMED.iter().map(|(name, _)| *name).filter(is_missing).collect();
    Report { measured, missing }
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for one in &report.measured {
        let name = one.name.unwrap_or("");
        let _ = writeln!(text, "{name:<28} {:<44} {:>14.1} {}", one.id, one.value, one.unit);
    }
    for name in &report.missing {
        let _ = writeln!(text, "{name:<28} {:<44} {:>14}", "(no bench)", "-");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, directory: &str, benchmark: &str, median: &str) {
        let directory = root.join(directory).join("new");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("benchmark.json"), benchmark).unwrap();
        let estimates =
            format!(r#"{{"mean":{{"point_estimate":1.0}},"median":{{"point_estimate":{median}}}}}"#);
        fs::write(directory.join("estimates.json"), estimates).unwrap();
    }

    #[test]
    fn medians_are_read_named_and_ordered_and_what_is_missing_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        write(
            root,
            "jose/sign_ES256",
            r#"{"full_id":"jose/sign/ES256","throughput":{"Elements":1}}"#,
            "21000.5",
        );
        write(
            root,
            "jose/verify_cached_hit",
            r#"{"full_id":"jose/verify_cached/hit","throughput":null}"#,
            "90",
        );
        write(
            root,
            "core/mac",
            r#"{"full_id":"core/mac","throughput":{"ElementsAndBytes":{"elements":1,"bytes":2}}}"#,
            "300",
        );
        let bytes = r#"{"full_id":"core/index/bytes_per_entry","throughput":{"Bytes":96}}"#;
        write(root, "core/index_bytes_per_entry", bytes, "5");

        let report = report(read_all(root, SystemTime::UNIX_EPOCH).unwrap());
        let seen: Vec<_> = report
            .measured
            .iter()
            .map(|one| (one.name, one.id.as_str(), one.value, one.unit))
            .collect();
        assert_eq!(
            seen,
            [
                (Some("MAC"), "core/mac", 300.0, "ns"),
                (Some("sign"), "jose/sign/ES256", 21_000.5, "ns"),
                (
                    Some("index bytes per entry"),
                    "core/index/bytes_per_entry",
                    96.0,
                    "bytes"
                ),
                (None, "jose/verify_cached/hit", 90.0, "ns"),
            ]
        );
        assert!(
            report.missing.contains(&"verify"),
            "`verify_cached` is another measurement"
        );
        assert_eq!(report.missing.len(), 5);
        assert!(table(&report).contains("(no bench)"));
    }

    #[test]
    fn what_was_measured_before_this_run_is_not_reported() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a", r#"{"full_id":"a","throughput":null}"#, "1");
        let later = stamp(directory.path()).unwrap() + std::time::Duration::from_secs(1);
        assert_eq!(read_all(directory.path(), later).unwrap(), []);
        assert_eq!(
            read_all(directory.path(), SystemTime::UNIX_EPOCH).unwrap().len(),
            1
        );
    }

    #[test]
    fn bytes_without_a_throughput_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        write(
            directory.path(),
            "a",
            r#"{"full_id":"a/bytes_per_entry","throughput":null}"#,
            "1",
        );
        assert!(
            read_all(directory.path(), SystemTime::UNIX_EPOCH)
                .unwrap_err()
                .to_string()
                .contains("states no `Throughput::Bytes`")
        );
    }
}
