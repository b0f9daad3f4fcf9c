//! The matrix: every operation, asked by nobody, by a stranger and by each role.

use serde_json::json;

use crate::{
    common::Answer,
    operations::{GONE, HERE, Operation, Place, operations, place},
    world::{Signer, World},
};

/// The columns, by their subject. Whoever has a workspace's role has it once for workspace `w`, and once (`-of-all`)
/// for all of the tenant: in `w` that is the same.
const ROLES: [&str; 5] = ["ann", "region-admin", "workspace-admin", "workspace-editor", "workspace-viewer"];

/// Who may what in the tenant, and in workspace `w` of it: the system roles of the specification (3.10), with the
/// rules of security groups among the rest of the network. `any`: whoever is known. `open`: whoever.
///
/// What is in no workspace (images, SKUs, the list of workspaces) is not confined by a scope's workspaces.
const TABLE: &str = "
provider           | collections            | operations          | admin | region-admin | workspace-admin | editor | viewer
wellknown          | secapi                 | GET                 | open  | open         | open            | open   | open
seca.region        | regions                | LIST GET            | any   | any          | any             | any    | any
seca.authorization | roles role-assignments | LIST GET PUT DELETE | yes   | -            | -               | -      | -
seca.workspace     | workspaces             | LIST GET            | yes   | yes          | yes             | -      | -
seca.workspace     | workspaces             | PUT                 | yes   | yes          | yes             | -      | -
seca.workspace     | workspaces             | DELETE              | yes   | yes          | -               | -      | -
seca.compute       | skus instances         | LIST GET            | yes   | yes          | yes             | yes    | yes
seca.compute       | instances              | PUT                 | yes   | yes          | yes             | yes    | -
seca.compute       | instances              | DELETE              | yes   | yes          | yes             | -      | -
seca.compute       | instances              | START STOP RESTART  | yes   | yes          | yes             | yes    | -
seca.storage       | skus                   | LIST GET            | yes   | yes          | yes             | yes    | yes
seca.storage       | images block-storages  | LIST GET            | yes   | yes          | yes             | yes    | yes
seca.storage       | images block-storages  | PUT                 | yes   | yes          | yes             | yes    | -
seca.storage       | images block-storages  | DELETE              | yes   | yes          | yes             | -      | -
seca.network       | skus                   | LIST GET            | yes   | yes          | yes             | yes    | yes
seca.network       | networks subnets route-tables internet-gateways nics public-ips security-groups security-group-rules | LIST GET | yes | yes | yes | yes | yes
seca.network       | networks subnets route-tables internet-gateways nics public-ips security-groups security-group-rules | PUT      | yes | yes | yes | yes | -
seca.network       | networks subnets route-tables internet-gateways nics public-ips security-groups security-group-rules | DELETE   | yes | yes | yes | -   | -
";

/// Who may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever, with or without a token.
    Open,
    /// Whoever is known.
    Any,
    /// The roles of these columns.
    Roles([bool; 5]),
}

impl Who {
    fn of(cells: &[&str]) -> Self {
        match cells {
            ["open", rest @ ..] if rest.iter().all(|cell| *cell == "open") => Self::Open,
            ["any", rest @ ..] if rest.iter().all(|cell| *cell == "any") => Self::Any,
            cells => {
                let cells: [&str; 5] = cells.try_into().unwrap();
                Self::Roles(cells.map(|cell| match cell {
                    "yes" => true,
                    "-" => false,
                    other => panic!("{other}"),
                }))
            }
        }
    }

    pub fn allows(self, subject: &str) -> bool {
        match self {
            Self::Open | Self::Any => true,
            Self::Roles(columns) => {
                let role = subject.trim_end_matches("-of-all");
                ROLES.iter().position(|known| *known == role).is_some_and(|column| columns[column])
            }
        }
    }
}

/// Every operation with who may do it; each has exactly one row, and each row stands for something.
pub fn matrix() -> Vec<(Operation, Who)> {
    let mut rows = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()).skip(1) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [provider, collections, verbs, who @ ..] = &cells[..] else { panic!("{line}") };
        for collection in collections.split(' ') {
            for verb in verbs.split(' ') {
                rows.push(((*provider, collection, verb.to_owned()), Who::of(who), false));
            }
        }
    }
    let mut matrix = Vec::new();
    for operation in operations() {
        let mut found = rows
            .iter_mut()
            .filter(|row| row.0 == (operation.provider.as_str(), operation.collection(), operation.verb()));
        let row = found.next().unwrap_or_else(|| panic!("no row is about {operation:?}"));
        assert!(found.next().is_none(), "several rows are about {operation:?}");
        row.2 = true;
        matrix.push((operation, row.1));
    }
    let idle: Vec<_> = rows.into_iter().filter(|row| !row.2).map(|row| row.0).collect();
    assert!(idle.is_empty(), "no operation is meant by {idle:?}");
    matrix
}

/// Whoever is known, and has at most a role.
const KNOWN: [&str; 9] = [
    "stranger",
    "ann",
    "region-admin",
    "workspace-admin",
    "workspace-editor",
    "workspace-viewer",
    "workspace-admin-of-all",
    "workspace-editor-of-all",
    "workspace-viewer-of-all",
];

const PLACE: Place<'_> = place("acme", "w");

#[tokio::test]
async fn every_operation_is_refused_to_whom_the_specification_does_not_allow_it() {
    let world = World::new().await;
    let before = world.dump().await;
    for (operation, who) in matrix() {
        without_a_caller(&world, &operation, who).await;
        for subject in KNOWN.into_iter().filter(|subject| !who.allows(subject)) {
            refused(&world, &operation, subject).await;
        }
        assert_eq!(world.dump().await, before, "{operation:?} was refused and changed something");
    }
}

#[tokio::test]
async fn every_operation_is_allowed_to_whom_the_specification_allows_it() {
    let mut world = World::new().await;
    for (operation, who) in matrix() {
        for subject in KNOWN.into_iter().filter(|subject| who.allows(subject)) {
            allowed(&world, &operation, subject).await;
        }
        if operation.method != "GET" {
            world = World::new().await;
        }
    }
}

/// Tokens that prove nothing.
async fn without_a_caller(world: &World, operation: &Operation, who: Who) {
    let tokens = [
        ("no token", String::new(), "Bearer"),
        ("garbage", "garbage".to_owned(), "Bearer error=\"invalid_token\""),
        (
            "another issuer",
            world.token_with("ann", json!({"iss": "https://evil.example.org"})),
            "Bearer error=\"invalid_token\"",
        ),
        ("expired", world.token_with("ann", json!({"exp": 1_700_000_000})), "Bearer error=\"invalid_token\""),
        (
            "another key",
            Signer::new().sign(&json!({"alg": "EdDSA", "kid": "a"}), &world.claims("ann")),
            "Bearer error=\"invalid_token\"",
        ),
    ];
    for (what, token, challenge) in tokens {
        for path in operation.spellings(PLACE) {
            let answer = world.ask(&token, &operation.method, &path, operation.body(PLACE).as_ref()).await;
            if who == Who::Open {
                assert_eq!(answer.status, 200, "{operation:?}, {what}");
                continue;
            }
            answer.problem(401, &path);
            assert_eq!(answer.header("www-authenticate"), challenge, "{operation:?}, {what}");
        }
    }
}

/// Refused under every path, whether it exists or not, and in the same words.
async fn refused(world: &World, operation: &Operation, subject: &str) {
    let token = world.token(subject);
    for at in 0..operation.spellings(PLACE).len() {
        let ask = async |place: Place<'_>| {
            let path = operation.spellings(place).swap_remove(at);
            let answer = world.ask(&token, &operation.method, &path, operation.body(place).as_ref()).await;
            answer.problem(403, &path);
            assert_eq!(answer.header("etag"), "");
            answer
        };
        let known = ask(PLACE).await;
        for (parameter, place, real) in absent(operation) {
            let unknown = ask(place).await;
            check_alike(&known, &unknown, real);
            assert!(operation.has(parameter));
        }
    }
}

/// The places where nothing is, with the parameter that says so and what it says in [`PLACE`].
fn absent(operation: &Operation) -> Vec<(&'static str, Place<'static>, &'static str)> {
    let places = [
        ("{name}", Place { name: GONE, ..PLACE }, operation.name(PLACE)),
        ("{network}", Place { network: GONE, ..PLACE }, HERE),
        ("{workspace}", Place { workspace: GONE, ..PLACE }, "w"),
        ("{tenant}", Place { tenant: GONE, ..PLACE }, "acme"),
    ];
    places.into_iter().filter(|(parameter, ..)| operation.has(parameter)).collect()
}

/// Whether two refusals say the same, but for the request's id and the name that was asked for.
#[track_caller]
pub fn check_alike(known: &Answer, unknown: &Answer, real: &str) {
    assert!(!known.text.contains(GONE), "{}", known.text);
    let text = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("x-request-id");
        // Its length follows from the text.
        headers.remove("content-length");
        let text = answer.text.replace(answer.header("x-request-id"), "");
        (answer.status, format!("{headers:?}"), text.replace(GONE, real))
    };
    assert_eq!(text(known), text(unknown));
}

/// What is there can be read, and what is not there is not found: nobody is told less than they may know.
async fn allowed(world: &World, operation: &Operation, subject: &str) {
    let token = world.token(subject);
    let answer = world.perform(&token, operation, PLACE).await;
    let status = answer.status.as_u16();
    let fits = match operation.verb().as_str() {
        "GET" | "LIST" => status == 200,
        "PUT" => status == 200 || status == 409,
        // What is in use stays, and what does not run cannot stop.
        _ => status == 202 || status == 409,
    };
    assert!(fits, "{subject}, {operation:?}: {} {}", answer.status, answer.text);
    // Another workspace is another matter.
    if !operation.has("{name}") || operation.collection() == "workspaces" && !subject.ends_with("-of-all") {
        return;
    }
    let answer = world.perform(&token, operation, Place { name: GONE, ..PLACE }).await;
    let expected: &[u16] = if operation.method == "PUT" { &[201, 200] } else { &[404, 409, 202] };
    assert!(expected.contains(&answer.status.as_u16()), "{subject}, {operation:?}: {} {}", answer.status, answer.text);
}
