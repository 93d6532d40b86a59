//! Installs what the servers need, on a Debian and as root; elsewhere it says what to install.
//!
//! **Invariant:** no service of the system is started: a package brings a program, and we run it ourselves.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use curfew_servers::missing;

use crate::error::Failed;
use crate::program;

/// Whoever installs a package on Debian asks this program whether services may be started; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

pub(super) fn what_is_missing() -> Result<(), Failed> {
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|missing| missing.program).collect();
    let packages: Vec<_> = missing.iter().map(|missing| missing.package).collect();
    let command = format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !rustix::process::geteuid().is_root() || !program::exists("apt-get") {
        return Err(Failed::Said(format!(
            "not installed: {}; run `{command}` as root, or what is the same on this system",
            programs.join(", ")
        )));
    }
    eprintln!("installing {}: {command}", programs.join(", "));
    let _no_services = NoServices::start()?;
    let here = Path::new("/");
    program::run_aside(here, "apt-get", &["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages);
    program::run_aside(here, "apt-get", &arguments)
}

/// Forbids services until it is dropped, unless somebody has decided already.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn start() -> Result<Self, Failed> {
        let created = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o755)
            .open(POLICY);
        let wrong = |source| Failed::Write {
            path: POLICY.into(),
            source,
        };
        match created {
            Ok(mut file) => {
                file.write_all(b"#!/bin/sh\nexit 101\n").map_err(wrong)?;
                Ok(Self { is_ours: true })
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Self { is_ours: false }),
            Err(source) => Err(wrong(source)),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            // Left behind it would keep services from starting for ever: that is said, and nothing else can be done.
            if let Err(error) = fs::remove_file(POLICY) {
                eprintln!("cannot remove {POLICY}: {error}; remove it, it keeps services from starting");
            }
        }
    }
}
