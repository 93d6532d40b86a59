//! What is missing on this machine.

use crate::error::Error;
use crate::kafka::jars;
use crate::program::{JAVA, KCAT, MAVEN, Program, REDIS_CLI, REDIS_SERVER};

/// A program that is not on `PATH`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Its name.
    pub program: &'static str,
    /// The package of Debian that has it.
    pub package: &'static str,
}

/// What every server of this crate needs and this machine has not.
///
/// # Errors
/// The cache cannot be looked at.
pub fn missing() -> Result<Vec<Missing>, Error> {
    let mut needed = vec![REDIS_SERVER, REDIS_CLI, JAVA, KCAT];
    if !jars::are_there()? {
        needed.push(MAVEN);
    }
    let missing = needed.into_iter().filter(|program| !program.is_on_path());
    Ok(missing
        .map(|Program { name, package }| Missing {
            program: name,
            package,
        })
        .collect())
}
