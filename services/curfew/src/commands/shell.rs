//! `curfew completions` and `curfew man`: the command line, told to shells and to `man`.

use std::path::PathBuf;

use clap_complete::Shell;

use super::exit::Exit;
use super::fault::Fault;
use super::print;
use crate::cli::Failure;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::command(), "curfew", &mut script);
    print::text(&String::from_utf8(script)?)
}

/// Prints the page of `curfew`, or writes one page for each command into a directory.
pub(crate) fn man(out: Option<PathBuf>) -> Result<(), Failure> {
    let mut command = crate::cli::command();
    command.build();
    let Some(out) = out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return print::text(&String::from_utf8(page)?);
    };
    let told = |error: std::io::Error| Fault::new(Exit::Failed, out.display().to_string()).because(error);
    std::fs::create_dir_all(&out).map_err(told)?;
    clap_mangen::generate_to(command, &out).map_err(told)?;
    Ok(())
}
