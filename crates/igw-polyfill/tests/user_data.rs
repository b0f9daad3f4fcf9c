//! What becomes of a user's own user data.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use igw_polyfill::{
    guest::{self, Guest, Refusal, Unmanaged, UserData},
    packing::{MOST_BYTES, pack},
    sentences,
};
use proptest::prelude::*;

fn compose(user: &str) -> Result<UserData, Refusal> {
    guest::user_data(Some(user), &Guest::default())
}

/// The message, unpacked as cloud-init unpacks it.
fn message(user: &str) -> String {
    let Ok(UserData::Managed(text)) = compose(user) else { panic!("{user:?}: {:?}", compose(user)) };
    assert!(text.len() <= MOST_BYTES);
    if text.starts_with("Content-Type: ") {
        return text;
    }
    let (mut plain, bytes) = (String::new(), STANDARD.decode(text).unwrap());
    GzDecoder::new(bytes.as_slice()).read_to_string(&mut plain).unwrap();
    plain
}

/// The parts of a message, each with its headers, as a mail reader splits them.
fn parts(message: &str) -> Vec<(String, String)> {
    let boundary = message.split('"').nth(1).unwrap();
    let text = format!("\n{}", message.split_once("\n\n").unwrap().1);
    let mut parts: Vec<&str> = text.split(&format!("\n--{boundary}")).collect();
    assert_eq!(parts.pop(), Some("--\n"), "the last boundary ends the message");
    assert_eq!(parts.remove(0), "");
    let split = |part: &str| {
        let (headers, body) = part.strip_prefix('\n').unwrap().split_once("\n\n").unwrap();
        (headers.to_owned(), body.to_owned())
    };
    parts.into_iter().map(split).collect()
}

/// The user's own as cloud-init sees it.
fn own(user: &str) -> Vec<u8> {
    let parts = parts(&message(user));
    assert_eq!(parts[0].1, guest::boothook(&[]));
    let (headers, body) = parts.get(1).expect("a second part");
    if headers.contains("Content-Transfer-Encoding: base64") {
        let letters: String = body.split_whitespace().collect();
        return STANDARD.decode(letters).unwrap();
    }
    assert!(headers.contains("7bit") && body.is_ascii());
    body.as_bytes().to_vec()
}

#[test]
fn packed_user_data_is_unpacked_before_it_becomes_a_part() {
    let script = "#!/bin/sh\ntouch /root/x\n";
    assert_eq!(own(script), script.as_bytes());
    assert_eq!(own(&STANDARD.encode(script)), script.as_bytes());
    assert_eq!(own(&pack(script.as_bytes())), script.as_bytes());
}

#[test]
fn a_message_keeps_its_own_headers() {
    let user = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"x\"\n\n--x\nContent-Type: \
                text/x-shellscript\n\n#!/bin/sh\ntrue\n--x--\n";
    let parts = parts(&message(user));
    assert_eq!(format!("{}\n\n{}", parts[1].0, parts[1].1), user);
}

#[test]
fn what_cloud_init_does_not_read_is_sent_as_it_is() {
    let check = |user: &str, why| assert_eq!(compose(user), Ok(UserData::AsSent(Some(user.to_owned()), why)));
    check("{\"ignition\": {\"version\": \"3.4.0\"}}", Unmanaged::UnknownForm);
    check("version: v1alpha1\nmachine: {}\n", Unmanaged::UnknownForm);
    check("echo no form\n", Unmanaged::UnknownForm);
    check(&STANDARD.encode([0x1f, 0x8b, 1, 2, 3]), Unmanaged::Unreadable);
    let bomb = pack(&vec![b'#'; 5 * 1024 * 1024]);
    assert!(bomb.len() < MOST_BYTES);
    check(&bomb, Unmanaged::Unreadable);
    check(
        &STANDARD.encode(b"MIME-Version: 1.0\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n# \xfc\n"),
        Unmanaged::Unreadable,
    );
    let off = Guest { opted_out: true, ..Guest::default() };
    assert_eq!(guest::user_data(None, &off), Ok(UserData::AsSent(None, Unmanaged::OptedOut)));
    let script = Some("#!/bin/sh\n".to_owned());
    assert_eq!(guest::user_data(script.as_deref(), &off), Ok(UserData::AsSent(script, Unmanaged::OptedOut)));
}

#[test]
fn an_include_needs_a_public_address() {
    let include = "#include\nhttps://example.com/x\n";
    assert_eq!(compose(include), Err(Refusal::Include));
    assert_eq!(compose(&STANDARD.encode(include)), Err(Refusal::Include));
    assert!(sentences::refusal(Refusal::Include).contains("#include"));
    let public = Guest { public_ipv4: true, ..Guest::default() };
    assert!(matches!(guest::user_data(Some(include), &public), Ok(UserData::Managed(_))));
}

/// Text that does not get shorter.
fn noise(length: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + u8::try_from((state >> 16) % 90).unwrap())
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn what_is_too_long_is_packed_or_refused_with_the_numbers() {
    let script = |length: usize| format!("#!{}", noise(length - 2));
    let most = script(guest::room());
    let Ok(UserData::Managed(text)) = compose(&most) else { panic!("it fits") };
    assert_eq!(text.len(), MOST_BYTES);
    assert_eq!(own(&most), most.as_bytes());
    let Err(why @ Refusal::TooLong { own: bytes, .. }) = compose(&script(32_000)) else { panic!("it does not fit") };
    assert_eq!(bytes, 32_000);
    let sentence = sentences::refusal(why);
    assert!(sentence.contains("32000 bytes") && sentence.contains("guest-bootstrap"), "{sentence}");
    let long = format!("#!/bin/sh\n{}", "echo hello\n".repeat(6_000));
    assert_eq!(own(&long), long.as_bytes());
    let unknown = noise(MOST_BYTES + 1);
    assert!(matches!(compose(&format!("?{unknown}")), Err(Refusal::TooLongAsSent(_))));
}

proptest! {
    #[test]
    fn a_users_text_comes_through_unchanged(text in "#!(\\PC|[\n\r\t]|==seca-bootstrap-[0-2]==|--){0,200}") {
        prop_assert_eq!(own(&text), text.into_bytes());
    }

    #[test]
    fn every_text_has_an_answer_and_always_the_same(text in "(#|#!|#include|MIME-Version: 1.0|Content-Type: )?\\PC{0,80}(\n\\PC{0,20}){0,5}") {
        prop_assert_eq!(compose(&text), compose(&text));
        if let Ok(UserData::AsSent(sent, _)) = compose(&text) {
            prop_assert_eq!(sent, Some(text));
        }
    }
}
