//! Who may depend on whom: the table of the house, judged against every `Cargo.toml`.
//!
//! Normal and build dependencies are judged by the table; development dependencies may add what tests share.
//!
//! **Invariant:** a crate that the table does not know is a fault: whoever adds a crate decides its place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;

use cargo_metadata::Package;
use serde::Deserialize;

use crate::error::Failed;
use crate::workspace::{Workspace, dependencies, is_shipped};

/// What a part may use of ours.
enum MayUse {
    Only(&'static [&'static str]),
    /// Whatever is not in `services/testing`.
    AllButTesting,
    Anything,
}

const ADAPTER: MayUse = MayUse::Only(&[
    "curfew-ports",
    "curfew-core",
    "curfew-wire",
    "curfew-jose",
    "curfew-proto",
]);
const EDGE: MayUse = MayUse::Only(&[
    "curfew-authority",
    "curfew-core",
    "curfew-proto",
    "curfew-transport",
    "curfew-jose",
]);
const RESOURCE_SIDE: &[&str] = &[
    "curfew-core",
    "curfew-proto",
    "curfew-wire",
    "curfew-jose",
    "curfew-clock",
    "curfew-trace",
];

/// The table. The first line whose place is the crate's directory, or a parent of it, holds.
const TABLE: &[(&str, MayUse)] = &[
    ("proto", MayUse::Only(&[])),
    ("services/core", MayUse::Only(&[])),
    ("services/jose", MayUse::Only(&[])),
    ("services/wire", MayUse::Only(&["curfew-core", "curfew-proto"])),
    ("services/ports", MayUse::Only(&["curfew-core"])),
    (
        "services/authority",
        MayUse::Only(&["curfew-ports", "curfew-core", "curfew-jose", "curfew-trace"]),
    ),
    (
        "services/telemetry",
        MayUse::Only(&["curfew-authority", "curfew-grpc", "curfew-core"]),
    ),
    ("services/transport", MayUse::Only(&[])),
    ("services/trace", MayUse::Only(&[])),
    ("services/adapters", ADAPTER),
    (
        "services/edges/grpc",
        MayUse::Only(&[
            "curfew-authority",
            "curfew-core",
            "curfew-proto",
            "curfew-trace",
            "curfew-transport",
            "curfew-wire",
            "curfew-jose",
        ]),
    ),
    ("services/edges", EDGE),
    ("services/guard", MayUse::Only(RESOURCE_SIDE)),
    // Of the server it sees the log alone.
    (
        "services/guard-kafka",
        MayUse::Only(&[
            "curfew-guard",
            "curfew-kafka",
            "curfew-ports",
            "curfew-core",
            "curfew-jose",
            "curfew-clock",
        ]),
    ),
    (
        "services/sidecar",
        MayUse::Only(&[
            "curfew-guard",
            "curfew-core",
            "curfew-proto",
            "curfew-wire",
            "curfew-jose",
            "curfew-clock",
        ]),
    ),
    ("services/curfew", MayUse::AllButTesting),
    // It starts the servers of others, and knows nothing of ours.
    ("services/testing/servers", MayUse::Only(&[])),
    ("services/testing", MayUse::Anything),
    ("services/xtask", MayUse::Only(&["curfew-servers"])),
    // What a resource server sees, a bare engine, a bare script and a bare signature to be compared with, and servers
    // to inject faults into.
    (
        "load-tests",
        MayUse::Only(&[
            "curfew-guard",
            "curfew-guard-kafka",
            "curfew-core",
            "curfew-proto",
            "curfew-clock",
            "curfew-jose",
            "curfew-embedded",
            "curfew-redis",
            "curfew-ports",
            "curfew-servers",
        ]),
    ),
];

/// What development dependencies may add anywhere: the testkit, real servers, the fakes with their contract suites,
/// and the vault, since a fake vault would have to seal and sign as the real one does.
const FOR_TESTS: &[&str] = &["curfew-testkit", "curfew-servers", "curfew-ports", "curfew-keys"];

/// What a crate must not see, however many crates lie between.
const NEVER: &[(&str, &[&str])] = &[
    (
        "curfew-core",
        &["tokio", "tonic", "redis", "rdkafka", "redb", "curfew-proto"],
    ),
    (
        "curfew-ports",
        &["tonic", "redis", "rdkafka", "redb", "curfew-proto"],
    ),
    ("curfew-guard", &["redis", "rdkafka", "redb"]),
    ("curfew-guard-kafka", &["redis", "redb"]),
];

/// Every breach of the table, in words.
pub(crate) fn faults(workspace: &Workspace) -> Result<Vec<String>, Failed> {
    let mut faults: Vec<_> = workspace
        .packages
        .iter()
        .flat_map(|package| faults_of(workspace, package))
        .collect();
    let locked = Locked::read(workspace)?;
    for (name, never) in NEVER {
        let Some(package) = workspace.member(name) else {
            continue;
        };
        for chain in locked.chains_to(workspace, package, never) {
            faults.push(format!("{name} must never see this: {chain}"));
        }
    }
    Ok(faults)
}

fn faults_of(workspace: &Workspace, package: &Package) -> Vec<String> {
    let place = workspace.place(package);
    let Some((part, may_use)) = TABLE.iter().find(|(part, _)| place.starts_with(part)) else {
        return vec![format!(
            "{} lies in `{}`, which the table does not know",
            package.name,
            place.display()
        )];
    };
    let is_permitted = |used: &Package| match may_use {
        MayUse::Only(names) => names.contains(&used.name.as_str()),
        MayUse::AllButTesting => !workspace.place(used).starts_with("services/testing"),
        MayUse::Anything => true,
    };
    let judge = |kind: &str, names: BTreeSet<&str>, is_permitted: &dyn Fn(&Package) -> bool| {
        names
            .into_iter()
            .filter_map(|name| workspace.member(name))
            .filter(|used| !is_permitted(used))
            .map(|used| {
                format!(
                    "{} may not use {} ({kind}): {part} is not above it",
                    package.name, used.name
                )
            })
            .collect::<Vec<_>>()
    };
    let shipped = dependencies(package, is_shipped).collect();
    let for_tests = dependencies(package, |kind| !is_shipped(kind)).collect();
    let in_tests = |used: &Package| {
        FOR_TESTS.contains(&used.name.as_str()) || used.id == package.id || is_permitted(used)
    };
    [
        judge("dependency", shipped, &is_permitted),
        judge("dev-dependency", for_tests, &in_tests),
    ]
    .concat()
}

/// `Cargo.lock`: what the crates of others depend on.
///
/// It knows no kinds for our own crates, so for those their `Cargo.toml` is asked instead.
#[derive(Deserialize)]
struct Locked {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Locked {
    fn read(workspace: &Workspace) -> Result<Self, Failed> {
        let path = workspace.root.join("Cargo.lock");
        let text = fs::read_to_string(&path).map_err(|source| Failed::Read {
            path: path.clone(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| Failed::Malformed {
            path,
            what: error.to_string(),
        })
    }

    /// For each of `never` that `from` reaches, the shortest way to it.
    fn chains_to(&self, workspace: &Workspace, from: &Package, never: &[&str]) -> Vec<String> {
        // Who brought it in; the start has nobody.
        let mut brought_by: BTreeMap<String, Option<String>> = BTreeMap::new();
        brought_by.insert(from.name.to_string(), None);
        let mut to_visit = VecDeque::from([from.name.to_string()]);
        while let Some(name) = to_visit.pop_front() {
            for next in self.uses(workspace, &name) {
                if !brought_by.contains_key(&next) {
                    brought_by.insert(next.clone(), Some(name.clone()));
                    to_visit.push_back(next);
                }
            }
        }
        let reached = never.iter().filter(|name| brought_by.contains_key(**name));
        reached.map(|name| chain(&brought_by, name)).collect()
    }

    /// By name alone: of two versions of a crate, both are followed, which can only find more.
    fn uses(&self, workspace: &Workspace, name: &str) -> BTreeSet<String> {
        if let Some(package) = workspace.member(name) {
            return dependencies(package, is_shipped).map(str::to_owned).collect();
        }
        let of_name = self.package.iter().filter(|package| package.name == name);
        // `name`, or `name version` where there are several.
        let names = of_name.flat_map(|package| &package.dependencies);
        names
            .filter_map(|entry| entry.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    }
}

fn chain(brought_by: &BTreeMap<String, Option<String>>, to: &str) -> String {
    let mut names = vec![to];
    let mut at = to;
    while let Some(Some(from)) = brought_by.get(at) {
        names.push(from);
        at = from;
    }
    names.reverse();
    names.join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_keeps_to_its_layer() {
        let workspace = Workspace::load().unwrap();
        assert!(workspace.packages.len() > 10, "the whole workspace is judged");
        let faults = faults(&workspace).unwrap();
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    }

    #[test]
    fn what_lies_behind_another_crate_is_seen() {
        let workspace = Workspace::load().unwrap();
        let locked = Locked::read(&workspace).unwrap();
        let xtask = workspace.member("curfew-xtask").unwrap();
        let chains = locked.chains_to(&workspace, xtask, &["linux-raw-sys", "tonic"]);
        assert_eq!(chains, ["curfew-xtask → rustix → linux-raw-sys"]);
    }

    #[test]
    fn a_breach_is_named_with_its_crate_and_its_kind() {
        let mut workspace = Workspace::load().unwrap();
        let clock = workspace.member("curfew-clock").unwrap().clone();
        let wire = workspace
            .packages
            .iter_mut()
            .find(|package| package.name == "curfew-wire")
            .unwrap();
        // The clock's own dependencies, the core among them, become those of a crate that may not have them.
        wire.manifest_path = workspace
            .root
            .join("services/jose/Cargo.toml")
            .try_into()
            .unwrap();
        wire.dependencies = clock.dependencies;
        let faults = faults(&workspace).unwrap();
        let expected = "curfew-wire may not use curfew-core (dependency): services/jose is not above it";
        assert!(faults.iter().any(|fault| fault == expected), "{faults:?}");
    }

    #[test]
    fn a_crate_in_an_unknown_place_is_a_fault() {
        let mut workspace = Workspace::load().unwrap();
        let core = workspace
            .packages
            .iter_mut()
            .find(|package| package.name == "curfew-core")
            .unwrap();
        core.manifest_path = workspace.root.join("attic/core/Cargo.toml").try_into().unwrap();
        let faults = faults(&workspace).unwrap();
        let expected = "curfew-core lies in `attic/core`, which the table does not know";
        assert!(faults.iter().any(|fault| fault == expected), "{faults:?}");
    }
}
