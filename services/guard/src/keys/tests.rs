//! A key set that is good, empty, broken, slow or gone; storms of unknown `kid`s.

use std::sync::Mutex;

use super::*;
use crate::testing::{TestClock, key, set_of};
use async_trait::async_trait;
use curfew_jose::{Algorithm, SigningKey};
use serde_json::json;

/// Answers what it is told to, and how often it was asked is counted by the ring.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Option<Vec<u8>>>>);

impl Told {
    fn say(&self, document: Option<Vec<u8>>) {
        *self.0.lock().unwrap() = document;
    }
}

#[async_trait]
impl FetchKeys for Told {
    async fn fetch(&self) -> Result<Vec<u8>, FetchFailed> {
        let said = self.0.lock().unwrap().clone();
        said.ok_or_else(|| FetchFailed::new("gone"))
    }
}

#[derive(Debug)]
struct Silent;

#[async_trait]
impl FetchKeys for Silent {
    async fn fetch(&self) -> Result<Vec<u8>, FetchFailed> {
        std::future::pending().await
    }
}

struct Fixture {
    clock: TestClock,
    ring: Arc<KeyRing>,
    told: Told,
    _task: tokio::task::JoinSet<()>,
}

impl Fixture {
    async fn new(document: Option<Vec<u8>>) -> Self {
        let told = Told::default();
        told.say(document);
        let (clock, entry) = (TestClock::new(), IssuerId::from_bytes([1; 16]));
        let ring =
            Arc::new(KeyRing::new(entry, JwksSource::Custom(Arc::new(told.clone())), 60 * 60_000).unwrap());
        let mut task = tokio::task::JoinSet::new();
        task.spawn(ring.clone().keep(Arc::new(clock.clone())));
        let fixture = Self {
            clock,
            ring,
            told,
            _task: task,
        };
        fixture.pass(0).await;
        fixture
    }

    /// Lets `seconds` pass on tokio's paused clock and on the test's.
    async fn pass(&self, seconds: i64) {
        for _ in 0..seconds.max(1) {
            self.clock.advance(if seconds == 0 { 0 } else { 1_000 });
            tokio::time::sleep(Duration::from_millis(1_000)).await;
        }
    }

    fn get(&self, kid: &str) -> Option<NoKey> {
        self.ring.get(kid, self.clock.now()).err()
    }
}

fn one(kid: &str) -> SigningKey {
    key(Algorithm::EdDsa, kid)
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_gone_empty_or_broken_leaves_the_last_good_one_for_the_stated_time() {
    let fixture = Fixture::new(Some(set_of(&[&one("a")]))).await;
    assert_eq!(fixture.get("a"), None);
    for document in [
        None,
        Some(b"".to_vec()),
        Some(br#"{"keys":[]}"#.to_vec()),
        Some(b"<html>".to_vec()),
        Some(vec![b' '; 300_000]),
    ] {
        let before = fixture.ring.fetches().1;
        fixture.told.say(document);
        fixture.pass(301).await;
        assert!(fixture.ring.fetches().1 > before, "the failure was counted");
        assert_eq!(fixture.get("a"), None);
    }
    fixture.pass(3_600).await;
    assert_eq!(fixture.get("a"), Some(NoKey::TooOld));
    // And it comes back by itself.
    fixture.told.say(Some(set_of(&[&one("a")])));
    fixture.pass(65).await;
    assert_eq!(fixture.get("a"), None);
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_unknown_broken_or_colliding_are_skipped_and_the_others_serve() {
    let (good, twin_a, twin_b) = (one("good"), one("twin"), one("twin"));
    let mut set: serde_json::Value = serde_json::from_slice(&set_of(&[&good, &twin_a, &twin_b])).unwrap();
    let keys = set["keys"].as_array_mut().unwrap();
    keys.push(json!({"kty": "XYZ", "kid": "new"}));
    keys.push(json!({"kty": "EC", "crv": "P-256", "kid": "broken", "x": "AA"}));
    keys.push(json!(7));
    let fixture = Fixture::new(Some(set.to_string().into_bytes())).await;
    assert_eq!(fixture.get("good"), None);
    for kid in ["twin", "new", "broken"] {
        assert_eq!(fixture.get(kid), Some(NoKey::Unknown), "{kid}");
    }
    assert_eq!(fixture.ring.size(), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_unknown_kids_is_no_storm_of_fetches_and_a_real_rotation_is_found() {
    let fixture = Fixture::new(Some(set_of(&[&one("a")]))).await;
    assert_eq!(fixture.ring.fetches(), (1, 0));
    for second in 0..120 {
        for n in 0..1_000 {
            assert_eq!(fixture.get(&format!("{second}-{n}")), Some(NoKey::Unknown));
        }
        assert_eq!(fixture.get("a"), None, "no unknown `kid` evicts a known key");
        fixture.pass(1).await;
    }
    let (fetches, _) = fixture.ring.fetches();
    assert!(
        (4..=5).contains(&fetches),
        "{fetches} fetches for 120,000 unknown `kid`s in 120 s"
    );
    // In the midst of it the issuer rotates.
    fixture.told.say(Some(set_of(&[&one("a"), &one("b")])));
    for second in 0..31 {
        let _ = fixture.get(&format!("x{second}"));
        fixture.pass(1).await;
    }
    assert_eq!(fixture.get("b"), None);
}

#[tokio::test(start_paused = true)]
async fn an_announced_rotation_is_found_by_the_schedule_alone() {
    let fixture = Fixture::new(Some(set_of(&[&one("a")]))).await;
    fixture.told.say(Some(set_of(&[&one("b")])));
    fixture.pass(301).await;
    assert_eq!(fixture.get("b"), None);
    assert_eq!(
        fixture.get("a"),
        Some(NoKey::Unknown),
        "a key that was withdrawn is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_is_given_up_and_holds_up_nobody() {
    let (clock, entry) = (TestClock::new(), IssuerId::from_bytes([1; 16]));
    let ring = Arc::new(KeyRing::new(entry, JwksSource::Custom(Arc::new(Silent)), 1).unwrap());
    let mut task = tokio::task::JoinSet::new();
    task.spawn(ring.clone().keep(Arc::new(clock.clone())));
    assert_eq!(ring.get("a", clock.now()).err(), Some(NoKey::NoSet));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(ring.fetches(), (1, 1));
}

#[tokio::test]
async fn an_address_is_fetched_over_http_within_its_bounds() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let fetcher = fetch::Fetcher::new(&JwksSource::of_url(url));
    let good = String::from_utf8(set_of(&[&one("a")])).unwrap();
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned();
    let length = good.len();
    for (answer, is_good) in [
        (
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{good}"),
            true,
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            false,
        ),
        (redirect, false),
        (
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 400000\r\n\r\n{}",
                " ".repeat(400_000)
            ),
            false,
        ),
    ] {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await.unwrap();
            // A reader that has seen enough hangs up.
            let _ = stream.write_all(answer.as_bytes()).await;
        };
        let (fetched, ()) = tokio::join!(fetcher.fetch(), serve);
        assert_eq!(fetched.is_ok(), is_good, "{fetched:?}");
    }
}
