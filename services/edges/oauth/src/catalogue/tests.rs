//! The catalogue says all that the enum says, in both forms, and the page in the repository is this one.

use curfew_core::refusal::Stage;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::tests::{get, world};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ERRORS.md");
const HEAD: &str = "<!-- Made from services/core/src/refusal.rs; UPDATE_EXPECT=1 cargo test -p curfew-oauth makes it again. -->\n";

#[test]
fn the_page_in_the_repository_is_the_catalogue() {
    let made = format!("{HEAD}{}", markdown::render(&content::whole()));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(PAGE, &made).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = made
        .lines()
        .zip(written.lines())
        .find(|(made, written)| made != written);
    assert!(
        made == written,
        "services/ERRORS.md is not the catalogue (first difference: {differs:?}); make it again with \
         UPDATE_EXPECT=1 cargo test -p curfew-oauth"
    );
}

#[tokio::test]
async fn every_reason_has_an_entry_and_a_page() {
    let (authority, _) = world().await;
    let (_, _, all) = get(&authority, "/errors").await;
    for reason in Reason::ALL {
        assert!(all.contains(&format!("id=\"{}\"", reason.code())));
        let short = reason.code().strip_prefix("CURFEW_").unwrap();
        for name in [reason.code(), short] {
            let (status, _, page) = get(&authority, &format!("/errors/{name}")).await;
            assert_eq!(status, StatusCode::OK);
            assert!(page.contains(reason.code()) && page.contains(reason.grpc_code().as_str()));
        }
    }
    assert_eq!(get(&authority, "/errors/NONE").await.0, StatusCode::NOT_FOUND);
}

#[test]
fn the_tree_leads_from_every_stage_to_every_reason_told_there() {
    let text = markdown::render(&content::whole());
    let tree = text
        .split("## 2. Find the stage")
        .nth(1)
        .unwrap()
        .split("## 3.")
        .next()
        .unwrap();
    let mut led_to = 0;
    for stage in Stage::ALL {
        let from = tree.find(&format!("**Stage {}, ", stage.number())).unwrap();
        let branch = tree.get(from..).unwrap();
        let branch = branch.split("\n- ").next().unwrap();
        for reason in Reason::ALL {
            let link = format!("(#{})", reason.code().to_ascii_lowercase());
            assert_eq!(
                branch.contains(&link),
                reason.occurs_at(stage),
                "{stage:?} {reason:?}"
            );
            led_to += usize::from(reason.occurs_at(stage));
        }
    }
    assert!(led_to > Reason::ALL.len(), "some are told at several stages");
}

#[tokio::test]
async fn whoever_asks_for_markdown_gets_it() {
    let (authority, _) = world().await;
    let request = Request::get("/errors/TOKEN_REVOKED")
        .header("accept", "text/markdown")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = crate::router(authority).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/markdown; charset=utf-8");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"# Why was it refused?\n\n### CURFEW_TOKEN_REVOKED\n"));
}
