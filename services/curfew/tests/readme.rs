//! Every block of README.md is run, in order, as a reader would run it, and prints what the page says.
//!
//! **Invariant:** no block is skipped; a program that the page needs and that is missing fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod page;
mod terminal;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use page::{Block, blocks, missing_line};
use terminal::Terminal;

const PAGE: &str = include_str!("../../../README.md");
/// The block that a reader leaves running in a terminal of its own, and the line that says it is there.
const SERVE: (&str, &str) = ("cargo run --release -- serve", "ready");
/// The page's ports: each is replaced by a free one.
const PORTS: [&str; 5] = ["7400", "7480", "8080", "7401", "7402"];
/// How many blocks the page has: one that is added or lost is noticed.
const BLOCKS: usize = 13;

#[test]
fn every_block_of_the_readme_runs_and_prints_what_the_page_says() {
    let directory = tempfile::tempdir().unwrap();
    let house = House::build(directory.path());
    house.needs_its_programs();

    let mut terminals = vec![Terminal::open(directory.path(), &house.environment)];
    let mut ran = 0;
    for Block { line, text, prints } in blocks(&house.with_free_ports(PAGE)) {
        let printed = if text.trim() == SERVE.0 {
            terminals.push(Terminal::open(directory.path(), &house.environment));
            terminals.last_mut().unwrap().run_until(&text, SERVE.1)
        } else {
            terminals[0].run(&text)
        };
        let printed =
            printed.unwrap_or_else(|failed| panic!("README.md:{line}: {}\n{}", failed.what, failed.printed));
        if let Some(missing) = missing_line(&prints, &printed) {
            panic!("README.md:{line}: the page says that it prints\n{missing}\nbut it printed\n{printed}");
        }
        ran += 1;
    }
    assert_eq!(ran, BLOCKS, "blocks of README.md that were run");
    // The servers may have said more than their blocks showed, but nothing of the page's failed unseen.
    assert_eq!(terminals.len(), 2, "one terminal for `serve`, one for the rest");
}

#[test]
fn the_ports_of_the_page_are_those_of_the_programs() {
    let sample = fs::read_to_string(root().join("deploy/curfew.toml")).unwrap();
    let example = fs::read_to_string(root().join("services/guard/examples/axum_api.rs")).unwrap();
    for (port, text) in PORTS.iter().zip([&sample, &sample, &example]) {
        assert!(text.contains(&format!("\"127.0.0.1:{port}\"")), "{port}");
        assert!(PAGE.contains(&format!("127.0.0.1:{port}")), "{port}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The directory in which the page is tried: the repository linked in, a `cargo` of its own, free ports.
struct House {
    environment: Vec<(String, String)>,
    ports: [u16; PORTS.len()],
    #[expect(dead_code, reason = "dropped, it ends what the page starts")]
    deps: Deps,
}

/// The servers that `cargo xtask deps up` starts; they outlive whoever started them.
struct Deps(PathBuf);

impl Drop for Deps {
    fn drop(&mut self) {
        // The page's own last block has done it where the test went well.
        if let Err(error) = curfew_servers::kill_all_in(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

impl House {
    fn build(directory: &Path) -> Self {
        let root = root();
        for name in ["deploy", "load-tests", "proto", "services", "Cargo.toml"] {
            symlink(root.join(name), directory.join(name)).unwrap();
        }
        // What the page installs stays installed: a second run need not fetch it.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let tools = target.join("tools");
        fs::create_dir_all(tools.join("bin")).unwrap();
        fs::create_dir(directory.join("target")).unwrap();
        symlink(&tools, directory.join("target/tools")).unwrap();

        let bin = directory.join(".bin");
        fs::create_dir(&bin).unwrap();
        let example = built_example(&root, target);
        fs::write(bin.join("cargo"), shim(&root, &example)).unwrap();
        fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();

        let ports = free_ports();
        let home = std::env::var("HOME").unwrap_or_default();
        let path = std::env::var("PATH").unwrap();
        let path = format!(
            "{}:{path}:{}:{home}/go/bin",
            bin.display(),
            tools.join("bin").display()
        );
        let [grpc, http, api, ..] = ports.map(|port| format!("127.0.0.1:{port}"));
        let environment = [
            ("PATH", path),
            ("CURFEW_GRPC_LISTEN", grpc.clone()),
            ("CURFEW_HTTP_LISTEN", http.clone()),
            ("CURFEW_ADDRESS", grpc.clone()),
            ("HUB", format!("http://{grpc}")),
            ("ISSUER", format!("http://{http}/acme")),
            ("LISTEN", api),
        ];
        Self {
            deps: Deps(directory.join("target/deps")),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
            ports,
        }
    }

    fn with_free_ports(&self, page: &str) -> String {
        let ports = PORTS.iter().zip(self.ports);
        ports.fold(page.to_owned(), |page, (port, free)| {
            page.replace(port, &free.to_string())
        })
    }

    /// All that is missing is told at once, with what installs it.
    fn needs_its_programs(&self) {
        let path = &self.environment[0].1;
        let is_missing = |command: &[&str]| {
            let mut program = Command::new("env");
            let program = program.args(command).env("PATH", path);
            !program.output().is_ok_and(|output| output.status.success())
        };
        let grpcurl = "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";
        let python = "apt-get install python3 python3-venv";
        let missing: Vec<_> = [
            (&["bash", "--version"][..], "apt-get install bash"),
            (&["curl", "--version"], "apt-get install curl"),
            (&["jq", "--version"], "apt-get install jq"),
            (&["grpcurl", "-version"], grpcurl),
            (&["python3", "-c", "import ensurepip, venv"], python),
        ]
        .into_iter()
        .filter(|(command, _)| is_missing(command))
        .map(|(command, install)| format!("{} is missing: {install}", command[0]))
        .collect();
        assert!(
            missing.is_empty(),
            "README.md needs programs\n{}",
            missing.join("\n")
        );
    }
}

/// Ports that are free now, and below those that the system gives to whoever asks for any: the servers come
/// later, and nothing takes a port meanwhile.
fn free_ports() -> [u16; PORTS.len()] {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let held: Vec<_> = (first..32_768)
        .filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .take(PORTS.len())
        .collect();
    let ports = held.iter().map(|listener| listener.local_addr().unwrap().port());
    ports.collect::<Vec<_>>().try_into().unwrap()
}

/// The guarded API, built as `cargo test --workspace --all-features` builds it.
fn built_example(root: &Path, target: &Path) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let cargo = cargo
        .current_dir(root)
        .args(["build", "--quiet", "--workspace", "--all-features"]);
    let built = cargo.args(["--example", "axum_api"]).status().unwrap();
    assert!(built.success(), "the example does not build");
    target.join("debug/examples/axum_api")
}

/// A `cargo` that knows the page's commands and no other.
fn shim(root: &Path, example: &Path) -> String {
    format!(
        r#"#!/usr/bin/env bash
set -euo pipefail
case "$*" in
    "run --release -- "?* | "run --quiet --release -- "?*)
        while [[ "$1" != -- ]]; do shift; done
        shift
        exec '{curfew}' "$@" ;;
    "run --release -p curfew-guard --example axum_api -- "?*)
        while [[ "$1" != -- ]]; do shift; done
        shift
        exec '{example}' "$@" ;;
    "xtask deps "?*)
        shift
        set -- --package curfew-xtask -- "$@" --directory "$PWD/target/deps"
        cd '{root}'
        exec '{cargo}' run --quiet "$@" ;;
    "xtask test")
        # To run the tests in a test would not end: that the command is there is what can be said.
        cd '{root}'
        exec '{cargo}' run --quiet --package curfew-xtask -- test --help ;;
    *)
        echo "README.md asks cargo for what no test knows: $*" >&2
        exit 97 ;;
esac
"#,
        curfew = env!("CARGO_BIN_EXE_curfew"),
        example = example.display(),
        root = root.display(),
        cargo = env!("CARGO"),
    )
}
