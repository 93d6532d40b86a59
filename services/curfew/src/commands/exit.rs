//! How a command ends, as a number that scripts can tell apart.
//!
//! **Invariant:** one table: the numbers, their meaning and the gRPC codes that lead to them stand here.

use std::process::ExitCode;

use tonic::Code;

/// How a command ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done,
    /// It failed, in a way that none of the others names.
    Failed,
    /// The command line, or a value in it, is wrong.
    Usage,
    /// It was understood and refused: dead, unknown, there already, or not permitted. A repetition is useless.
    Refused,
    /// The caller did not prove itself.
    Unauthenticated,
    /// Not now: unavailable, over a limit, or out of time. The same may succeed later.
    TryAgain,
}

impl Exit {
    /// All of them, by their numbers.
    pub(crate) const ALL: [Self; 6] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Refused,
        Self::Unauthenticated,
        Self::TryAgain,
    ];

    /// The number.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unauthenticated => 4,
            Self::TryAgain => 5,
        }
    }

    /// What it means, for `--help`.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "the command line, or a value in it, is wrong",
            Self::Refused => "refused: dead, unknown, there already or not permitted; do not repeat",
            Self::Unauthenticated => "the caller did not prove itself",
            Self::TryAgain => "not now: no answer, over a limit or out of time; try again",
        }
    }

    /// What an answer of a node ends a command with.
    pub(crate) const fn of(code: Code) -> Self {
        match code {
            Code::Ok => Self::Done,
            Code::InvalidArgument | Code::OutOfRange => Self::Usage,
            Code::NotFound | Code::AlreadyExists | Code::PermissionDenied | Code::FailedPrecondition => {
                Self::Refused
            }
            Code::Unauthenticated => Self::Unauthenticated,
            // Nobody here cancels: a call that is cancelled ran out of time.
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Cancelled => Self::TryAgain,
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Self::Failed,
        }
    }

    /// The table, for `--help`.
    pub(crate) fn table() -> String {
        let lines = Self::ALL.map(|exit| format!("  {}  {}\n", exit.number(), exit.meaning()));
        format!("Exit codes:\n{}", lines.concat())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_their_places() {
        for (i, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(exit.number()), i);
        }
    }

    #[test]
    fn dead_hiccup_and_nobody_are_told_apart() {
        for (code, expected) in [
            (Code::FailedPrecondition, 3),
            (Code::NotFound, 3),
            (Code::PermissionDenied, 3),
            (Code::Unauthenticated, 4),
            (Code::Unavailable, 5),
            (Code::ResourceExhausted, 5),
            (Code::DeadlineExceeded, 5),
            (Code::InvalidArgument, 2),
            (Code::Internal, 1),
        ] {
            assert_eq!(Exit::of(code).number(), expected, "{code:?}");
        }
    }
}
