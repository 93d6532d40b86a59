//! Servers of a process that dies without a word.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use curfew_servers::Redis;

/// Set for the process that is to die.
const DOOMED: &str = "CURFEW_DOOMED";

#[test]
fn a_server_dies_with_the_process_that_started_it_and_not_with_the_thread() {
    if std::env::var_os(DOOMED).is_some() {
        // Started by a thread that ends at once, as tests do that share a server.
        let redis = thread::spawn(|| Redis::start().unwrap()).join().unwrap();
        redis.command(&["PING"]).unwrap();
        println!("\nport {}", redis.port());
        thread::sleep(Duration::MAX);
    }
    let name = "a_server_dies_with_the_process_that_started_it_and_not_with_the_thread";
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(DOOMED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(doomed.stdout.take().unwrap()).lines();
    let port = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("port ")?.parse::<u16>().ok())
        .expect("it has started a server");
    let is_there = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    assert!(is_there());

    doomed.kill().unwrap();
    doomed.wait().unwrap();
    // The system kills it now; a busy one takes a moment.
    let is_gone = (0..1_000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        !is_there()
    });
    assert!(is_gone, "port {port}");
}
