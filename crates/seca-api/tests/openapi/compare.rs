//! What differs between two OpenAPI documents, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use specifications::{Documents, Folded};

/// The limits that are compared as they stand.
const LIMITS: [&str; 10] = [
    "type",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];

pub(crate) struct Comparison {
    documents: Documents,
    pub(crate) differences: BTreeSet<String>,
}

/// One side of an operation that both documents have.
struct Side {
    authenticated: bool,
    operation: Value,
}

impl Comparison {
    pub(crate) const fn new(documents: Documents) -> Self {
        Self { documents, differences: BTreeSet::new() }
    }

    fn differ(&mut self, place: &str, theirs: impl Serialize, ours: impl Serialize) {
        let say = |value: Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        let [theirs, ours] = [json!(theirs), json!(ours)].map(say);
        self.differences.insert(format!("{place}: {theirs} there, {ours} here"));
    }

    fn equal<T: PartialEq + Serialize>(&mut self, place: &str, theirs: T, ours: T) {
        if theirs != ours {
            self.differ(place, theirs, ours);
        }
    }

    /// Reports the names that one side alone has; gives those that both have.
    fn names<'a>(&mut self, place: &str, theirs: BTreeSet<&'a str>, ours: &BTreeSet<&'a str>) -> Vec<&'a str> {
        for name in theirs.difference(ours) {
            self.differences.insert(format!("{place} {name}: only there"));
        }
        for name in ours.difference(&theirs) {
            self.differences.insert(format!("{place} {name}: only here"));
        }
        theirs.into_iter().filter(|name| ours.contains(name)).collect()
    }

    pub(crate) fn documents(&mut self, theirs: &str, ours: &str) {
        let (theirs, ours) = (self.documents.get(theirs), self.documents.get(ours));
        let (their_paths, our_paths) = (members(&theirs["paths"]), members(&ours["paths"]));
        for path in self.names("path", keys(their_paths), &keys(our_paths)) {
            let (their_item, our_item) = (members(&their_paths[path]), members(&our_paths[path]));
            let methods = |item| keys(item).into_iter().filter(|name| METHODS.contains(name)).collect();
            for method in self.names(&format!("method of {path}"), methods(their_item), &methods(our_item)) {
                let side = |document: &Value, item: &Map<String, Value>| {
                    let operation = item[method].clone();
                    let security = operation.get("security").or_else(|| document.get("security"));
                    let authenticated = security.and_then(Value::as_array).is_some_and(|any| !any.is_empty());
                    Side { authenticated, operation }
                };
                self.operation(path, method, &side(&theirs, their_item), &side(&ours, our_item));
            }
        }
    }

    fn operation(&mut self, path: &str, method: &str, theirs: &Side, ours: &Side) {
        let class = match method {
            "get" if !path.ends_with('}') => "list",
            "post" => "action",
            method => method,
        };
        let class = if path.starts_with("/v1") { class } else { path };
        self.equal(&format!("{class}: authenticated"), theirs.authenticated, ours.authenticated);
        let (theirs, ours) = (&theirs.operation, &ours.operation);
        self.equal(&format!("{method} {path}: operationId"), &theirs["operationId"], &ours["operationId"]);
        self.parameters(class, path, theirs, ours);
        self.bodies(class, theirs, ours);
        self.responses(class, theirs, ours);
    }

    fn parameters(&mut self, class: &str, path: &str, theirs: &Value, ours: &Value) {
        let (theirs, ours) = (self.parameters_of(theirs), self.parameters_of(ours));
        let their_names: BTreeSet<_> = theirs.keys().map(String::as_str).collect();
        let our_names: BTreeSet<_> = ours.keys().map(String::as_str).collect();
        for name in self.names(&format!("{class}: parameter in"), their_names, &our_names) {
            let collection = path.rsplit('/').find(|segment| !segment.starts_with('{')).unwrap_or_default();
            let place = match name {
                "path name" if class != "action" => format!("parameter in {name} of {collection}"),
                _ => format!("parameter in {name}"),
            };
            let (theirs, ours) = (&theirs[name], &ours[name]);
            let required = |parameter: &Value| parameter["required"].as_bool().unwrap_or_default();
            self.equal(&format!("{place}: required"), required(theirs), required(ours));
            self.schemas(&place, &theirs["schema"], &ours["schema"], None);
        }
    }

    /// The parameters of an operation by place and name.
    fn parameters_of(&mut self, operation: &Value) -> BTreeMap<String, Value> {
        let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let mut found = BTreeMap::new();
        for parameter in parameters {
            let (_, parameter) = self.documents.follow(parameter);
            let text = |name: &str| parameter[name].as_str().unwrap_or_default().to_owned();
            found.insert(format!("{} {}", text("in"), text("name")), parameter);
        }
        found
    }

    fn bodies(&mut self, class: &str, theirs: &Value, ours: &Value) {
        let (theirs, ours) = (&theirs["requestBody"], &ours["requestBody"]);
        self.equal(&format!("{class}: body"), theirs.is_object(), ours.is_object());
        if theirs.is_object() && ours.is_object() {
            self.equal(&format!("{class}: body required"), &theirs["required"], &ours["required"]);
            self.contents(&format!("{class}: body"), theirs, ours);
        }
    }

    fn responses(&mut self, class: &str, theirs: &Value, ours: &Value) {
        let (theirs, ours) = (members(&theirs["responses"]), members(&ours["responses"]));
        for status in self.names(&format!("{class}: response"), keys(theirs), &keys(ours)) {
            let (_, theirs) = self.documents.follow(&theirs[status]);
            let (_, ours) = self.documents.follow(&ours[status]);
            self.contents(&format!("{class}: response {status}"), &theirs, &ours);
        }
    }

    fn contents(&mut self, place: &str, theirs: &Value, ours: &Value) {
        let none = Map::new();
        let content = |body: &'_ Value| body.get("content").and_then(Value::as_object).cloned().unwrap_or(none.clone());
        let (theirs, ours) = (content(theirs), content(ours));
        for media in self.names(&format!("{place} as"), keys(&theirs), &keys(&ours)) {
            self.schemas(place, &theirs[media]["schema"], &ours[media]["schema"], None);
        }
    }

    /// Compares two schemas. `rule` is what a list says of its items.
    fn schemas(&mut self, place: &str, theirs: &Value, ours: &Value, rule: Option<&'static str>) {
        let (theirs, ours) = (self.documents.fold(theirs), self.documents.fold(ours));
        // What is said of one use stands apart from what is said of all uses of a schema.
        let usage = theirs.members.get("x-place").and_then(Value::as_str).unwrap_or(place).to_owned();
        let place = theirs.name.clone().unwrap_or_else(|| usage.clone());
        let member = |schema: &Folded, name: &str| schema.members.get(name).cloned();
        self.equal(&format!("{usage}: default"), member(&theirs, "default"), member(&ours, "default"));
        for limit in LIMITS {
            self.equal(&format!("{place}: {limit}"), limit_of(&theirs, limit), limit_of(&ours, limit));
        }
        let flag = |schema: &Folded, name: &str| schema.members.get(name).is_some_and(|value| *value == true);
        self.equal(&format!("{usage}: readOnly"), flag(&theirs, "readOnly"), flag(&ours, "readOnly"));
        let words = |schema: &Folded, name: &str| schema.members.get(name).map(texts);
        match (words(&theirs, "enum"), words(&ours, "enum")) {
            (Some(theirs), Some(ours)) => {
                for word in theirs.symmetric_difference(&ours) {
                    let side = if ours.contains(word) { "here" } else { "there" };
                    self.differences.insert(format!("{place}: `{word}` only {side}"));
                }
            }
            (theirs, ours) => self.equal(&format!("{place}: enum"), theirs, ours),
        }
        let required = |schema: &Folded| words(schema, "required").unwrap_or_default();
        for name in required(&theirs).symmetric_difference(&required(&ours)) {
            let word = |schema: &Folded| if required(schema).contains(name) { "required" } else { "optional" };
            self.differences.insert(format!("{place}/{name}: {} there, {} here", word(&theirs), word(&ours)));
        }
        let items_rule = self.rules(&place, &theirs, &ours, rule);
        self.members(&place, &theirs, &ours);
        for inner in ["items", "additionalProperties"] {
            match (theirs.members.get(inner), ours.members.get(inner)) {
                (Some(theirs), Some(ours)) => self.schemas(&format!("{place}/{inner}"), theirs, ours, items_rule),
                (theirs, ours) => self.equal(&format!("{place}: {inner}"), theirs, ours),
            }
        }
    }

    fn members(&mut self, place: &str, theirs: &Folded, ours: &Folded) {
        let none = Map::new();
        let properties =
            |schema: &Folded| schema.members.get("properties").map_or(none.clone(), |p| members(p).clone());
        let (theirs, ours) = (properties(theirs), properties(ours));
        for name in self.names(&format!("{place}: member"), keys(&theirs), &keys(&ours)) {
            self.schemas(&format!("{place}/{name}"), &theirs[name], &ours[name], None);
        }
    }

    /// Compares what texts must say and what may not change; gives what a list says of its items.
    fn rules(
        &mut self,
        place: &str,
        theirs: &Folded,
        ours: &Folded,
        inherited: Option<&'static str>,
    ) -> Option<&'static str> {
        let (mut format, mut of_items, mut immutable) = (inherited.map(str::to_owned), None, false);
        let known = theirs.members.get("format").and_then(Value::as_str).filter(|format| *format != "int64");
        format = known.map(str::to_owned).or(format);
        for rule in theirs.rules() {
            match rule.trim_start_matches("self.size() == 0 || ") {
                "(isCIDR(self) && cidr(self).ip().family() == 4)" => format = Some("cidr-ipv4".to_owned()),
                "(isCIDR(self) && cidr(self).ip().family() == 6)" => format = Some("cidr-ipv6".to_owned()),
                "isCIDR(self)" => format = Some("cidr".to_owned()),
                "isIP(self)" => format = Some("ip".to_owned()),
                "self.all(x, isIP(x))" => of_items = Some("ip"),
                "self == oldSelf" | "!oldSelf.hasValue() || self == oldSelf.value()" => immutable = true,
                // Growth is admission's: it knows the stored size.
                "self >= oldSelf" => {}
                unknown => self.differ(&format!("{place}: rule"), unknown, Value::Null),
            }
        }
        self.equal(&format!("{place}: format"), format.as_deref(), ours.members.get("format").and_then(Value::as_str));
        // SKU references are compared as resolved, which a schema cannot say.
        let immutable = immutable && theirs.name.as_deref() != Some("Reference");
        let ours = ours.members.get("x-immutable").is_some_and(|value| *value == true);
        self.equal(&format!("{place}: immutable"), immutable, ours);
        of_items
    }
}

/// A limit that limits something: no text is shorter than nothing.
fn limit_of(schema: &Folded, name: &str) -> Option<Value> {
    let limit = schema.members.get(name).cloned();
    match (name, &limit) {
        ("type", None) if schema.members.contains_key("properties") => Some(Value::from("object")),
        ("minLength" | "minItems" | "minProperties", Some(value)) if *value == 0 => None,
        _ => limit,
    }
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}"))
}

fn keys(members: &Map<String, Value>) -> BTreeSet<&str> {
    members.keys().map(String::as_str).collect()
}
