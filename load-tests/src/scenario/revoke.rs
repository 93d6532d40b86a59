//! `revoke-to-reject`: from the intended send of a revocation to the first refused request at each of
//! n guards, which are processes of their own.
//!
//! **Invariant:** every pair of a revocation and a guard counts; what never arrived counts as the time-out.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arrivals::{Arrivals, Arrived};
use crate::backend::Opened;
use crate::claims::Claims;
use crate::cli::{Level, RevokeArgs, Source};
use crate::clock::{Mono, sleep_until};
use crate::failure::Failure;
use crate::fill::fill;
use crate::part::guard::{Settings, Told, Topic};
use crate::part::{Part, pipe};
use crate::scenario::bare_log::BareLog;
use crate::scenario::stage::Stage;
use crate::verdict::Verdict;

/// A guard asks about a token from so long before its revocation on: the first requests are admitted.
const WATCHED_BEFORE: Duration = Duration::from_millis(100);
/// From the last admission to the first revocation: what the start cost is over.
const SETTLED: Duration = Duration::from_secs(1);
/// How long all guards may take to start, and to admit all tokens: 100 guards verify 20,000 signatures.
const SET_UP_TIME_MAX: Duration = Duration::from_secs(120);
/// The least time between two requests with one token, µs: most of it is the wake-up of a process.
const ASK_EVERY_US_LEAST: u64 = 250;
/// What each guard adds to it: 6,700 wake-ups a second of all guards together, some tokens each, take a
/// quarter of a core. At three times as many, 100 guards took one and a half of two, and what was measured
/// was how they waited for one another.
const ASK_EVERY_US_OF_EACH: u64 = 150;

/// What was found with so many guards.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RevokeToReject {
    pub(crate) guards: usize,
    /// What they follow.
    #[serde(default)]
    pub(crate) source: Source,
    pub(crate) revocations: usize,
    /// When the back end was answered.
    #[serde(default)]
    pub(crate) level: Level,
    /// Revocations a second.
    pub(crate) rate: f64,
    /// Between two requests with one token at one guard: no time below it can be told.
    pub(crate) ask_every_ms: f64,
    /// From when on a guard that never refused counts as that long.
    pub(crate) time_out_s: f64,
    pub(crate) verdict: Verdict,
    #[serde(flatten)]
    pub(crate) arrived: Arrived,
    /// Bare records through the same Kafka, as many and at the same pace, between the revocations.
    #[serde(default)]
    pub(crate) bare_log: Option<pipe::Found>,
}

impl Source {
    /// Behind a number of guards: a hub is what guards follow where nothing is said.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Hub => "",
            Self::Kafka => " on Kafka",
        }
    }
}

impl RevokeToReject {
    /// `100 guards on Kafka`.
    pub(crate) fn guards(&self) -> String {
        let guards = self.guards;
        let word = if guards == 1 { "guard" } else { "guards" };
        format!("{guards} {word}{}", self.source.suffix())
    }
}

pub(crate) fn run(args: &RevokeArgs) -> Result<ExitCode, Failure> {
    let mut stage = Stage::set("revoke-to-reject", &args.node, args.channels)?;
    stage.limits(args.limits)?;
    for guards in &args.guards {
        for source in &args.source {
            measure(&mut stage, args, *guards, *source)?;
        }
    }
    stage.end(&args.output)
}

/// Measures with so many guards.
pub(crate) fn measure(
    stage: &mut Stage,
    args: &RevokeArgs,
    guards: usize,
    source: Source,
) -> Result<(), Failure> {
    let topic = match (source, &stage.servers) {
        (Source::Hub, _) => None,
        (Source::Kafka, None) => return Err("guards that follow Kafka need --redis and --kafka".into()),
        (Source::Kafka, Some(servers)) => Some(Topic {
            bootstrap: servers.shared.kafka.clone(),
            prefix: servers.shared.topic_prefix(),
        }),
    };
    let name = format!("{guards} guards{}", source.suffix());
    let shown = stage.progress.wait(&format!("revoke to reject, {name}"));
    let opened = stage.runtime.block_on(fill(
        &stage.backend,
        u64::from(args.revocations),
        || (),
        |opened| opened,
    ))?;
    let ask_every_us = ASK_EVERY_US_LEAST.max(guards as u64 * ASK_EVERY_US_OF_EACH);
    let mut watchers = Watchers::start(stage, &opened, guards, ask_every_us, topic.as_ref())?;
    let pids = watchers.parts.iter().map(Part::pid).collect();
    stage.sampler.add(&name, pids);
    watchers.admit(&opened)?;

    let gap = Duration::from_secs_f64(1.0 / args.rate);
    let servers = stage.servers.as_ref();
    let bare_log = servers.map(|servers| BareLog::start(&servers.shared, args.rate, args.revocations));
    let mut bare_log = bare_log.transpose()?;
    let mut start = Mono::now().plus(SETTLED.max(WATCHED_BEFORE));
    if let Some(bare_log) = &mut bare_log {
        start = start.max(bare_log.earliest().plus(WATCHED_BEFORE));
        // Each lies in the middle between two revocations.
        bare_log.begin(start.plus(gap / 2))?;
    }
    let intended: Vec<_> = (0_u32..)
        .take(opened.len())
        .map(|n| start.plus(gap * n))
        .collect();
    watchers.watch(&intended)?;
    let time_out = Duration::from_secs(args.time_out);
    let mut arrivals = Arrivals::new(intended.clone(), guards, time_out);
    let mut sent = Vec::new();
    for (at, opened) in intended.iter().zip(&opened) {
        sleep_until(*at);
        let (backend, name, at, level) = (
            stage.backend.clone(),
            opened.session.name.clone(),
            *at,
            args.level,
        );
        sent.push(stage.runtime.spawn(async move {
            let lag = Mono::now().since(at);
            let answer = tokio::time::timeout(time_out, backend.end_to(&name, level)).await;
            let answer = answer.unwrap_or_else(|_| Err("time-out of the generator".to_owned()));
            let answer = answer.map(drop);
            (lag, Mono::now().since(at), answer)
        }));
    }
    watchers.collect(&mut arrivals);
    for one in sent {
        let (lag, taken, answer) = stage.runtime.block_on(one)?;
        arrivals.acknowledge(lag, taken, answer);
    }
    shown.finish();
    let arrived = arrivals.finish();
    stage.report.revoke_to_reject.push(RevokeToReject {
        guards,
        source,
        revocations: opened.len(),
        level: args.level,
        rate: args.rate,
        ask_every_ms: ask_every_us as f64 / 1e3,
        time_out_s: time_out.as_secs_f64(),
        verdict: Verdict::of_times(arrived.lag_ms.p99, arrived.each_ms.p99),
        arrived,
        bare_log: bare_log.map(BareLog::found).transpose()?,
    });
    Ok(())
}

/// Guards are spread over the nodes.
fn address_of(stage: &Stage, replica: usize) -> Result<String, Failure> {
    let turn = replica.checked_rem(stage.addresses.len());
    let address = turn.and_then(|turn| stage.addresses.get(turn));
    Ok(address.cloned().ok_or("there is no node to follow")?)
}

/// The guards of one measurement.
struct Watchers {
    parts: Vec<Part>,
    told: mpsc::Receiver<(usize, Told)>,
}

impl Watchers {
    /// Starts them all and waits until every view is whole.
    fn start(
        stage: &Stage,
        opened: &[Opened],
        guards: usize,
        ask_every_us: u64,
        topic: Option<&Topic>,
    ) -> Result<Self, Failure> {
        let first = opened.first().ok_or("nothing is to be revoked")?;
        let claims = Claims::read(&first.access_token)?;
        let keys = String::from_utf8(stage.runtime.block_on(stage.backend.key_set())?)?;
        let identity = stage.backend.identity();
        let (tell, told) = mpsc::channel();
        let mut watchers = Self {
            parts: Vec::new(),
            told,
        };
        for replica in 0..guards {
            let tell = tell.clone();
            let mut part = Part::start(&["guard"], move |line| {
                // What is not ours is a stray line of a library: not told, but no reason to stop reading.
                Told::read(&line).is_none_or(|told| tell.send((replica, told)).is_ok())
            })?;
            part.say(&serde_json::to_string(&Settings {
                address: address_of(stage, replica)?,
                caller: identity.caller.clone(),
                secret: identity.secret.clone(),
                tenant: claims.tid.clone(),
                issuer: claims.iss.clone(),
                audience: claims.aud.clone(),
                scope: identity.scope.clone(),
                keys: keys.clone(),
                replica,
                ask_every_us,
                topic: topic.cloned(),
            })?)?;
            watchers.parts.push(part);
        }
        watchers.hear(guards, |told| *told == Told::Ready)?;
        Ok(watchers)
    }

    /// Gives every token to every guard; each must admit each.
    fn admit(&mut self, opened: &[Opened]) -> Result<(), Failure> {
        for (number, opened) in opened.iter().enumerate() {
            let line = format!("token {number} {}", opened.access_token);
            for part in &mut self.parts {
                part.say(&line)?;
            }
        }
        let all = opened.len().saturating_mul(self.parts.len());
        self.hear(all, |told| matches!(told, Told::Admitted(_)))
    }

    /// Says from when on each token is to be asked about.
    fn watch(&mut self, intended: &[Mono]) -> Result<(), Failure> {
        for (number, at) in intended.iter().enumerate() {
            let from = Mono(at.0.saturating_sub(WATCHED_BEFORE.as_nanos() as u64));
            for part in &mut self.parts {
                part.say(&format!("watch {number} {}", from.0))?;
            }
        }
        Ok(())
    }

    /// Waits for so many words of one kind; any other is a fault.
    fn hear(&mut self, mut left: usize, is_awaited: impl Fn(&Told) -> bool) -> Result<(), Failure> {
        let until = Mono::now().plus(SET_UP_TIME_MAX);
        while left > 0 {
            // In slices, so that a guard that ended is noticed at once.
            let slice = until
                .since(Mono::now())
                .min(Duration::from_millis(200))
                .max(Duration::from_millis(1));
            match self.told.recv_timeout(slice) {
                Ok((_, told)) if is_awaited(&told) => left -= 1,
                Ok((replica, told)) => {
                    return Err(format!("guard {replica} was to admit a token; it told {told:?}").into());
                }
                Err(_) => self.judge(until)?,
            }
        }
        Ok(())
    }

    fn judge(&mut self, until: Mono) -> Result<(), Failure> {
        let mut parts = self.parts.iter_mut().enumerate();
        if let Some((replica, _)) = parts.find_map(|(n, part)| (!part.is_running()).then_some((n, ()))) {
            return Err(format!("guard {replica} ended before it was ready").into());
        }
        if Mono::now() > until {
            return Err("the guards did not get ready in time".into());
        }
        Ok(())
    }

    /// Takes what the guards tell until all have refused all, or the time-out of the last is over.
    fn collect(&self, arrivals: &mut Arrivals) {
        while arrivals.left() > 0 {
            let left = arrivals.until().since(Mono::now());
            match self.told.recv_timeout(left) {
                Ok((guard, Told::Refused(number, at))) => arrivals.refused(guard, number, at),
                Ok((_, Told::Other(_, reason))) => arrivals.other(reason),
                Ok((_, Told::Ready | Told::Admitted(_))) => {}
                Err(_) => return,
            }
        }
    }
}
