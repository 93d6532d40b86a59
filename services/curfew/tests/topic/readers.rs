//! Strangers read the topic: kcat, and a client in Python that knows the published descriptor set and nothing else.
//!
//! **Invariant:** a program that is missing fails the test, and the failure says how to install it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use curfew_proto::log::v1::envelope::Body;
use curfew_proto::log::v1::{Envelope, Initiator};
use curfew_proto::revocation::v1::create_revocation_request::Scope;
use curfew_proto::revocation::v1::{Acknowledgement, ClientScope};
use curfew_proto::session::v1::EndSessionRequest;
use prost::Message as _;
use serde_json::{Value, json};
use tonic::Request;

use crate::World;
use crate::page::{Block, blocks, missing_line};
use crate::process::{TENANT, request_id};
use crate::terminal::Terminal;

const PAGE: &str = include_str!("../../../../deploy/quickstarts/kafka/README.md");
/// Where the page's broker is; a free one takes its place.
const BROKER: &str = "127.0.0.1:9092";
const TOPIC: &str = "curfew.revocations.v1";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn needs(program: &str, arguments: &[&str], install: &str) {
    let output = Command::new(program).args(arguments).output();
    let is_there = output.is_ok_and(|output| output.status.success());
    assert!(is_there, "{program} is missing: {install}");
}

/// What kcat prints of the topic.
fn kcat(world: &World, arguments: &[&str]) -> Vec<u8> {
    needs("kcat", &["-V"], "apt-get install kcat");
    let output = Command::new("kcat")
        .args([
            "-q",
            "-b",
            &world.kafka.bootstrap(),
            "-C",
            "-t",
            TOPIC,
            "-m",
            "60",
        ])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// A session ends by a call with a trace of its own.
async fn end_traced(world: &World) -> Acknowledgement {
    let mut request = Request::new(EndSessionRequest {
        name: world.backend.sign_in("alice").await.unwrap(),
        cause: "signed_out".into(),
        initiator: Initiator::User.into(),
        request_id: request_id(),
        ..Default::default()
    });
    let traceparent = format!("00-{TRACE_ID}-b7ad6b7169203331-01");
    request
        .metadata_mut()
        .insert("traceparent", traceparent.parse().unwrap());
    let answer = world.backend.sessions.clone().end_session(request).await;
    answer.unwrap().into_inner().acknowledgement.unwrap()
}

/// The id in a revocation's name.
fn id_of(acknowledged: &Acknowledgement) -> &str {
    acknowledged.revocation.rsplit('/').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_reads_the_record_of_a_call_with_its_headers() {
    let world = World::start().await;
    let acknowledged = end_traced(&world).await;
    let [position] = acknowledged.positions.as_slice() else {
        panic!("a narrow record lies in one place: {acknowledged:?}");
    };
    let place = [
        "-p",
        &position.partition.to_string(),
        "-o",
        &position.offset.to_string(),
        "-c",
        "1",
    ];
    let told = String::from_utf8(kcat(&world, &[&place[..], &["-f", "%k|%h"]].concat())).unwrap();
    let (key, headers) = told.split_once('|').unwrap();
    let headers: Vec<_> = headers.split(',').collect();
    assert_eq!(
        headers[..2],
        ["content-type=application/protobuf", "curfew-kind=revocation"]
    );
    let trace = headers[2].strip_prefix("traceparent=").unwrap();
    assert!(trace.starts_with(&format!("00-{TRACE_ID}-")), "{trace}");
    assert_eq!(headers.len(), 3);

    let value = kcat(&world, &[&place[..], &["-f", "%s"]].concat());
    let envelope = Envelope::decode(value.as_slice()).unwrap();
    assert_eq!(envelope.trace, trace, "the header repeats what the value says");
    let Some(Body::Revocation(revocation)) = envelope.body else {
        panic!("no revocation: {envelope:?}");
    };
    let id = uuid::Uuid::from_slice(&revocation.id).unwrap();
    assert_eq!(id.to_string(), id_of(&acknowledged));
    assert_eq!(revocation.scope, "session");
    assert_eq!(revocation.home_partition.to_string(), key);
}

/// Runs the blocks of the quickstart's page; what each printed.
fn run_the_page(world: &World) -> Vec<String> {
    needs("kcat", &["-V"], "apt-get install kcat");
    needs(
        "python3",
        &["-c", "import ensurepip, venv"],
        "apt-get install python3 python3-venv",
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = tempfile::tempdir().unwrap();
    for name in ["deploy", "proto"] {
        symlink(
            root.join(name).canonicalize().unwrap(),
            directory.path().join(name),
        )
        .unwrap();
    }
    // What the page installs stays installed: a second run need not fetch it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let tools = target.join("tools");
    fs::create_dir_all(&tools).unwrap();
    fs::create_dir(directory.path().join("target")).unwrap();
    symlink(&tools, directory.path().join("target/tools")).unwrap();
    let mut terminal = Terminal::open(directory.path(), &[]);
    let page = PAGE.replace(BROKER, &world.kafka.bootstrap());
    let ran = blocks(&page).into_iter().map(|Block { line, text, prints }| {
        let printed = terminal.run(&text);
        let printed =
            printed.unwrap_or_else(|failed| panic!("README.md:{line}: {}\n{}", failed.what, failed.printed));
        if let Some(missing) = missing_line(&prints, &printed) {
            panic!("README.md:{line}: the page says that it prints\n{missing}\nbut it printed\n{printed}");
        }
        printed
    });
    ran.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_decodes_what_the_node_answered_by_the_descriptor_set_alone() {
    let world = World::start().await;
    let narrow = end_traced(&world).await;
    let scope = ClientScope {
        client: format!("{TENANT}/clients/cli"),
    };
    let wide = world.revoke(Scope::Client(scope)).await;
    assert!(
        wide.positions.len() > 1,
        "a wide record lies in every log partition"
    );
    let printed = run_the_page(&world);
    assert_eq!(printed.len(), 2, "blocks of the page");
    let lines: Vec<Value> = printed[1]
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    assert!(
        lines.iter().all(|line| line.get("unreadable").is_none()),
        "{lines:?}"
    );
    for (acknowledged, scope, claim, is_traced) in [
        (&narrow, "session", "sid", true),
        (&wide, "client", "client_id", false),
    ] {
        for position in &acknowledged.positions {
            let found = lines
                .iter()
                .find(|line| line["partition"] == position.partition && line["offset"] == position.offset);
            let line = found.unwrap_or_else(|| panic!("nothing at {position:?}"));
            let revocation = &line["revocation"];
            assert_eq!(line["kind"], "revocation");
            assert_eq!(revocation["id"], id_of(acknowledged));
            assert_eq!(revocation["scope"], scope);
            assert_eq!(revocation["all_of"][0]["claim"], claim);
            let headers = &line["headers"];
            assert_eq!(headers["content-type"], "application/protobuf");
            assert_eq!(headers["curfew-kind"], "revocation");
            let trace = headers["traceparent"].as_str().unwrap_or_default();
            assert_eq!(
                trace.starts_with(&format!("00-{TRACE_ID}-")),
                is_traced,
                "{trace}"
            );
            assert_eq!(line["trace"], trace);
        }
    }
    // Every partition's freshness is told, of the one log that was answered.
    let log_id = uuid::Uuid::from_slice(&narrow.log_id).unwrap().to_string();
    let beats = lines.iter().filter(|line| line["kind"] == "heartbeat");
    let partitions: std::collections::BTreeSet<_> = beats
        .map(|line| {
            assert_eq!(line["heartbeat"]["log_id"], log_id.as_str());
            line["partition"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(json!(partitions), json!((0..8).collect::<Vec<_>>()));
}
