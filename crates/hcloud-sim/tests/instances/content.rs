//! Where the content of disks, volumes and snapshots comes from, and when it is lost.

use crate::cloud::{Cloud, MINUTE};
use http::Method;
use serde_json::{Value, json};

impl Cloud {
    fn write(&mut self, kind: &str, id: i64, token: &str) {
        self.sim(Method::POST, &format!("/{kind}/{id}/content"), &json!({"token": token}));
    }

    fn content(&mut self, kind: &str, id: i64) -> Value {
        self.sim(Method::GET, &format!("/{kind}/{id}/content"), &Value::Null)["content"].clone()
    }

    /// Where a token is, and where it was lost.
    fn find(&mut self, token: &str) -> (Vec<String>, Vec<String>) {
        let found = self.sim(Method::GET, &format!("/content?project=p&token={token}"), &Value::Null);
        let place = |content: &Value| format!("{}/{}", content["type"].as_str().unwrap(), content["id"]);
        let lost = |lost: &Value| lost["place"].as_str().unwrap().to_owned();
        (
            found["contents"].as_array().unwrap().iter().map(place).collect(),
            found["lost"].as_array().unwrap().iter().map(lost).collect(),
        )
    }

    fn snapshot(&mut self, server: i64) -> i64 {
        self.act(server, "create_image", &json!({}))["image"]["id"].as_i64().unwrap()
    }
}

#[test]
fn a_server_of_a_snapshot_has_what_the_disk_held_when_the_snapshot_was_asked_for() {
    let mut cloud = Cloud::new(1.0);
    let first = cloud.server("first", &json!({}));
    cloud.wait(MINUTE);
    cloud.write("servers", first, "running");
    cloud.act(first, "poweroff", &Value::Null);
    cloud.wait(MINUTE);
    cloud.write("servers", first, "stopped");
    let image = cloud.snapshot(first);
    cloud.write("servers", first, "too late");
    assert_eq!(cloud.find("stopped").0, [format!("server/{first}")], "a snapshot being made is no copy yet");
    cloud.wait(2 * MINUTE);
    let system = "image/161547269".to_owned();
    let lineage = json!([system, format!("server/{first}")]);
    assert_eq!(
        cloud.content("images", image),
        json!({"type": "image", "id": image, "lineage": lineage, "tokens": ["running", "stopped"]})
    );
    let second = cloud.stopped("second", &json!({"image": image}));
    cloud.wait(MINUTE);
    let content = cloud.content("servers", second);
    assert_eq!(content["lineage"], json!([system, format!("server/{first}"), format!("image/{image}")]));
    assert_eq!(content["tokens"], json!(["running", "stopped"]));
    cloud.act(second, "change_type", &json!({"server_type": "cx33", "upgrade_disk": false}));
    cloud.wait(2 * MINUTE);
    assert_eq!(cloud.content("servers", second), content, "a change of type copies the disk");
    assert_eq!(cloud.content("servers", first)["tokens"], json!(["running", "stopped", "too late"]));
}

#[test]
fn a_token_is_lost_with_its_last_copy_and_the_place_is_noted() {
    let mut cloud = Cloud::new(0.0);
    let server = cloud.stopped("a", &json!({}));
    cloud.get("/servers");
    cloud.write("servers", server, "copied");
    let image = cloud.snapshot(server);
    cloud.get("/images");
    cloud.write("servers", server, "alone");
    assert_eq!(cloud.delete(&format!("/servers/{server}")).status, 200);
    cloud.get("/servers");
    assert_eq!(cloud.find("copied"), (vec![format!("image/{image}")], vec![]));
    assert_eq!(cloud.find("alone"), (vec![], vec![format!("server/{server}")]));
    assert_eq!(cloud.delete(&format!("/images/{image}")).status, 204);
    assert_eq!(cloud.find("copied"), (vec![], vec![format!("image/{image}")]));
}

#[test]
fn a_snapshot_deleted_before_its_server_is_made_was_the_last_copy() {
    for early in [true, false] {
        let mut cloud = Cloud::new(1.0);
        let server = cloud.stopped("a", &json!({}));
        cloud.wait(MINUTE);
        cloud.write("servers", server, "data");
        let image = cloud.snapshot(server);
        cloud.wait(2 * MINUTE);
        cloud.delete(&format!("/servers/{server}"));
        cloud.wait(MINUTE);
        let next = cloud.stopped("b", &json!({"image": image}));
        if !early {
            cloud.wait(MINUTE);
        }
        assert_eq!(cloud.delete(&format!("/images/{image}")).status, 204);
        assert_eq!(cloud.find("data").1, if early { vec![format!("image/{image}")] } else { vec![] });
        cloud.wait(MINUTE);
        assert_eq!(cloud.find("data").0, [format!("server/{next}")]);
        assert_eq!(cloud.show(next)["image"]["id"], json!(image), "shown though deleted");
        let gone = cloud.as_token("", Method::GET, &format!("/_sim/images/{image}/content"), &Value::Null);
        assert_eq!(gone.status, 404);
    }
}

#[test]
fn a_rebuild_replaces_the_disk_when_it_succeeds() {
    let mut cloud = Cloud::new(1.0);
    let server = cloud.server("a", &json!({}));
    cloud.wait(MINUTE);
    cloud.write("servers", server, "old");
    let fault = json!({"match": {"path": "/servers/*/actions/rebuild"}, "effect": {"type": "action_error"}});
    cloud.sim(Method::POST, "/faults", &fault);
    for lost in [false, true] {
        cloud.act(server, "rebuild", &json!({"image": "debian-12"}));
        let refused =
            cloud.as_token("", Method::POST, &format!("/_sim/servers/{server}/content"), &json!({"token": "x"}));
        assert_eq!(refused.status, 409, "the disk is being replaced");
        cloud.wait(MINUTE);
        assert_eq!(cloud.find("old").1.len(), usize::from(lost));
    }
    assert_eq!(cloud.content("servers", server)["lineage"], json!(["image/114690387"]));
}

#[test]
fn a_volume_keeps_what_was_written_wherever_it_is_attached() {
    let mut cloud = Cloud::new(0.0);
    let volume = cloud.made("/volumes", "volume", &json!({"name": "v", "size": 10, "location": "fsn1"}));
    let (a, b) = (cloud.server("a", &json!({"volumes": [volume]})), cloud.server("b", &json!({})));
    cloud.get("/servers");
    cloud.write("volumes", volume, "one");
    assert_eq!(cloud.content("servers", a)["tokens"], json!([]), "a volume is not the server's disk");
    cloud.ok(&format!("/volumes/{volume}/actions/detach"), &Value::Null);
    cloud.ok(&format!("/volumes/{volume}/actions/attach"), &json!({"server": b}));
    cloud.delete(&format!("/servers/{b}"));
    cloud.write("volumes", volume, "two");
    let content = json!({"type": "volume", "id": volume, "lineage": [], "tokens": ["one", "two"]});
    assert_eq!(cloud.content("volumes", volume), content);
    cloud.sim(Method::POST, "/mutate", &json!({"project": "p", "type": "volume", "id": volume, "op": "delete"}));
    assert_eq!(cloud.find("two"), (vec![], vec![format!("volume/{volume}")]));
}

#[test]
fn content_is_part_of_the_state() {
    let mut cloud = Cloud::new(0.0);
    let server = cloud.server("a", &json!({}));
    cloud.get("/servers");
    cloud.write("servers", server, "kept");
    let snapshot = cloud.sim.snapshot().unwrap();
    let mut other = Cloud::new(0.0);
    other.sim.restore(&snapshot).unwrap();
    assert_eq!(other.content("servers", server)["tokens"], json!(["kept"]));
}

#[test]
fn a_state_of_the_version_before_content_and_switches_is_still_a_state() {
    /// Takes away what that version did not write.
    fn strip(value: &mut Value) {
        match value {
            Value::Object(object) => {
                for new in ["authorized_keys", "content", "lost", "switches"] {
                    object.remove(new);
                }
                // A firewall on a server had no rules of its own.
                if object.contains_key("by_selector") {
                    object.remove("rules");
                }
                object.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut cloud = Cloud::new(0.0);
    let firewall = cloud.firewall("f", &json!([]));
    let server = cloud.server("a", &json!({"firewalls": [{"firewall": firewall}]}));
    cloud.snapshot(server);
    cloud.act(server, "rebuild", &json!({"image": "debian-12"}));
    let mut state: Value = serde_json::from_slice(&cloud.sim.snapshot().unwrap()).unwrap();
    strip(&mut state);
    let mut other = Cloud::new(0.0);
    other.sim.restore(state.to_string().as_bytes()).unwrap();
    assert_eq!(other.status(server), "running");
    assert_eq!(other.content("servers", server)["tokens"], json!([]));
}
