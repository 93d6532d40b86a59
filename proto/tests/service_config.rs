//! The retry policy that clients are given: every service is in it, and only what may be repeated.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test speaks"
)]

use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;
use serde_json::Value;

#[test]
fn every_service_is_repeated_when_it_is_unavailable_and_for_no_other_reason() {
    let config: Value = serde_json::from_str(include_str!("../service_config.json")).unwrap();
    let methods = config["methodConfig"].as_array().unwrap();
    let named: BTreeSet<&str> = methods
        .iter()
        .flat_map(|method| method["name"].as_array().unwrap())
        .map(|name| name["service"].as_str().unwrap())
        .collect();
    let pool = DescriptorPool::decode(curfew_proto::FILE_DESCRIPTOR_SET).unwrap();
    let services: BTreeSet<String> = pool
        .services()
        .map(|service| service.full_name().to_owned())
        .filter(|name| name.starts_with("curfew."))
        .collect();
    assert_eq!(named, services.iter().map(String::as_str).collect());
    for method in methods {
        let policy = &method["retryPolicy"];
        assert_eq!(policy["retryableStatusCodes"], serde_json::json!(["UNAVAILABLE"]));
        // What clients of gRPC take: 2 to 5.
        assert!((2..=5).contains(&policy["maxAttempts"].as_u64().unwrap()));
    }
}
