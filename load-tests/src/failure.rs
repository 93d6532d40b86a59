//! Whatever goes wrong, for the person who ran the command.

/// An error with its causes.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Prints an error with all its causes.
pub(crate) fn tell(error: &(dyn std::error::Error + 'static)) {
    eprint!("curfew-load: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    eprintln!();
}
