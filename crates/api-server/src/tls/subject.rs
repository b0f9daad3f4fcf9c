//! The common name in a certificate's subject.
//!
//! Read from certificates that were verified, so it need not judge them; a reader of whole certificates would bring
//! fifteen crates for these few bytes.

use rustls::pki_types::CertificateDer;

pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The longest that counts, in bytes; X.520 allows 64 characters.
const LONGEST: usize = 256;

/// The common name; none where there is none, or more than one, or one that no log line should hold.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    of_subject(certificate.subject())
}

/// RFC 5280, 4.1.2.4: sets of pairs of an object id and a string.
fn of_subject(mut subject: &[u8]) -> Option<String> {
    let mut found = None;
    while !subject.is_empty() {
        let mut set = expect(&mut subject, SET)?;
        while !set.is_empty() {
            let mut pair = expect(&mut set, SEQUENCE)?;
            let name = expect(&mut pair, OBJECT_ID)?;
            let (tag, value) = element(&mut pair)?;
            if name != COMMON_NAME {
                continue;
            }
            let is_text = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING);
            let text = std::str::from_utf8(value).ok().filter(|text| is_text && is_name(text))?;
            if found.replace(text.to_owned()).is_some() {
                return None;
            }
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

pub(super) fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    element(input).filter(|(found, _)| *found == tag).map(|(_, value)| value)
}

/// The next element of DER, whose lengths here have at most two bytes.
pub(super) fn element<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, length, rest) = match **input {
        [tag, length @ ..=0x7f, ref rest @ ..] => (tag, usize::from(length), rest),
        [tag, 0x81, length, ref rest @ ..] => (tag, usize::from(length), rest),
        [tag, 0x82, high, low, ref rest @ ..] => (tag, usize::from(u16::from_be_bytes([high, low])), rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some((tag, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, string::PrintableString};

    use super::*;

    fn named(attributes: impl IntoIterator<Item = (DnType, rcgen::DnValue)>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        attributes.into_iter().for_each(|(name, value)| params.distinguished_name.push(name, value));
        let key = KeyPair::generate().unwrap();
        common_name(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn a_certificate_is_called_by_its_one_common_name() {
        let printable = |text: &str| rcgen::DnValue::PrintableString(PrintableString::try_from(text).unwrap());
        let check = |attributes: Vec<(DnType, rcgen::DnValue)>, want: Option<&str>| {
            assert_eq!(named(attributes.clone()).as_deref(), want, "{attributes:?}");
        };
        check(vec![(DnType::CommonName, "ops".into())], Some("ops"));
        check(vec![(DnType::CommonName, printable("ops"))], Some("ops"));
        check(vec![(DnType::OrganizationName, "x".into()), (DnType::CommonName, "zoë".into())], Some("zoë"));
        check(vec![(DnType::CommonName, "x".repeat(200).into())], Some(&"x".repeat(200)));
        check(vec![(DnType::OrganizationName, "ops".into())], None);
        check(vec![(DnType::CommonName, "a\nb".into())], None);
        check(vec![(DnType::CommonName, " ".into())], None);
        check(vec![(DnType::CommonName, "x".repeat(LONGEST + 1).into())], None);
        check(vec![], None);
    }

    #[test]
    fn two_common_names_are_none() {
        let attribute =
            |name: u8| [&[SET, 10, SEQUENCE, 8, OBJECT_ID, 3], COMMON_NAME, &[UTF8_STRING, 1, name]].concat();
        let (a, b) = (attribute(b'a'), attribute(b'b'));
        assert_eq!(of_subject(&a).as_deref(), Some("a"));
        assert_eq!(of_subject(&[a, b].concat()), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            of_subject(&bytes);
        }
    }
}
