//! What was found: a line for each check, and the fix of what is wrong.

use serde_json::{Value, json};

use crate::commands::print::plain;

/// How it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// As it should be.
    Well,
    /// It works, and should be looked at.
    Warning,
    /// It does not work, or will not for long.
    Fault,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

#[derive(Debug)]
struct Finding {
    check: &'static str,
    state: State,
    what: String,
    fix: Option<String>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// As it should be.
    pub(super) fn well(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(check, State::Well, what.into(), None);
    }

    /// To be looked at.
    pub(super) fn warning(&mut self, check: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.add(check, State::Warning, what.into(), Some(fix.into()));
    }

    /// Wrong.
    pub(super) fn fault(&mut self, check: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.add(check, State::Fault, what.into(), Some(fix.into()));
    }

    fn add(&mut self, check: &'static str, state: State, what: String, fix: Option<String>) {
        self.0.push(Finding {
            check,
            state,
            what,
            fix,
        });
    }

    /// Whether anything is so.
    pub(super) fn has(&self, state: State) -> bool {
        self.0.iter().any(|finding| finding.state == state)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.0 {
            text.push_str(&format!(
                "{:<8} {:<13} {}\n",
                finding.state.as_str(),
                finding.check,
                plain(&finding.what)
            ));
            let fix = finding.fix.iter().flat_map(|fix| fix.lines());
            for (number, line) in fix.enumerate() {
                let word = if number == 0 { "do" } else { "" };
                text.push_str(&format!("         {word:<13} {}\n", plain(line)));
            }
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let findings: Vec<_> = self
            .0
            .iter()
            .map(|finding| {
                json!({
                    "check": finding.check,
                    "state": finding.state.as_str(),
                    "what": finding.what,
                    "fix": finding.fix,
                })
            })
            .collect();
        json!({"ok": !self.has(State::Fault), "findings": findings})
    }
}

/// An error with all its causes, in one line.
pub(super) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        // Some errors repeat their cause.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
