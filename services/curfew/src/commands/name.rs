//! Names, short or full: `alice` with `--tenant acme` is `tenants/acme/subjects/alice`.
//!
//! **Invariant:** a full name is passed on as it is; whether there is such a thing, the node says.

use super::fault::Fault;

/// Which tenant short names are of.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Names")]
pub(crate) struct Tenant {
    /// The tenant that short names belong to, such as `acme`. Full names, such as
    /// `tenants/acme/subjects/alice`, need none.
    #[arg(long, env = "CURFEW_TENANT", global = true, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
}

impl Tenant {
    /// `tenants/{tenant}`.
    pub(crate) fn name(&self) -> Result<String, Fault> {
        let tenant = self.tenant.as_deref().ok_or_else(missing)?;
        of_tenant(tenant)
    }

    /// `tenants/{tenant}/{collection}/{id}`, of a short or a full name.
    pub(crate) fn of(&self, collection: &str, text: &str) -> Result<String, Fault> {
        if text.is_empty() {
            return Err(Fault::usage(format!("a name in {collection} is empty")));
        }
        let Some(rest) = text.strip_prefix("tenants/") else {
            return Ok(format!("{}/{collection}/{}", self.name()?, encode(text)));
        };
        let mut segments = rest.splitn(3, '/');
        match (segments.next(), segments.next(), segments.next()) {
            (Some(tenant), Some(of), Some(id)) if of == collection && !id.is_empty() => {
                self.agrees(tenant, text)?;
                Ok(text.to_owned())
            }
            _ => Err(Fault::usage(format!(
                "`{text}` is not of the form `tenants/{{tenant}}/{collection}/{{id}}`"
            ))),
        }
    }

    /// A grant: full, or `{session}/{grant}` with a tenant.
    pub(crate) fn grant(&self, text: &str) -> Result<String, Fault> {
        if text.starts_with("tenants/") {
            return self.of("sessions", text);
        }
        match text.split_once('/') {
            Some((session, grant)) if !session.is_empty() && !grant.is_empty() && !grant.contains('/') => {
                Ok(format!("{}/grants/{grant}", self.of("sessions", session)?))
            }
            _ => Err(Fault::usage(format!(
                "`{text}` is neither `{{session}}/{{grant}}` nor a grant's full name"
            ))),
        }
    }

    /// The tenant of a full name.
    pub(crate) fn parent(&self, name: &str) -> Result<String, Fault> {
        let mut segments = name.split('/');
        match (segments.next(), segments.next()) {
            (Some("tenants"), Some(tenant)) if !tenant.is_empty() => Ok(format!("tenants/{tenant}")),
            _ => self.name(),
        }
    }

    fn agrees(&self, tenant: &str, name: &str) -> Result<(), Fault> {
        match &self.tenant {
            Some(said) if of_tenant(said)? != format!("tenants/{tenant}") => Err(Fault::usage(format!(
                "`{name}` is not of the tenant `{said}` that was named"
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

/// `tenants/{tenant}`, of a short or a full name.
pub(crate) fn of_tenant(text: &str) -> Result<String, Fault> {
    let id = text.strip_prefix("tenants/").unwrap_or(text);
    if id.is_empty() || id.contains('/') {
        return Err(Fault::usage(format!("`{text}` is not the name of a tenant")));
    }
    Ok(format!("tenants/{id}"))
}

/// A segment has `/` and `%` percent-encoded, and nothing else.
fn encode(id: &str) -> String {
    id.replace('%', "%25").replace('/', "%2F")
}

fn missing() -> Fault {
    Fault::usage("a short name needs its tenant").fix("say `--tenant`, or give the full name")
}

/// The last segment of a name, for a narrow column.
pub(crate) fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> Tenant {
        Tenant {
            tenant: Some("acme".to_owned()),
        }
    }

    #[test]
    fn a_short_name_is_of_the_tenant_and_a_full_one_stays() {
        for (text, expected) in [
            ("alice", "tenants/acme/subjects/alice"),
            ("a/b%", "tenants/acme/subjects/a%2Fb%25"),
            ("tenants/acme/subjects/alice", "tenants/acme/subjects/alice"),
        ] {
            assert_eq!(acme().of("subjects", text).unwrap(), expected);
        }
        assert_eq!(acme().grant("s/g").unwrap(), "tenants/acme/sessions/s/grants/g");
    }

    #[test]
    fn a_name_of_something_else_is_refused_before_anybody_is_asked() {
        for text in [
            "",
            "tenants/acme/clients/web",
            "tenants/other/subjects/alice",
            "tenants/acme",
        ] {
            assert!(acme().of("subjects", text).is_err(), "{text}");
        }
        assert!(Tenant { tenant: None }.of("subjects", "alice").is_err());
        assert!(acme().grant("s").is_err());
    }
}
