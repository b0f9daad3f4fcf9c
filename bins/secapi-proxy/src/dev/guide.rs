//! What `dev` prints when it is ready: where everything is, and six commands to paste.

use std::path::Path;

use crate::serve::Ready;

/// The text. The folder is an absolute path, so that the commands work wherever they are pasted.
pub(crate) fn text(ready: &Ready, folder: &Path, tenant: &str) -> String {
    let token = quoted(&folder.join("token").display().to_string());
    let Ready { public, admin, sim, .. } = ready;
    let sim = sim.as_deref().unwrap_or_default();
    let shown = folder.display();
    let mut text = format!(
        "secapi-proxy dev is ready. Nothing here touches the real Hetzner Cloud.\n\n  \
         SECA API    {public}   bearer token in {shown}/token\n  \
         admin API   {admin}   bearer token in {shown}/admin.token\n  \
         simulator   {sim}   a Hetzner Cloud: /v1, and /_sim to look inside (project token in {shown}/sim.token)\n  \
         browser     {public}/   what the API is, and a page to try it\n  \
         state       {shown}   database, keys, simulator; delete the folder to begin anew\n\n\
         Paste these, one after the other:\n",
    );
    for (about, command) in commands(public, &token, tenant) {
        text.push_str(&format!("\n# {about}\n{command}\n"));
    }
    text.push_str("\n`make demo` does more, in a second terminal. Ctrl-C ends this.\n");
    text
}

/// Six commands that work in this order, each alone in a shell of its own.
fn commands(public: &str, token: &str, tenant: &str) -> Vec<(&'static str, String)> {
    let curl = |more: &str, path: &str| {
        format!("curl -sS -H \"Authorization: Bearer $(cat {token})\" {more}{public}/providers/{path}")
    };
    let put = |path: &str, body: &str| curl(&format!("-X PUT -H 'Content-Type: application/json' -d '{body}' "), path);
    let workspace = format!("v1/tenants/{tenant}/workspaces/hello");
    vec![
        ("the regions, and where each provider answers", curl("", "seca.region/v1/regions")),
        ("the sizes of instances in the default region", curl("", &format!("seca.compute/v1/tenants/{tenant}/skus"))),
        (
            "a workspace, which is bound to the simulated project at once",
            put(&format!("seca.workspace/{workspace}"), r#"{"spec": {}}"#),
        ),
        (
            "a boot disk from an image",
            put(
                &format!("seca.storage/{workspace}/block-storages/boot"),
                r#"{"spec": {"skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": "images/ubuntu-24.04"}}"#,
            ),
        ),
        (
            "an instance that boots from it, and is started when it is made",
            put(
                &format!("seca.compute/{workspace}/instances/web"),
                r#"{"extensions": {"hetzner.cloud/start-after-create": "true"}, "spec": {"skuRef": "skus/cx23", "zone": "fsn1", "bootVolume": {"deviceRef": "block-storages/boot"}}}"#,
            ),
        ),
        ("how it is", curl("", &format!("seca.compute/{workspace}/instances/web"))),
    ]
}

/// The text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_six_commands_and_each_brings_its_token() {
        let commands = commands("http://127.0.0.1:8080", "/home/.dev/token", "acme");
        assert_eq!(commands.len(), 6);
        for (about, command) in commands {
            assert!(command.starts_with("curl ") && command.contains("$(cat /home/.dev/token)"), "{about}: {command}");
            assert!(command.contains("/tenants/acme/") || command.ends_with("/regions"), "{about}: {command}");
            assert!(!command.contains('\n'), "{command}");
        }
    }

    #[test]
    fn a_folder_with_a_space_is_one_word() {
        assert_eq!(quoted(".dev/token"), ".dev/token");
        assert_eq!(quoted("/my files/it's"), r"'/my files/it'\''s'");
    }
}
