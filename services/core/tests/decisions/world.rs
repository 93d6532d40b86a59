//! A small world to decide in: one partition in memory, a directory, a clock and chance of its own.
//!
//! It applies what a decision writes and publishes, remembers every earlier state, and can fail over
//! to any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use curfew_core::decide::end::{self, Ended, Subject};
use curfew_core::decide::mint::ProvenClient;
use curfew_core::decide::subject_state::{self, Change, Changed};
use curfew_core::decide::{Context, Motive, Verdict, app_token, issue, merge, open, refresh, revoke, update};
use curfew_core::directory::{Client, ClientAuthMethod, DirectoryView, Lifetimes, Resource, Tenant};
use curfew_core::ids::{
    Cause, ClientId, GrantId, KeyId, RecordId, ResourceId, Scope, SessionId, SubjectId, SubjectKey, TenantId,
    TenantName,
};
use curfew_core::index::LayeredIndex;
use curfew_core::mac::{Entropy, sha256};
use curfew_core::place::{Incarnation, LogIdentity, Partition, Version};
use curfew_core::record::{Initiator, LogRecord, Revocation};
use curfew_core::refresh_token::RefreshToken;
use curfew_core::session::{Grant, KeyBinding, Proof, Row};
use curfew_core::stored::{Decision, Key, PartitionRecord, Record, Write};
use curfew_core::subject::{Gate, Ledger};
use curfew_core::time::Millis;

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
/// A whole second, long after every clock's beginning.
pub(crate) const START: i64 = 1_700_000_000_000;
/// A public client, a public client whose grants are bound to a key, and one with a secret.
pub(crate) const CLIENTS: [&str; 3] = ["spa", "phone", "web"];

pub(crate) fn tenant_id() -> TenantId {
    TenantId::from_bytes([0xac; 16])
}

pub(crate) fn scopes(words: &str) -> Vec<Scope> {
    words
        .split_whitespace()
        .map(|word| Scope::new(word).unwrap())
        .collect()
}

pub(crate) fn client_id(id: &str) -> ClientId {
    ClientId::new(id).unwrap()
}

pub(crate) fn subject(name: &str) -> SubjectId {
    SubjectId::new(name).unwrap()
}

/// All subjects of a world lie in the one partition that it has.
pub(crate) fn key_of(name: &str) -> SubjectKey {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&sha256(name.as_bytes())[..6]);
    SubjectKey(bytes)
}

pub(crate) fn motive(word: &str) -> Motive {
    Motive {
        cause: Cause::new(word).unwrap(),
        initiator: Initiator::Admin,
        operation: None,
        correlation_id: None,
    }
}

pub(crate) fn client(id: &str, auth_method: ClientAuthMethod) -> Client {
    Client {
        tenant: tenant_id(),
        id: client_id(id),
        display_name: id.into(),
        auth_method,
        secrets: Vec::new(),
        jwks: None,
        certificates: Vec::new(),
        disables: Vec::new(),
        window: None,
        late: curfew_core::directory::Late::default(),
        fixed: false,
        cp1: false,
        default_activity: curfew_core::directory::Activity::default(),
        grant_life_ms: None,
        scopes: Vec::new(),
        resources: Vec::new(),
        app_roles: BTreeMap::from([(ResourceId::new("api").unwrap(), scopes("Orders.Read"))]),
        redirect_uris: Vec::new(),
    }
}

fn resource(id: &str) -> Resource {
    Resource {
        tenant: tenant_id(),
        id: ResourceId::new(id).unwrap(),
        audience: format!("https://{id}.example").into(),
        scopes: scopes("read write"),
        roles: scopes("Orders.Read"),
        guarded: false,
        access_token_life_ms: None,
        claims: BTreeMap::new(),
    }
}

/// What a decision answered, and what it would have done.
#[derive(Debug)]
pub(crate) struct Told<T> {
    pub(crate) verdict: Verdict<T>,
    pub(crate) writes: Vec<(Key, Write)>,
    pub(crate) revocations: Vec<Revocation>,
    pub(crate) others: usize,
}

impl<T: std::fmt::Debug> Told<T> {
    #[track_caller]
    pub(crate) fn granted(self) -> T {
        match self.verdict {
            Verdict::Granted(value) => value,
            other @ (Verdict::Refused(_) | Verdict::NotBefore(_) | Verdict::NeedsRow(_)) => {
                panic!("not granted: {other:?}")
            }
        }
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> curfew_core::refusal::Reason {
        match &self.verdict {
            Verdict::Refused(refusal) => refusal.reason,
            other @ (Verdict::Granted(_) | Verdict::NotBefore(_) | Verdict::NeedsRow(_)) => {
                panic!("not refused: {other:?}")
            }
        }
    }

    pub(crate) fn not_before(&self) -> Option<Millis> {
        match &self.verdict {
            Verdict::NotBefore(instant) => Some(*instant),
            Verdict::Granted(_) | Verdict::Refused(_) | Verdict::NeedsRow(_) => None,
        }
    }

    pub(crate) fn is_granted(&self) -> bool {
        matches!(self.verdict, Verdict::Granted(_))
    }

    pub(crate) fn did_nothing(&self) -> bool {
        self.writes.is_empty() && self.revocations.is_empty() && self.others == 0
    }
}

/// One presentation of a refresh token.
#[derive(Clone, Debug)]
pub(crate) struct Presentation {
    pub(crate) token: RefreshToken,
    pub(crate) client: ProvenClient,
    pub(crate) resource: Option<&'static str>,
    pub(crate) scopes: &'static str,
    pub(crate) activity: Option<curfew_core::directory::Activity>,
}

/// What a client of this world proves: each its own kind.
pub(crate) fn proven(id: &str) -> ProvenClient {
    ProvenClient {
        id: client_id(id),
        is_authenticated: id == "web",
        key: (id == "phone").then(|| KeyBinding::Dpop("thumbprint".into())),
    }
}

pub(crate) fn present(token: &RefreshToken, client: &str) -> Presentation {
    Presentation {
        token: token.clone(),
        client: proven(client),
        resource: Some("api"),
        scopes: "",
        activity: None,
    }
}

type Records = BTreeMap<Key, Record>;

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) incarnation: Incarnation,
    pub(crate) directory: DirectoryView,
    pub(crate) index: LayeredIndex,
    /// Whether the authority hears what is published.
    pub(crate) follows: bool,
    pub(crate) tail_is_fresh: bool,
    pub(crate) guarded_now: BTreeSet<Arc<str>>,
    /// Every revocation so far, of lost histories too.
    pub(crate) log: Vec<Revocation>,
    /// Every record so far, as the log has them.
    pub(crate) heard: Vec<LogRecord>,
    records: Records,
    history: Vec<Records>,
    signing_key: KeyId,
    seed: u64,
    drawn: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let log = LogIdentity::new([7; 16], 8).unwrap();
        let mut directory = DirectoryView {
            version: Some(Version::new(Incarnation([1; 8]), [0; 8])),
            log: Some(log),
            lifetimes: Some(Lifetimes {
                keep_ms: DAY,
                mint_ms: DAY,
                mint_from: Millis::ZERO,
            }),
            ..DirectoryView::default()
        };
        let tenant = Tenant {
            id: tenant_id(),
            name: TenantName::new("acme").unwrap(),
            display_name: "Acme".into(),
            issuer_spellings: vec!["https://curfew.example/acme".into()],
            is_system: false,
            disables: Vec::new(),
            at_cap: curfew_core::directory::AtCap::default(),
            on_reuse: curfew_core::directory::OnReuse::default(),
            idle_timeout_ms: 14 * DAY,
            session_life_max_ms: 90 * DAY,
            sign_in_frequency_ms: None,
        };
        directory.tenants.insert(tenant.id, Arc::new(tenant));
        for (id, method) in [
            ("spa", ClientAuthMethod::None),
            ("phone", ClientAuthMethod::None),
            ("web", ClientAuthMethod::Secret),
        ] {
            directory
                .clients
                .insert((tenant_id(), client_id(id)), Arc::new(client(id, method)));
        }
        for id in ["api", "mail"] {
            let resource = resource(id);
            directory
                .resources
                .insert((tenant_id(), resource.id.clone()), Arc::new(resource));
        }
        let incarnation = Incarnation([1; 8]);
        let opened = PartitionRecord {
            incarnation,
            opened: Millis::ZERO,
            floor: Millis::ZERO,
            log,
        };
        let records = Records::from([
            (Key::Partition, Record::Partition(opened)),
            (Key::Sequence, Record::Sequence(0)),
        ]);
        Self {
            now: Millis::from_unix_ms(START),
            incarnation,
            directory,
            index: LayeredIndex::default(),
            follows: false,
            tail_is_fresh: true,
            guarded_now: BTreeSet::new(),
            log: Vec::new(),
            heard: Vec::new(),
            history: vec![records.clone()],
            records,
            signing_key: KeyId::new("k1").unwrap(),
            seed,
            drawn: 0,
        }
    }

    // The directory, by hand.

    pub(crate) fn tenant(&mut self, change: impl FnOnce(&mut Tenant)) {
        change(Arc::make_mut(
            self.directory.tenants.get_mut(&tenant_id()).unwrap(),
        ));
    }

    pub(crate) fn client(&mut self, id: &str, change: impl FnOnce(&mut Client)) {
        let key = (tenant_id(), client_id(id));
        change(Arc::make_mut(self.directory.clients.get_mut(&key).unwrap()));
    }

    pub(crate) fn resource(&mut self, id: &str, change: impl FnOnce(&mut Resource)) {
        let key = (tenant_id(), ResourceId::new(id).unwrap());
        change(Arc::make_mut(self.directory.resources.get_mut(&key).unwrap()));
    }

    pub(crate) fn partition(&mut self, change: impl FnOnce(&mut PartitionRecord)) {
        let Some(Record::Partition(record)) = self.records.get_mut(&Key::Partition) else {
            panic!("no partition record")
        };
        change(record);
    }

    // What lies in the store.

    pub(crate) fn row(&self, sid: SessionId) -> Option<Arc<Row>> {
        match self.records.get(&Key::Session(sid)) {
            Some(Record::Session(row)) => Some(row.clone()),
            _ => None,
        }
    }

    pub(crate) fn grant(&self, sid: SessionId, gid: GrantId) -> Grant {
        self.row(sid).unwrap().grant(gid).unwrap().clone()
    }

    pub(crate) fn gate(&self, name: &str) -> Option<Arc<Gate>> {
        match self.records.get(&Key::Gate(key_of(name))) {
            Some(Record::Gate(gate)) => Some(gate.clone()),
            _ => None,
        }
    }

    pub(crate) fn ledger(&self, name: &str) -> Option<Arc<Ledger>> {
        match self.records.get(&Key::Ledger(key_of(name))) {
            Some(Record::Ledger(ledger)) => Some(ledger.clone()),
            _ => None,
        }
    }

    pub(crate) fn change_row(&mut self, sid: SessionId, change: impl FnOnce(&mut Row)) {
        let mut row = (*self.row(sid).unwrap()).clone();
        change(&mut row);
        self.records
            .insert(Key::Session(sid), Record::Session(Arc::new(row)));
    }

    pub(crate) fn put(&mut self, key: Key, record: Record) {
        self.records.insert(key, record);
    }

    pub(crate) fn lose(&mut self, key: &Key) {
        self.records.remove(key);
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        self.records.contains_key(key)
    }

    pub(crate) fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
    }

    /// How many earlier states there are to fail over to.
    pub(crate) fn states(&self) -> usize {
        self.history.len()
    }

    /// The store becomes what it was after `kept` commits, under a new incarnation.
    pub(crate) fn fail_over(&mut self, kept: usize) {
        self.history.truncate(kept.max(1));
        self.records = self.history.last().unwrap().clone();
        self.drawn += 1;
        let [a, b, c, d, e, f, g, h, ..] =
            sha256(format!("incarnation {} {}", self.seed, self.drawn).as_bytes());
        self.incarnation = Incarnation([a, b, c, d, e, f, g, h]);
        let (incarnation, now) = (self.incarnation, self.now);
        self.partition(|record| {
            record.incarnation = incarnation;
            record.opened = now;
        });
        *self.history.last_mut().unwrap() = self.records.clone();
    }

    /// Merges these records, as a recovery or a checkpoint that moves does.
    pub(crate) fn merge(&mut self, records: &[LogRecord]) {
        let at = merge::At {
            now: self.now,
            partition: Partition::DIRECTORY,
            session_life_max_ms: 90 * DAY,
            system: None,
        };
        let lacking = records
            .iter()
            .filter(|record| merge::is_lacking(record, Partition::DIRECTORY, self.incarnation));
        for record in lacking {
            let keys = merge::keys_of(record, None);
            let present = self
                .records
                .iter()
                .filter(|(key, _)| keys.contains(key) || **key == Key::Sequence);
            let present = present
                .map(|(key, record)| (key.clone(), record.clone()))
                .collect();
            let heard = merge::Heard {
                record: record.clone(),
                body: None,
            };
            for (key, write) in merge::merge(&at, present, &[heard], &|_| Vec::new()) {
                assert!(
                    keys.contains(&key) || matches!(key, Key::Sequence | Key::DirectoryVersion),
                    "{key:?} was not read"
                );
                match write {
                    Write::Put { record, .. } => drop(self.records.insert(key, record)),
                    Write::Delete => drop(self.records.remove(&key)),
                }
            }
        }
    }

    /// All that lies in the store.
    pub(crate) fn records(&self) -> &BTreeMap<Key, Record> {
        &self.records
    }

    // Deciding.

    pub(crate) fn entropy(&mut self) -> Entropy {
        self.drawn += 1;
        Entropy::new(sha256(format!("entropy {} {}", self.seed, self.drawn).as_bytes()))
    }

    /// Decides and, if the decision grants or publishes, commits.
    pub(crate) fn decide<T>(
        &mut self,
        decide: impl FnOnce(&Self, &Context<'_>, &mut Entropy) -> Decision<Verdict<T>>,
    ) -> Told<T> {
        let mut entropy = self.entropy();
        let decision = decide(self, &self.context(), &mut entropy);
        assert_eq!(decision.partition, Partition::DIRECTORY);
        self.commit(decision)
    }

    fn context(&self) -> Context<'_> {
        let Some(Record::Partition(record)) = self.records.get(&Key::Partition) else {
            panic!("no partition record")
        };
        let Some(Record::Sequence(sequence)) = self.records.get(&Key::Sequence) else {
            panic!("no sequence")
        };
        Context {
            now: self.now,
            partition: Partition::DIRECTORY,
            incarnation: self.incarnation,
            record,
            sequence: *sequence,
            directory: &self.directory,
            tenant: &self.directory.tenants[&tenant_id()],
            index: Some(&self.index),
            tail_is_fresh: self.tail_is_fresh,
            guarded_now: &self.guarded_now,
            signing_key: &self.signing_key,
        }
    }

    fn commit<T>(&mut self, decision: Decision<Verdict<T>>) -> Told<T> {
        let mut revocations = Vec::new();
        let mut others = 0;
        for outgoing in &decision.publish {
            self.heard.push(outgoing.record.clone());
            let LogRecord::Revocation(record) = &outgoing.record else {
                others += 1;
                continue;
            };
            assert_eq!(
                record.validate(),
                Ok(()),
                "no reader freezes on what is published"
            );
            assert_eq!(record.wide, outgoing.wide);
            revocations.push((**record).clone());
        }
        for (key, write) in &decision.writes {
            match write {
                Write::Put { record, collect_at } => {
                    assert!(
                        collect_at.is_none_or(|at| at > self.now),
                        "{key:?} would be collected at once"
                    );
                    if let Record::WideMark(mark) = record {
                        self.directory.wide_marks.insert(mark.record.id, mark.clone());
                        self.directory.wide_index.insert(&mark.record);
                    }
                    self.records.insert(key.clone(), record.clone());
                }
                Write::Delete => drop(self.records.remove(key)),
            }
        }
        if !decision.writes.is_empty() {
            self.history.push(self.records.clone());
        }
        for record in &revocations {
            if self.follows {
                self.index.insert(record);
            }
            self.log.push(record.clone());
        }
        Told {
            verdict: decision.outcome,
            writes: decision.writes,
            revocations,
            others,
        }
    }

    /// What is collected by now goes, as a store would let it go.
    pub(crate) fn collect(&mut self, writes: &[(Key, Write)]) {
        for (key, write) in writes {
            if let Write::Put {
                collect_at: Some(at), ..
            } = write
                && *at <= self.now
            {
                self.records.remove(key);
            }
        }
    }

    pub(crate) fn opening(&self, name: &str) -> open::Request {
        open::Request {
            subject: subject(name),
            subject_key: key_of(name),
            proof: Proof {
                auth_time: self.now,
                acr: Some("pwd".into()),
                amr: vec!["pwd".into()],
            },
            idp: Some("https://idp.example".into()),
            idp_session_id: None,
            device: None,
            claims: serde_json::Map::new(),
            persistent: true,
            idle_timeout_ms: None,
            max_lifetime_ms: None,
            login_hint_hash: None,
            client_ip: None,
            user_agent: None,
            operation: None,
        }
    }

    /// Opens, reading the row that the cap asks for, as the shell does.
    pub(crate) fn open(&mut self, request: &open::Request) -> Told<open::Opened> {
        let name = request.subject.as_str().to_owned();
        let mut needed: Option<SessionId> = None;
        loop {
            let told = self.decide(|world, context, entropy| {
                let (gate, ledger) = (world.gate(&name), world.ledger(&name));
                let row = needed.and_then(|sid| world.row(sid));
                let read = open::Read {
                    gate: gate.as_deref(),
                    ledger: ledger.as_deref(),
                    longest_unused: needed.map(|sid| (sid, row.as_deref())),
                };
                open::open(context, read, request, entropy, |_| Vec::new())
            });
            match told.verdict {
                Verdict::NeedsRow(sid) if needed != Some(sid) => needed = Some(sid),
                Verdict::Granted(_) | Verdict::Refused(_) | Verdict::NotBefore(_) | Verdict::NeedsRow(_) => {
                    return told;
                }
            }
        }
    }

    /// Signs a subject in, waiting where an opening has to wait.
    pub(crate) fn sign_in(&mut self, name: &str) -> SessionId {
        let request = self.opening(name);
        let told = self.open(&request);
        if let Some(instant) = told.not_before() {
            self.now = self.now.max(instant);
            let request = self.opening(name);
            return self.open(&request).granted().row.sid;
        }
        told.granted().row.sid
    }

    pub(crate) fn issuing(&self, name: &str, sid: SessionId, client: &str) -> issue::Request {
        issue::Request {
            sid,
            subject_key: key_of(name),
            client: proven(client),
            resource: None,
            scopes: scopes("openid read write"),
            nonce: None,
            authorized_at: None,
            cp1: true,
            operation: None,
        }
    }

    pub(crate) fn issue(
        &mut self,
        name: &str,
        request: &issue::Request,
        replay: Option<GrantId>,
    ) -> Told<issue::Issued> {
        self.decide(|world, context, entropy| {
            let (row, gate) = (world.row(request.sid), world.gate(name));
            issue::issue(
                context,
                row.as_deref(),
                gate.as_deref(),
                request,
                replay,
                entropy,
                |_| Vec::new(),
            )
        })
    }

    /// A grant for any resource, issued through the one that is named.
    pub(crate) fn authorize(&mut self, name: &str, sid: SessionId, client: &str) -> issue::Issued {
        let request = self.issuing(name, sid, client);
        let others = self.directory.resources.clone();
        self.directory.resources.retain(|(_, id), _| id.as_str() == "api");
        let mut told = self.issue(name, &request, None);
        if let Some(instant) = told.not_before() {
            self.now = self.now.max(instant);
            told = self.issue(name, &request, None);
        }
        self.directory.resources = others;
        told.granted()
    }

    pub(crate) fn asking(&self, what: &Presentation) -> refresh::Request {
        refresh::Request {
            token: what.token.clone(),
            client: what.client.clone(),
            resource: what.resource.map(Into::into),
            scopes: scopes(what.scopes),
            activity: what.activity,
        }
    }

    pub(crate) fn refresh(&mut self, name: &str, what: &Presentation) -> Told<refresh::Refreshed> {
        let (request, entropy) = (self.asking(what), self.entropy());
        let decision = self.decide_refresh(name, &request, entropy);
        self.commit(decision)
    }

    /// The decision alone: what it would do is not done.
    pub(crate) fn decide_refresh(
        &self,
        name: &str,
        request: &refresh::Request,
        mut entropy: Entropy,
    ) -> Decision<Verdict<refresh::Refreshed>> {
        let (row, gate) = (self.row(request.token.sid), self.gate(name));
        let tombstone = match self.records.get(&Key::Tombstone(request.token.sid)) {
            Some(Record::Tombstone(tombstone)) => Some(*tombstone),
            _ => None,
        };
        let read = refresh::Read {
            row: row.as_deref(),
            gate: gate.as_deref(),
            tombstone: tombstone.as_ref(),
        };
        refresh::refresh(&self.context(), read, request, &mut entropy)
    }

    pub(crate) fn app_token(&mut self, client: &str) -> Told<curfew_core::access_token::AccessToken> {
        let request = app_token::Request {
            client: proven(client),
            subject: subject(client),
            subject_key: key_of(client),
            resource: Some("api".into()),
            roles: Vec::new(),
        };
        self.decide(|world, context, entropy| {
            app_token::app_token(context, world.gate(client).as_deref(), &request, entropy)
        })
    }

    pub(crate) fn update(&mut self, name: &str, sid: SessionId, request: &update::Request) -> Told<Row> {
        self.decide(|world, context, entropy| {
            let (row, gate) = (world.row(sid), world.gate(name));
            update::update(
                context,
                row.as_deref(),
                gate.as_deref(),
                request,
                entropy,
                Vec::new,
            )
        })
    }

    pub(crate) fn end_session(&mut self, name: &str, sid: SessionId) -> Told<Ended> {
        self.decide(|world, context, entropy| {
            let (row, ledger) = (world.row(sid), world.ledger(name));
            end::end_session(
                context,
                row.as_deref(),
                ledger.as_deref(),
                key_of(name),
                &motive("test"),
                entropy,
                |_| Vec::new(),
            )
        })
    }

    pub(crate) fn end_grant(&mut self, name: &str, sid: SessionId, gid: GrantId) -> Told<Ended> {
        self.decide(|world, context, entropy| {
            let row = world.row(sid);
            end::end_grant(
                context,
                row.as_deref(),
                gid,
                key_of(name),
                &motive("test"),
                entropy,
                |_| Vec::new(),
            )
        })
    }

    pub(crate) fn cut_off(&mut self, name: &str, except: Option<SessionId>) -> Told<Revocation> {
        self.decide(|world, context, entropy| {
            let (gate, ledger) = (world.gate(name), world.ledger(name));
            let row = except.and_then(|sid| world.row(sid));
            let (gate, ledger) = (gate.as_deref(), ledger.as_deref());
            let whole = Subject {
                subject: &subject(name),
                key: key_of(name),
                gate,
                ledger,
            };
            let except = except.map(|sid| (sid, row.as_deref()));
            end::cut_off(context, whole, except, &motive("test"), entropy, |_| Vec::new())
        })
    }

    pub(crate) fn change(&mut self, name: &str, change: Change) -> Told<Changed> {
        self.decide(|world, context, entropy| {
            let (gate, ledger) = (world.gate(name), world.ledger(name));
            let (gate, ledger) = (gate.as_deref(), ledger.as_deref());
            let whole = Subject {
                subject: &subject(name),
                key: key_of(name),
                gate,
                ledger,
            };
            subject_state::change(context, whole, change, &motive("test"), entropy, |_| Vec::new())
        })
    }

    pub(crate) fn revocation(&self, all_of: &[(&str, &str)], cut: revoke::Cut) -> revoke::Request {
        revoke::Request {
            issuer: tenant_id().own_issuer(),
            all_of: all_of
                .iter()
                .map(|(c, v)| curfew_core::record::Criterion::new(c, v))
                .collect(),
            cut,
            add_clock_error: false,
            scope: "test",
            motive: motive("test"),
        }
    }

    pub(crate) fn revoke_wide(&mut self, request: &revoke::Request) -> Told<Revocation> {
        self.decide(|_, context, entropy| revoke::wide(context, request, entropy, |_| Vec::new()))
    }

    pub(crate) fn revoke_narrow(
        &mut self,
        name: &str,
        row: Option<SessionId>,
        request: &revoke::Request,
    ) -> Told<Revocation> {
        self.decide(|world, context, entropy| {
            let (gate, ledger) = (world.gate(name), world.ledger(name));
            let (gate, ledger) = (gate.as_deref(), ledger.as_deref());
            let whole = Subject {
                subject: &subject(name),
                key: key_of(name),
                gate,
                ledger,
            };
            revoke::narrow(context, whole, row, request, entropy, |_| Vec::new())
        })
    }
}

/// A record that only the authority's index knows.
pub(crate) fn heard(all_of: &[(&str, &str)]) -> Revocation {
    Revocation {
        id: RecordId::from_bytes([0x77; 16]),
        operation: None,
        tenant: tenant_id(),
        issuer: tenant_id().own_issuer(),
        all_of: all_of
            .iter()
            .map(|(c, v)| curfew_core::record::Criterion::new(c, v))
            .collect(),
        before: None,
        except: Vec::new(),
        keep_until: Millis::MAX,
        decided_at: Millis::ZERO,
        cause: Cause::new("heard").unwrap(),
        initiator: Initiator::System,
        home: Partition::DIRECTORY,
        wide: false,
        sequence: 0,
        incarnation: None,
        subject_key: None,
        row: None,
        scope: "test".into(),
        correlation_id: None,
        trace: None,
    }
}
