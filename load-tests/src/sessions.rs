//! Sessions with one grant each, handed out one request at a time.
//!
//! A grant's refreshes are a chain: the next needs the token that the last one gave. So a session is
//! leased to one request and comes back with its newest token; the one unused longest goes first.
//! Where none is free, the schedule stays as it is: that request is not sent and counts as starved.
//!
//! **Invariant:** a session is leased to one request at a time, and a lease that is dropped, by an
//! answer or a time-out, brings it back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// A session with one grant, as a back end and its client hold it.
#[derive(Clone)]
pub(crate) struct Session {
    /// `tenants/{tenant}/sessions/{session}`.
    pub(crate) name: Box<str>,
    /// The newest refresh token.
    pub(crate) refresh_token: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}, ..)", self.name)
    }
}

/// The sessions that are free.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<VecDeque<Session>>>);

impl Sessions {
    pub(crate) fn of(sessions: impl IntoIterator<Item = Session>) -> Self {
        Self(Arc::new(Mutex::new(sessions.into_iter().collect())))
    }

    /// The session unused longest; `None`: all are leased.
    pub(crate) fn lease(&self) -> Option<Lease> {
        let session = self.lock().pop_front()?;
        Some(Lease {
            session: Some(session),
            sessions: self.clone(),
        })
    }

    pub(crate) fn put(&self, session: Session) {
        self.lock().push_back(session);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session in use.
#[derive(Debug)]
pub(crate) struct Lease {
    session: Option<Session>,
    sessions: Sessions,
}

impl Lease {
    pub(crate) fn name(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.name)
    }

    pub(crate) fn refresh_token(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.refresh_token)
    }

    /// The chain goes on with this token.
    pub(crate) fn renew(&mut self, refresh_token: String) {
        if let Some(session) = &mut self.session {
            session.refresh_token = refresh_token;
        }
    }

    /// The session is over: it does not come back.
    pub(crate) fn end(mut self) {
        self.session = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.sessions.put(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: u8) -> Session {
        Session {
            name: format!("tenants/acme/sessions/{n}").into(),
            refresh_token: format!("cfr_{n}"),
        }
    }

    #[test]
    fn the_one_unused_longest_is_leased_once_and_comes_back_with_its_newest_token() {
        let sessions = Sessions::of([session(1), session(2)]);
        let mut one = sessions.lease().unwrap();
        let two = sessions.lease().unwrap();
        assert!(sessions.lease().is_none(), "both are in use");
        one.renew("cfr_next".to_owned());
        drop(one);
        drop(two);
        let again = sessions.lease().unwrap();
        assert_eq!(
            (again.name(), again.refresh_token()),
            ("tenants/acme/sessions/1", "cfr_next")
        );
    }

    #[test]
    fn an_ended_session_does_not_come_back_and_a_token_is_not_printed() {
        let sessions = Sessions::of([session(1)]);
        let lease = sessions.lease().unwrap();
        assert!(!format!("{lease:?}").contains("cfr_1"));
        lease.end();
        assert!(sessions.lease().is_none());
    }
}
