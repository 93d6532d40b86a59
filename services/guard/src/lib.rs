//! What runs beside a resource server: verify, consult the index, challenge.
