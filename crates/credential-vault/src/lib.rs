//! Seals and opens provider tokens: AES-256-GCM, key ring with ids, AAD.
