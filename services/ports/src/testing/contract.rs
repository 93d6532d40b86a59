//! How a suite meets an adapter: what the adapter offers, what a law answers, and the macros that
//! make one test of each law.
//!
//! **Invariant:** a law that cannot run is a failure unless the adapter lists it, and a listed law
//! that does run is one too.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use curfew_core::place::{LogPartition, Position};

use crate::log::Log;
use crate::store::Store;

/// What an adapter cannot offer, so that a law cannot run on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lacks {
    /// Its clock moves by itself and cannot be stepped.
    SteppableClock,
    /// It knows no time but its newest record's, so a clock ahead of it is never suspect.
    ClockCheckedAhead,
    /// It cannot be restarted from a test.
    Restart,
    /// Its incarnation cannot be changed from a test.
    ChangeOfIncarnation,
    /// It cannot be made to lose a suffix of its commits.
    LosableSuffix,
    /// Its engine is also the log: it has no outbox.
    Outbox,
    /// Its oldest records cannot be trimmed from a test.
    Trim,
    /// Bytes that are no record cannot be put on it.
    RawAppend,
}

/// What a law answers: `Ok` where it held, `Err` where it could not run. A broken one panics.
pub type Law = Result<(), Lacks>;

/// On which sides a store compares the clock of an authority with its own (DESIGN section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockCheck {
    /// Ahead and behind, against a clock of its own.
    BothSides,
    /// Behind only, against its newest record.
    OnlyBehind,
}

/// A store and what a test may do to it. It owns what the store needs: directories, servers.
#[async_trait]
pub trait StoreUnderTest: Send {
    /// The store; after [`Self::restart`] the reopened one.
    fn store(&self) -> Arc<dyn Store>;

    /// The log, where the store's engine is also the log (positions are then `Some`).
    fn log(&self) -> Option<Arc<dyn Log>> {
        None
    }

    /// How it compares clocks.
    fn clock_check(&self) -> ClockCheck {
        ClockCheck::BothSides
    }

    /// Moves the store's clock forward by `ms`. Only for a clock that otherwise stands still.
    async fn step_clock(&mut self, ms: i64) -> Law {
        let _ = ms;
        Err(Lacks::SteppableClock)
    }

    /// Stops and reopens the store; all that was committed must still be there.
    async fn restart(&mut self) -> Law {
        Err(Lacks::Restart)
    }

    /// Gives the store a new incarnation with nothing lost, as a clean promotion does.
    async fn change_incarnation(&mut self) -> Law {
        Err(Lacks::ChangeOfIncarnation)
    }

    /// Fails over to the state `commits` writing commits ago, under a new incarnation.
    async fn lose(&mut self, commits: usize) -> Law {
        let _ = commits;
        Err(Lacks::LosableSuffix)
    }
}

/// A log and what a test may do to it.
#[async_trait]
pub trait LogUnderTest: Send {
    /// The log; after [`Self::restart`] the reopened one.
    fn log(&self) -> Arc<dyn Log>;

    /// Stops and reopens the log; all that was appended must still be there.
    async fn restart(&mut self) -> Law {
        Err(Lacks::Restart)
    }

    /// Drops what lies before offset `before`.
    async fn trim(&mut self, partition: LogPartition, before: u64) -> Law {
        let _ = (partition, before);
        Err(Lacks::Trim)
    }

    /// Puts bytes on the log that are no record.
    async fn append_raw(&mut self, partition: LogPartition, raw: &[u8]) -> Result<Position, Lacks> {
        let _ = (partition, raw);
        Err(Lacks::RawAppend)
    }
}

/// A law that has not ended after this is taken as hanging: the slowest appends ten thousand
/// records durably, about 10 s on a slow disk.
const LAW_SECONDS_MAX: u64 = 180;

/// Runs one law and compares its answer with what the adapter listed as unsupported.
///
/// # Panics
///
/// Where the law is broken, hangs, cannot run without being listed, or runs although it is listed.
pub async fn judge(law: &str, unsupported: &[(&str, &str)], run: impl Future<Output = Law>) {
    let listed = unsupported.iter().find(|(name, _)| *name == law);
    let answer = tokio::time::timeout(Duration::from_secs(LAW_SECONDS_MAX), run).await;
    let answer = answer.unwrap_or_else(|_| panic!("`{law}` hangs: nothing after {LAW_SECONDS_MAX} s"));
    match (answer, listed) {
        (Ok(()), None) => {}
        (Err(lacks), Some((_, why))) => println!("`{law}` is unsupported ({lacks:?}): {why}"),
        (Err(lacks), None) => {
            panic!(
                "`{law}` cannot run, the adapter lacks {lacks:?}: offer it, or list the law as unsupported"
            )
        }
        (Ok(()), Some(_)) => panic!("`{law}` is listed as unsupported, but it runs and holds: unlist it"),
    }
}

/// Fails where an adapter lists a law that there is not.
#[doc(hidden)]
pub fn check_listed(laws: &[&str], unsupported: &[(&str, &str)]) {
    for (name, _) in unsupported {
        assert!(
            laws.contains(name),
            "`{name}` is listed as unsupported, but there is no such law"
        );
    }
}

/// Makes one test of each law of the store.
///
/// `$factory` is called for each and gives a future of an empty [`StoreUnderTest`]. Laws that cannot
/// run are listed with the reason. The calling crate needs `tokio` with `macros` and `rt-multi-thread`.
///
/// ```text
/// curfew_ports::store_contract!(fresh, unsupported: {
///     a_clock_far_ahead_is_suspect: "the engine knows no time but its newest record's",
/// });
/// ```
#[macro_export]
macro_rules! store_contract {
    ($factory:expr $(,)?) => { $crate::store_contract!($factory, unsupported: {}); };
    ($factory:expr, unsupported: { $($unsupported:ident: $why:literal),* $(,)? } $(,)?) => {
        const STORE_UNSUPPORTED: &[(&str, &str)] = &[$((stringify!($unsupported), $why)),*];
        $crate::law_tests! {
            store_laws, STORE_UNSUPPORTED, every_unsupported_law_of_the_store_is_a_law, $factory;
            absent_keys_read_as_none_in_the_order_asked
            a_commit_writes_all_that_it_names
            a_commit_on_another_version_conflicts_and_writes_nothing
            a_commit_that_expects_absence_conflicts_with_presence
            a_commit_that_expects_presence_conflicts_with_absence
            a_version_that_is_only_read_is_compared_too
            a_repeated_commit_conflicts_with_its_own_work
            a_deleted_record_is_gone_and_an_absent_one_may_be_deleted
            the_same_key_in_two_partitions_is_two_records
            q18_an_unwritten_partition_record_is_absent
            every_commit_may_compare_the_partition_record
            a_clock_within_delta_commits
            a_clock_far_behind_is_suspect
            a_clock_far_ahead_is_suspect
            q2_a_commit_without_writes_compares_clocks
            exactly_delta_is_permitted
            every_read_tells_the_stores_clock
            a_record_is_not_collected_before_its_time
            a_record_stays_until_its_time_has_come
            a_record_past_its_time_is_there_whole_or_gone
            a_later_put_replaces_the_time_of_collection
            a_commit_under_another_incarnation_is_fenced
            q2_a_commit_without_writes_is_fenced
            q2_a_commit_without_writes_compares_versions
            a_new_incarnation_fences_what_was_read_before
            after_a_failover_the_store_is_an_earlier_prefix
            every_kind_of_record_round_trips_whole
            every_kind_of_record_survives_a_restart
            a_ledger_of_a_thousand_sessions_pages_completely
            an_operation_is_written_with_its_effect
            as_many_keys_as_permitted_pass
            more_keys_than_permitted_are_refused
            a_page_of_nothing_or_too_much_is_refused
            a_record_without_an_id_is_not_published
            a_listing_gives_every_record_once_in_key_order
            a_cursor_stays_while_records_come_and_go
            a_listing_holds_only_its_own_kind
            a_listing_of_nothing_is_one_empty_page
            what_is_published_is_on_the_log_or_in_the_outbox
            a_commit_may_publish_without_writing
            a_refused_commit_publishes_nothing
            records_are_published_in_the_order_of_their_commits
            an_outbox_entry_is_deleted_like_any_record
            what_was_published_survives_a_restart
            of_a_hundred_racing_commits_exactly_one_wins
            of_racing_creators_exactly_one_wins
            of_two_that_would_skew_at_most_one_wins
            no_increment_is_lost_under_race
            a_read_never_sees_half_a_commit
            a_single_use_item_is_used_once_under_race
            a_version_is_the_incarnation_and_the_nonce
            p2_no_version_returns_after_deletion
            what_was_committed_survives_a_restart
            p2_no_version_returns_after_a_restart
            p2_no_version_returns_after_a_failover
        }
    };
}

/// Makes one test of each law of the log; as [`store_contract!`](crate::store_contract).
#[macro_export]
macro_rules! log_contract {
    ($factory:expr $(,)?) => { $crate::log_contract!($factory, unsupported: {}); };
    ($factory:expr, unsupported: { $($unsupported:ident: $why:literal),* $(,)? } $(,)?) => {
        const LOG_UNSUPPORTED: &[(&str, &str)] = &[$((stringify!($unsupported), $why)),*];
        $crate::law_tests! {
            log_laws, LOG_UNSUPPORTED, every_unsupported_law_of_the_log_is_a_law, $factory;
            appended_records_are_read_in_order_where_told
            positions_are_dense_in_each_partition
            a_copy_is_another_entry
            every_kind_of_log_record_round_trips_whole
            what_cannot_be_read_arrives_as_its_bytes
            an_unknown_partition_is_refused
            the_identity_is_stable
            a_restart_keeps_identity_records_and_positions
            ten_thousand_at_once_are_read_in_bounded_batches
            a_future_offset_is_out_of_range
            a_trimmed_offset_is_out_of_range
            trimming_moves_the_start_and_nothing_else
            a_tail_that_trimming_overtakes_is_told
            a_tail_names_every_partition
            a_tail_resumes_without_loss_or_repeat
            a_tail_waits_and_wakes
            two_tails_see_the_same
            a_busy_partition_starves_none
            dropping_the_wait_loses_nothing
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! law_tests {
    ($laws:ident, $unsupported:ident, $listed:ident, $factory:expr; $($law:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let run = async {
                    let mut subject = ($factory)().await;
                    $crate::testing::$laws::$law(&mut subject).await
                };
                $crate::testing::judge(stringify!($law), $unsupported, run).await;
            }
        )*

        #[test]
        fn $listed() {
            $crate::testing::check_listed(&[$(stringify!($law)),*], $unsupported);
        }
    };
}
