//! What the user must be permitted, written down once: documents, `doctor` and the tests take it from here.
//!
//! **Invariant:** the contract suite runs as a user who is permitted this and nothing else.

/// The commands of the store's user, as ACL rules. `config|get` is for the start alone, `cluster|slots`
/// for a Cluster, `select` for a database other than 0.
pub const ACL_COMMANDS: &str = "-@all +info +time +mget +set +del +exists +zadd +zrem +zrange +evalsha \
     +script|load +config|get +cluster|slots +select";

/// The commands and the channel of the user at the Sentinels.
pub const SENTINEL_ACL: &str =
    "resetchannels &+switch-master -@all +sentinel|get-master-addr-by-name +subscribe";

/// The line that makes the user, or gives it what it lacks.
#[must_use]
pub fn acl_rule(user: &str, prefix: &str) -> String {
    format!("ACL SETUSER {user} on >PASSWORD resetkeys ~{prefix}{{* resetchannels {ACL_COMMANDS}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_one_line_for_keys_of_the_prefix_alone() {
        let rule = acl_rule("me", "sessions");
        assert!(
            rule.starts_with("ACL SETUSER me on >PASSWORD resetkeys ~sessions{* resetchannels -@all +info")
        );
        assert!(!rule.contains('\n') && !rule.contains("  "));
    }
}
