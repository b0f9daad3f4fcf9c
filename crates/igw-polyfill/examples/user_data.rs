//! Writes the user data of a NAT server and of guests of every form into a folder, for checks with real tools:
//! `cargo run -p igw-polyfill --example user_data -- FOLDER`.
//!
//! `nat*.yaml` is a NAT server's, `guest-FORM` a guest's; `own-FORM` is what the user sent, unpacked.

use std::{error::Error, fs, path::PathBuf};

use igw_polyfill::{
    guest::{self, Guest, UserData},
    nat::{NOBODYS_KEY, NatConfig},
    packing::pack,
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name a folder")?);
    fs::create_dir_all(&folder)?;
    let closed = NatConfig { sources: vec!["10.1.1.0/24".parse()?], ..NatConfig::default() };
    let operators = vec!["198.51.100.66/32".parse()?];
    let open = NatConfig { ssh_from: operators.clone(), health_from: operators, ..closed.clone() };
    for (name, config) in [("nat.yaml", closed), ("nat-open.yaml", open)] {
        fs::write(folder.join(name), config.user_data().map_err(|long| format!("{name} has {} bytes", long.bytes))?)?;
    }
    fs::write(folder.join("nobodys-key"), NOBODYS_KEY)?;
    for (form, own, sent) in forms() {
        let UserData::Managed(text) =
            guest::user_data(Some(&sent), &Guest::default()).map_err(|why| format!("{form}: {why:?}"))?
        else {
            return Err(format!("{form} gets no bootstrap").into());
        };
        fs::write(folder.join(format!("guest-{form}")), text)?;
        fs::write(folder.join(format!("own-{form}")), own)?;
    }
    fs::write(folder.join("boothook"), guest::boothook(&[]))?;
    Ok(())
}

/// A name, what it is unpacked, what the user sent.
fn forms() -> Vec<(&'static str, String, String)> {
    let message = "Content-Type: multipart/mixed; boundary=\"UU\"\nMIME-Version: 1.0\n\n--UU\nContent-Type: \
                   text/x-shellscript\n\n#!/bin/sh\necho s >/root/script\n--UU\nContent-Type: text/cloud-config\n\n\
                   #cloud-config\nwrite_files: [{path: /root/file, content: c}]\n--UU--\n";
    let same = |name, text: &str| (name, text.to_owned(), text.to_owned());
    let long = format!("#!/bin/sh\n{}", "echo hello\n".repeat(4_000));
    let script = "#!/bin/sh\ntouch /root/packed\n".to_owned();
    vec![
        same("empty", ""),
        same("script", "#!/bin/bash\ncurl -s http://example.com/ >/root/x\n"),
        same("cloud-config", "#cloud-config\nruncmd: [[touch, /root/ran]]\n"),
        same("letters", "#cloud-config\nwrite_files: [{path: /root/file, content: grüße}]\n"),
        same("crlf", "#cloud-config\r\nwrite_files:\r\n- path: /root/crlf\r\n  content: a\r\n"),
        same("no-newline", "#!/bin/sh\ntrue"),
        same("blank-lines", "\n\n#!/bin/sh\n\n\ntrue\n\n\n"),
        same("jinja", "## template: jinja\n#cloud-config\nhostname: '{{ v1.local_hostname }}'\n"),
        same("boothook", "#cloud-boothook\n#!/bin/sh\ntrue\n"),
        same("archive", "#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    runcmd: [a]\n"),
        same("boundary", "#!/bin/sh\n# --==seca-bootstrap-0==--\n--==seca-bootstrap-0==\ntrue\n"),
        same("multipart", message),
        same("long", &long),
        ("base64", script.clone(), base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &script)),
        ("gzip-base64", script.clone(), pack(script.as_bytes())),
    ]
}
