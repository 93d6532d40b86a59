//! `curfew watch`: follows revocations as guards do, and tells each.
//!
//! **Invariant:** it registers as nobody: what watches for people is never waited for.

mod line;

use std::time::Duration;

use clap::Args;
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::ResumeReason;
use curfew_proto::revocation::v1::revocation_service_client::RevocationServiceClient;
use curfew_proto::revocation::v1::watch_revocations_response::Frame;
use tonic::{Code, Status};

use super::exit::Exit;
use super::fault::Fault;
use super::name::of_tenant;
use super::{Common, print};
use crate::cli::Failure;
use line::{Line, Names};

/// Attempts in a row that bring no frame: with doubling pauses about two and a half minutes, in which a node is
/// restarted; then a person should look.
const ATTEMPTS_MAX: u32 = 10;
/// The first pause before another attempt.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause, also of those that a node asks for.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Follows revocations: those in force first, then each as it happens, until Ctrl-C.
#[derive(Args, Clone, Debug)]
pub(crate) struct Watch {
    /// Only of this tenant; may be repeated. By default all that the caller may read.
    #[arg(long, env = "CURFEW_TENANT", value_name = "TENANT")]
    tenant: Vec<String>,
    /// Not those that are in force already.
    #[arg(long)]
    new: bool,
    /// Tell heartbeats as well: proof that the log is followed up to an instant.
    #[arg(long)]
    heartbeats: bool,
    /// End after that many revocations.
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

pub(crate) async fn run(args: Watch) -> Result<(), Failure> {
    let tenants = args.tenant.iter().map(|tenant| of_tenant(tenant));
    let mut watching = Watching {
        tenants: tenants.collect::<Result<_, _>>()?,
        args,
        names: Names::default(),
        log_id: Vec::new(),
        positions: Vec::new(),
        told: 0,
        attempts: 0,
        has_begun: false,
    };
    if !watching.args.common.json {
        print::text(&line::heading())?;
    }
    tokio::select! {
        done = watching.run() => done,
        stopped = tokio::signal::ctrl_c() => Ok(stopped?),
    }
}

struct Watching {
    args: Watch,
    tenants: Vec<String>,
    names: Names,
    log_id: Vec<u8>,
    positions: Vec<pb::Watermark>,
    told: u64,
    /// Attempts since the last frame.
    attempts: u32,
    /// Whether any frame was read.
    has_begun: bool,
}

/// Why a stream is over.
enum Over {
    /// Enough was told.
    Enough,
    /// It may go on after that long.
    Again(Duration),
}

impl Watching {
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let pause = match self.stream().await {
                Ok(Over::Enough) => return Ok(()),
                Ok(Over::Again(pause)) => pause,
                // A node that never answered is told of at once.
                Err(error) if self.has_begun && self.attempts < ATTEMPTS_MAX && may_pass(&*error) => {
                    let pause = PAUSE.saturating_mul(1 << self.attempts);
                    self.attempts += 1;
                    self.say(&line::of_retry(&error.to_string()))?;
                    pause
                }
                Err(error) => return Err(error),
            };
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
    }

    /// One stream, from where the last one stopped.
    async fn stream(&mut self) -> Result<Over, Failure> {
        // Each has a token of its own: one that lives for minutes would end a stream of hours.
        let calls = self.args.common.connection.open().await?;
        let request = pb::WatchRevocationsRequest {
            tenants: self.tenants.clone(),
            positions: self.positions.clone(),
            log_id: if self.positions.is_empty() {
                Vec::new()
            } else {
                self.log_id.clone()
            },
            ..Default::default()
        };
        let mut client = RevocationServiceClient::new(calls).max_decoding_message_size(8 << 20);
        let mut frames = client.watch_revocations(request).await?.into_inner();
        while let Some(frame) = frames.message().await? {
            self.attempts = 0;
            self.has_begun = true;
            let Some(frame) = frame.frame else {
                return Err(
                    Fault::new(Exit::Failed, "a frame that this release does not know")
                        .fix("use the release of the node")
                        .into(),
                );
            };
            if let Some(over) = self.take(frame)? {
                return Ok(over);
            }
        }
        Err(Status::unavailable("the stream broke").into())
    }

    fn take(&mut self, frame: Frame) -> Result<Option<Over>, Failure> {
        match frame {
            Frame::Begin(begin) => {
                self.names.add(&begin.issuers);
                self.log_id = begin.log_id;
                if !begin.resumed {
                    self.positions = begin.snapshot_positions;
                }
            }
            Frame::IssuerChanges(changes) => self.names.add(&changes.issuers),
            Frame::Snapshot(snapshot) => {
                for entry in &snapshot.entries {
                    if !self.args.new && self.tell(&self.names.of_entry(entry))? {
                        return Ok(Some(Over::Enough));
                    }
                }
            }
            Frame::Raw(raw) => self.note(&format!(
                "{} records that the node cannot read",
                raw.records.len()
            ))?,
            Frame::SnapshotEnd(_) => {
                self.say(&Line::live())?;
            }
            Frame::Records(records) => {
                for record in &records.records {
                    self.passed(record.position);
                    if let Some(line) = self.names.of_record(record)
                        && self.tell(&line)?
                    {
                        return Ok(Some(Over::Enough));
                    }
                }
            }
            Frame::Heartbeat(beat) => {
                self.passed(beat.position);
                if let Some(line) = line::of_heartbeat(&beat).filter(|_| self.args.heartbeats) {
                    self.say(&line)?;
                }
            }
            Frame::Frozen(frozen) => self.say(&line::of_frozen(&frozen))?,
            Frame::Resume(resume) => return self.resume(resume).map(Some),
        }
        Ok(None)
    }

    fn resume(&mut self, resume: pb::Resume) -> Result<Over, Failure> {
        let reason = resume.reason();
        self.say(&line::of_resume(reason))?;
        match reason {
            ResumeReason::ReaderTooOld => {
                return Err(Fault::new(
                    Exit::Failed,
                    "the log holds records that this release cannot read",
                )
                .fix("use the release of the node")
                .into());
            }
            // What is known is of no use: everything is told anew.
            ResumeReason::OtherLog | ResumeReason::OutOfRange => {
                self.positions.clear();
                // What happened in between is among what is in force by then.
                self.args.new = false;
            }
            ResumeReason::Unspecified
            | ResumeReason::Draining
            | ResumeReason::Slow
            | ResumeReason::NotAllowed
            | ResumeReason::NotReady => {
                if !resume.positions.is_empty() {
                    self.positions = resume.positions;
                }
            }
        }
        let pause = resume.retry_after.and_then(|pause| pause.try_into().ok());
        // A token that is over is fetched anew; whether the caller still may, that call says.
        let pause = pause.filter(|_| reason != ResumeReason::NotAllowed);
        Ok(Over::Again(pause.unwrap_or(PAUSE)))
    }

    fn passed(&mut self, position: Option<pb::Position>) {
        let Some(position) = position else { return };
        let next_offset = position.offset.saturating_add(1);
        match self
            .positions
            .iter_mut()
            .find(|known| known.partition == position.partition)
        {
            Some(known) => known.next_offset = known.next_offset.max(next_offset),
            None => self.positions.push(pb::Watermark {
                partition: position.partition,
                next_offset,
            }),
        }
    }

    /// Tells a revocation; whether that is enough.
    fn tell(&mut self, line: &Line) -> Result<bool, Failure> {
        self.say(line)?;
        self.told += 1;
        Ok(self.args.count.is_some_and(|count| self.told >= count))
    }

    fn say(&self, line: &Line) -> Result<(), Failure> {
        if self.args.common.json {
            print::json(&line.json)
        } else if line.is_aside {
            self.note(&line.text)
        } else {
            print::text(&format!("{}\n", print::plain(&line.text)))
        }
    }

    /// Tells people something that is no revocation: on standard error, so that a pipe has lines of one sort.
    fn note(&self, text: &str) -> Result<(), Failure> {
        use std::io::Write as _;
        if !self.args.common.json {
            writeln!(std::io::stderr().lock(), "{}", print::plain(text))?;
        }
        Ok(())
    }
}

/// Whether another attempt may go better.
fn may_pass(error: &(dyn std::error::Error + 'static)) -> bool {
    let by_node = error
        .downcast_ref::<Status>()
        .map(|status| Exit::of(status.code()));
    let here = error.downcast_ref::<Fault>().map(Fault::exit);
    let broke = error
        .downcast_ref::<Status>()
        .is_some_and(|status| matches!(status.code(), Code::Unknown | Code::Internal));
    broke || by_node.or(here) == Some(Exit::TryAgain)
}
