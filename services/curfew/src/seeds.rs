//! The seed file: tenants, clients, resources, foreign issuers, callers, as people write them.
//!
//! Parsed twice: text to this form, in which an unknown key is an error that names its line, then
//! to requests, which the node checks like any other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use curfew_core::ids::IssuerId;
use curfew_core::mac::sha256;
use curfew_proto::admin::v1 as admin;
use serde::Deserialize;

use crate::cli::Failure;

/// A seed file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seeds {
    /// Tenants, each with what is in it.
    #[serde(default, rename = "tenant")]
    pub(crate) tenants: Vec<TenantSeed>,
    /// Callers of Curfew's own services.
    #[serde(default, rename = "caller")]
    pub(crate) callers: Vec<CallerSeed>,
}

/// A tenant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantSeed {
    /// Part of its issuer.
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) display_name: String,
    /// Seconds.
    pub(crate) idle_timeout_s: Option<i64>,
    /// Seconds.
    pub(crate) max_lifetime_s: Option<i64>,
    /// Seconds.
    pub(crate) sign_in_frequency_s: Option<i64>,
    #[serde(default)]
    pub(crate) at_cap: AtCap,
    #[serde(default)]
    pub(crate) on_reuse: OnReuse,
    #[serde(default, rename = "client")]
    pub(crate) clients: Vec<ClientSeed>,
    #[serde(default, rename = "resource")]
    pub(crate) resources: Vec<ResourceSeed>,
    #[serde(default, rename = "issuer")]
    pub(crate) issuers: Vec<IssuerSeed>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AtCap {
    #[default]
    EndLongestUnused,
    Refuse,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnReuse {
    #[default]
    Grant,
    Session,
}

/// A client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientSeed {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) display_name: String,
    #[serde(default)]
    pub(crate) auth: ClientAuth,
    /// `0`, a time in seconds, or `"until_presented"`.
    pub(crate) window: Option<Window>,
    #[serde(default)]
    pub(crate) late: Late,
    #[serde(default)]
    pub(crate) cp1: bool,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) resources: Vec<String>,
    /// Roles by resource id.
    #[serde(default)]
    pub(crate) app_roles: BTreeMap<String, Vec<String>>,
    /// Where a new secret is written (0600); without it the secret is printed once.
    pub(crate) secret_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuth {
    #[default]
    None,
    Secret,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Window {
    Seconds(i64),
    Word(WindowWord),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WindowWord {
    UntilPresented,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Late {
    #[default]
    Supersede,
    Reuse,
}

/// A resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceSeed {
    pub(crate) id: String,
    pub(crate) audience: String,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) guarded: bool,
    /// Seconds.
    pub(crate) access_token_life_s: Option<i64>,
    /// Token claim = session claim.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
}

/// A foreign issuer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerSeed {
    /// The entry's permanent id; by default one made from its tenant and first spelling.
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) display_name: String,
    pub(crate) spellings: Vec<String>,
    /// Seconds.
    pub(crate) longest_life_s: i64,
    /// Seconds.
    #[serde(default = "minute")]
    pub(crate) clock_error_s: i64,
    pub(crate) claims: Vec<String>,
    pub(crate) audiences: Vec<String>,
    #[serde(default)]
    pub(crate) jwks_uri: String,
    /// A key set, as JSON text.
    #[serde(default)]
    pub(crate) jwks: String,
}

const fn minute() -> i64 {
    60
}

/// A caller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallerSeed {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) display_name: String,
    pub(crate) roles: Vec<String>,
    /// Names of tenants; `["*"]`: all of them.
    pub(crate) tenants: Vec<String>,
    /// Names of certificates that mean it, each with its kind: `dns:`, `uri:`, `email:`, `x5t:`.
    #[serde(default)]
    pub(crate) certificates: Vec<CertificateName>,
    /// Where a new secret is written (0600); without it the secret is printed once.
    pub(crate) secret_file: Option<PathBuf>,
}

/// A name of a certificate, with its kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct CertificateName(admin::CertificateMatch);

impl TryFrom<String> for CertificateName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut wanted = admin::CertificateMatch::default();
        let (kind, value) = text.split_once(':').unwrap_or_default();
        let field = match kind {
            "dns" => &mut wanted.san_dns,
            "uri" => &mut wanted.san_uri,
            "email" => &mut wanted.san_email,
            "x5t" => &mut wanted.x5t_s256,
            _ => {
                return Err(format!(
                    "`{text}` does not begin with `dns:`, `uri:`, `email:` or `x5t:`"
                ));
            }
        };
        value.clone_into(field);
        Ok(Self(wanted))
    }
}

impl Seeds {
    /// Reads a file; the message of a mistake shows its line.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()).into())
    }
}

impl Seeds {
    /// The names of all that the file names, in the order in which they are made.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> + '_ {
        let of_tenant = |tenant: &TenantSeed| {
            let parent = format!("tenants/{}", tenant.name);
            let mut names = vec![parent.clone()];
            let resources = tenant.resources.iter().map(|one| ("resources", one.id.clone()));
            let clients = tenant.clients.iter().map(|one| ("clients", one.id.clone()));
            let issuers = tenant.issuers.iter().map(|one| ("issuers", one.id(&tenant.name)));
            let all = resources.chain(clients).chain(issuers);
            names.extend(all.map(|(collection, id)| format!("{parent}/{collection}/{id}")));
            names
        };
        let callers = self.callers.iter().map(|caller| format!("callers/{}", caller.id));
        self.tenants.iter().flat_map(of_tenant).chain(callers)
    }
}

fn seconds(s: Option<i64>) -> Option<prost_types::Duration> {
    s.map(|seconds| prost_types::Duration { seconds, nanos: 0 })
}

impl TenantSeed {
    pub(crate) fn to_proto(&self) -> admin::Tenant {
        admin::Tenant {
            display_name: self.display_name.clone(),
            at_cap: match self.at_cap {
                AtCap::EndLongestUnused => admin::AtCap::EndLongestUnused,
                AtCap::Refuse => admin::AtCap::Refuse,
            }
            .into(),
            on_reuse: match self.on_reuse {
                OnReuse::Grant => admin::OnReuse::Grant,
                OnReuse::Session => admin::OnReuse::Session,
            }
            .into(),
            idle_timeout: seconds(self.idle_timeout_s),
            max_lifetime: seconds(self.max_lifetime_s),
            sign_in_frequency: seconds(self.sign_in_frequency_s),
            ..Default::default()
        }
    }
}

impl ClientSeed {
    pub(crate) fn to_proto(&self, tenant: &str) -> admin::Client {
        use admin::replay_window::Window as W;
        let window = self.window.map(|window| match window {
            Window::Seconds(0) => W::None(admin::NoWindow {}),
            Window::Seconds(s) => W::Duration(prost_types::Duration { seconds: s, nanos: 0 }),
            Window::Word(WindowWord::UntilPresented) => W::UntilPresented(admin::UntilPresented {}),
        });
        let resource = |id: &String| format!("tenants/{tenant}/resources/{id}");
        admin::Client {
            display_name: self.display_name.clone(),
            auth_method: match self.auth {
                ClientAuth::None => admin::ClientAuthMethod::None,
                ClientAuth::Secret => admin::ClientAuthMethod::ClientSecret,
            }
            .into(),
            replay_window: window.map(|window| admin::ReplayWindow { window: Some(window) }),
            late: match self.late {
                Late::Supersede => admin::Late::Supersede,
                Late::Reuse => admin::Late::Reuse,
            }
            .into(),
            cp1: self.cp1,
            scopes: self.scopes.clone(),
            resources: self.resources.iter().map(resource).collect(),
            app_roles: self
                .app_roles
                .iter()
                .map(|(id, roles)| admin::AppRoles {
                    resource: resource(id),
                    roles: roles.clone(),
                })
                .collect(),
            ..Default::default()
        }
    }
}

impl ResourceSeed {
    pub(crate) fn to_proto(&self) -> admin::Resource {
        admin::Resource {
            audience: self.audience.clone(),
            scopes: self.scopes.clone(),
            roles: self.roles.clone(),
            guarded: self.guarded,
            access_token_life: seconds(self.access_token_life_s),
            claims: self.claims.clone().into_iter().collect(),
            ..Default::default()
        }
    }
}

impl IssuerSeed {
    /// The same id each time that the file is applied, so that the second time finds the first's entry.
    pub(crate) fn id(&self, tenant: &str) -> String {
        let first = self.spellings.first().map(String::as_str).unwrap_or_default();
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            sha256(format!("{tenant}\n{first}").as_bytes());
        self.id
            .clone()
            .unwrap_or_else(|| IssuerId::from_random(id).to_string())
    }

    pub(crate) fn to_proto(&self) -> admin::Issuer {
        admin::Issuer {
            display_name: self.display_name.clone(),
            spellings: self.spellings.clone(),
            longest_life: seconds(Some(self.longest_life_s)),
            claims: self.claims.clone(),
            clock_error: seconds(Some(self.clock_error_s)),
            audiences: self.audiences.clone(),
            jwks_uri: self.jwks_uri.clone(),
            jwks: self.jwks.clone(),
            ..Default::default()
        }
    }
}

impl CallerSeed {
    pub(crate) fn to_proto(&self) -> admin::Caller {
        let name = |tenant: &String| {
            if tenant == "*" {
                tenant.clone()
            } else {
                format!("tenants/{tenant}")
            }
        };
        admin::Caller {
            display_name: self.display_name.clone(),
            roles: self.roles.clone(),
            tenants: self.tenants.iter().map(name).collect(),
            certificates: self.certificates.iter().map(|name| name.0.clone()).collect(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_file_is_read_whole() {
        let seeds: Seeds = toml::from_str(include_str!("../../../deploy/sample-directory.toml")).unwrap();
        assert_eq!(seeds.tenants.len(), 1);
        assert!(!seeds.callers.is_empty());
    }

    #[test]
    fn an_unknown_key_is_an_error_that_shows_its_line() {
        let error = toml::from_str::<Seeds>("[[tenant]]\nname = \"a\"\nidel_timeout_s = 3\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 3") && error.contains("idel_timeout_s"),
            "{error}"
        );
    }
}
