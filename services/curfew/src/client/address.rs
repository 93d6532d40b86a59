//! Where a node is, as people write it.
//!
//! **Invariant:** plain text never leaves this machine with a credential in it.

use std::net::IpAddr;

use tonic::transport::Uri;

use crate::commands::fault::Fault;

/// The port of a node that is named without one.
const PORT: u16 = 7400;

/// The address of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    uri: Uri,
    is_loopback: bool,
}

impl Address {
    /// Reads `host`, `host:port`, `http://host:port` or `https://host:port`.
    ///
    /// Without a scheme a loopback address is plain text, and any other is TLS; so is every one where files
    /// for TLS are named.
    pub(crate) fn parse(text: &str, has_tls_files: bool) -> Result<Self, Fault> {
        let wrong = |why: &str| {
            Fault::usage(format!("the address `{text}` {why}"))
                .fix("write `host:port`, `http://host:port` or `https://host:port`")
        };
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest.trim_end_matches('/')),
            Some(_) => return Err(wrong("has a scheme that is neither `http` nor `https`")),
            None => (None, text),
        };
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(wrong("is not a host with a port"));
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !port.contains(']') && !host.is_empty());
        let authority = match (scheme, has_port) {
            (None, false) => format!("{authority}:{PORT}"),
            (Some(_), _) | (None, true) => authority.to_owned(),
        };
        let host: Uri = format!("http://{authority}")
            .parse()
            .map_err(|_| wrong("is not a host with a port"))?;
        // The parser of addresses takes any digits for a port.
        if has_port && host.port_u16().is_none() {
            return Err(wrong("has no port that there is"));
        }
        let host = host.host().unwrap_or_default();
        let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let is_loopback = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        let scheme = match scheme {
            Some("http") if has_tls_files => {
                return Err(wrong("is plain text, and files for TLS were named"));
            }
            Some(scheme) => scheme,
            None if is_loopback && !has_tls_files => "http",
            None => "https",
        };
        let uri = format!("{scheme}://{authority}")
            .parse()
            .map_err(|_| wrong("is not a host with a port"))?;
        Ok(Self { uri, is_loopback })
    }

    /// As it is dialled.
    pub(crate) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it is dialled with TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Refuses to send a credential where others could read it.
    pub(crate) fn may_carry_credentials(&self) -> Result<(), Fault> {
        if self.is_tls() || self.is_loopback {
            return Ok(());
        }
        Err(Fault::usage(format!(
            "{self} is plain text beyond this machine: no secret is sent there"
        ))
        .fix("use `https://`, with `--ca` where the node's certificate is of an authority of your own"))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.uri.to_string();
        f.write_str(text.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_write_an_address_is_read() {
        for (text, has_tls_files, expected) in [
            ("127.0.0.1:7400", false, "http://127.0.0.1:7400"),
            ("localhost", false, "http://localhost:7400"),
            ("[::1]:9", false, "http://[::1]:9"),
            ("[::1]", false, "http://[::1]:7400"),
            ("127.0.0.1:7400", true, "https://127.0.0.1:7400"),
            ("node.example:7400", false, "https://node.example:7400"),
            ("https://node.example/", false, "https://node.example"),
            ("http://127.0.0.1:1", false, "http://127.0.0.1:1"),
        ] {
            assert_eq!(Address::parse(text, has_tls_files).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for text in ["", "ftp://x", "http://", "a/b", "u:p@host:1", "http://a:99999999"] {
            let error = Address::parse(text, false).unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
        assert!(Address::parse("http://127.0.0.1:1", true).is_err());
    }

    #[test]
    fn a_secret_goes_in_plain_text_to_this_machine_alone() {
        for (text, may) in [
            ("http://node.example:7400", false),
            ("http://10.0.0.1:7400", false),
            ("http://localhost.example:7400", false),
            ("https://node.example", true),
            ("http://127.0.0.9:7400", true),
            ("http://[::1]:7400", true),
        ] {
            let address = Address::parse(text, false).unwrap();
            assert_eq!(address.may_carry_credentials().is_ok(), may, "{text}");
        }
    }
}
