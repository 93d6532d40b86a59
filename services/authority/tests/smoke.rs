//! One node on the fakes, from bootstrap to refresh and revocation.
