//! What a server says of itself in `INFO replication`.

use curfew_core::place::Incarnation;

use crate::fault::{Effect, Fault};

/// The lines that matter here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Replication {
    pub(crate) is_master: bool,
    /// The first 8 bytes of `master_replid`: another after every promotion and restart.
    pub(crate) incarnation: Incarnation,
    pub(crate) replicas: u32,
}

impl Replication {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name| field(text, name);
        Some(Self {
            is_master: field("role")? == "master",
            incarnation: incarnation_of(field("master_replid")?)?,
            replicas: field("connected_slaves")?.parse().ok()?,
        })
    }

    /// Replicas never decide.
    pub(crate) fn of_a_master(self) -> Result<Self, Fault> {
        if self.is_master {
            return Ok(self);
        }
        Err(Fault::new(
            Effect::Demoted,
            "this server is a replica, which decides nothing",
        ))
    }
}

/// A line of `INFO`.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    lines.find_map(|(key, value)| (key == name).then_some(value.trim()))
}

/// From the first 16 hexadecimal digits.
pub(crate) fn incarnation_of(hex: &str) -> Option<Incarnation> {
    let digits = hex.get(..16)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    Some(Incarnation(number.to_be_bytes()))
}

/// As the script compares it.
pub(crate) fn hex_of(incarnation: Incarnation) -> String {
    format!("{:016x}", u64::from_be_bytes(incarnation.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=127.0.0.1,port=1,state=online,offset=1,lag=0\r\nmaster_failover_state:no-failover\r\n\
        master_replid:00ff12345678abcd0000000000000000deadbeef\r\nmaster_replid2:0\r\n";

    #[test]
    fn the_incarnation_is_the_first_eight_bytes_and_reads_back() {
        let replication = Replication::parse(TEXT).unwrap();
        assert!(replication.is_master);
        assert_eq!(replication.replicas, 2);
        assert_eq!(
            replication.incarnation,
            Incarnation([0, 0xff, 0x12, 0x34, 0x56, 0x78, 0xab, 0xcd])
        );
        assert_eq!(hex_of(replication.incarnation), "00ff12345678abcd");
    }

    #[test]
    fn what_lacks_a_line_is_not_guessed() {
        for line in ["role:master", "connected_slaves:2", "master_replid:"] {
            let name = line.split(':').next().unwrap();
            assert_eq!(
                Replication::parse(&TEXT.replace(&format!("{name}:"), "other:")),
                None
            );
        }
        assert!(
            Replication::parse(&TEXT.replace("role:master", "role:slave"))
                .unwrap()
                .of_a_master()
                .is_err()
        );
    }
}
