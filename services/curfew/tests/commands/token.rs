//! `curfew token issue|refresh|revoke|explain`, each in both forms.

use serde_json::Value;

use crate::desk::{Desk, error, file, finish};
use crate::process::Output;

pub(crate) const ORDERS: &str = "https://orders.acme.example";

/// The tokens of one grant.
pub(crate) struct Tokens {
    pub(crate) session: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) id: String,
    pub(crate) grant: String,
}

impl Desk {
    /// Signs somebody in and issues all three tokens.
    #[track_caller]
    pub(crate) fn tokens(&self, subject: &str) -> Tokens {
        let session = self.session(subject);
        let told = self.json(
            &[
                &issue(&session)[..],
                &["--scope", "openid", "--scope", "offline_access"],
            ]
            .concat(),
        );
        let text = |name: &str| told["tokens"][name].as_str().unwrap().to_owned();
        Tokens {
            access: text("accessToken"),
            refresh: text("refreshToken"),
            id: text("idToken"),
            grant: text("grant"),
            session,
        }
    }

    /// Runs a command with a token on its standard input; the token is in no output.
    #[track_caller]
    pub(crate) fn with_token(&self, token: &str, args: &[&str]) -> Output {
        let output = finish(&mut self.command("desk", &self.secret, args), token);
        says_no_token(&output, token);
        output
    }
}

/// Neither the whole token nor its signature was printed.
#[track_caller]
pub(crate) fn says_no_token(output: &Output, token: &str) {
    let last = token.rsplit('.').next().unwrap();
    for part in [token, last] {
        if part.len() > 20 {
            assert!(!output.stdout.contains(part), "a token in {}", output.stdout);
            assert!(!output.stderr.contains(part), "a token in {}", output.stderr);
        }
    }
}

fn issue(session: &str) -> [&str; 10] {
    [
        "token",
        "issue",
        "--session",
        session,
        "--client",
        "web",
        "--resource",
        "orders",
        "--scope",
        "orders.read",
    ]
}

#[test]
fn tokens_are_issued_renewed_and_revoked() {
    let desk = Desk::new();
    let session = desk.session("alice");
    let table = desk.text(&[&issue(&session)[..], &["--scope", "offline_access"]].concat());
    for part in [
        "access token",
        "expires",
        "refresh token",
        ORDERS,
        "--only access",
    ] {
        assert!(table.contains(part), "{part} in {table}");
    }
    assert!(
        !table.contains("cfr_") && !table.contains("eyJ"),
        "no token for people: {table}"
    );
    let only = desk.text(&[&issue(&session)[..], &["--only", "access"]].concat());
    assert!(
        only.starts_with("eyJ") && only.lines().count() == 1,
        "one token and nothing else"
    );
    let none = desk.run(&[&issue(&session)[..], &["--only", "id"]].concat());
    assert_eq!((none.code, none.stdout.as_str()), (3, ""));

    let tokens = desk.tokens("bob");
    let renewed = finish(
        &mut desk.command(
            "desk",
            &desk.secret,
            &["token", "refresh", "--client", "web", "--json"],
        ),
        &tokens.refresh,
    );
    let told: Value = serde_json::from_str(&renewed.stdout).unwrap();
    assert_eq!(told["cause"], "REFRESH_CAUSE_ROTATED");
    let successor = told["tokens"]["refreshToken"].as_str().unwrap();
    let kept = file(desk.dir.path(), "refresh", successor, 0o600);
    let table = desk.text(&["token", "refresh", &kept, "--client", "web"]);
    assert!(table.contains("rotated"), "{table}");

    let other = desk.with_token(
        &tokens.refresh,
        &["token", "refresh", "--client", "phone", "--json"],
    );
    assert_eq!(
        (other.code, &error(&other)["reason"]),
        (3, &"CLIENT_MISMATCH".into())
    );
    let told = desk.with_token(&tokens.access, &["token", "revoke", "--client", "web", "--json"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["kind"], "TOKEN_KIND_ACCESS");
    assert_eq!(told["acknowledgement"]["level"], "ACK_LEVEL_DURABLE");
    let nothing = desk.with_token("nonsense", &["token", "revoke", "--client", "web"]);
    assert_eq!(nothing.code, 0, "RFC 7009: {}", nothing.stderr);
    assert!(
        nothing.stdout.contains("nothing to publish"),
        "{}",
        nothing.stdout
    );
}

#[test]
fn a_clients_secret_comes_from_a_file_and_a_dead_session_issues_nothing() {
    let desk = Desk::new();
    let session = desk.session("alice");
    let secret = file(desk.dir.path(), "client-secret", "cfs_wrong", 0o600);
    let args = [&issue(&session)[..], &["--client-secret-file", &secret, "--json"]].concat();
    let wrong = desk.run(&args);
    assert_eq!(wrong.code, 4, "{}", wrong.stderr);
    assert_eq!(error(&wrong)["reason"], "CLIENT_AUTHENTICATION");
    assert!(!wrong.stderr.contains("cfs_wrong"));
    desk.text(&["session", "end", &session]);
    let dead = desk.run(&[&issue(&session)[..], &["--json"]].concat());
    assert_eq!((dead.code, &error(&dead)["reason"]), (3, &"SESSION_ENDED".into()));
    assert_eq!(error(&dead)["fixer"], "user");
}

#[test]
fn the_node_explains_why_a_token_lives_or_not() {
    let desk = Desk::new();
    let tokens = desk.tokens("alice");
    let alive = desk.with_token(&tokens.access, &["token", "explain", "--json"]);
    let alive: Value = serde_json::from_str(&alive.stdout).unwrap();
    assert_eq!(
        (&alive["alive"], &alive["authentic"]),
        (&true.into(), &true.into())
    );
    desk.text(&["session", "end", &tokens.session, "--cause", "stolen_laptop"]);
    let dead = desk.with_token(&tokens.access, &["token", "explain", "--sent-to", ORDERS]);
    assert_eq!(dead.code, 0, "a dead token is an answer: {}", dead.stderr);
    for part in [
        "TOKEN_REVOKED",
        "7 resource_call",
        "stolen_laptop",
        "tenants/acme/revocations/",
        "user",
    ] {
        assert!(dead.stdout.contains(part), "{part} in {}", dead.stdout);
    }
    let mut command = desk.command("watcher", &desk.watcher, &["token", "explain", "--json"]);
    let denied = finish(&mut command, &tokens.access);
    assert_eq!(
        (denied.code, &error(&denied)["reason"]),
        (3, &"CALLER_ROLE".into())
    );
}

#[test]
fn a_grant_is_ended_alone() {
    let desk = Desk::new();
    let tokens = desk.tokens("alice");
    let grants = desk.json(&["session", "grants", &tokens.session, "--active"]);
    assert_eq!(grants["grants"][0]["name"], *tokens.grant);
    let short = tokens
        .grant
        .strip_prefix("tenants/acme/sessions/")
        .unwrap()
        .replace("/grants/", "/");
    let ended = desk.json(&["session", "end-grant", &short]);
    assert_eq!(ended["grant"]["state"], "GRANT_STATE_ENDED");
    assert!(
        desk.text(&["session", "end-grant", &tokens.grant])
            .contains("client")
    );
    assert_eq!(
        desk.json(&["session", "get", &tokens.session])["state"],
        "SESSION_STATE_ACTIVE"
    );
    let revoked = desk.json(&["revoke", "grant", &short]);
    assert!(revoked["acknowledgement"]["revocation"].is_string(), "{revoked}");
}
