//! Percent-encodings of a request. Pure.
//!
//! What cannot be decoded would pass as it was sent, or with other characters in its place: a token's id that a typing
//! error garbled would be denied as it stands, and the token that was meant would go on.

use percent_encoding::percent_decode_str;

use crate::answer::Failure;

/// Refuses a text (of the path, or of the query) in which a percent sign begins no encoding, or that is not UTF-8 once
/// decoded. It is looked at as a whole: what separates its parts is part of no encoding.
pub(super) fn check(what: &str, text: &str) -> Result<(), Failure> {
    let is_encoding = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if text.split('%').skip(1).all(is_encoding) && percent_decode_str(text).decode_utf8().is_ok() {
        return Ok(());
    }
    Err(Failure::malformed(format!(
        "the {what} has a percent-encoding that means nothing; behind each percent sign stand the two hex digits of a byte \
         of UTF-8, so that é is %C3%A9 and a percent sign itself is %25"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_two_hex_digits_of_utf_8() {
        for good in ["", "/a/b", "a%20b", "%C3%A9%2f%25", "x=%e2%82%AC&y=1+2"] {
            assert!(check("path", good).is_ok(), "{good}");
        }
        for bad in ["%", "a%", "%2", "%zz", "%2g", "%%20", "%ff", "a%C3", "%C3/%A9", "%C3x%A9", "%+1", "%é"] {
            assert!(check("path", bad).is_err(), "{bad}");
        }
    }
}
