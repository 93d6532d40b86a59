//! The limit of a shared log in a process of its own: bare produce→consume by the client library alone.
//!
//! One process produces with `acks=all` by a schedule and consumes all partitions; times count from the
//! intended send. Settings are those of a node; nothing is decoded.
//!
//! **Invariant:** a record that was not consumed in time counts as the time-out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use crate::clock::{Mono, sleep_until};
use crate::failure::Failure;
use crate::latency::{Latencies, Percentiles};

/// M of a node's topic.
const PARTITIONS: i32 = 8;
/// A revocation on the log takes about that, bytes.
const RECORD_BYTES: usize = 300;
/// Records before those that are measured: connections and the broker's own warm-up.
pub(crate) const WARM_UP_RECORDS: u32 = 40;
/// From when on a record that was not consumed counts as that long.
const TIME_OUT: Duration = Duration::from_secs(10);
/// How long the consumer waits before it looks whether it is over.
const POLL: Duration = Duration::from_millis(100);

/// What was found.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) records: u32,
    /// Records a second.
    pub(crate) rate: f64,
    /// Records that were not consumed in time; they are among the latencies.
    pub(crate) lost: u32,
    /// From the intended send until all in-sync replicas had it.
    pub(crate) acknowledged_ms: Percentiles,
    /// Until it was consumed.
    pub(crate) consumed_ms: Percentiles,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) bootstrap: String,
    /// A name that nobody else uses.
    pub(crate) topic: String,
    pub(crate) rate: f64,
    pub(crate) records: u32,
}

/// Makes the topic, prints `ready`, waits for a line with the instant of the first record, measures, prints
/// what it found and removes the topic.
pub(crate) fn run(order: &Order) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &order.bootstrap);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topic = NewTopic::new(&order.topic, PARTITIONS, TopicReplication::Fixed(-1));
    let patience = AdminOptions::new().operation_timeout(Some(TIME_OUT));
    for made in runtime.block_on(admin.create_topics([&topic], &patience))? {
        made.map_err(|(name, code)| format!("cannot make the topic {name}: {code}"))?;
    }
    let found = measure(order, &config, runtime.handle());
    runtime.block_on(admin.delete_topics(&[&order.topic], &patience))?;
    println!("{}", serde_json::to_string(&found?)?);
    drop(entered);
    Ok(())
}

fn measure(order: &Order, config: &ClientConfig, runtime: &tokio::runtime::Handle) -> Result<Found, Failure> {
    let producer: FutureProducer = config
        .clone()
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("message.timeout.ms", TIME_OUT.as_millis().to_string())
        .create()?;
    let consumer = consumer(order, config)?;
    let over = Arc::new(AtomicBool::new(false));
    let records = order.records;
    let is_over = over.clone();
    let reader = std::thread::spawn(move || consume(&consumer, records, &is_over));
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let start = Mono(line.trim().parse()?);
    let gap = Duration::from_secs_f64(1.0 / order.rate);
    let warm_up = gap * WARM_UP_RECORDS;
    let first = Mono(start.0.saturating_sub(u64::try_from(warm_up.as_nanos())?));
    let mut sent = Vec::new();
    for n in 0..WARM_UP_RECORDS.saturating_add(records) {
        let at = first.plus(gap * n);
        sleep_until(at);
        let mut payload = vec![7_u8; RECORD_BYTES];
        let number = n.checked_sub(WARM_UP_RECORDS).map_or(u32::MAX, |number| number);
        payload.splice(..12, at.0.to_be_bytes().into_iter().chain(number.to_be_bytes()));
        let partition = fastrand::i32(0..PARTITIONS);
        let record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&order.topic)
            .partition(partition)
            .payload(&payload);
        let delivery = producer.send_result(record).map_err(|(error, _)| error)?;
        if number != u32::MAX {
            sent.push(runtime.spawn(async move {
                let acknowledged = delivery.await.is_ok_and(|delivered| delivered.is_ok());
                acknowledged.then(|| Mono::now().since(at))
            }));
        }
    }
    let mut acknowledged = Latencies::new(3);
    for one in sent {
        acknowledged.record(runtime.block_on(one)?.unwrap_or(TIME_OUT));
    }
    let until = Mono::now().plus(TIME_OUT);
    while !reader.is_finished() && Mono::now() < until {
        std::thread::sleep(POLL);
    }
    over.store(true, Ordering::Relaxed);
    let (mut consumed, count) = reader.join().map_err(|_| "the consumer ended by itself")?;
    let lost = records.saturating_sub(count);
    for _ in 0..lost {
        consumed.record(TIME_OUT);
    }
    Ok(Found {
        records,
        rate: order.rate,
        lost,
        acknowledged_ms: acknowledged.percentiles(),
        consumed_ms: consumed.percentiles(),
    })
}

/// All partitions from their beginning, in no group.
fn consumer(order: &Order, config: &ClientConfig) -> Result<BaseConsumer, Failure> {
    let consumer: BaseConsumer = config
        .clone()
        .set("group.id", "curfew-load")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(&order.topic, partition, Offset::Offset(0))?;
    }
    consumer.assign(&all)?;
    Ok(consumer)
}

/// Until so many records were seen that are measured, or it is over; how many, and how long each took.
fn consume(consumer: &BaseConsumer, records: u32, over: &AtomicBool) -> (Latencies, u32) {
    let (mut latencies, mut count) = (Latencies::new(3), 0);
    while count < records && !over.load(Ordering::Relaxed) {
        let Some(Ok(message)) = consumer.poll(POLL) else {
            continue;
        };
        let now = Mono::now();
        let head = message.payload().and_then(|payload| payload.first_chunk::<12>());
        let Some((at, number)) = head.and_then(|head| head.split_first_chunk::<8>()) else {
            continue;
        };
        if number != u32::MAX.to_be_bytes() {
            latencies.record(now.since(Mono(u64::from_be_bytes(*at))));
            count += 1;
        }
    }
    (latencies, count)
}
