//! Tests of the service over the in-memory store.
