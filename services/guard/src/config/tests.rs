//! Configurations that are none, each refused by name.

use super::*;
use crate::testing::{config, key};
use curfew_jose::Algorithm;

#[track_caller]
fn check(change: impl FnOnce(&mut Config), expected: &str) {
    let signer = key(Algorithm::Es256, "k1");
    let mut config = config(&signer, &signer);
    change(&mut config);
    let clock = std::sync::Arc::new(crate::testing::TestClock::new());
    assert_eq!(
        crate::Guard::new(config, clock).unwrap_err().to_string(),
        expected
    );
}

#[test]
fn a_bad_configuration_is_refused_by_the_setting_that_is_wrong() {
    let own = "11111111-1111-1111-1111-111111111111";
    let entry = "22222222-2222-2222-2222-222222222222";
    check(
        |config| config.audiences.clear(),
        "`audiences` is empty or holds an empty text",
    );
    check(
        |config| {
            config.own.clear();
            config.foreign.clear();
        },
        "neither `own` nor `foreign` names an issuer",
    );
    check(
        |config| config.bound_ms = 0,
        "`bound_ms` is 0 ms; it must be 1 to 3600000 ms",
    );
    check(
        |config| config.error_pages = Some("/errors".into()),
        "`error_pages` is not an address that begins with http:// or https://: `/errors`",
    );
    check(
        |config| config.stale = Stale::AgeCap { cap_ms: 0 },
        "`cap_ms` is 0 ms; it must be 1 to 86400000 ms",
    );
    check(
        |config| config.own[0].spellings.clear(),
        &format!("issuer entry {own}: `spellings` is empty or holds an empty text"),
    );
    check(
        |config| config.foreign[0].spellings[0] = "https://login.microsoftonline.com/{tenantid}/v2.0".into(),
        &format!(
            "issuer entry {entry}: `https://login.microsoftonline.com/{{tenantid}}/v2.0`: an issuer with a \
             `{{tenantid}}` template is not supported: register each tenant's issuer by itself"
        ),
    );
    check(
        |config| config.foreign[0].spellings[0] = config.own[0].spellings[0].clone(),
        "`https://login.example/acme` is a spelling of two issuer entries",
    );
    check(
        |config| config.foreign[0].entry = config.own[0].tenant.own_issuer(),
        &format!("two issuer entries have the id {own} in one tenant"),
    );
    check(
        |config| config.foreign[0].audiences.clear(),
        &format!("issuer entry {entry}: `audiences` is empty or holds an empty text"),
    );
    check(
        |config| config.foreign[0].longest_life_ms = 0,
        "`longest_life_ms` is 0 ms; it must be 1 to 2678400000 ms",
    );
    for document in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AA","kid":"s"}]}"#,
    ] {
        check(
            |config| config.own[0].keys = JwksSource::of_bytes(document),
            &format!("issuer entry {own}: the given key set has no usable key"),
        );
    }
}

#[test]
fn the_catalogue_is_beside_the_first_issuer_of_curfews_own_unless_it_is_named() {
    let signer = key(Algorithm::Es256, "k1");
    let mut config = config(&signer, &signer);
    assert_eq!(
        config.error_pages().as_deref(),
        Some("https://login.example/errors")
    );
    config.error_pages = Some("https://docs.example/curfew".into());
    assert_eq!(
        config.error_pages().as_deref(),
        Some("https://docs.example/curfew")
    );
    config.error_pages = None;
    config.own[0].spellings[0] = "https://login.example".into();
    assert_eq!(
        config.error_pages(),
        None,
        "an issuer without a tenant has no base"
    );
    config.own.clear();
    assert_eq!(config.error_pages(), None, "a foreign provider has no such page");
}
