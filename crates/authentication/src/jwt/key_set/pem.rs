//! Public keys in PEM, as `openssl pkey -pubout` writes them: SubjectPublicKeyInfo (RFC 5280) of three types.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A key's numbers, big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Ed25519(Vec<u8>),
    P256(Vec<u8>, Vec<u8>),
    Rsa(Vec<u8>, Vec<u8>),
}

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// The keys of all blocks.
///
/// # Errors
/// Completes a sentence about the file.
pub(super) fn public_keys(text: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some((block, after)) = rest.strip_prefix(BEGIN).and_then(|rest| rest.split_once(END)) else {
            return Err(format!("must hold blocks `{BEGIN}` alone; `openssl pkey -pubout` makes one of a private key"));
        };
        let base64: String = block.split_ascii_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| "holds a block that is not base64".to_owned())?;
        keys.push(key(&der).ok_or("holds a key of another type than Ed25519, P-256 and RSA")?);
        rest = after.trim_start();
    }
    Ok(keys)
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// The algorithm identifiers: object identifier and parameters.
const ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
const P256: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];

fn key(der: &[u8]) -> Option<Key> {
    let mut info = whole(der, SEQUENCE)?;
    let algorithm = next(&mut info, SEQUENCE)?;
    // The first byte counts the unused bits, of which keys have none.
    let bits = whole(info, BIT_STRING)?.strip_prefix(&[0])?;
    match algorithm {
        ED25519 => Some(Key::Ed25519(bits.to_vec())),
        P256 => {
            let point = bits.strip_prefix(&[4]).filter(|point| point.len() == 64)?;
            Some(Key::P256(point[..32].to_vec(), point[32..].to_vec()))
        }
        RSA => {
            let mut numbers = whole(bits, SEQUENCE)?;
            let n = next(&mut numbers, INTEGER)?;
            Some(Key::Rsa(n.to_vec(), whole(numbers, INTEGER)?.to_vec()))
        }
        _ => None,
    }
}

/// The content of the one element that the input is.
fn whole(mut input: &[u8], tag: u8) -> Option<&[u8]> {
    let content = next(&mut input, tag)?;
    input.is_empty().then_some(content)
}

/// The content of the next element. Lengths of up to two bytes: no key is longer.
fn next<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let rest = input.strip_prefix(&[tag])?;
    let (length, rest) = match rest {
        [short @ ..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(der: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der))
    }

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], content].concat()
    }

    fn info(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
        let bits = element(BIT_STRING, &[&[0], key].concat());
        element(SEQUENCE, &[element(SEQUENCE, algorithm), bits].concat())
    }

    #[test]
    fn three_types_are_read_and_everything_else_is_refused() {
        let ed25519 = info(ED25519, &[7; 32]);
        let p256 = info(P256, &[&[4][..], &[1; 32], &[2; 32]].concat());
        let rsa = info(RSA, &element(SEQUENCE, &[element(INTEGER, &[9; 256]), vec![INTEGER, 1, 3]].concat()));
        let text = [&ed25519, &p256, &rsa].map(|der| block(der)).concat();
        let expected =
            [Key::Ed25519(vec![7; 32]), Key::P256(vec![1; 32], vec![2; 32]), Key::Rsa(vec![9; 256], vec![3])];
        assert_eq!(public_keys(&text).unwrap(), expected);

        let cut = |der: &[u8]| der[..der.len() - 1].to_vec();
        for der in [cut(&ed25519), cut(&rsa), [&p256[..], &[0]].concat(), info(&[0x06, 1, 1], &[0; 32]), vec![]] {
            assert!(public_keys(&block(&der)).is_err(), "{der:?}");
        }
        for text in [
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA",
            "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----",
        ] {
            assert!(public_keys(text).is_err(), "{text}");
        }
    }
}
