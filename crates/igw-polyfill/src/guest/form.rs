//! Which form user data has, judged as cloud-init judges it: by how it begins, whatever its case.

/// A form of user data, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing but white space.
    Empty,
    /// `#!`: a script.
    Script,
    /// `#cloud-config`, and its `jsonp` and archive forms.
    CloudConfig,
    /// `## template: jinja`.
    Template,
    /// `#cloud-boothook`, `#part-handler`, `#upstart-job`.
    Hook,
    /// `#include`, `#include-once`: addresses to fetch.
    Include,
    /// A MIME message, with headers of its own.
    Message,
    /// Nothing that cloud-init reads.
    Unknown,
}

/// How forms begin. The longer beginnings stand first where one begins with another.
const BEGINNINGS: &[(&str, Form)] = &[
    ("#!", Form::Script),
    ("#cloud-config", Form::CloudConfig),
    ("## template: jinja", Form::Template),
    ("#cloud-boothook", Form::Hook),
    ("#part-handler", Form::Hook),
    ("#upstart-job", Form::Hook),
    ("#include", Form::Include),
];

/// How far cloud-init looks for the header that makes a message.
const HEADER_WITHIN: usize = 4096;

impl Form {
    /// The form of unpacked user data.
    pub fn of(own: &[u8]) -> Self {
        let text = own.trim_ascii_start();
        if text.is_empty() {
            return Self::Empty;
        }
        let begins = |beginning: &str| {
            text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
        };
        if let Some((_, form)) = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning)) {
            return *form;
        }
        let head = text.get(..HEADER_WITHIN).unwrap_or(text).to_ascii_lowercase();
        let has = |header: &str| head.windows(header.len()).any(|window| window == header.as_bytes());
        let is_message = begins("content-type: multipart") || (begins_with_header(&head) && has("mime-version:"));
        if is_message { Self::Message } else { Self::Unknown }
    }
}

/// Whether the first line is a header: a word, a colon.
fn begins_with_header(head: &[u8]) -> bool {
    let name = head.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    name > 0 && head.get(name) == Some(&b':')
}

/// Whether something of it is fetched from elsewhere before the first boothook runs: an include, or a part of a message
/// that is one.
pub(super) fn includes(own: &[u8]) -> bool {
    match Form::of(own) {
        Form::Include => true,
        Form::Message => parts(&String::from_utf8_lossy(own)).iter().any(|part| is_include(part)),
        _ => false,
    }
}

/// What stands between boundaries, of whatever depth: headers, an empty line, a body.
fn parts(message: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in message.lines() {
        if line.starts_with("--") {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

fn is_include(part: &str) -> bool {
    let (headers, body) = part.split_once("\n\n").unwrap_or((part, ""));
    let headers = headers.to_ascii_lowercase();
    let is_named = headers
        .lines()
        .filter_map(|header| header.strip_prefix("content-type:"))
        .any(|kind| kind.trim_start().starts_with("text/x-include"));
    let is_base64 =
        headers.lines().any(|header| header.starts_with("content-transfer-encoding:") && header.contains("base64"));
    let plain = if is_base64 {
        let letters: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        crate::packing::unpack(&letters).unwrap_or_default()
    } else {
        body.as_bytes().to_vec()
    };
    is_named || Form::of(&plain) == Form::Include
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_known_by_its_beginning() {
        let check = |text: &str, form: Form| assert_eq!(Form::of(text.as_bytes()), form, "{text:?}");
        check("", Form::Empty);
        check(" \r\n\t", Form::Empty);
        check("#!/bin/sh\n", Form::Script);
        check("\n #!/bin/sh\n", Form::Script);
        check("#cloud-config\n{}\n", Form::CloudConfig);
        check("#Cloud-Config\r\n{}\r\n", Form::CloudConfig);
        check("#cloud-config-archive\n[]\n", Form::CloudConfig);
        check("#cloud-config\n# MIME-Version: 1.0\n", Form::CloudConfig);
        check("## template: jinja\n#cloud-config\n", Form::Template);
        check("#cloud-boothook\n", Form::Hook);
        check("#part-handler\n", Form::Hook);
        check("#include\nhttps://example.com/\n", Form::Include);
        check("#include-once\nhttps://example.com/\n", Form::Include);
        check("Content-Type: multipart/mixed; boundary=x\n\n--x--\n", Form::Message);
        check("MIME-Version: 1.0\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n", Form::Message);
        check("From: a@example.com\nmime-version: 1.0\n\n", Form::Message);
        check("{\"ignition\": {\"version\": \"3.4.0\"}}", Form::Unknown);
        check("version: v1alpha1\nmachine: {}\n", Form::Unknown);
        check("echo hello\n", Form::Unknown);
        check("{\"a\": \"mime-version: 1\"}", Form::Unknown);
    }

    #[test]
    fn an_include_is_found_wherever_it_stands() {
        let check = |text: &str, expected: bool| assert_eq!(includes(text.as_bytes()), expected, "{text:?}");
        let message = |part: &str| {
            format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"x\"\n\n--x\n{part}\n--x--\n")
        };
        check("#include\nhttps://example.com/\n", true);
        check("#!/bin/sh\ncat >a.c <<E\n#include <stdio.h>\nE\n", false);
        check(&message("Content-Type: text/x-include-url\n\nhttps://example.com/\n"), true);
        check(&message("Content-Type: text/x-include-once-url\n\nhttps://example.com/\n"), true);
        check(&message("Content-Type: text/plain\n\n#include\nhttps://example.com/\n"), true);
        check(&message("Content-Type: text/plain\r\n\r\n#include\r\nhttps://example.com/\r\n"), true);
        let packed = "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nI2luY2x1ZGUK\naHR0cDovL2EvCg==\n";
        check(&message(packed), true);
        check(&message("Content-Type: text/x-shellscript\n\n#!/bin/sh\n#include <stdio.h>\n"), false);
    }
}
