//! SSH keys of instances: what one item of `sshKeys` says.
//!
//! An item is a public key, as OpenSSH writes it into `id_ed25519.pub`, or the name of a key that the workspace's
//! project at the provider has. Its beginning decides which of the two. A key with
//! a typing error is refused as a key, and nobody looks for a key of that name.

use std::collections::BTreeSet;

use control_plane::kinds::{Judgement, clip, expand};
use seca_api::violation::Violation;
use serde_json::Value;
use thiserror::Error;

/// The types of keys that Hetzner Cloud takes, from the message with which it refuses all others.
pub const TYPES: [&str; 8] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-dss",
];

/// The items of an instance.
const SSH_KEYS: &str = "/spec/sshKeys/*";

/// How keys begin, and how names of keys must not.
const BEGINNINGS: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];

/// How the base64 of each key begins: the length of its type, which is short.
const BASE64_BEGINS: &str = "AAAA";

/// What one item means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshKeyEntry {
    /// A public key.
    Key(SshPublicKey),
    /// The name of a key that the project has.
    Name(String),
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshPublicKey {
    /// Its type, one of [`TYPES`].
    pub algorithm: String,
    /// The key itself, in the wire form of RFC 4253: what fingerprints and content hashes are made of. Two keys with
    /// the same blob are the same key.
    pub blob: Vec<u8>,
    /// What follows the key.
    pub comment: Option<String>,
    /// The key in one line, `type base64` or `type base64 comment`.
    pub normalized: String,
}

/// Why an item is neither. The text of the item is in none of them, but for the word that should be a type.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SshKeyError {
    /// Nothing but space.
    #[error("is blank; send a public key or the name of a key, or leave the item out")]
    Blank,
    /// The secret half.
    #[error(
        "is a private key, which nobody but its owner should have; send the public key, which is in the file whose name \
         ends in .pub, and make a new pair, because this one has left its machine"
    )]
    Private,
    /// Line breaks, or other characters that stand for no letter.
    #[error("must be one line without control characters; send each key as one item, in one line as in its .pub file")]
    ControlCharacter,
    /// Options stand before the key.
    #[error(
        "has options before its type {algorithm}, which keys of Hetzner Cloud cannot have; send the key alone, and write \
         the line with its options into authorized_keys through userData"
    )]
    Options {
        /// The type that follows the options.
        algorithm: String,
    },
    /// A certificate.
    #[error("is a certificate ({algorithm}), which Hetzner Cloud does not take; send the public key itself")]
    Certificate {
        /// Its type.
        algorithm: String,
    },
    /// It begins like a key, with another type.
    #[error(
        "begins like a public key, but `{algorithm}` is none of the types that Hetzner Cloud takes: {}; send another \
         key, or, if this is the name of a key, rename that key",
        TYPES.join(", ")
    )]
    UnknownType {
        /// What stands where the type should.
        algorithm: String,
    },
    /// It begins with a type, and what follows is no such key.
    #[error(
        "begins like a public key of type {algorithm}, but what follows is not the base64 of one ({why}); copy the whole \
         line of the .pub file"
    )]
    Malformed {
        /// Its type.
        algorithm: String,
        /// What is wrong.
        why: String,
    },
}

/// What one item means. Space and line ends around it do not matter.
///
/// # Errors
/// When it begins like a key, or holds one, and cannot be used as one.
pub fn parse(text: &str) -> Result<SshKeyEntry, SshKeyError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SshKeyError::Blank);
    }
    if text.contains("PRIVATE KEY-----") || text.starts_with("PuTTY-User-Key-File") {
        return Err(SshKeyError::Private);
    }
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(SshKeyError::ControlCharacter);
    }
    if BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
        return public_key(text).map(SshKeyEntry::Key);
    }
    match type_after_options(text) {
        Some(algorithm) => Err(SshKeyError::Options { algorithm: algorithm.to_owned() }),
        None => Ok(SshKeyEntry::Name(text.to_owned())),
    }
}

/// What all items of one instance mean, in their order. One that says the same as one before it is left out: a key is
/// the same key under another comment.
pub fn distinct<'a>(items: impl IntoIterator<Item = &'a str>) -> Vec<Result<SshKeyEntry, SshKeyError>> {
    let mut known = BTreeSet::new();
    let mut is_first = |entry: &Result<SshKeyEntry, SshKeyError>| match entry {
        Ok(SshKeyEntry::Key(key)) => known.insert(key.blob.clone()),
        // A blob begins with the four bytes of a length below 256, and no name does.
        Ok(SshKeyEntry::Name(name)) => known.insert(name.clone().into_bytes()),
        Err(_) => true,
    };
    items.into_iter().map(parse).filter(|entry| is_first(entry)).collect()
}

/// The SSH keys that are neither a key nor the name of one.
pub(super) fn violations(judgement: &Judgement<'_>) -> Vec<Violation> {
    let texts = |spec: &Value| -> Vec<String> {
        expand(SSH_KEYS, spec).into_iter().filter_map(|(_, item)| item.as_str().map(str::to_owned)).collect()
    };
    // What an earlier release took is no reason to refuse a change that is not about it.
    let known = judgement.subject.old.map(|(_, old)| texts(old)).unwrap_or_default();
    let items = expand(SSH_KEYS, judgement.subject.spec).into_iter();
    let unusable = items.filter_map(|(pointer, item)| {
        let text = item.as_str().filter(|text| !text.is_empty() && !known.iter().any(|old| old == text))?;
        let error = parse(text).err()?;
        let mut violation = Violation::at(pointer, "");
        violation.rule = format!("{} {error}", violation.parameter);
        Some(violation)
    });
    unusable.collect()
}

fn public_key(text: &str) -> Result<SshPublicKey, SshKeyError> {
    let (algorithm, rest) = word(text);
    let (body, comment) = word(rest);
    if algorithm.contains("-cert-v0") {
        return Err(SshKeyError::Certificate { algorithm: clip(algorithm) });
    }
    if !TYPES.contains(&algorithm) {
        return Err(SshKeyError::UnknownType { algorithm: clip(algorithm) });
    }
    let malformed = |why: String| SshKeyError::Malformed { algorithm: algorithm.to_owned(), why };
    if body.is_empty() {
        return Err(malformed("nothing follows".to_owned()));
    }
    let key = format!("{algorithm} {body}");
    let parsed = ssh_key::PublicKey::from_openssh(&key).map_err(|error| malformed(error.to_string()))?;
    // What the library reads leniently, another reader may read differently.
    if parsed.to_openssh().ok().is_none_or(|written| written != key) {
        return Err(malformed("it would be written differently".to_owned()));
    }
    let blob = parsed.to_bytes().map_err(|error| malformed(error.to_string()))?;
    let comment = Some(comment.trim()).filter(|comment| !comment.is_empty());
    Ok(SshPublicKey {
        algorithm: algorithm.to_owned(),
        blob,
        comment: comment.map(str::to_owned),
        normalized: comment.map_or_else(|| key.clone(), |comment| format!("{key} {comment}")),
    })
}

/// The first word of a text that begins with none of space, and what follows it.
fn word(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((first, rest)) => (first, rest.trim_start_matches([' ', '\t'])),
        None => (text, ""),
    }
}

/// The type of the key that a line of `authorized_keys` with options holds.
fn type_after_options(text: &str) -> Option<&str> {
    let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    let pairs = words.windows(2).skip(1).filter_map(|pair| pair.first().copied().zip(pair.last().copied()));
    let mut keys = pairs.filter(|(kind, body)| TYPES.contains(kind) && body.starts_with(BASE64_BEGINS));
    keys.next().map(|(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6";

    fn key(text: &str) -> SshPublicKey {
        match parse(text) {
            Ok(SshKeyEntry::Key(key)) => key,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn body() -> &'static str {
        ED25519.split_once(' ').unwrap().1
    }

    #[test]
    fn a_key_is_read_whatever_surrounds_it() {
        let plain = key(ED25519);
        assert_eq!(plain.algorithm, "ssh-ed25519");
        assert_eq!((plain.comment.as_deref(), plain.normalized.as_str()), (None, ED25519));
        assert_eq!(plain.blob.len(), 51);
        for around in [format!("{ED25519}\r\n"), format!(" {ED25519}\n"), format!("ssh-ed25519\t  {}", body())] {
            assert_eq!(key(&around), plain, "{around:?}");
        }
        let commented = key(&format!("ssh-ed25519  {}\tann at home  \r\n", body()));
        assert_eq!(commented.comment.as_deref(), Some("ann at home"));
        assert_eq!(commented.normalized, format!("{ED25519} ann at home"));
        assert_eq!(commented.blob, plain.blob);
        let longest = format!("{ED25519} {}", "c".repeat(4_096 - ED25519.len() - 1));
        assert_eq!((longest.len(), key(&longest).normalized), (4_096, longest));
    }

    #[test]
    fn all_types_of_the_provider_are_read() {
        use ssh_key::public::{DsaPublicKey, EcdsaPublicKey, KeyData, RsaPublicKey, SkEd25519};
        use ssh_key::{Mpint, PublicKey, sec1::consts, sec1::point::EncodedPoint};

        let number = |bytes: &[u8]| Mpint::from_positive_bytes(bytes).unwrap();
        let ed25519 = ssh_key::public::Ed25519PublicKey([7; 32]);
        let keys = [
            KeyData::Ed25519(ed25519),
            KeyData::Rsa(RsaPublicKey { e: number(&[1, 0, 1]), n: number(&[0x80; 256]) }),
            KeyData::Ecdsa(EcdsaPublicKey::NistP256(
                EncodedPoint::<consts::U32>::from_bytes([[4; 1].as_slice(), &[9; 64]].concat()).unwrap(),
            )),
            KeyData::Ecdsa(EcdsaPublicKey::NistP384(
                EncodedPoint::<consts::U48>::from_bytes([[4; 1].as_slice(), &[9; 96]].concat()).unwrap(),
            )),
            KeyData::Ecdsa(EcdsaPublicKey::NistP521(
                EncodedPoint::<consts::U66>::from_bytes([[4; 1].as_slice(), &[9; 132]].concat()).unwrap(),
            )),
            KeyData::SkEd25519(SkEd25519::new(ed25519, "ssh:")),
            KeyData::Dsa(DsaPublicKey {
                p: number(&[5; 128]),
                q: number(&[5; 20]),
                g: number(&[5; 128]),
                y: number(&[5; 128]),
            }),
        ];
        for data in keys {
            let text = PublicKey::new(data, "me").to_openssh().unwrap();
            assert_eq!(key(&text).normalized, text);
            assert!(TYPES.contains(&key(&text).algorithm.as_str()));
        }
        let sk = "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBIELQJ2DgvaX1yQlKFokfWM2suuaCFI2qp0eJodHyg6O4ifxc3XpRKd1OS8dNYQtE/YjdXSrA+AOnMF5ns2Nkx4AAAAEc3NoOg==";
        assert_eq!(key(sk).normalized, sk);
    }

    #[test]
    fn what_begins_like_a_key_and_is_none_says_why() {
        let cases = [
            ("  \r\n".to_owned(), "is blank"),
            ("ssh-ed25519".to_owned(), "nothing follows"),
            ("ssh-ed25519 AAAA".to_owned(), "is not the base64 of one"),
            (format!("ssh-ed25519 {}", &body()[..60]), "is not the base64 of one"),
            (format!("ssh-ed25519 {}AAAA", body()), "is not the base64 of one"),
            (format!("ssh-ed25519 {}=", body()), "is not the base64 of one"),
            (format!("ssh-ed25519 {},", body()), "is not the base64 of one"),
            (format!("ssh-rsa {}", body()), "public key of type ssh-rsa"),
            (format!("ssh-ed448 {}", body()), "`ssh-ed448` is none of the types"),
            ("ssh-key-of-ann".to_owned(), "rename that key"),
            (format!("ssh-ed25519-cert-v01@openssh.com {}", body()), "is a certificate"),
            (format!("{ED25519} a\n{ED25519} b"), "one line"),
            (format!("ssh-ed25519 {}\n{}", &body()[..30], &body()[30..]), "one line"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----".to_owned(), "one line"),
            (format!("from=\"10.0.0.0/8\" {ED25519}"), "options before its type ssh-ed25519"),
            (format!("no-pty,command=\"ls -l\" {ED25519} ann"), "through userData"),
        ];
        for (text, words) in cases {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_private_key_is_refused_and_never_repeated() {
        let openssh =
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        for text in [openssh, "PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\nb3BlbnNzaC1rZXktdjEAAAAA"] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, SshKeyError::Private);
            assert!(!error.to_string().contains("b3Blbn"));
        }
    }

    #[test]
    fn everything_else_is_a_name() {
        for name in ["ann", " ann's laptop \r\n", "AAAAC3NzaC1lZDI1NTE5", "my ssh-ed25519 key", "rsa", "Über"] {
            assert_eq!(parse(name), Ok(SshKeyEntry::Name(name.trim().to_owned())));
        }
    }

    #[test]
    fn the_same_key_counts_once() {
        let again = format!("{ED25519} with a comment");
        let found = distinct([ED25519, "ann", "ssh-none", &again, "ann ", "ssh-none"]);
        let expect = [parse(ED25519), parse("ann"), parse("ssh-none"), parse("ssh-none")];
        assert_eq!(found, expect);
    }

    proptest! {
        #[test]
        fn the_normalized_form_means_the_same(text in "(ssh-ed25519|ssh-rsa|sk-|ecdsa-)?[ \t]?[A-Za-z0-9+/=]{0,90}[ \r\n]{0,2}.{0,20}") {
            if let Ok(SshKeyEntry::Key(key)) = parse(&text) {
                prop_assert_eq!(parse(&key.normalized), Ok(SshKeyEntry::Key(key)));
            }
        }

        #[test]
        fn a_key_survives_any_comment(comment in "\\PC{0,60}") {
            let found = key(&format!("{ED25519} {comment}"));
            prop_assert_eq!(parse(&found.normalized), Ok(SshKeyEntry::Key(found)));
        }
    }
}
