//! Bare produce→consume beside something else: the part is made ready first, and begins when it is told.

use std::sync::mpsc;
use std::time::Duration;

use crate::clock::Mono;
use crate::failure::Failure;
use crate::part::Part;
use crate::part::pipe::{Found, WARM_UP_RECORDS};
use crate::shared::Shared;

/// How long the topic and both clients may take to be made.
const READY_TIME_MAX: Duration = Duration::from_secs(60);
/// How long it may take after its last record: its own time-out, and removing the topic.
const END_TIME_MAX: Duration = Duration::from_secs(60);

/// A part that is ready.
#[derive(Debug)]
pub(crate) struct BareLog {
    part: Part,
    told: mpsc::Receiver<String>,
    gap: Duration,
    records: u32,
}

impl BareLog {
    pub(crate) fn start(shared: &Shared, rate: f64, records: u32) -> Result<Self, Failure> {
        let (tell, told) = mpsc::channel();
        let topic = format!("{}bare.{:08x}", shared.topic_prefix(), fastrand::u32(..));
        let (rate_text, records_text) = (rate.to_string(), records.to_string());
        let mut arguments = vec!["bare-log", "--bootstrap", &shared.kafka, "--topic", &topic];
        arguments.extend(["--rate", &rate_text, "--records", &records_text]);
        let part = Part::start(&arguments, move |line| tell.send(line).is_ok())?;
        match told.recv_timeout(READY_TIME_MAX) {
            Ok(line) if line == "ready" => {}
            _ => return Err("bare produce→consume did not get ready".into()),
        }
        let gap = Duration::from_secs_f64(1.0 / rate);
        Ok(Self {
            part,
            told,
            gap,
            records,
        })
    }

    /// As early as the first record can be sent: those before it warm up.
    pub(crate) fn earliest(&self) -> Mono {
        Mono::now().plus(self.gap * WARM_UP_RECORDS)
    }

    /// The instant of the first record.
    pub(crate) fn begin(&mut self, at: Mono) -> Result<(), Failure> {
        self.part.say(&at.0.to_string())
    }

    /// What was found, once it is over.
    pub(crate) fn found(self) -> Result<Found, Failure> {
        let line = self
            .told
            .recv_timeout(self.gap * self.records + END_TIME_MAX)
            .map_err(|_| "bare produce→consume ended, or took too long")?;
        Ok(serde_json::from_str(&line)?)
    }
}
