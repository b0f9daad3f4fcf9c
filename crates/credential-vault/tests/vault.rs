//! What the vault promises: only the right row and the right key open a token, and nothing is told on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::ports::{KeySource, Rng, SealContext, SealingKey, Vault, VaultError};
use credential_vault::{CredentialVault, KeyError, KeyTextError, parse_key, sealing_key};
use proptest::prelude::*;
use secrecy::ExposeSecret;

struct Keys(Vec<u8>);

impl KeySource for Keys {
    fn keys(&self) -> Vec<SealingKey> {
        self.0.iter().map(|fill| sealing_key([*fill; 32])).collect()
    }
}

/// Never twice the same.
#[derive(Default)]
struct Counter(AtomicU64);

impl Rng for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }
}

fn vault(keys: &[u8]) -> CredentialVault {
    CredentialVault::new(&Keys(keys.to_vec()), Arc::new(Counter::default())).unwrap()
}

fn row(tenant: &str, region: &str, workspace: &str, provider: &str) -> SealContext {
    SealContext { tenant: tenant.into(), region: region.into(), workspace: workspace.into(), provider: provider.into() }
}

fn opened(vault: &CredentialVault, sealed: &str, row: &SealContext) -> Result<String, VaultError> {
    vault.open(sealed, row).map(|s| s.expose_secret().to_owned())
}

#[test]
fn a_token_opens_in_its_own_row_only() {
    let vault = vault(&[1]);
    let own = row("dev", "fsn1", "web", "hetzner");
    let sealed = vault.seal(&"token".into(), &own).unwrap();
    assert_eq!(opened(&vault, &sealed, &own).unwrap(), "token");

    let others = [
        row("prod", "fsn1", "web", "hetzner"),
        row("dev", "nbg1", "web", "hetzner"),
        row("dev", "fsn1", "db", "hetzner"),
        row("dev", "fsn1", "web", "other"),
        // The same letters, cut elsewhere.
        row("devf", "sn1", "web", "hetzner"),
        row("dev", "fsn1w", "eb", "hetzner"),
        row("", "devfsn1", "web", "hetzner"),
    ];
    for other in others {
        assert_eq!(opened(&vault, &sealed, &other), Err(VaultError::Forged), "{other:?}");
    }
}

#[test]
fn the_same_token_never_seals_to_the_same_text() {
    let vault = vault(&[1]);
    let own = row("dev", "fsn1", "web", "hetzner");
    assert_ne!(vault.seal(&"token".into(), &own).unwrap(), vault.seal(&"token".into(), &own).unwrap());
}

#[test]
fn a_rotated_ring_reads_the_old_key_and_seals_with_the_new_one() {
    let own = row("dev", "fsn1", "web", "hetzner");
    let old = vault(&[1]);
    let both = vault(&[2, 1]);
    let new = vault(&[2]);

    let sealed = old.seal(&"token".into(), &own).unwrap();
    assert!(old.is_current(&sealed));
    assert!(!both.is_current(&sealed));
    let again = both.seal(&both.open(&sealed, &own).unwrap(), &own).unwrap();
    assert!(both.is_current(&again));
    assert_eq!(opened(&new, &again, &own).unwrap(), "token");
    assert_eq!(opened(&new, &sealed, &own), Err(VaultError::UnknownKey(old.current_key().to_owned())));
}

#[test]
fn other_forms_are_refused_and_not_repeated() {
    let vault = vault(&[1]);
    let own = row("dev", "fsn1", "web", "hetzner");
    let id = vault.current_key();
    let cases = [
        String::new(),
        "SuperSecretToken".to_owned(),
        "enc:v1:c2VjcmV0".to_owned(),
        "enc:v2:c2VjcmV0".to_owned(),
        "enc:v2:SuperSecretToken:c2VjcmV0".to_owned(),
        format!("enc:v2:{id}:not base64"),
        format!("enc:v2:{id}:"),
        format!("enc:v2:{id}:c2hvcnQ="),
    ];
    for sealed in cases {
        let error = vault.open(&sealed, &own).unwrap_err();
        assert_eq!(error, VaultError::Form, "{sealed}");
        assert!(!error.to_string().contains("SuperSecret"), "{error}");
        assert!(!vault.is_current(&sealed) || sealed.starts_with(&format!("enc:v2:{id}:")));
    }
}

#[test]
fn debug_shows_key_ids_and_nothing_of_the_keys() {
    let vault = vault(&[0x41]);
    let text = format!("{vault:?}");
    assert!(text.contains(vault.current_key()), "{text}");
    assert!(!text.contains("41, 41") && !text.contains("65, 65") && !text.contains("AAAA"), "{text}");
}

#[test]
fn a_ring_needs_a_key_and_each_only_once() {
    let build = |keys: &[u8]| CredentialVault::new(&Keys(keys.to_vec()), Arc::new(Counter::default())).map(|_| ());
    assert_eq!(build(&[]), Err(KeyError::None));
    assert!(matches!(build(&[1, 2, 1]), Err(KeyError::Twice(_))));
    assert_eq!(build(&[1, 2]), Ok(()));
}

#[test]
fn a_key_is_base64_of_32_bytes() {
    let check = |text: &str| parse_key(&text.into()).map(|k| k.id);
    assert_eq!(check(&STANDARD.encode([9; 32])), Ok(sealing_key([9; 32]).id));
    assert_eq!(check(&format!(" {}\n", STANDARD.encode([9; 32]))), Ok(sealing_key([9; 32]).id));
    assert_eq!(check(&STANDARD.encode([9; 31])), Err(KeyTextError::Length(31)));
    assert_eq!(check("%%%"), Err(KeyTextError::Base64));
    assert_eq!(check(""), Err(KeyTextError::Length(0)));
}

proptest! {
    #[test]
    fn every_token_comes_back(token in ".{0,200}", parts in prop::array::uniform4("[a-z0-9-]{0,20}")) {
        let vault = vault(&[1]);
        let own = row(&parts[0], &parts[1], &parts[2], &parts[3]);
        let sealed = vault.seal(&token.clone().into(), &own).unwrap();
        prop_assert_eq!(opened(&vault, &sealed, &own).unwrap(), token);
    }

    #[test]
    fn no_changed_bit_goes_unnoticed(token in ".{1,60}", at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let vault = vault(&[1]);
        let own = row("dev", "fsn1", "web", "hetzner");
        let sealed = vault.seal(&token.into(), &own).unwrap();
        let (head, text) = sealed.rsplit_once(':').unwrap();
        let mut bytes = STANDARD.decode(text).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let tampered = format!("{head}:{}", STANDARD.encode(bytes));
        prop_assert_eq!(opened(&vault, &tampered, &own), Err(VaultError::Forged));
    }

    #[test]
    fn two_rows_never_share_what_they_are_bound_to(
        a in prop::array::uniform4("[ab]{0,3}"),
        b in prop::array::uniform4("[ab]{0,3}"),
    ) {
        let vault = vault(&[1]);
        let sealed = vault.seal(&"token".into(), &row(&a[0], &a[1], &a[2], &a[3])).unwrap();
        prop_assert_eq!(vault.open(&sealed, &row(&b[0], &b[1], &b[2], &b[3])).is_ok(), a == b);
    }
}
