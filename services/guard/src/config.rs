//! What a guard is told: whose tokens it takes, for whom, and how stale its view may be.
//!
//! [`Config`] is what people write; [`Guard::new`](crate::Guard::new) checks it once, and what it
//! keeps cannot hold a bad combination.
//!
//! **Invariant:** every spelling of `iss` leads to exactly one issuer entry; a template leads to none.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use curfew_core::ids::{IssuerId, TenantId};
use curfew_core::mac::foreign_partition;
use curfew_core::place::Partition;
use curfew_core::refusal::Reason;

use crate::keys::JwksSource;
use crate::route::Stale;

/// The staleness bound X over the embedded log (DESIGN section 6), ms.
pub const BOUND_EMBEDDED_MS: i64 = 5_000;
/// The staleness bound X over Kafka, where a crashed broker is noticed after 9 s, ms.
pub const BOUND_KAFKA_MS: i64 = 15_000;
pub use curfew_core::directory::ORDINARY_LIFE_MS;
/// How long a key set that can no longer be fetched stays in use, ms.
pub const KEYS_KEPT_MS: i64 = 24 * 3_600_000;
/// How many good signatures are remembered: 64 B each, 8 MiB in all.
pub const SIGNATURES_MAX: usize = 131_072;

/// The longest X that is a bound at all: an hour, ms.
const BOUND_MAX_MS: i64 = 3_600_000;
/// The longest life of a foreign token that may be configured: 31 days, ms. Marks are kept as long.
const LIFE_MAX_MS: i64 = 31 * 24 * 3_600_000;
/// The largest clock error of a foreign issuer: an hour, ms.
const CLOCK_ERROR_MAX_MS: i64 = 3_600_000;
/// A template of Entra's multi-tenant metadata: one entry for everybody's tenants (DESIGN section 6).
const TEMPLATE: &str = "{tenantid}";

/// Curfew's own issuer of one tenant.
#[derive(Clone, Debug)]
pub struct OwnIssuer {
    /// The tenant's permanent id: what `tid` must say.
    pub tenant: TenantId,
    /// Every base address that its tokens may still name, the present one first.
    pub spellings: Vec<String>,
    /// Where its keys come from.
    pub keys: JwksSource,
    /// The authorization endpoint that a claims challenge points at; `None`: the parameter is left out.
    pub authorization_uri: Option<String>,
    /// The tenant's name, `tenants/{name}`; only introspection over gRPC needs it.
    pub tenant_name: Option<String>,
}

impl OwnIssuer {
    /// An issuer with one spelling.
    #[must_use]
    pub fn new(tenant: TenantId, spelling: impl Into<String>, keys: JwksSource) -> Self {
        Self {
            tenant,
            spellings: vec![spelling.into()],
            keys,
            authorization_uri: None,
            tenant_name: None,
        }
    }
}

/// Another provider whose live tokens can be revoked here (Entra, Okta, Keycloak, …).
#[derive(Clone, Debug)]
pub struct ForeignIssuer {
    /// The tenant that registered it.
    pub tenant: TenantId,
    /// The entry's permanent id: what records name.
    pub entry: IssuerId,
    /// Every spelling of `iss`; Entra's v1 and v2 are one entry.
    pub spellings: Vec<String>,
    /// Where its keys come from.
    pub keys: JwksSource,
    /// The `aud` values that mean this API there.
    pub audiences: Vec<String>,
    /// The longest life of its tokens, ms: one whose `exp` lies further ahead is refused, because
    /// marks are kept no longer than that life (finding Q7).
    pub longest_life_ms: i64,
    /// How far its clock may be off, ms; added to the skew of 60 s.
    pub clock_error_ms: i64,
    /// The claims that its access tokens carry.
    pub carries: BTreeSet<String>,
    /// Its client ids, as far as known: a token whose `aud` is one of them is an ID token.
    pub client_ids: BTreeSet<String>,
    /// The authorization endpoint that a claims challenge points at.
    pub authorization_uri: Option<String>,
    /// The tenant's name, `tenants/{name}`; only introspection over gRPC needs it.
    pub tenant_name: Option<String>,
}

/// What a guard is told. Times in ms.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `aud` values that mean this API in Curfew's own tokens.
    pub audiences: Vec<String>,
    /// Curfew's own issuers.
    pub own: Vec<OwnIssuer>,
    /// Foreign issuers.
    pub foreign: Vec<ForeignIssuer>,
    /// X: how old the newest proof of freshness may be.
    pub bound_ms: i64,
    /// What happens to a token while the view is stale, where its route does not say.
    pub stale: Stale,
    /// Refuse nothing that a valid token asks; only say what would have been refused.
    pub report_only: bool,
    /// How long a key set stays in use when it can no longer be fetched.
    pub keys_kept_ms: i64,
    /// How many good signatures are remembered; 0: none.
    pub signatures_max: usize,
    /// Where the error catalogue is, without a slash at its end; every refusal links to its entry there.
    /// `None`: that of the node, if `own` names one: the first spelling's base and `/errors`.
    pub error_pages: Option<String>,
}

impl Config {
    /// The defaults for these audiences: X = 15 s, the age cap of the ordinary life, enforcing.
    #[must_use]
    pub fn new(audiences: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            audiences: audiences.into_iter().map(Into::into).collect(),
            own: Vec::new(),
            foreign: Vec::new(),
            bound_ms: BOUND_KAFKA_MS,
            stale: Stale::AgeCap {
                cap_ms: ORDINARY_LIFE_MS,
            },
            report_only: false,
            keys_kept_ms: KEYS_KEPT_MS,
            signatures_max: SIGNATURES_MAX,
            error_pages: None,
        }
    }

    /// Where the error catalogue is; `None`: nobody said, and no issuer of Curfew's tells its base.
    pub(crate) fn error_pages(&self) -> Option<Arc<str>> {
        if let Some(pages) = &self.error_pages {
            return Some(pages.as_str().into());
        }
        // A tenant's issuer is `{base}/{tenant}`.
        let (base, _) = self.own.first()?.spellings.first()?.rsplit_once('/')?;
        base.contains("://").then(|| format!("{base}/errors").into())
    }
}

/// Why a configuration is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nothing would be admitted.
    #[error("`audiences` is empty or holds an empty text")]
    NoAudience,
    /// Nothing would be admitted.
    #[error("neither `own` nor `foreign` names an issuer")]
    NoIssuer,
    /// An entry without a spelling, or with an empty one.
    #[error("issuer entry {entry}: `spellings` is empty or holds an empty text")]
    NoSpelling {
        /// The entry.
        entry: IssuerId,
    },
    /// One entry for everybody's tenants; refused by name until tenants under it are separate marks.
    #[error("issuer entry {entry}: `{spelling}`: {}: {}", Reason::IssuerTemplate.what(), Reason::IssuerTemplate.fix())]
    IssuerTemplate {
        /// The entry.
        entry: IssuerId,
        /// The spelling.
        spelling: String,
    },
    /// One spelling would lead to two entries.
    #[error("`{spelling}` is a spelling of two issuer entries")]
    SpellingTwice {
        /// The spelling.
        spelling: String,
    },
    /// A foreign entry under the id of a tenant's own.
    #[error("two issuer entries have the id {entry} in one tenant")]
    EntryTwice {
        /// The entry.
        entry: IssuerId,
    },
    /// A foreign entry without an audience would admit nothing.
    #[error("issuer entry {entry}: `audiences` is empty or holds an empty text")]
    NoForeignAudience {
        /// The entry.
        entry: IssuerId,
    },
    /// A number outside its range.
    #[error("`{setting}` is {ms} ms; it must be {min_ms} to {max_ms} ms")]
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// What was said.
        ms: i64,
        /// The least.
        min_ms: i64,
        /// The most.
        max_ms: i64,
    },
    /// RFC 6750 section 3 asks for an absolute address.
    #[error("`error_pages` is not an address that begins with http:// or https://: `{address}`")]
    ErrorPages {
        /// What was said.
        address: String,
    },
    /// A key set that was given as bytes is none, or has no usable key.
    #[error("issuer entry {entry}: the given key set has no usable key")]
    NoKeys {
        /// The entry.
        entry: IssuerId,
    },
}

/// What makes an entry foreign.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) audiences: Vec<String>,
    pub(crate) longest_life_ms: i64,
    pub(crate) clock_error_ms: i64,
    pub(crate) carries: BTreeSet<String>,
    pub(crate) client_ids: BTreeSet<String>,
    /// The one partition in which all records of the entry lie (finding Q11).
    pub(crate) partition: Partition,
}

/// An issuer entry, checked.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) tenant: TenantId,
    pub(crate) entry: IssuerId,
    pub(crate) authorization_uri: Option<String>,
    pub(crate) tenant_name: Option<String>,
    pub(crate) foreign: Option<Foreign>,
}

/// All entries, found by what a token says in `iss`.
#[derive(Debug, Default)]
pub(crate) struct Issuers {
    pub(crate) entries: Vec<(Arc<Issuer>, JwksSource)>,
    pub(crate) by_spelling: HashMap<String, usize>,
}

/// Checks everything but the keys.
pub(crate) fn validate(config: &Config) -> Result<Issuers, ConfigError> {
    let in_range = |setting, ms: i64, min_ms, max_ms| {
        if (min_ms..=max_ms).contains(&ms) {
            Ok(())
        } else {
            Err(ConfigError::OutOfRange {
                setting,
                ms,
                min_ms,
                max_ms,
            })
        }
    };
    if config.own.is_empty() && config.foreign.is_empty() {
        return Err(ConfigError::NoIssuer);
    }
    if !config.own.is_empty() && !are_names(&config.audiences) {
        return Err(ConfigError::NoAudience);
    }
    in_range("bound_ms", config.bound_ms, 1, BOUND_MAX_MS)?;
    in_range("keys_kept_ms", config.keys_kept_ms, 0, LIFE_MAX_MS)?;
    config.stale.validate()?;
    if let Some(address) = &config.error_pages
        && !(address.starts_with("http://") || address.starts_with("https://"))
    {
        return Err(ConfigError::ErrorPages {
            address: address.clone(),
        });
    }
    let mut issuers = Issuers::default();
    for own in &config.own {
        let issuer = Issuer {
            tenant: own.tenant,
            entry: own.tenant.own_issuer(),
            authorization_uri: own.authorization_uri.clone(),
            tenant_name: own.tenant_name.clone(),
            foreign: None,
        };
        issuers.add(issuer, &own.spellings, &own.keys)?;
    }
    for foreign in &config.foreign {
        if !are_names(&foreign.audiences) {
            return Err(ConfigError::NoForeignAudience { entry: foreign.entry });
        }
        in_range("longest_life_ms", foreign.longest_life_ms, 1, LIFE_MAX_MS)?;
        in_range("clock_error_ms", foreign.clock_error_ms, 0, CLOCK_ERROR_MAX_MS)?;
        let issuer = Issuer {
            tenant: foreign.tenant,
            entry: foreign.entry,
            authorization_uri: foreign.authorization_uri.clone(),
            tenant_name: foreign.tenant_name.clone(),
            foreign: Some(Foreign {
                audiences: foreign.audiences.clone(),
                longest_life_ms: foreign.longest_life_ms,
                clock_error_ms: foreign.clock_error_ms,
                carries: foreign.carries.clone(),
                client_ids: foreign.client_ids.clone(),
                partition: foreign_partition(foreign.tenant, foreign.entry),
            }),
        };
        issuers.add(issuer, &foreign.spellings, &foreign.keys)?;
    }
    Ok(issuers)
}

/// At least one, none of them empty.
fn are_names(texts: &[String]) -> bool {
    !texts.is_empty() && texts.iter().all(|text| !text.is_empty())
}

impl Issuers {
    fn add(&mut self, issuer: Issuer, spellings: &[String], keys: &JwksSource) -> Result<(), ConfigError> {
        let entry = issuer.entry;
        if self
            .entries
            .iter()
            .any(|(other, _)| other.tenant == issuer.tenant && other.entry == entry)
        {
            return Err(ConfigError::EntryTwice { entry });
        }
        if spellings.is_empty() || spellings.iter().any(String::is_empty) {
            return Err(ConfigError::NoSpelling { entry });
        }
        for spelling in spellings {
            if spelling.to_ascii_lowercase().contains(TEMPLATE) {
                return Err(ConfigError::IssuerTemplate {
                    entry,
                    spelling: spelling.clone(),
                });
            }
            if self
                .by_spelling
                .insert(spelling.clone(), self.entries.len())
                .is_some()
            {
                return Err(ConfigError::SpellingTwice {
                    spelling: spelling.clone(),
                });
            }
        }
        self.entries.push((Arc::new(issuer), keys.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
