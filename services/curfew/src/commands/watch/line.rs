//! What is told of one frame: a line for people, an object for programs.

use std::collections::BTreeMap;

use curfew_proto::log::v1 as log;
use curfew_proto::log::v1::envelope::Body;
use curfew_proto::revocation::v1 as pb;
use curfew_proto::revocation::v1::snapshot_entry::Element;
use prost::Message as _;
use serde_json::{Value, json};

use crate::commands::time::iso as at;
use crate::commands::word;

/// One line of the stream.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) json: Value,
    /// Whether it is no revocation.
    pub(super) is_aside: bool,
}

impl Line {
    fn aside(text: String, json: Value) -> Self {
        Self {
            text,
            json,
            is_aside: true,
        }
    }

    /// What follows happens now.
    pub(super) fn live() -> Self {
        let text = "What was in force is told; what follows happens now.";
        Self::aside(text.to_owned(), json!({"type": "live"}))
    }
}

/// What the columns are called.
pub(super) fn heading() -> String {
    columns("DECIDED", "SCOPE", "CAUSE", "BY", "COVERS, REVOCATION") + "\n"
}

fn columns(decided: &str, scope: &str, cause: &str, by: &str, rest: &str) -> String {
    format!("{decided:<20}  {scope:<8}  {cause:<20}  {by:<6}  {rest}")
}

/// Tenants and issuer entries by their permanent ids.
#[derive(Debug, Default)]
pub(super) struct Names {
    tenants: BTreeMap<Vec<u8>, String>,
}

/// A revocation of either form.
struct Told<'a> {
    tenant: &'a [u8],
    issuer: &'a [u8],
    id: &'a [u8],
    all_of: &'a [log::ClaimMatch],
    before: Option<(&'a str, i64)>,
    except: Vec<String>,
    keep_until_ms: i64,
    decided_at_ms: i64,
    cause: &'a str,
    initiator: log::Initiator,
    scope: &'a str,
    position: Option<pb::Position>,
}

impl Names {
    pub(super) fn add(&mut self, entries: &[pb::IssuerEntry]) {
        for entry in entries {
            self.tenants
                .insert(entry.tenant.clone(), entry.tenant_name.clone());
        }
    }

    /// An element of the snapshot: what is in force.
    pub(super) fn of_entry(&self, entry: &pb::SnapshotEntry) -> Line {
        let (before, except) = match &entry.element {
            Some(Element::Cut(cut)) => {
                // −1: nothing cuts this session off.
                let spared = cut.own.iter().filter(|own| own.instant_ms < 0);
                let spared = spared.map(|own| id(&own.sid)).collect();
                (Some((cut.claim.as_str(), cut.default_ms)), spared)
            }
            Some(Element::Plain(_)) | None => (None, Vec::new()),
        };
        self.line(&Told {
            tenant: &entry.tenant,
            issuer: &entry.issuer,
            id: &entry.winner_id,
            all_of: &entry.all_of,
            before,
            except,
            keep_until_ms: entry.keep_until_ms,
            decided_at_ms: entry.decided_at_ms,
            cause: &entry.cause,
            initiator: entry.initiator(),
            scope: &entry.scope,
            position: None,
        })
    }

    /// A record of the tail; `None` where it is no revocation, or withheld.
    pub(super) fn of_record(&self, record: &pb::TailRecord) -> Option<Line> {
        let envelope = log::Envelope::decode(record.envelope.clone()).ok()?;
        let Some(Body::Revocation(revocation)) = &envelope.body else {
            return None;
        };
        let before = revocation.before.as_ref();
        Some(self.line(&Told {
            tenant: &revocation.tenant,
            issuer: &revocation.issuer,
            id: &revocation.id,
            all_of: &revocation.all_of,
            before: before.map(|before| (before.claim.as_str(), before.instant_ms)),
            except: revocation.except.iter().map(|sid| id(sid)).collect(),
            keep_until_ms: revocation.keep_until_ms,
            decided_at_ms: revocation.decided_at_ms,
            cause: &revocation.cause,
            initiator: revocation.initiator(),
            scope: &revocation.scope,
            position: record.position,
        }))
    }

    fn line(&self, told: &Told<'_>) -> Line {
        let tenant = self.tenants.get(told.tenant).cloned();
        let tenant = tenant.unwrap_or_else(|| format!("tenants/{}", id(told.tenant)));
        let issuer = if told.issuer == told.tenant {
            tenant.clone()
        } else {
            format!("{tenant}/issuers/{}", id(told.issuer))
        };
        let revocation = format!("{tenant}/revocations/{}", id(told.id));
        let by = word(told.initiator.as_str_name(), "INITIATOR_");
        let claims = told
            .all_of
            .iter()
            .map(|one| format!("{}={}", one.claim, one.value));
        let mut covers = claims.collect::<Vec<_>>().join(" ");
        if let Some((claim, ms)) = told.before {
            covers.push_str(&format!(" before {} by {claim}", at(ms)));
        }
        if !told.except.is_empty() {
            covers.push_str(&format!(" except {}", told.except.join(" ")));
        }
        Line {
            text: columns(
                &at(told.decided_at_ms),
                told.scope,
                told.cause,
                &by,
                &format!("{covers}, {revocation}"),
            ),
            json: json!({
                "type": "revocation",
                "revocation": revocation,
                "issuer": issuer,
                "scope": told.scope,
                "cause": told.cause,
                "initiator": told.initiator.as_str_name(),
                "decideTime": at(told.decided_at_ms),
                "keepUntilTime": at(told.keep_until_ms),
                "allOf": told.all_of.iter().map(|one| json!({"claim": one.claim, "value": one.value})).collect::<Vec<_>>(),
                "before": told.before.map(|(claim, ms)| json!({"claim": claim, "time": at(ms)})),
                "except": told.except,
                "inForceAlready": told.position.is_none(),
                "position": told.position.map(place),
            }),
            is_aside: false,
        }
    }
}

/// A heartbeat; `None` where it cannot be read.
pub(super) fn of_heartbeat(beat: &pb::HeartbeatRecord) -> Option<Line> {
    let position = beat.position?;
    let envelope = log::Envelope::decode(beat.envelope.clone()).ok()?;
    let Some(Body::Heartbeat(told)) = envelope.body else {
        return None;
    };
    let text = columns(
        &at(told.stamp_ms),
        "-",
        "heartbeat",
        "-",
        &format!("partition {}", position.partition),
    );
    let json = json!({"type": "heartbeat", "stampTime": at(told.stamp_ms), "position": place(position)});
    Some(Line {
        text,
        json,
        is_aside: false,
    })
}

/// A partition's freshness froze.
pub(super) fn of_frozen(frozen: &pb::Frozen) -> Line {
    let text = format!(
        "The freshness of partition {} is frozen: {}",
        frozen.partition, frozen.reason
    );
    let json = json!({"type": "frozen", "partition": frozen.partition, "reason": frozen.reason});
    Line::aside(text, json)
}

/// The stream ends, and goes on.
pub(super) fn of_resume(reason: pb::ResumeReason) -> Line {
    let text = format!(
        "The node ended the stream ({}); going on.",
        word(reason.as_str_name(), "RESUME_REASON_")
    );
    Line::aside(text, json!({"type": "resume", "reason": reason.as_str_name()}))
}

/// The stream broke, and is begun anew.
pub(super) fn of_retry(why: &str) -> Line {
    Line::aside(
        format!("{why}; trying again"),
        json!({"type": "retry", "message": why}),
    )
}

/// As the canonical mapping has it: an integer of 64 bits is a string.
fn place(position: pb::Position) -> Value {
    json!({"partition": position.partition, "offset": position.offset.to_string()})
}

/// An id of 16 bytes as text; others as they are.
fn id(bytes: &[u8]) -> String {
    match uuid::Uuid::from_slice(bytes) {
        Ok(id) => id.to_string(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.add(&[pb::IssuerEntry {
            tenant: vec![1; 16],
            issuer: vec![1; 16],
            tenant_name: "tenants/acme".to_owned(),
            ..Default::default()
        }]);
        names
    }

    #[test]
    fn what_is_in_force_names_its_record_its_instant_and_whom_it_spares() {
        let line = names().of_entry(&pb::SnapshotEntry {
            tenant: vec![1; 16],
            issuer: vec![1; 16],
            all_of: vec![log::ClaimMatch {
                claim: "oid".to_owned(),
                value: "alice".to_owned(),
            }],
            element: Some(Element::Cut(pb::Cut {
                claim: "sid".to_owned(),
                default_ms: 1_000,
                own: vec![pb::OwnInstant {
                    sid: vec![2; 16],
                    instant_ms: -1,
                }],
            })),
            winner_id: vec![3; 16],
            scope: "subject".to_owned(),
            ..Default::default()
        });
        let record = "tenants/acme/revocations/03030303-0303-0303-0303-030303030303";
        assert_eq!(line.json["revocation"], record);
        assert_eq!(line.json["issuer"], "tenants/acme");
        assert_eq!(line.json["before"]["time"], "1970-01-01T00:00:01Z");
        assert_eq!(line.json["except"][0], "02020202-0202-0202-0202-020202020202");
        assert_eq!(line.json["inForceAlready"], true);
        assert!(
            line.text.contains("oid=alice") && line.text.contains(record),
            "{}",
            line.text
        );
    }

    #[test]
    fn a_foreign_issuers_entry_is_named_and_what_is_withheld_is_not_told() {
        let envelope = log::Envelope {
            body: Some(Body::Revocation(log::Revocation {
                tenant: vec![1; 16],
                issuer: vec![9; 16],
                ..Default::default()
            })),
            ..Default::default()
        };
        let record = |envelope: Vec<u8>| pb::TailRecord {
            position: Some(pb::Position {
                partition: 1,
                offset: 7,
            }),
            envelope: envelope.into(),
        };
        let line = names().of_record(&record(envelope.encode_to_vec())).unwrap();
        assert_eq!(
            line.json["issuer"],
            "tenants/acme/issuers/09090909-0909-0909-0909-090909090909"
        );
        assert_eq!(line.json["position"], json!({"partition": 1, "offset": "7"}));
        assert!(names().of_record(&record(Vec::new())).is_none());
        assert!(names().of_record(&record(vec![0xff])).is_none());
    }
}
