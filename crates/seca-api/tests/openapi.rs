//! The schema tables agree with the specification's own files, but for the differences listed here.
//!
//! The files are read from `$SECA_SPEC_DIR`, or from `../shared/spec/openapi` beside the checkout.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use seca_api::{
    Field, Kind, TextRule, Type,
    schema::{REFERENCE, USER_METADATA},
    spec_schema,
};
use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// What we read differently on purpose. The number is the ambiguity's in the implementer's reference, §4.
const JUSTIFIED: [(&str, &str); 5] = [
    ("SubnetSpec/zone: required there, optional here", "29: Terraform sends it empty for every subnet"),
    ("SubnetSpec/routeTableRef: required there, optional here", "29: Terraform sends it empty where none is named"),
    ("NetworkSpec/cidr: any members there, at least one here", "§2.5: at least one family, in prose only"),
    ("NetworkSpec/additionalCidrs/items: any members there, at least one here", "the same"),
    ("SubnetSpec/cidr: any members there, at least one here", "the same"),
];

fn spec_dir() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/spec/openapi");
    let dir = env::var_os("SECA_SPEC_DIR").map_or_else(|| PathBuf::from(default), PathBuf::from);
    assert!(
        dir.join("schemas/resource.yaml").is_file(),
        "the SECA specification is not in {}: set SECA_SPEC_DIR to the folder that holds schemas/resource.yaml",
        dir.display()
    );
    dir
}

#[test]
fn the_tables_agree_with_the_specification() {
    let mut spec = Spec { dir: spec_dir().join("schemas"), files: BTreeMap::new(), differences: BTreeSet::new() };
    let roots: [(&str, &str, &Type); 10] = [
        ("workspace.yaml", "WorkspaceSpec", spec_schema(Kind::Workspace).unwrap()),
        ("image.yaml", "ImageSpec", spec_schema(Kind::Image).unwrap()),
        ("block-storage.yaml", "BlockStorageSpec", spec_schema(Kind::BlockStorage).unwrap()),
        ("instance.yaml", "InstanceSpec", spec_schema(Kind::Instance).unwrap()),
        ("network.yaml", "NetworkSpec", spec_schema(Kind::Network).unwrap()),
        ("subnet.yaml", "SubnetSpec", spec_schema(Kind::Subnet).unwrap()),
        ("route-table.yaml", "RouteTableSpec", spec_schema(Kind::RouteTable).unwrap()),
        ("internet-gateway.yaml", "InternetGatewaySpec", spec_schema(Kind::InternetGateway).unwrap()),
        ("resource.yaml", "Reference", &REFERENCE),
        ("resource.yaml", "UserResourceMetadata", &USER_METADATA),
    ];
    for (file, name, ty) in roots {
        let schema = spec.schema(file, name);
        let schema = spec.resolve(file, &schema);
        spec.compare(name, ty, &schema, name == "Reference");
    }
    let expected: BTreeSet<_> = JUSTIFIED.iter().map(|(difference, _)| (*difference).to_owned()).collect();
    assert_eq!(spec.differences, expected, "left: found, right: justified");
}

#[test]
fn every_kind_that_clients_write_and_that_is_served_has_a_table() {
    let later =
        [Kind::Role, Kind::RoleAssignment, Kind::Nic, Kind::PublicIp, Kind::SecurityGroup, Kind::SecurityGroupRule];
    for kind in Kind::ALL {
        assert_eq!(spec_schema(kind).is_some(), !kind.is_catalog() && !later.contains(&kind), "{kind}");
    }
}

/// A schema with its references and `allOf` folded in. `$ref` keeps the name of what it came from.
type Schema = Map<String, Value>;

struct Spec {
    dir: PathBuf,
    files: BTreeMap<String, Value>,
    differences: BTreeSet<String>,
}

impl Spec {
    fn schema(&mut self, file: &str, name: &str) -> Value {
        let document = self.files.entry(file.to_owned()).or_insert_with(|| load(&self.dir.join(file)));
        let found = &document["components"]["schemas"][name];
        assert!(found.is_object(), "{file} has no schema {name}");
        found.clone()
    }

    /// Folds references and `allOf` of this level; children are resolved when they are compared.
    fn resolve(&mut self, file: &str, schema: &Value) -> Schema {
        let mut folded = Map::new();
        folded.insert("file".into(), file.into());
        for (name, value) in schema.as_object().unwrap() {
            match name.as_str() {
                "$ref" => {
                    let (path, name) = value.as_str().unwrap().split_once("#/components/schemas/").unwrap();
                    let path = if path.is_empty() { file } else { path.trim_start_matches("./") }.to_owned();
                    let target = self.schema(&path, name);
                    folded.extend(self.resolve(&path, &target));
                    folded.insert("$ref".into(), name.into());
                }
                "allOf" => {
                    for part in value.as_array().unwrap() {
                        let part = self.resolve(file, part);
                        folded.extend(part);
                    }
                }
                _ => {
                    folded.insert(name.clone(), value.clone());
                }
            }
        }
        folded
    }

    fn differ(&mut self, place: &str, theirs: impl std::fmt::Display, ours: impl std::fmt::Display) {
        self.differences.insert(format!("{place}: {theirs} there, {ours} here"));
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, place: &str, what: &str, theirs: T, ours: T) {
        if theirs != ours {
            self.differ(place, format!("{what} {theirs:?}"), format!("{ours:?}"));
        }
    }

    fn compare(&mut self, place: &str, ty: &Type, schema: &Schema, is_reference_itself: bool) {
        let number = |name: &str| schema.get(name).and_then(Value::as_i64);
        let length = |name: &str| number(name).map(|n| usize::try_from(n).unwrap());
        let is_reference = schema.get("$ref").is_some_and(|name| name == "Reference") && !is_reference_itself;
        let is_json = |name: &str| schema.get("type").is_none_or(|ty| ty == name);
        match ty {
            Type::Reference if is_reference => {}
            Type::Object(fields) if is_json("object") && !is_reference => self.compare_members(place, fields, schema),
            Type::AnyOf(fields) if is_json("object") && !is_reference => {
                self.compare_members(place, fields, schema);
                if schema.get("minProperties").is_none() {
                    self.differ(place, "any members", "at least one");
                }
            }
            Type::OpenObject if is_json("object") && !schema.contains_key("properties") => {}
            Type::Text { min, max, rule } if is_json("string") && !schema.contains_key("enum") => {
                self.equal(place, "minLength", length("minLength").unwrap_or(0), *min);
                self.equal(place, "maxLength", length("maxLength"), Some(*max));
                self.equal(place, "rule", text_rule(schema), *rule);
            }
            Type::OneOf(words) if schema.contains_key("enum") => {
                let theirs: Vec<_> = schema["enum"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
                self.equal(place, "enum", theirs, words.to_vec());
            }
            Type::Integer { min, max } if is_json("integer") => {
                self.equal(place, "minimum", number("minimum"), Some(*min));
                self.equal(place, "maximum", number("maximum"), Some(*max));
            }
            Type::Boolean if is_json("boolean") => {}
            Type::List { items, min, max } if is_json("array") => {
                self.equal(place, "minItems", length("minItems").unwrap_or(0), *min);
                self.equal(place, "maxItems", length("maxItems"), Some(*max));
                let inner = self.resolve(schema["file"].as_str().unwrap(), &schema["items"]);
                self.compare(&format!("{place}/items"), items, &inner, false);
            }
            Type::TextMap { max_value } if schema.contains_key("additionalProperties") => {
                let inner = &schema["additionalProperties"];
                self.equal(place, "values", inner["type"].as_str(), Some("string"));
                let theirs = inner["maxLength"].as_u64().map(|n| usize::try_from(n).unwrap());
                self.equal(place, "maxLength", theirs, *max_value);
            }
            _ => self.differ(place, Value::Object(schema.clone()), format!("{ty:?}")),
        }
    }

    fn compare_members(&mut self, place: &str, fields: &[Field], schema: &Schema) {
        let file = schema["file"].as_str().unwrap().to_owned();
        let properties = schema["properties"].as_object().unwrap();
        let theirs: BTreeSet<_> = properties.keys().map(String::as_str).collect();
        let ours: BTreeSet<_> = fields.iter().map(|field| field.name).collect();
        self.equal(place, "members", theirs, ours);
        let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
        for field in fields {
            let place = format!("{place}/{}", field.name);
            let Some(property) = properties.get(field.name) else { continue };
            let word = |is_required| if is_required { "required" } else { "optional" };
            let theirs = required.iter().any(|name| *name == field.name);
            if theirs != field.required {
                self.differ(&place, word(theirs), word(field.required));
            }
            let property = self.resolve(&file, property);
            let default = field.default.map(|json| serde_json::from_str::<Value>(json).unwrap());
            self.equal(&place, "default", property.get("default").cloned(), default);
            // SKU references are compared as resolved, which a table cannot say.
            let immutable =
                tags(&property, "x-cel-rule").any(|rule| rule == "self == oldSelf") && field.ty != Type::Reference;
            self.equal(&place, "immutable", immutable, field.immutable);
            assert!(!field.description.is_empty(), "{place} has no description");
            self.compare(&place, &field.ty, &property, false);
        }
    }
}

fn tags<'a>(schema: &'a Schema, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let tags = schema.get("x-oapi-codegen-extra-tags").and_then(Value::as_object).into_iter().flatten();
    tags.filter(move |(name, _)| name.starts_with(prefix)).filter_map(|(_, rule)| rule.as_str())
}

fn text_rule(schema: &Schema) -> TextRule {
    let rules: Vec<_> = tags(schema, "x-cel-rule").collect();
    let says = |text: &str| rules.iter().any(|rule| rule.contains(text));
    match () {
        () if says("family() == 4") => TextRule::Cidr4,
        () if says("family() == 6") => TextRule::Cidr6,
        () if says("isCIDR(self)") => TextRule::Cidr,
        () if says("isIP(self)") => TextRule::Ip,
        () => TextRule::Any,
    }
}

fn load(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    to_json(&documents[0])
}

fn to_json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Value::String(text.clone()),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Boolean(value) => Value::Bool(*value),
        Yaml::Array(items) => items.iter().map(to_json).collect(),
        Yaml::Hash(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.as_str().unwrap_or_default().to_owned(), to_json(value)))
                .collect(),
        ),
        Yaml::Null | Yaml::Alias(_) | Yaml::BadValue => Value::Null,
    }
}
