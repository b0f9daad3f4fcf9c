//! Paths to handlers. What Hetzner has and the simulator has not answers 501 with a sentence.

use super::actions::{self, Kind};
use super::http::{Api, ApiError, Reply};
use super::state::Cx;
use super::{
    catalog, firewalls, images, networks, placement_groups, primary_ips, server_actions, server_create, servers,
    ssh_keys, volumes,
};
use http::Method;

/// Parts of the API that are not simulated.
const ABSENT: [&str; 9] = [
    "load_balancers",
    "load_balancer_types",
    "floating_ips",
    "certificates",
    "zones",
    "isos",
    "storage_boxes",
    "storage_box_types",
    "metrics",
];
const ABSENT_SERVER_ACTIONS: [&str; 5] =
    ["request_console", "attach_iso", "detach_iso", "enable_backup", "disable_backup"];

fn absent(what: &str) -> ApiError {
    ApiError::new(501, "not_implemented", format!("The simulator does not have {what}; the real API does."))
}

fn wrong_method() -> ApiError {
    ApiError::new(405, "method_not_allowed", "The request method is not allowed for this path")
}

fn unknown_path() -> ApiError {
    ApiError::new(404, "not_found", "the requested path does not exist")
}

fn id(text: &str) -> Api<i64> {
    text.parse().map_err(|_| unknown_path())
}

/// Runs an action on an object by the action's name; `None` when there is no such action.
type RunAction = fn(&mut Cx<'_>, i64, &str) -> Option<Api<Reply>>;

/// One collection: its operations, by name.
struct Collection {
    kind: Option<Kind>,
    list: fn(&Cx<'_>) -> Api<Reply>,
    get: fn(&Cx<'_>, i64) -> Api<Reply>,
    create: Option<fn(&mut Cx<'_>) -> Api<Reply>>,
    update: Option<fn(&mut Cx<'_>, i64) -> Api<Reply>>,
    delete: Option<fn(&mut Cx<'_>, i64) -> Api<Reply>>,
    action: Option<RunAction>,
}

fn collection(name: &str) -> Option<Collection> {
    macro_rules! crud {
        ($kind:expr, $module:ident, $create:expr, $action:expr) => {
            Collection {
                kind: $kind,
                list: $module::list,
                get: $module::get,
                create: $create,
                update: Some($module::update),
                delete: Some($module::delete),
                action: $action,
            }
        };
    }
    let read_only =
        |list, get| Collection { kind: None, list, get, create: None, update: None, delete: None, action: None };
    Some(match name {
        "locations" => read_only(catalog::list_locations, |_, id| catalog::get_location(id)),
        "server_types" => read_only(catalog::list_types, catalog::get_type),
        "images" => crud!(Some(Kind::Image), images, None, Some(image_action)),
        "ssh_keys" => crud!(None, ssh_keys, Some(ssh_keys::create), None),
        "placement_groups" => crud!(None, placement_groups, Some(placement_groups::create), None),
        "servers" => crud!(Some(Kind::Server), servers, Some(server_create::create), Some(server_actions::action)),
        "volumes" => crud!(Some(Kind::Volume), volumes, Some(volumes::create), Some(volumes::action)),
        "networks" => crud!(Some(Kind::Network), networks, Some(networks::create), Some(networks::action)),
        "primary_ips" => {
            crud!(Some(Kind::PrimaryIp), primary_ips, Some(primary_ips::create), Some(primary_ips::action))
        }
        "firewalls" => crud!(Some(Kind::Firewall), firewalls, Some(firewalls::create), Some(firewalls::action)),
        _ => return None,
    })
}

fn image_action(cx: &mut Cx<'_>, id: i64, name: &str) -> Option<Api<Reply>> {
    (name == "change_protection").then(|| images::change_protection(cx, id))
}

/// Answers a request for a path below `/v1`.
pub(crate) fn dispatch(cx: &mut Cx<'_>, method: &Method) -> Api<Reply> {
    let path = cx.path;
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [first, ..] if ABSENT.contains(first) => Err(absent(&first.replace('_', " "))),
        ["datacenters", ..] => {
            Err(ApiError::new(410, "deprecated_api_endpoint", "datacenters were removed; use locations")
                .with_details(serde_json::json!({"announcement":
                "https://docs.hetzner.cloud/changelog#2025-12-16-phasing-out-datacenters"})))
        }
        ["pricing"] => only_get(method, || Ok(catalog::pricing())),
        ["actions"] => only_get(method, || actions::batch(cx)),
        ["actions", action] => only_get(method, || actions::get(cx, id(action)?)),
        [name, rest @ ..] => in_collection(cx, method, collection(name).ok_or_else(unknown_path)?, rest),
        [] => Err(unknown_path()),
    }
}

fn only_get(method: &Method, answer: impl FnOnce() -> Api<Reply>) -> Api<Reply> {
    if *method == Method::GET { answer() } else { Err(wrong_method()) }
}

fn in_collection(cx: &mut Cx<'_>, method: &Method, of: Collection, rest: &[&str]) -> Api<Reply> {
    let kind = || of.kind.ok_or_else(unknown_path);
    match (rest, method) {
        ([], &Method::GET) => (of.list)(cx),
        ([], &Method::POST) => of.create.ok_or_else(wrong_method)?(cx),
        (["actions"], _) => only_get(method, || actions::list_of(cx, kind()?, None)),
        (["actions", action], _) => only_get(method, || actions::get_of(cx, kind()?, None, id(action)?)),
        ([object], &Method::GET) => (of.get)(cx, id(object)?),
        ([object], &Method::PUT) => of.update.ok_or_else(wrong_method)?(cx, id(object)?),
        ([object], &Method::DELETE) => of.delete.ok_or_else(wrong_method)?(cx, id(object)?),
        ([_, "metrics"], _) => Err(absent("metrics")),
        ([object, "actions"], _) => only_get(method, || {
            let (kind, object) = (kind()?, id(object)?);
            (of.get)(cx, object)?;
            actions::list_of(cx, kind, Some(object))
        }),
        ([object, "actions", action], _) if action.bytes().all(|byte| byte.is_ascii_digit()) => {
            only_get(method, || actions::get_of(cx, kind()?, Some(id(object)?), id(action)?))
        }
        ([object, "actions", name], _) => {
            if of.kind == Some(Kind::Server) && ABSENT_SERVER_ACTIONS.contains(name) {
                return Err(absent(&format!("the action {name}")));
            }
            let run = of.action.ok_or_else(unknown_path)?;
            if *method != Method::POST {
                return Err(wrong_method());
            }
            run(cx, id(object)?, name).unwrap_or_else(|| Err(unknown_path()))
        }
        ([] | [_], _) => Err(wrong_method()),
        _ => Err(unknown_path()),
    }
}
