//! One guarded API in a process of its own: a guard on the hub's stream or on the topic itself, and requests
//! with tokens.
//!
//! Its first line of standard input is its settings; then `token N TOKEN` and `watch N FROM`. It
//! prints `ready`, `admitted N`, `refused N INSTANT`, `other N REASON`. From the instant FROM on a
//! request is made with token N at a steady pace, until it is refused because a revocation covers it.
//!
//! **Invariant:** an instant is of the machine's monotonic clock, read right after the refusal.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_clock::SystemClock;
use curfew_core::refusal::Reason;
use curfew_guard::{
    BOUND_EMBEDDED_MS, BOUND_KAFKA_MS, CallerToken, Config, Guard, HubSource, JwksSource, OwnIssuer,
    Requirements, Source, Stale, connect,
};
use curfew_guard_kafka::KafkaSource;
use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::failure::Failure;

/// How long a guard may take until its view is whole.
const READY_TIME_MAX: Duration = Duration::from_secs(60);
/// How often it looks whether it is.
const READY_LOOK: Duration = Duration::from_millis(5);

/// What a guard is told: one line of JSON, its first.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) address: String,
    pub(crate) caller: String,
    pub(crate) secret: String,
    /// `tid` of the tokens.
    pub(crate) tenant: String,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) scope: String,
    /// The key set, JSON.
    pub(crate) keys: String,
    /// Which guard of how many this is.
    pub(crate) replica: usize,
    /// Between two requests with one token, µs.
    pub(crate) ask_every_us: u64,
    /// Where it follows the log itself; `None`: it follows the hub.
    pub(crate) topic: Option<Topic>,
}

/// A topic that a guard reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Topic {
    pub(crate) bootstrap: String,
    /// What its name begins with.
    pub(crate) prefix: String,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({} for {}, ..)", self.replica, self.audience)
    }
}

/// What a guard tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// Its view is whole.
    Ready,
    /// It admitted this token.
    Admitted(usize),
    /// It refused it first then, because a revocation covers it.
    Refused(usize, Mono),
    /// It refused it for another reason.
    Other(usize, String),
}

impl Told {
    /// What a printed line says; `None`: nothing of ours.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let (kind, number, rest) = (words.next()?, words.next(), words.next());
        let number = || number?.parse().ok();
        match kind {
            "ready" => Some(Self::Ready),
            "admitted" => Some(Self::Admitted(number()?)),
            "refused" => Some(Self::Refused(number()?, Mono(rest?.parse().ok()?))),
            "other" => Some(Self::Other(number()?, rest?.to_owned())),
            _ => None,
        }
    }

    fn tell(&self) {
        match self {
            Self::Ready => println!("ready"),
            Self::Admitted(n) => println!("admitted {n}"),
            Self::Refused(n, at) => println!("refused {n} {}", at.0),
            Self::Other(n, reason) => println!("other {n} {reason}"),
        }
    }
}

/// What a guard is told of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Order {
    Token(usize, String),
    Watch(usize, Mono),
}

impl Order {
    fn read(line: &str) -> Result<Self, Failure> {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("token"), Some(number), Some(token)) => Ok(Self::Token(number.parse()?, token.to_owned())),
            (Some("watch"), Some(number), Some(from)) => {
                Ok(Self::Watch(number.parse()?, Mono(from.parse()?)))
            }
            // Not the line itself: it may hold a token.
            _ => Err("a guard takes `token N TOKEN` and `watch N FROM`".into()),
        }
    }
}

/// Tokens by number, each with the instant from which it is asked about.
type Watched = Mutex<BTreeMap<usize, (Mono, String)>>;

/// Runs until standard input ends.
pub(crate) fn run() -> Result<(), Failure> {
    let mut lines = std::io::stdin().lock().lines();
    let settings: Settings = serde_json::from_str(&lines.next().ok_or("a guard needs its settings")??)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One thread follows the stream; requests come from another.
        .worker_threads(1)
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let guard = guard(&settings)?;
    let source = match &settings.topic {
        Some(topic) => of_topic(topic)?,
        None => of_hub(&settings)?,
    };
    let _running = guard.start([source]);
    drop(entered);
    let until = Mono::now().plus(READY_TIME_MAX);
    while !guard.is_ready() {
        if Mono::now() > until {
            return Err(format!("guard {} did not get ready", settings.replica).into());
        }
        std::thread::sleep(READY_LOOK);
    }
    Told::Ready.tell();

    // What cannot be proven fresh is denied, but not counted: such a refusal may be repeated.
    let route = Requirements::scope(settings.scope.as_str())
        .named("load")
        .stale(Stale::Deny);
    let watched: Arc<Watched> = Arc::default();
    let pace = Duration::from_micros(settings.ask_every_us);
    let (asked, asking, at) = (watched.clone(), guard.clone(), route.clone());
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(pace);
            ask(&asking, &at, &asked);
        }
    });
    for line in lines {
        match Order::read(&line?)? {
            Order::Token(number, token) => {
                match guard.check(token.as_str(), &route) {
                    Ok(_) => Told::Admitted(number).tell(),
                    Err(refused) => Told::Other(number, refused.reason.code().to_owned()).tell(),
                }
                lock(&watched).insert(number, (Mono(u64::MAX), token));
            }
            Order::Watch(number, from) => {
                if let Some((begin, _)) = lock(&watched).get_mut(&number) {
                    *begin = from;
                }
            }
        }
    }
    Ok(())
}

fn lock(watched: &Watched) -> std::sync::MutexGuard<'_, BTreeMap<usize, (Mono, String)>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn of_hub(settings: &Settings) -> Result<Box<dyn Source>, Failure> {
    let channel = connect(&format!("http://{}", settings.address))?;
    let token = CallerToken::new(
        channel.clone(),
        settings.caller.as_str(),
        settings.secret.as_str(),
    );
    let source =
        HubSource::new(channel, "load", format!("load-{}", settings.replica)).bearer(Arc::new(token));
    Ok(source.boxed())
}

pub(crate) fn of_topic(topic: &Topic) -> Result<Box<dyn Source>, Failure> {
    let mut options = curfew_guard_kafka::options(&topic.bootstrap);
    options.prefix.clone_from(&topic.prefix);
    Ok(KafkaSource::new(options)?.boxed())
}

pub(crate) fn guard(settings: &Settings) -> Result<Guard, Failure> {
    let keys = JwksSource::Static(settings.keys.clone().into_bytes().into());
    let mut config = Config::new([settings.audience.as_str()]);
    config.bound_ms = if settings.topic.is_some() {
        BOUND_KAFKA_MS
    } else {
        BOUND_EMBEDDED_MS
    };
    config.own = vec![OwnIssuer::new(
        settings.tenant.parse()?,
        settings.issuer.as_str(),
        keys,
    )];
    Ok(Guard::new(config, Arc::new(SystemClock))?)
}

/// One request with each token whose time has come; those that are over are asked about no more.
fn ask(guard: &Guard, route: &Requirements, watched: &Watched) {
    let now = Mono::now();
    lock(watched).retain(|number, (from, token)| {
        if *from > now {
            return true;
        }
        match guard.check(token.as_str(), route) {
            Ok(_) => true,
            Err(refused) if refused.reason == Reason::TokenRevoked => {
                Told::Refused(*number, Mono::now()).tell();
                false
            }
            Err(refused) if refused.is_retryable() => true,
            Err(refused) => {
                Told::Other(*number, refused.reason.code().to_owned()).tell();
                false
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_reads_back_and_anything_else_is_nothing() {
        assert_eq!(Told::read("ready"), Some(Told::Ready));
        assert_eq!(Told::read("admitted 3"), Some(Told::Admitted(3)));
        assert_eq!(Told::read("refused 3 17"), Some(Told::Refused(3, Mono(17))));
        let other = Told::Other(3, "TOKEN_EXPIRED by far".to_owned());
        assert_eq!(Told::read("other 3 TOKEN_EXPIRED by far"), Some(other));
        for line in ["", "refused", "refused 3", "refused x 1", "something else"] {
            assert_eq!(Told::read(line), None, "{line}");
        }
    }

    #[test]
    fn orders_are_read_and_a_bad_one_is_refused_without_being_repeated() {
        assert_eq!(
            Order::read("token 3 ey.e.s").unwrap(),
            Order::Token(3, "ey.e.s".to_owned())
        );
        assert_eq!(Order::read("watch 3 17").unwrap(), Order::Watch(3, Mono(17)));
        let said = Order::read("tokens 3 ey.e.s").unwrap_err().to_string();
        assert!(!said.contains("ey.e.s"), "{said}");
    }
}
