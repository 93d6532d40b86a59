//! A node of this machine: settings, directory or shared servers, disk, clock, keys, certificates, ports, the node itself.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use curfew_clock::SystemClock;
use curfew_core::time::Clock as _;
use curfew_transport::{Protocol, Tls};

use super::finding::{Findings, words};
use super::{remote, shared};
use crate::cli::Failure;
use crate::client::connect;
use crate::config::{self, Config, ConfigArgs, Listening, RootKeySource};
use crate::node::address_of;

/// Less than this is hours of a busy node: 50 bytes of log a refresh, 5,000 a second, are 900 MB an hour.
const DISK_FAULT: u64 = 256 << 20;
/// Less than this should be looked at this week.
const DISK_WARNING: u64 = 4 << 30;
/// A certificate that ends sooner should have been renewed: those of ACME live 90 days and are renewed after 60.
const CERTIFICATE_WARNING_S: i64 = 14 * 24 * 3_600;
/// What a node's clock may be before its newest commit (δ).
const CLOCK_ERROR: Duration = Duration::from_millis(500);

pub(super) async fn look(args: &ConfigArgs, findings: &mut Findings) -> Result<(), Failure> {
    let (warnings, judged) = config::examine(args)?;
    for warning in warnings {
        findings.warning(
            "environment",
            warning,
            "unset it, or write it as the setting's name",
        );
    }
    let config = match judged {
        Ok(config) => config,
        Err(faulty) => {
            for fault in faulty.faults {
                findings.fault(
                    "configuration",
                    fault,
                    "change it there; `curfew config sample` shows each setting",
                );
            }
            return Ok(());
        }
    };
    let file = args.config.as_ref().map(|file| file.display().to_string());
    findings.well(
        "configuration",
        file.unwrap_or_else(|| "defaults and environment".to_owned()),
    );
    match &config.shared {
        Some(shared) => shared::look(shared, findings).await,
        None => {
            directory(&config.data, findings);
            disk(&config.data, findings);
            clock(&config.data, findings);
        }
    }
    keys(&config, findings);
    let running = address_of(&config.data).ok().filter(|_| config.shared.is_none());
    for (name, listening, protocol) in [
        ("grpc.listen", Some(&config.grpc), Protocol::Grpc),
        ("http.listen", Some(&config.http), Protocol::Http),
        ("metrics.listen", config.metrics.as_ref(), Protocol::Http),
    ] {
        if let Some(listening) = listening {
            certificate(name, listening, protocol, findings);
            if running.is_none() {
                port(name, listening, findings);
            }
        }
    }
    match running {
        None if config.shared.is_some() => findings.well(
            "node",
            "nodes that share their state are looked at one by one: curfew doctor --address HOST:PORT",
        ),
        None => findings.well(
            "node",
            "none is running on this directory; start one with `curfew serve`",
        ),
        Some(address) => match connect(&address).await {
            Ok(channel) => remote::health(channel, &address, findings).await,
            Err(error) => findings.fault(
                "node",
                format!(
                    "{address} is where it said it listens, and nothing answers: {}",
                    words(&*error)
                ),
                "it was killed, or hangs: look at its log, and start it again",
            ),
        },
    }
    Ok(())
}

fn directory(data: &Path, findings: &mut Findings) {
    let check = "directory";
    let shown = data.display();
    let about = match std::fs::metadata(data) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return findings.well(
                check,
                format!("{shown} is not there yet; the first start makes it"),
            );
        }
        Err(error) => return findings.fault(check, format!("{shown}: {error}"), "let this user read it"),
        Ok(about) => about,
    };
    if !about.is_dir() {
        return findings.fault(
            check,
            format!("{shown} is no directory"),
            "set `data` to another path",
        );
    }
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return findings.fault(
            check,
            format!("{shown} is open to others (mode {mode:04o}): it holds keys"),
            format!("chmod 700 {shown}"),
        );
    }
    let own = rustix::process::geteuid().as_raw();
    if about.uid() != own {
        return findings.fault(
            check,
            format!(
                "{shown} belongs to the user {}, and this is the user {own}",
                about.uid()
            ),
            format!("run as that user, or: chown -R {own} {shown}"),
        );
    }
    // Gone again at once: the only way to know that a file can be made.
    match tempfile::tempfile_in(data) {
        Ok(_) => findings.well(check, format!("{shown} is private and can be written")),
        Err(error) => findings.fault(
            check,
            format!("{shown} cannot be written: {error}"),
            "mount it read-write, and make room",
        ),
    }
}

fn disk(data: &Path, findings: &mut Findings) {
    let check = "disk";
    // Where nothing is yet, the place that it will be in.
    let there = data
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() {
        Path::new(".")
    } else {
        there
    };
    let told = match rustix::fs::statvfs(there) {
        Ok(told) => told,
        Err(error) => {
            return findings.warning(
                check,
                format!("{}: {error}", there.display()),
                "look at the mount",
            );
        }
    };
    let free = told.f_bavail.saturating_mul(told.f_frsize);
    let what = format!("{} MiB free at {}", free >> 20, there.display());
    if free < DISK_FAULT {
        findings.fault(
            check,
            what,
            "make room: a full disk answers every commit UNAVAILABLE",
        );
    } else if free < DISK_WARNING {
        findings.warning(check, what, "make room within the week");
    } else {
        findings.well(check, what);
    }
}

/// A clock that is behind what was written is one that was set back.
fn clock(data: &Path, findings: &mut Findings) {
    let check = "clock";
    let now_ms = SystemClock.now().wall.as_unix_ms();
    let newest = std::fs::read_dir(data)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|about| about.mtime().saturating_mul(1_000))
        .max();
    let ahead_ms = newest.map_or(0, |newest| newest.saturating_sub(now_ms));
    if u128::try_from(ahead_ms).is_ok_and(|ahead| ahead > CLOCK_ERROR.as_millis()) {
        findings.fault(
            check,
            format!(
                "this clock is {} s behind the newest file of the data",
                ahead_ms / 1_000
            ),
            "set the clock (NTP); if it is right now and was wrong before: curfew serve --accept-clock",
        );
    } else {
        findings.well(check, "not behind the data");
    }
}

fn keys(config: &Config, findings: &mut Findings) {
    let check = "root key";
    match &config.root_key {
        RootKeySource::Given(_) => findings.well(check, "from the environment"),
        // Reading one that is not there would make it.
        RootKeySource::FileOrNew(file) if !file.exists() => {
            let is_new = std::fs::read_dir(&config.data).is_ok_and(|mut entries| entries.next().is_none())
                || !config.data.exists();
            if is_new {
                findings.well(check, format!("{} is made at the first start", file.display()));
            } else {
                findings.fault(
                    check,
                    format!("{} is gone, and there is data sealed under it", file.display()),
                    "put it back from a copy: without it no key of this directory can be read",
                );
            }
        }
        source @ (RootKeySource::FileOrNew(file) | RootKeySource::File(file)) => match source.key() {
            Ok(_) => findings.well(check, format!("{} is private and can be read", file.display())),
            Err(error) => findings.fault(check, words(&error), format!("chmod 600 {}", file.display())),
        },
    }
}

fn certificate(name: &'static str, listening: &Listening, protocol: Protocol, findings: &mut Findings) {
    let check = "certificate";
    let Some(files) = &listening.tls else {
        return findings.well(check, format!("{name} {}: plain text", listening.address));
    };
    let now_s = SystemClock.now().wall.as_unix_ms() / 1_000;
    match Tls::load(files.clone(), protocol, now_s) {
        Ok(tls) => {
            let left_s = tls.certificate().not_after_s.saturating_sub(now_s);
            let what = format!(
                "{name}: {} has {} days left",
                files.certificate.display(),
                left_s / 86_400
            );
            if left_s < CERTIFICATE_WARNING_S {
                findings.warning(check, what, "renew it; the node reads it by itself");
            } else {
                findings.well(check, what);
            }
        }
        Err(error) => findings.fault(
            check,
            format!("{name}: {}", words(&error)),
            "put files there that belong together; the message names the one",
        ),
    }
}

fn port(name: &'static str, listening: &Listening, findings: &mut Findings) {
    let check = "port";
    match TcpListener::bind(listening.address) {
        Ok(_) => findings.well(check, format!("{name} {} is free", listening.address)),
        Err(error) => findings.fault(
            check,
            format!("{name} {}: {error}", listening.address),
            format!("stop what has it (ss -ltnp), or set `{name}` to another"),
        ),
    }
}
