//! Total translation between the core's types and the stored and logged messages.
