//! The store port and the log port on one embedded engine, in one transaction.
