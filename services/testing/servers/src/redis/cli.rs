//! `redis-cli`.
//!
//! **Invariant:** a password is never among its arguments, where everybody on the machine could read it.

use std::process::Command;
use std::time::Duration;

use super::RedisOptions;
use crate::error::Error;
use crate::program::REDIS_CLI;

/// Longer than any command of a test takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs one command on the server of this port, and gives back what it prints.
pub(super) fn run(options: &RedisOptions, port: u16, arguments: &[&str]) -> Result<String, Error> {
    run_with(&[], options, port, arguments)
}

/// The same, and goes to where the cluster sends it.
pub(super) fn run_following(options: &RedisOptions, port: u16, arguments: &[&str]) -> Result<String, Error> {
    run_with(&["-c"], options, port, arguments)
}

fn run_with(more: &[&str], options: &RedisOptions, port: u16, arguments: &[&str]) -> Result<String, Error> {
    let name = arguments.first().copied().unwrap_or_default();
    let output = REDIS_CLI.output(LIMIT, |cli| {
        // An error of the server is a failure of the program.
        cli.args(["-e", "-h", "127.0.0.1", "-p", &port.to_string()]);
        cli.args(more);
        connect_as(cli, options);
        cli.args(arguments);
    })?;
    let out = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(out.trim_end_matches('\n').to_owned());
    }
    let err = String::from_utf8_lossy(&output.stderr);
    Err(Error::Refused {
        command: name.to_owned(),
        said: format!("{}{}", out.trim(), err.trim()),
    })
}

fn connect_as(cli: &mut Command, options: &RedisOptions) {
    if let Some((name, password)) = &options.user {
        cli.env("REDISCLI_AUTH", password).args(["--user", name]);
    }
    if let Some(tls) = &options.tls {
        cli.arg("--tls").arg("--cacert").arg(&tls.ca);
        cli.arg("--cert").arg(&tls.certificate);
        cli.arg("--key").arg(&tls.key);
    }
}
