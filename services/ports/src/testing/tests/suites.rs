//! The fake passes the suites that adapters pass, and the suites' own judge judges.

use super::{FakeLogUnderTest, FakeStoreUnderTest, a_log, clock};
use crate::testing::{FakeStore, Lacks, judge};

mod store_with_an_outbox {
    use super::*;

    async fn fresh() -> FakeStoreUnderTest {
        let clock = clock();
        FakeStoreUnderTest {
            store: FakeStore::new(clock.clone()),
            log: None,
            clock,
        }
    }

    crate::store_contract!(fresh);
}

mod store_that_is_also_the_log {
    use super::*;

    async fn fresh() -> FakeStoreUnderTest {
        let (clock, log) = (clock(), a_log());
        FakeStoreUnderTest {
            store: FakeStore::with_log(clock.clone(), log.clone()),
            log: Some(log),
            clock,
        }
    }

    crate::store_contract!(fresh, unsupported: {
        an_outbox_entry_is_deleted_like_any_record: "the log is in the same step",
    });
}

mod log {
    use super::*;

    crate::log_contract!(|| async { FakeLogUnderTest(a_log()) });
}

const LISTED: &[(&str, &str)] = &[("a_law", "the reason")];

#[tokio::test]
async fn a_law_that_holds_and_one_that_is_listed_pass() {
    judge("a_law", &[], async { Ok(()) }).await;
    judge("a_law", LISTED, async { Err(Lacks::Restart) }).await;
}

#[tokio::test]
#[should_panic(expected = "list the law as unsupported")]
async fn a_law_that_cannot_run_and_is_not_listed_fails() {
    judge("a_law", &[], async { Err(Lacks::Restart) }).await;
}

#[tokio::test]
#[should_panic(expected = "unlist it")]
async fn a_law_that_is_listed_and_runs_fails() {
    judge("a_law", LISTED, async { Ok(()) }).await;
}

#[test]
#[should_panic(expected = "there is no such law")]
fn a_law_that_there_is_not_cannot_be_listed() {
    crate::testing::check_listed(&["another_law"], LISTED);
}

#[test]
fn every_law_is_in_its_macro() {
    let files = [
        include_str!("../store_laws/atomicity.rs"),
        include_str!("../store_laws/clock.rs"),
        include_str!("../store_laws/fence.rs"),
        include_str!("../store_laws/kinds.rs"),
        include_str!("../store_laws/limits.rs"),
        include_str!("../store_laws/listing.rs"),
        include_str!("../store_laws/publishing.rs"),
        include_str!("../store_laws/race.rs"),
        include_str!("../store_laws/versions.rs"),
        include_str!("../log_laws/append.rs"),
        include_str!("../log_laws/range.rs"),
        include_str!("../log_laws/tail.rs"),
    ];
    let listed: Vec<_> = include_str!("../contract.rs").lines().map(str::trim).collect();
    let laws = files
        .iter()
        .flat_map(|file| file.split("\npub async fn ").skip(1));
    let laws: Vec<_> = laws.filter_map(|law| law.split('(').next()).collect();
    assert!(laws.len() > 70, "the laws are found: {}", laws.len());
    for law in laws {
        assert!(listed.contains(&law), "`{law}` is in no macro");
    }
}
