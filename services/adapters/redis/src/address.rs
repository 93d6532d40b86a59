//! `redis://` and `rediss://` URLs.
//!
//! **Invariant:** what is wrong with a URL is said in words of ours, none of its own.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::options::{Address, Credentials, Options, OptionsError, Secret, Servers, Tls};

const PORT: u16 = 6_379;

pub(crate) fn options_of(text: &str) -> Result<Options, OptionsError> {
    let wrong = |why| OptionsError::Url { why };
    let url = Url::parse(text).map_err(|_| wrong("it is no URL"))?;
    let tls = match url.scheme() {
        "redis" => None,
        "rediss" => Some(Tls::default()),
        _ => return Err(wrong("its scheme is neither redis nor rediss")),
    };
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment"));
    }
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => {
            decoded(name).ok_or_else(|| wrong("its host is no text"))?
        }
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(Host::Domain(_)) | None => return Err(wrong("it names no host")),
    };
    let database = match url.path() {
        "" | "/" => 0,
        path => path
            .trim_start_matches('/')
            .parse()
            .map_err(|_| wrong("its database is no number"))?,
    };
    let user = decoded(url.username()).ok_or_else(|| wrong("its user is no text"))?;
    let user = Some(user).filter(|user| !user.is_empty());
    let credentials = match url.password() {
        None if user.is_some() => return Err(wrong("it has a user without a password")),
        None => None,
        Some(password) => Some(Credentials {
            user,
            password: Secret::new(decoded(password).ok_or_else(|| wrong("its password is no text"))?),
        }),
    };
    let server = Address::new(host, url.port().unwrap_or(PORT));
    Ok(Options {
        credentials,
        database,
        tls,
        ..Options::new(Servers::Single(server))
    })
}

fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_server_user_database_and_tls() {
        let options = options_of("rediss://me:p%40ss@redis.example:7000/3").unwrap();
        assert!(matches!(&options.servers, Servers::Single(at) if at.to_string() == "redis.example:7000"));
        let credentials = options.credentials.unwrap();
        assert_eq!(credentials.user.as_deref(), Some("me"));
        assert_eq!(credentials.password.expose_text(), "p@ss");
        assert_eq!(options.database, 3);
        assert!(options.tls.is_some());

        let options = options_of("redis://:only@[::1]").unwrap();
        assert!(matches!(&options.servers, Servers::Single(at) if at.to_string() == "[::1]:6379"));
        assert!(options.credentials.unwrap().user.is_none());
        assert!(options.tls.is_none());
    }

    #[test]
    fn no_message_shows_the_password() {
        for text in [
            "redis://me:hunter2@host:notaport",
            "redis://me:hunter2@host/notadb",
            "http://me:hunter2@host",
            "redis://me:hunter2@",
            "redis://me:hunter2@host?x=hunter2",
            "me:hunter2@host",
            "redis://me:hunter2%ff@host",
        ] {
            let error = options_of(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let options = options_of("redis://me:hunter2@host").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
