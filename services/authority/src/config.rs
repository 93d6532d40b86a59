//! What an authority must be told. Every limit is here, with its reason.

/// Settings of one authority.
#[derive(Clone, Debug)]
pub struct Config {
    /// The base address of the issuers, without a trailing slash: a tenant's is `{base}/{name}`.
    pub base_url: String,
    /// This node, in heartbeats and answers.
    pub node: String,
    /// This process among all authorities, for its registration: no two are ever the same where nodes share a store.
    pub replica: String,
    /// X, ms: how old a partition's newest heartbeat may be. 5 s with the embedded log.
    pub staleness_ms: i64,
    /// The age of a published key set after which a key in it may sign, ms: what guards cache.
    pub key_set_age_ms: i64,
    /// How long a signing or tagging key is used, ms.
    pub key_life_ms: i64,
    /// The algorithm of new signing keys: `ES256` or `EdDSA`.
    pub signing_algorithm: String,
    /// A follower that has not reported for this long is not live, ms: six reports.
    pub lease_ms: i64,
}

impl Config {
    /// The settings of a node on the embedded engine.
    #[must_use]
    pub fn embedded(base_url: &str, node: &str) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            node: node.to_owned(),
            replica: node.to_owned(),
            staleness_ms: 5_000,
            key_set_age_ms: 10 * 60_000,
            key_life_ms: 30 * 24 * 3_600_000,
            signing_algorithm: "ES256".to_owned(),
            lease_ms: 30_000,
        }
    }

    /// How often a partition should hear a heartbeat, ms: X/5.
    #[must_use]
    pub const fn heartbeat_interval_ms(&self) -> i64 {
        self.staleness_ms / 5
    }
}
