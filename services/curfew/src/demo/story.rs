//! How the story is told: a line a step for people, a JSON object a step for programs.

use indicatif::ProgressBar;
use serde_json::{Value, json};

/// The eight stages of the pipeline, as people read them.
const STAGES: [&str; 8] = [
    "request",
    "primary authentication",
    "conditional access",
    "additional controls",
    "code",
    "issuance",
    "resource call",
    "silent renewal",
];

/// The story so far.
#[derive(Debug)]
pub(crate) struct Story {
    json: bool,
    ok: bool,
    what: String,
    stage: usize,
    revoke_to_reject: Value,
    /// Kinds of store and log.
    kinds: (&'static str, &'static str),
}

impl Story {
    pub(crate) fn new(json: bool, kinds: (&'static str, &'static str)) -> Self {
        if !json {
            println!(
                "\nCurfew: a revocation that kills live access tokens. Every token and socket here is real.\n"
            );
        }
        Self {
            json,
            ok: true,
            what: String::new(),
            stage: 1,
            revoke_to_reject: Value::Null,
            kinds,
        }
    }

    /// A step begins: what happens, at which stage (1 to 8).
    pub(crate) fn begin(&mut self, what: &str, stage: usize) {
        what.clone_into(&mut self.what);
        self.stage = stage;
    }

    /// A bar for what takes longer than a moment; only people at a terminal see it.
    pub(crate) fn progress(&self, steps: u64) -> ProgressBar {
        if self.json {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(steps)
        }
    }

    /// It went as it should.
    pub(crate) fn end(&mut self, step: &str, result: &str) {
        self.check(step, true, result);
    }

    /// It went as it should, or not.
    pub(crate) fn check(&mut self, step: &str, ok: bool, result: &str) {
        self.ok &= ok;
        let stage = STAGES
            .get(self.stage.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        if self.json {
            let line = json!({
                "step": step, "ok": ok, "stage": self.stage, "stage_name": stage,
                "what": self.what, "result": result,
            });
            println!("{line}");
        } else {
            let mark = if ok { "✓" } else { "✗" };
            println!("{mark} {} {stage}: {}\n    {result}", self.stage, self.what);
        }
    }

    /// What revoke→reject took.
    pub(crate) fn timed(&mut self, n: u64, p50: f64, p99: f64, max: f64) {
        self.revoke_to_reject = json!({"n": n, "p50": p50, "p99": p99, "max": max});
    }

    /// The story broke off.
    pub(crate) fn broke(&mut self, error: &(dyn std::error::Error + 'static)) {
        let mut told = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            told = format!("{told}: {cause}");
            source = cause.source();
        }
        self.check("broke_off", false, &told);
    }

    /// Whether every step went as it should.
    pub(crate) const fn went_well(&self) -> bool {
        self.ok
    }

    /// The last line.
    pub(crate) fn summary(&self) {
        let (store, log) = self.kinds;
        if self.json {
            let line = json!({
                "step": "summary", "ok": self.ok, "revoke_to_reject_ms": self.revoke_to_reject,
                "store": store, "log": log,
            });
            println!("{line}");
            return;
        }
        let figure = |name: &str| {
            self.revoke_to_reject
                .get(name)
                .map_or_else(String::new, ToString::to_string)
        };
        println!(
            "\n{}. Revoke→reject over {} revocations: p50 {} ms, p99 {} ms, max {} ms ({store} store, {log} log).\n",
            if self.ok {
                "Every step went as it should"
            } else {
                "A step did not go as it should"
            },
            figure("n"),
            figure("p50"),
            figure("p99"),
            figure("max"),
        );
    }
}
