//! Network namespaces for tests that leave nothing behind.
