//! The admin client against a server that answers from a script.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{Server, problem};
use seca_client::admin::{AdminClient, BindingRequest, BindingState, Heir};
use secrecy::SecretString;
use serde_json::{Value, json};

async fn connect(script: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> (Server, AdminClient) {
    let server = Server::start(move |asked, _| script(&asked.line)).await;
    let client = AdminClient::new(&server.url, SecretString::from("admin-s3cret")).unwrap();
    (server, client)
}

#[tokio::test]
async fn workspaces_are_listed_by_their_binding() {
    let entry =
        json!({"tenant": "dev", "region": "fsn1", "name": "shop", "state": "creating", "binding": "none", "more": 1});
    let (server, admin) = connect(move |_| (200, json!({"items": [entry]}))).await;
    let unbound = admin.list_workspaces(Some(BindingState::None)).await.unwrap();
    assert_eq!((unbound[0].name.as_str(), unbound[0].binding), ("shop", BindingState::None));
    admin.list_workspaces(None).await.unwrap();
    assert_eq!(server.lines(), ["GET /admin/v1/workspaces?binding=none", "GET /admin/v1/workspaces?binding=all"]);
    assert_eq!(server.journal()[0].header("authorization"), Some("Bearer admin-s3cret"));
}

#[tokio::test]
async fn bindings_are_put_read_and_removed() {
    let (server, admin) = connect(|line| match line.split_once(' ').unwrap() {
        ("PUT", _) => (200, json!({"status": "active", "provider": "hetzner"})),
        ("GET", path) if path.contains("shop") => {
            (200, json!({"provider": "hetzner", "projectRef": "p", "apiEndpoint": "http://h/v1", "hasToken": true}))
        }
        ("DELETE", path) if path.contains("shop") => (202, Value::Null),
        _ => problem(404, "not bound"),
    })
    .await;
    let request =
        BindingRequest { project_ref: Some("p".into()), ..BindingRequest::new(SecretString::from("hcloud-s3cret")) };
    admin.put_binding("dev", "shop", Some("fsn 1"), &request).await.unwrap();
    let binding = admin.get_binding("dev", "shop", None).await.unwrap().unwrap();
    assert!(binding.has_token);
    assert_eq!(admin.get_binding("dev", "other/one", None).await.unwrap(), None);
    assert!(admin.delete_binding("dev", "shop", None, true).await.unwrap());
    assert!(!admin.delete_binding("dev", "gone", Some("fsn1"), false).await.unwrap());
    let path = |workspace: &str| format!("/admin/v1/tenants/dev/workspaces/{workspace}/providers/hetzner");
    assert_eq!(
        server.lines(),
        [
            format!("PUT {}?region=fsn+1", path("shop")),
            format!("GET {}", path("shop")),
            format!("GET {}", path("other%2Fone")),
            format!("DELETE {}?force=true", path("shop")),
            format!("DELETE {}?region=fsn1", path("gone")),
        ]
    );
    assert_eq!(server.journal()[0].body, json!({"apiToken": "hcloud-s3cret", "projectRef": "p"}));
    let shown = format!("{request:?} {admin:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_refused_token_stays_out_of_the_error() {
    let (_server, admin) = connect(|_| problem(400, "the token can only read; bind one that can write")).await;
    let request = BindingRequest::new(SecretString::from("hcloud-s3cret"));
    let error = admin.put_binding("dev", "shop", None, &request).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("can only read") && !shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_subject_is_made_an_administrator_whatever_characters_it_has() {
    let subject = "https://id.example.org/42";
    let (server, admin) =
        connect(move |_| (201, json!({"tenant": "dev", "subject": subject, "roleAssignment": "bootstrap-admin-1"})))
            .await;
    let made = admin.make_admin("dev", subject).await.unwrap();
    assert_eq!((made.subject.as_str(), made.role_assignment.as_str()), (subject, "bootstrap-admin-1"));
    assert_eq!(server.lines(), ["PUT /admin/v1/tenants/dev/admins/https:%2F%2Fid.example.org%2F42"]);
}

#[tokio::test]
async fn orphans_are_listed() {
    let (_server, admin) = connect(|_| {
        (200, json!({"items": [{"project": "p", "type": "server", "id": "7", "name": "web", "uid": null, "created": "2026-01-01T00:00:00Z"}]}))
    })
    .await;
    let orphans = admin.orphans().await.unwrap();
    assert_eq!((orphans[0].object_type.as_str(), orphans[0].id.as_str()), ("server", "7"));
}

#[tokio::test]
async fn an_orphan_is_looked_at_removed_and_given_away() {
    let (server, admin) = connect(|request| match request {
        _ if request.starts_with("GET") => problem(404, "no sweep saw it"),
        _ => (202, json!({"status": "accepted"})),
    })
    .await;
    assert_eq!(admin.orphan("p", "volume", "7").await.unwrap(), None);
    admin.remove_orphan("p", "volume", "7").await.unwrap();
    let (tenant, workspace, name) = ("t".to_owned(), Some("w".to_owned()), "n".to_owned());
    admin.adopt_orphan("p", "volume", "7", &Heir { tenant, workspace, name, region: None }).await.unwrap();
    let path = "/admin/v1/orphans/p/volume/7";
    assert_eq!(server.lines(), [format!("GET {path}"), format!("DELETE {path}"), format!("PUT {path}")]);
}
