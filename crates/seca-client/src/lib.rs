//! A typed SECA client with waiters.
