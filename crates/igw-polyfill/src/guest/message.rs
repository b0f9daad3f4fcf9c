//! The MIME message of two parts. cloud-init guesses the type of a `text/plain` part by how it begins, so the user's
//! part keeps its form without being named here.

use super::form::Form;
use crate::packing;

/// Puts the bootstrap before the user's own, unpacked. A message must be UTF-8.
pub(super) fn compose(boothook: &str, own: &[u8], form: Form) -> String {
    let boundary = boundary(boothook, own);
    let mut text = format!(
        "Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n--{boundary}\n\
         Content-Type: text/cloud-boothook; charset=\"utf-8\"\n\
         Content-Disposition: attachment; filename=\"00-seca-net\"\n\n{boothook}\n--{boundary}"
    );
    if form != Form::Empty {
        text.push('\n');
        text += &part(own, form);
        text += &format!("\n--{boundary}");
    }
    text + "--\n"
}

fn part(own: &[u8], form: Form) -> String {
    let head = |encoding: &str| {
        format!(
            "Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: {encoding}\n\
             Content-Disposition: attachment; filename=\"user-data\"\n\n"
        )
    };
    if form == Form::Message {
        // Its own headers are the part's headers; a message has no other encoding than its own.
        return String::from_utf8_lossy(own).trim_start().to_owned();
    }
    match std::str::from_utf8(own) {
        Ok(text) if is_plain(own) => head("7bit") + text,
        // cloud-init (22.4, 25.1) loses a part of 8 bits without a word.
        _ => head("base64") + &packing::lines(own),
    }
}

/// Whether a reader of mail leaves these bytes as they are.
fn is_plain(own: &[u8]) -> bool {
    own.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~'))
}

/// A line that stands in neither part.
fn boundary(boothook: &str, own: &[u8]) -> String {
    let is_in = |boundary: &str| {
        boothook.contains(boundary) || own.windows(boundary.len()).any(|window| window == boundary.as_bytes())
    };
    let mut number = 0_u32;
    loop {
        let boundary = format!("==seca-bootstrap-{number}==");
        if !is_in(&boundary) {
            return boundary;
        }
        number += 1;
    }
}
