//! `/_sim/*`: projects, journal, faults, limits, capacity. No authentication: the listener is on loopback.

use super::catalog::{find_location, find_type};
use super::clock::Time;
use super::content;
use super::control_objects as objects;
use super::exposure;
use super::http::{Api, ApiError, Reply, SimRequest, SimResponse};
use super::input::{Input, Ref};
use super::query::Query;
use super::state::{Availability, Project};
use super::switches::Switches;
use super::{Simulator, parse_body};
use http::Method;
use serde_json::json;

pub(super) fn handle(sim: &mut Simulator, request: &SimRequest, now: Time) -> SimResponse {
    route(sim, request, now).map_or_else(ApiError::into_response, Reply::into_response)
}

fn route(sim: &mut Simulator, request: &SimRequest, now: Time) -> Api<Reply> {
    let input = Input::new(parse_body(request)?);
    let query = Query::parse(&request.query);
    let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).skip(1).collect();
    let method = &request.method;
    match (method, segments.as_slice()) {
        (&Method::GET, []) => Ok(Reply::ok(json!({
            "version": env!("CARGO_PKG_VERSION"), "speed": sim.config.speed, "seed": sim.config.seed,
            "time_ms": now.0, "projects": sim.state.projects.keys().collect::<Vec<_>>(),
        }))),
        (&Method::GET, ["projects"]) => Ok(list_projects(sim)),
        (&Method::POST, ["projects"]) => create_project(sim, input, now),
        (&Method::DELETE, ["projects", name]) => delete_project(sim, name),
        (&Method::PUT, ["projects", name, "limits"]) => set_limits(sim, name, &input),
        (&Method::PUT, ["rate"]) => set_rate(sim, input, now),
        (&Method::GET, ["journal"]) => Ok(Reply::ok(sim.journal.json(&query))),
        (&Method::DELETE, ["journal"]) => {
            sim.journal.clear();
            Ok(Reply::no_content())
        }
        (&Method::GET, ["faults"]) => Ok(list_faults(sim)),
        (&Method::POST, ["faults"]) => create_fault(sim, request),
        (&Method::DELETE, ["faults"]) => {
            clear_faults(sim, now);
            Ok(Reply::no_content())
        }
        (&Method::DELETE, ["faults", id]) => delete_fault(sim, id, now),
        (&Method::POST, ["faults", id, "release"]) => release_fault(sim, id, now),
        (&Method::PUT, ["types", name, "locations", location]) => set_availability(sim, input, name, location),
        (&Method::GET, ["switches"]) => Ok(sim.state.shared.switches.reply()),
        (&Method::PUT, ["switches"]) => {
            let set = sim.state.shared.switches.with(parse_body(request)?)?;
            sim.state.shared.switches = set;
            Ok(sim.state.shared.switches.reply())
        }
        (&Method::GET, ["inventory"]) => objects::inventory(sim, &query, now),
        (&Method::GET, ["servers", id, "user_data"]) => objects::user_data(sim, id),
        (&Method::GET, ["exposure"]) => exposure::list(sim, &query, now),
        (&Method::DELETE, ["exposure"]) => Ok(exposure::clear(sim, now)),
        (&Method::GET, ["content"]) => content::list(sim, &query, now),
        (&Method::GET, [kind @ ("servers" | "volumes" | "images"), id, "content"]) => content::show(sim, kind, id),
        (&Method::POST, [kind @ ("servers" | "volumes"), id, "content"]) => content::write(sim, input, kind, id),
        (&Method::GET, ["servers", id, "guest"]) => objects::guest(sim, id),
        (&Method::PUT, ["servers", id, "guest"]) => objects::set_guest(sim, input, id),
        (&Method::POST, ["mutate"]) => objects::mutate(sim, input, now),
        (&Method::POST, ["reset"]) => reset(sim, input, now),
        _ => Err(ApiError::new(404, "not_found", "no such path below /_sim; the crate's README lists them")),
    }
}

fn list_projects(sim: &Simulator) -> Reply {
    let row = |project: &Project| {
        let tokens = sim.state.tokens.values().filter(|grant| grant.project == project.name).count();
        json!({"name": project.name, "limits": project.limits, "tokens": tokens})
    };
    Reply::ok(json!({"projects": sim.state.projects.values().map(row).collect::<Vec<_>>()}))
}

/// Makes a project, or tokens for one that is there. Tokens not given are invented.
fn create_project(sim: &mut Simulator, mut input: Input, now: Time) -> Api<Reply> {
    let name = input.required_text("name");
    let (token, read_only) = (input.text("token"), input.text("read_only_token"));
    let client = input.text("client");
    input.check()?;
    if name.is_empty() {
        return Err(ApiError::invalid("name", "must not be empty"));
    }
    for given in [&token, &read_only].into_iter().flatten() {
        if sim.state.tokens.get(given).is_some_and(|grant| grant.project != name) {
            return Err(ApiError::not_unique("token", "the token belongs to another project"));
        }
    }
    let token = token.unwrap_or_else(|| sim.state.shared.rng.text(64));
    let read_only = read_only.unwrap_or_else(|| sim.state.shared.rng.text(64));
    sim.add_project(&name, &token, Some(&read_only), now);
    for token in [&token, &read_only] {
        if let Some(grant) = sim.state.tokens.get_mut(token) {
            grant.client.clone_from(&client);
        }
    }
    Ok(Reply::created(json!({"project": {"name": name, "token": token, "read_only_token": read_only}})))
}

fn project_mut<'a>(sim: &'a mut Simulator, name: &str) -> Api<&'a mut Project> {
    sim.state.projects.get_mut(name).ok_or_else(|| ApiError::new(404, "not_found", format!("no project '{name}'")))
}

fn delete_project(sim: &mut Simulator, name: &str) -> Api<Reply> {
    project_mut(sim, name)?;
    sim.state.projects.remove(name);
    sim.state.tokens.retain(|_, grant| grant.project != name);
    Ok(Reply::no_content())
}

/// `{"server_limit": 3, …}`; limits not named stay.
fn set_limits(sim: &mut Simulator, name: &str, input: &Input) -> Api<Reply> {
    let project = project_mut(sim, name)?;
    let mut limits = project.limits.clone();
    for (limit, value) in &mut limits {
        if let Some(given) = input.get(limit) {
            *value = given
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(|| ApiError::invalid(limit, "must be a number of 0 or more"))?;
        }
    }
    project.limits.clone_from(&limits);
    Ok(Reply::ok(json!({"limits": limits})))
}

/// `{"project": …, "limit": 600, "remaining": 50}`.
fn set_rate(sim: &mut Simulator, mut input: Input, now: Time) -> Api<Reply> {
    let project = input.required_text("project");
    let limit = input.integer("limit").map(u32::try_from).transpose();
    let remaining = input.integer("remaining").map(u32::try_from).transpose();
    input.check()?;
    let number = |_| ApiError::invalid("limit", "limit and remaining must be numbers of 0 or more");
    let (limit, remaining) = (limit.map_err(number)?, remaining.map_err(number)?);
    let project = project_mut(sim, &project)?;
    let limit = limit.unwrap_or(project.bucket.limit);
    let remaining = remaining.unwrap_or(limit);
    project.bucket.set(limit, f64::from(remaining), now);
    Ok(Reply::ok(json!({"limit": limit, "remaining": remaining})))
}

fn list_faults(sim: &Simulator) -> Reply {
    let held: Vec<u64> = sim.held.keys().copied().filter(|seq| !sim.is_released(*seq)).collect();
    Reply::ok(json!({"faults": sim.faults.json(|id| sim.held_by(id)), "held": held}))
}

fn create_fault(sim: &mut Simulator, request: &SimRequest) -> Api<Reply> {
    let id = sim.faults.add(parse_body(request)?)?;
    let fault = sim.faults.json(|_| Vec::new()).into_iter().find(|fault| fault["id"] == json!(id));
    Ok(Reply::created(json!({"fault": fault})))
}

fn fault_id(text: &str) -> Api<u64> {
    text.parse().map_err(|_| ApiError::not_found("fault", text))
}

/// Deleting a fault releases what it holds.
fn delete_fault(sim: &mut Simulator, id: &str, now: Time) -> Api<Reply> {
    let id = fault_id(id)?;
    let known = sim.faults.remove(id);
    let released = sim.release(id, now);
    if known || released > 0 { Ok(Reply::no_content()) } else { Err(ApiError::not_found("fault", id)) }
}

fn release_fault(sim: &mut Simulator, id: &str, now: Time) -> Api<Reply> {
    let id = fault_id(id)?;
    if !sim.faults.contains(id) {
        return Err(ApiError::not_found("fault", id));
    }
    Ok(Reply::ok(json!({"released": sim.release(id, now)})))
}

fn clear_faults(sim: &mut Simulator, now: Time) {
    sim.faults.clear();
    let tickets: Vec<u64> = sim.held.keys().copied().collect();
    for ticket in tickets {
        sim.release_one(ticket, now);
    }
}

/// `{"available": …, "orderable": …}`: what the API says, and what happens to an order. They may differ, as they do.
fn set_availability(sim: &mut Simulator, mut input: Input, name: &str, location: &str) -> Api<Reply> {
    let (available, orderable) = (input.flag("available"), input.flag("orderable"));
    input.check()?;
    let known = find_type(&Ref::Name(name.to_owned())).filter(|known| known.is_in(location));
    if known.is_none() || find_location(&Ref::Name(location.to_owned())).is_none() {
        return Err(ApiError::new(404, "not_found", format!("server type '{name}' is not sold in '{location}'")));
    }
    let now = sim.state.shared.availability(name, location);
    let set =
        Availability { available: available.unwrap_or(now.available), orderable: orderable.unwrap_or(now.orderable) };
    sim.state.shared.availability.insert(format!("{name}/{location}"), set);
    Ok(Reply::ok(json!({"available": set.available, "orderable": set.orderable})))
}

/// Empties one project (`{"project": …}`) or all; their tokens stay. Journal, faults, capacity and switches are as at
/// the start when all are reset.
fn reset(sim: &mut Simulator, mut input: Input, now: Time) -> Api<Reply> {
    let only = input.text("project");
    input.check()?;
    let names: Vec<String> = match &only {
        Some(name) => vec![project_mut(sim, name)?.name.clone()],
        None => sim.state.projects.keys().cloned().collect(),
    };
    for name in names {
        let fresh = Project::new(&name, sim.config.rate_limit, now);
        sim.state.late.retain(|late| late.project != name);
        sim.state.projects.insert(name, fresh);
    }
    if only.is_none() {
        clear_faults(sim, now);
        sim.journal.clear();
        sim.state.shared.availability.clear();
        sim.state.shared.switches = Switches::default();
    }
    Ok(Reply::no_content())
}
