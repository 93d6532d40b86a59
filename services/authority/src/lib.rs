//! The use cases of Curfew: read, decide, commit, answer.
//!
//! Each file is one use case. All of them go through [`transact`](Authority): one read, one pure
//! decision, one commit, again on a conflict; what is signed is signed afterwards.
//!
//! **Invariant:** no protocol rule is written here; the core decides. Nothing here knows a wire
//! format or a concrete store.

mod answer;
mod app_token;
mod bootstrap;
mod callers;
mod client_auth;
mod config;
mod create_revocation;
mod create_session;
mod directory;
mod end;
mod explain;
mod feed;
mod follower;
mod introspect;
mod issue_tokens;
mod journal;
mod key_ring;
mod log_first;
mod measured;
mod metrics;
mod node;
mod operation;
mod operator;
mod page;
mod preview_revocation;
mod publish;
mod read_sessions;
mod recent;
mod recovery;
mod refresh_tokens;
mod relay;
mod revoke_token;
mod ring;
mod seeds;
mod seen;
mod snapshot;
mod subjects;
mod subscribers;
mod transact;
mod unmerged;
mod update_session;
mod verify;

pub use answer::{Answer, Level, Published};
pub use app_token::{AppToken, AppTokenRequest};
pub use bootstrap::Bootstrapped;
pub use callers::{Credentials, Identity};
pub use client_auth::ClientProof;
pub use config::Config;
pub use create_revocation::{RevocationAnswer, RevocationRequest, Target};
pub use create_session::{CreateSessionRequest, SessionOpened};
pub use directory::{Directory, Loaded};
pub use end::{EndAnswer, EndOthersAnswer};
pub use explain::{Explanation, TokenKind};
pub use feed::{Bounds, FeedTail, LogEntry, LogError};
pub use introspect::Introspection;
pub use issue_tokens::{IssueRequest, IssuedTokens};
pub use journal::{Journal, JournalEntry};
pub use metrics::{
    CommitEnd, Histogram, LATENCY_BOUNDS_US, LogOperation, Metrics, RefreshEnd, StoreOperation,
};
pub use node::{Authority, Parts};
pub use operation::operation_of;
pub use operator::{AdoptRequest, Adopted, Examined, OpenRequest, Opened, Trouble};
pub use page::PageScope;
pub use preview_revocation::Preview;
pub use publish::answering_within;
pub use read_sessions::{SessionFilter, SessionPage, SessionView};
pub use recovery::Recovered;
pub use refresh_tokens::{RefreshRequest, RefreshedTokens};
pub use revoke_token::Revoked;
pub use ring::Ring;
pub use snapshot::PartitionSnapshot;
pub use subjects::{SubjectAnswer, SubjectView};
pub use subscribers::{Progress, Subscriber};
pub use update_session::UpdateSessionRequest;
