//! What went wrong, with what to do about it: found here, or told by a node.
//!
//! **Invariant:** whatever a node says is printed without its control characters: a name that somebody chose cannot steer a terminal.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use curfew_core::refusal::Reason;
use serde_json::{Map, Value, json};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::exit::Exit;
use super::print::plain;

/// Something that was found wrong before or beside an answer of a node.
#[derive(Debug)]
pub(crate) struct Fault {
    exit: Exit,
    message: String,
    fix: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            fix: String::new(),
            source: None,
        }
    }

    /// The command line, or a value in it, is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// How a command ends with it.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// With what to do.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// With what lies behind it.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// A refusal of a node, said of one thing among several.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) status: Status,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.status.message())
    }
}

impl Error for About {}

/// An error as it is told to people and programs.
#[derive(Debug)]
pub(crate) struct Told {
    exit: Exit,
    message: String,
    code: Option<&'static str>,
    reason: String,
    stage: Option<(String, String)>,
    fixer: String,
    fix: String,
    help: String,
    retry_after: Option<Duration>,
    fields: Vec<(String, String)>,
    is_quiet: bool,
}

impl Told {
    /// Finds what is known of an error.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        if let Some(About { name, status }) = error.downcast_ref() {
            let mut told = Self::by_node(status);
            told.message = format!("{name}: {}", told.message);
            return told;
        }
        if let Some(status) = error.downcast_ref::<Status>() {
            return Self::by_node(status);
        }
        let mut told = Self::plain(Exit::Failed, with_causes(error));
        if let Some(fault) = error.downcast_ref::<Fault>() {
            told.exit = fault.exit;
            told.fix.clone_from(&fault.fix);
        }
        // Whoever read our output has seen enough of it, as `head` has.
        told.is_quiet = error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe);
        told
    }

    const fn plain(exit: Exit, message: String) -> Self {
        Self {
            exit,
            message,
            code: None,
            reason: String::new(),
            stage: None,
            fixer: String::new(),
            fix: String::new(),
            help: String::new(),
            retry_after: None,
            fields: Vec::new(),
            is_quiet: false,
        }
    }

    fn by_node(status: &Status) -> Self {
        let mut told = Self::plain(Exit::of(status.code()), status.message().to_owned());
        told.code = Some(name_of(status.code()));
        // A status that the transport made has its cause behind it.
        if let Some(source) = status.source() {
            told.message = format!("{}: {}", told.message, with_causes(source));
        }
        told.add(&status.get_error_details());
        told
    }

    fn add(&mut self, details: &ErrorDetails) {
        if let Some(info) = details.error_info() {
            let said = |name: &str| info.metadata.get(name).cloned().unwrap_or_default();
            self.reason.clone_from(&info.reason);
            self.stage = Some((said("stage_number"), said("stage")));
            self.fixer = said("fixer");
            let code = format!("CURFEW_{}", info.reason);
            if let Some(reason) = Reason::ALL.iter().find(|reason| reason.code() == code) {
                // The pair belongs together; a node may have had a narrower reason in mind than it tells.
                reason.fix().clone_into(&mut self.fix);
                reason.fixer().as_str().clone_into(&mut self.fixer);
            }
        }
        if let Some(link) = details.help().and_then(|help| help.links.first()) {
            self.help.clone_from(&link.url);
            if self.fix.is_empty() {
                self.fix.clone_from(&link.description);
            }
        }
        self.retry_after = details.retry_info().and_then(|info| info.retry_delay);
        if let Some(bad) = details.bad_request() {
            let field =
                |fault: &tonic_types::FieldViolation| (fault.field.clone(), fault.description.clone());
            self.fields = bad.field_violations.iter().map(field).collect();
        }
    }

    /// Prints it to standard error; the exit code.
    pub(crate) fn print(&self, json: bool) -> ExitCode {
        use std::io::Write as _;
        if self.is_quiet {
            return Exit::Done.into();
        }
        let text = if json {
            format!("{}\n", self.json())
        } else {
            self.to_string()
        };
        // Where standard error is gone as well, the exit code is all that is left to tell.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
        self.exit.into()
    }

    /// One object: `{"error": {…}}`.
    pub(crate) fn json(&self) -> Value {
        let mut told = Map::new();
        told.insert("exitCode".to_owned(), self.exit.number().into());
        told.insert("message".to_owned(), self.message.as_str().into());
        let mut text = |name: &str, text: &str| {
            if !text.is_empty() {
                told.insert(name.to_owned(), text.into());
            }
        };
        text("code", self.code.unwrap_or_default());
        text("reason", &self.reason);
        text("fixer", &self.fixer);
        text("fix", &self.fix);
        text("help", &self.help);
        if let Some((number, word)) = &self.stage {
            let number = number.parse::<u8>().ok();
            told.insert("stage".to_owned(), json!({"number": number, "word": word}));
        }
        if let Some(delay) = self.retry_after {
            let seconds = delay.as_secs_f64();
            told.insert("retryDelay".to_owned(), format!("{seconds}s").into());
        }
        if !self.fields.is_empty() {
            let field = |(field, what): &(String, String)| json!({"field": field, "description": what});
            let fields: Vec<_> = self.fields.iter().map(field).collect();
            told.insert("fieldViolations".to_owned(), fields.into());
        }
        json!({"error": told})
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "curfew: {}", plain(&self.message))?;
        if !self.reason.is_empty() {
            write!(
                f,
                "  reason  {} ({})",
                plain(&self.reason),
                self.code.unwrap_or_default()
            )?;
            if let Some((number, word)) = &self.stage {
                write!(f, ", stage {} {}", plain(number), plain(word))?;
            }
            writeln!(f)?;
        } else if let Some(code) = self.code {
            writeln!(f, "  code    {code}")?;
        }
        if !self.fix.is_empty() {
            let fixer = if self.fixer.is_empty() {
                String::new()
            } else {
                format!("{}: ", plain(&self.fixer))
            };
            writeln!(f, "  fix     {fixer}{}", plain(&self.fix))?;
        }
        if let Some(delay) = self.retry_after {
            let delay = jiff::SignedDuration::try_from(delay).unwrap_or_default();
            writeln!(f, "  retry   in {delay:#}, with the same arguments")?;
        }
        if !self.help.is_empty() {
            writeln!(f, "  help    {}", plain(&self.help))?;
        }
        Ok(())
    }
}

/// An error and all its causes, in one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

/// The code as the specification spells it.
const fn name_of(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Status {
        let about = [
            ("stage", "issuance"),
            ("stage_number", "6"),
            ("fixer", "operator"),
        ];
        let about = about.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut details = ErrorDetails::with_error_info("OVERLOADED", "curfew", about);
        details.set_retry_info(Some(Duration::from_millis(1_500)));
        details.add_help_link("", "https://x.example/errors/CURFEW_OVERLOADED");
        Status::with_error_details(tonic::Code::ResourceExhausted, "too much\u{1b}[31m", details)
    }

    #[test]
    fn a_refusal_tells_people_reason_stage_fix_help_and_when_to_repeat() {
        let text = Told::of(&refused()).to_string();
        for part in [
            "OVERLOADED (RESOURCE_EXHAUSTED), stage 6 issuance",
            "operator: repeat after the told delay",
            "https://x.example/errors/CURFEW_OVERLOADED",
            "1s 500ms",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_refusal_tells_programs_the_same() {
        let told = &Told::of(&refused()).json()["error"];
        assert_eq!(told["exitCode"], 5);
        assert_eq!(told["reason"], "OVERLOADED");
        assert_eq!(told["stage"], json!({"number": 6, "word": "issuance"}));
        assert_eq!(told["retryDelay"], "1.5s");
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let gone = std::io::Error::from(ErrorKind::BrokenPipe);
        assert!(Told::of(&gone).is_quiet);
    }
}
