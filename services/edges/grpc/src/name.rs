//! Resource names: `tenants/{t}/sessions/{sid}`. The tenant is part of the name.
//!
//! A segment is percent-encoded where the id has a `/` or a `%`, and nowhere else.
//!
//! **Invariant:** one thing has one name: what `format` gives is what `parse` takes, and no other text.

use std::fmt::Display;

/// The longest name, bytes: a tenant, and an id of 255 bytes of which each is encoded.
pub(crate) const NAME_MAX: usize = 1_024;

/// `tenants/{tenant}`.
pub(crate) fn tenant(tenant: impl Display) -> String {
    format!("tenants/{tenant}")
}

/// `tenants/{tenant}/{collection}/{id}`.
pub(crate) fn of(tenant: impl Display, collection: &str, id: impl Display) -> String {
    format!("tenants/{tenant}/{collection}/{}", encode(&id.to_string()))
}

/// `tenants/{tenant}/sessions/{sid}/grants/{gid}`.
pub(crate) fn grant(tenant: impl Display, sid: impl Display, gid: impl Display) -> String {
    format!("tenants/{tenant}/sessions/{sid}/grants/{gid}")
}

/// `{collection}/{id}`, above tenants.
pub(crate) fn top(collection: &str, id: impl Display) -> String {
    format!("{collection}/{}", encode(&id.to_string()))
}

fn encode(id: &str) -> String {
    id.replace('%', "%25").replace('/', "%2F")
}

fn decode(segment: &str) -> Option<String> {
    let mut pieces = segment.split('%');
    let mut id = pieces.next()?.to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        id.push(match code {
            "25" => '%',
            "2F" => '/',
            _ => return None,
        });
        id.push_str(rest);
    }
    Some(id)
}

/// The segments of a name, decoded. `None`: not a name.
fn segments(name: &str) -> Option<Vec<String>> {
    if name.len() > NAME_MAX {
        return None;
    }
    name.split('/').map(decode).collect()
}

/// The tenant of a name that begins with one, whatever follows.
pub(crate) fn tenant_of(name: &str) -> Option<String> {
    let mut segments = name.split('/');
    let (first, tenant) = (segments.next()?, segments.next()?);
    (first == "tenants" && tenant.len() <= 64 && !tenant.is_empty()).then(|| tenant.to_owned())
}

/// The ids of a name, in order, where its collections are these.
pub(crate) fn ids<const N: usize>(name: &str, collections: [&str; N]) -> Option<[String; N]> {
    let segments = segments(name)?;
    if segments.len() != 2 * N {
        return None;
    }
    let mut ids = Vec::with_capacity(N);
    for (pair, collection) in segments.chunks_exact(2).zip(collections) {
        match pair {
            [name, id] if name == collection && !id.is_empty() => ids.push(id.clone()),
            _ => return None,
        }
    }
    ids.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling_and_gives_back_its_ids() {
        for id in ["alice", "a/b", "100%", "%2F", "älice@example", "a%/b"] {
            let name = of("acme", "subjects", id);
            assert_eq!(
                ids(&name, ["tenants", "subjects"]),
                Some(["acme".into(), id.into()]),
                "{name}"
            );
        }
        for wrong in [
            "",
            "tenants",
            "tenants/",
            "/tenants/acme",
            "tenants/acme/",
            "tenants/acme/subjects/",
            "tenants/acme/subjects/a/b",
            "tenants/acme/subjects/a%2f",
            "tenants/acme/subjects/%61",
            "tenants/acme/subjects/a%",
            "tenants/acme/sessions/a",
            "Tenants/acme/subjects/a",
        ] {
            assert_eq!(ids(wrong, ["tenants", "subjects"]), None, "{wrong}");
        }
        let long = format!("tenants/acme/subjects/{}", "a".repeat(NAME_MAX));
        assert_eq!(ids(&long, ["tenants", "subjects"]), None);
    }

    #[test]
    fn the_tenant_of_a_name_is_its_second_segment_whatever_follows() {
        assert_eq!(tenant_of("tenants/acme/x/y").as_deref(), Some("acme"));
        assert_eq!(tenant_of("tenants/acme").as_deref(), Some("acme"));
        assert_eq!(tenant_of("tenant/acme"), None);
        assert_eq!(tenant_of("tenants//x"), None);
    }
}
