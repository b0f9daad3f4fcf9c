//! When a certificate ends. Read from certificates that are in effect, so it need not judge them.

use rustls::pki_types::CertificateDer;
use time::{Date, Month, PrimitiveDateTime, Time};

use super::subject::{SEQUENCE, element, expect};

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of its validity, in seconds since 1970 (RFC 5280, 4.1.2.5); none where it cannot be read.
pub(crate) fn end(certificate: &CertificateDer<'_>) -> Option<i64> {
    let mut rest: &[u8] = certificate.as_ref();
    let mut outer = expect(&mut rest, SEQUENCE)?;
    let mut content = expect(&mut outer, SEQUENCE)?;
    // Version, which the first form of certificates lacks; then serial number, signature and issuer.
    if content.first() == Some(&VERSION) {
        element(&mut content)?;
    }
    for _ in 0..3 {
        element(&mut content)?;
    }
    let mut validity = expect(&mut content, SEQUENCE)?;
    element(&mut validity)?;
    let (tag, text) = element(&mut validity)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn the_end_is_the_certificates_own_in_both_of_its_forms() {
        for (year, month, day, want) in [(2030, 2, 3, 1_896_307_200), (2051, 1, 1, 2_556_144_000)] {
            let mut params = CertificateParams::default();
            params.not_after = date_time_ymd(year, month, day);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(end(certificate.der()), Some(want), "{year}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            end(&CertificateDer::from(bytes));
        }
    }
}
