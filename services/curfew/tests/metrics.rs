//! `/metrics` of a running node, and the page that describes it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and draws its own ids"
)]

mod process;

use std::collections::{BTreeMap, BTreeSet};

use process::{Backend, Server, seeded};

const PAGE: &str = include_str!("../../METRICS.md");

/// A family: its type and its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

async fn scrape(server: &Server) -> String {
    // Plain text; the client wants to know its cryptography all the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let response = reqwest::get(format!("{}/metrics", server.http)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    response.text().await.unwrap()
}

/// What a scrape says of its families.
fn families_of(text: &str) -> Families {
    let mut families = Families::new();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for (name, kind) in types.filter_map(|line| line.split_once(' ')) {
        families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let of = |name: &str| families.contains_key(name).then(|| name.to_owned());
        let suffixes = ["", "_bucket", "_sum", "_count"];
        let family = suffixes
            .iter()
            .find_map(|suffix| of(name.strip_suffix(suffix)?))
            .unwrap_or_else(|| panic!("a sample without a family: {line}"));
        let labels = line
            .split_once('{')
            .map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        for label in labels.split(',').filter_map(|label| label.split_once('=')) {
            if label.0 != "le" {
                families.get_mut(&family).unwrap().1.insert(label.0.to_owned());
            }
        }
    }
    families
}

/// What the page says of them.
fn families_of_page() -> Families {
    // A guard's own are compared beside the guard.
    let is_ours = |line: &&str| line.starts_with("| `") && !line.starts_with("| `curfew_guard_");
    let rows = PAGE.lines().filter(is_ours);
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, meaning, _, _] = cells[..] else {
            panic!("not five cells: {row}")
        };
        assert!(!meaning.is_empty(), "{row}");
        let bare = |cell: &str| cell.trim_matches('`').to_owned();
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(bare);
        (bare(name), (kind.to_owned(), labels.collect()))
    })
    .collect()
}

/// The value of one series.
fn value(text: &str, series: &str) -> f64 {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no series {series} in\n{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_every_metric_that_a_node_has_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (_, secret) = seeded(dir.path());
    let server = Server::start(&dir.path().join("data"));
    let backend = Backend::new(&server, &secret).await;
    let session = backend.sign_in("alice").await.unwrap();
    let tokens = backend.issue(&session).await.unwrap();
    backend.refresh(&tokens.refresh_token).await.unwrap();
    backend.refresh(&tokens.refresh_token).await.unwrap();
    backend.refresh("cfr_nonsense").await.unwrap_err();
    let revocation = backend.end(&session).await.unwrap();
    // The follower has read it when its revocation is known by name.
    let wait = curfew_proto::revocation::v1::WaitRevocationRequest {
        name: revocation,
        ..Default::default()
    };
    backend.revocations.clone().wait_revocation(wait).await.unwrap();

    let text = scrape(&server).await;
    let (told, written) = (families_of(&text), families_of_page());
    for (name, family) in &told {
        assert_eq!(
            written.get(name),
            Some(family),
            "{name} is not on the page as it is"
        );
    }
    for name in written.keys() {
        assert!(
            told.contains_key(name),
            "{name} is on the page and no node has it"
        );
    }

    let token_service = "curfew.token.v1.TokenService";
    for (series, expected) in [
        ("curfew_refreshes_total{outcome=\"rotated\"}".to_owned(), 1.0),
        ("curfew_refreshes_total{outcome=\"replayed\"}".to_owned(), 1.0),
        ("curfew_refreshes_total{outcome=\"refused\"}".to_owned(), 1.0),
        ("curfew_revoke_to_applied_seconds_count".to_owned(), 1.0),
        ("curfew_index_entries".to_owned(), 1.0),
        ("curfew_store_up".to_owned(), 1.0),
        ("curfew_signing_key_standby".to_owned(), 1.0),
        (
            format!("curfew_rpc_calls_total{{method=\"{token_service}/RefreshTokens\",code=\"OK\"}}"),
            2.0,
        ),
        (
            format!(
                "curfew_rpc_calls_total{{method=\"{token_service}/RefreshTokens\",code=\"INVALID_ARGUMENT\"}}"
            ),
            1.0,
        ),
        (
            format!("curfew_rpc_duration_seconds_count{{method=\"{token_service}/RefreshTokens\"}}"),
            3.0,
        ),
    ] {
        assert!(
            (value(&text, &series) - expected).abs() < f64::EPSILON,
            "{series}"
        );
    }
    assert!(
        text.contains("reason=\"CURFEW_TOKEN_MALFORMED\""),
        "the refusal has its reason:\n{text}"
    );
}

#[test]
fn names_units_and_labels_follow_the_rules() {
    for (name, (kind, labels)) in families_of_page() {
        assert!(
            name.starts_with("curfew_") || name.starts_with("process_"),
            "{name}"
        );
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        for told_by_callers in [
            "subject", "session", "token", "tenant", "client", "caller", "user",
        ] {
            assert!(!labels.contains(told_by_callers), "{name}: {told_by_callers}");
        }
    }
}
