//! Schemas: the tables of [`crate::schema`] as JSON schema.

use serde_json::Value;
use utoipa::Number;
use utoipa::openapi::{
    AllOfBuilder, ArrayBuilder, KnownFormat, Object, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type as Json,
    extensions::Extensions, schema::AdditionalProperties,
};

use super::{operation_noun, type_name};
use crate::{
    kind::{Kind, Scope},
    metadata,
    names::NAME_PATTERN,
    problem,
    schema::{Field, REFERENCE, TextRule, Type, UNLIMITED, USER_METADATA_FIELDS, served_spec, served_status},
    status, wellknown,
};

/// Types that stand in several places, under the specification's names.
const NAMED: [(&str, Type); 2] =
    [("Status", Type::Object(status::FIELDS)), ("StatusCondition", Type::Object(status::CONDITION_FIELDS))];

/// What schemas of every document refer to.
pub(super) fn common() -> impl Iterator<Item = (String, RefOr<Schema>)> {
    let status = object(status::FIELDS).read_only(true).description(Some("The state and its transitions."));
    let page = object(&metadata::list_fields()).read_only(true);
    [
        ("Reference", of_type(&REFERENCE)),
        ("Status", status.into()),
        ("StatusCondition", object(status::CONDITION_FIELDS).into()),
        ("ResponseMetadata", page.into()),
        ("Error", error()),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
}

/// A problem document.
pub(super) fn error() -> RefOr<Schema> {
    of_type(&problem::SCHEMA)
}

/// The well-known document.
pub(super) fn wellknown() -> RefOr<Schema> {
    of_type(&wellknown::SCHEMA)
}

/// The schemas of a kind: the resource and its parts, and a page of them.
pub(super) fn of(kind: Kind) -> Vec<(String, RefOr<Schema>)> {
    let name = type_name(kind);
    let metadata = object(&metadata::fields(kind)).read_only(true);
    let mut schemas = vec![
        (name.clone(), resource(kind)),
        (format!("{name}Spec"), of_type(served_spec(kind))),
        (metadata_name(kind).to_owned(), metadata.into()),
        (page_name(kind), page(&name)),
    ];
    if let Some(fields) = served_status(kind) {
        schemas.push((format!("{name}Status"), status(fields)));
    }
    schemas
}

/// The name of a page's schema.
pub(super) fn page_name(kind: Kind) -> String {
    format!("{}Iterator", operation_noun(kind))
}

/// A field's schema without its description, for parameters, which have one of their own.
pub(super) fn limits(field: &Field) -> RefOr<Schema> {
    of_field(&Field { description: "", ..*field })
}

/// The specification's name of the metadata that a kind has.
const fn metadata_name(kind: Kind) -> &'static str {
    match kind.scope() {
        _ if kind.is_sku() => "SkuResourceMetadata",
        Scope::Global => "GlobalResourceMetadata",
        Scope::GlobalTenant => "GlobalTenantResourceMetadata",
        Scope::Tenant => "RegionalResourceMetadata",
        Scope::Workspace => "RegionalWorkspaceResourceMetadata",
        Scope::Network => "RegionalNetworkResourceMetadata",
    }
}

fn resource(kind: Kind) -> RefOr<Schema> {
    let name = type_name(kind);
    // Regions have no labels, annotations and extensions.
    let mut resource = object(if kind.scope() == Scope::Global { &[] } else { USER_METADATA_FIELDS })
        .property("metadata", Ref::from_schema_name(metadata_name(kind)))
        .property("spec", Ref::from_schema_name(format!("{name}Spec")));
    if !kind.is_sku() {
        resource = resource.required("spec");
    }
    if served_status(kind).is_some() {
        resource = resource.property("status", Ref::from_schema_name(format!("{name}Status")));
    }
    resource.into()
}

fn page(name: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(Ref::from_schema_name(name)))
        .property("metadata", Ref::from_schema_name("ResponseMetadata"))
        .required("items")
        .required("metadata")
        .into()
}

fn status(fields: &[Field]) -> RefOr<Schema> {
    let common = Ref::from_schema_name("Status");
    if fields.is_empty() {
        return common.into();
    }
    let all = AllOfBuilder::new().item(common).item(object(fields).read_only(true));
    Schema::AllOf(all.build()).into()
}

fn object(fields: &[Field]) -> ObjectBuilder {
    let mut object = ObjectBuilder::new().schema_type(Json::Object);
    for field in fields {
        object = object.property(field.name, of_field(field));
        if field.required {
            object = object.required(field.name);
        }
    }
    object
}

fn of_field(field: &Field) -> RefOr<Schema> {
    let described = Some(field.description).filter(|text| !text.is_empty());
    let default = field.default.and_then(|json| serde_json::from_str::<Value>(json).ok());
    let immutable = field.immutable.then(|| Extensions::from_iter([("x-immutable", true)]));
    match of_type(&field.ty) {
        RefOr::Ref(mut schema) => {
            schema.description = field.description.to_owned();
            schema.default = default;
            schema.into()
        }
        RefOr::T(Schema::Object(schema)) => {
            ObjectBuilder::from(schema).description(described).default(default).extensions(immutable).into()
        }
        RefOr::T(Schema::Array(schema)) => ArrayBuilder::from(schema).description(described).default(default).into(),
        other => other,
    }
}

fn of_type(ty: &Type) -> RefOr<Schema> {
    if let Some((name, _)) = NAMED.iter().find(|(_, named)| named == ty) {
        return Ref::from_schema_name(*name).into();
    }
    match ty {
        Type::Reference => Ref::from_schema_name("Reference").into(),
        Type::Object(fields) => object(fields).into(),
        Type::AnyOf(fields) => object(fields).min_properties(Some(1)).into(),
        Type::OpenObject => ObjectBuilder::new().schema_type(Json::Object).into(),
        Type::Text { min, max, rule } => text(*min, *max, *rule).into(),
        Type::OneOf(words) => {
            ObjectBuilder::new().schema_type(Json::String).enum_values(Some(words.iter().copied())).into()
        }
        Type::Integer { min, max } => integer(*min, *max).into(),
        Type::Boolean => Object::with_type(Json::Boolean).into(),
        Type::List { items, min, max } => ArrayBuilder::new()
            .items(of_type(items))
            .min_items(Some(*min).filter(|min| *min > 0))
            .max_items(limit(*max))
            .into(),
        Type::TextMap { max_value } => ObjectBuilder::new()
            .schema_type(Json::Object)
            .additional_properties(Some(AdditionalProperties::from(Schema::from(text(
                0,
                max_value.unwrap_or(UNLIMITED),
                TextRule::Any,
            )))))
            .into(),
    }
}

fn text(min: usize, max: usize, rule: TextRule) -> Object {
    let custom = |name: &str| Some(SchemaFormat::Custom(name.to_owned()));
    let (format, pattern) = match rule {
        TextRule::Any => (None, None),
        TextRule::Name => (None, Some(NAME_PATTERN)),
        TextRule::Reason => (None, Some(status::REASON_PATTERN)),
        TextRule::Cidr4 => (custom("cidr-ipv4"), None),
        TextRule::Cidr6 => (custom("cidr-ipv6"), None),
        TextRule::Cidr => (custom("cidr"), None),
        TextRule::Ip => (custom("ip"), None),
        TextRule::Time => (Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)), None),
    };
    ObjectBuilder::new()
        .schema_type(Json::String)
        .format(format)
        .pattern(pattern)
        .min_length(Some(min).filter(|min| *min > 0))
        .max_length(limit(max))
        .build()
}

fn integer(min: i64, max: i64) -> Object {
    let bound = |value: i64, none: i64| isize::try_from(value).ok().filter(|_| value != none).map(Number::Int);
    ObjectBuilder::new().schema_type(Json::Integer).minimum(bound(min, i64::MIN)).maximum(bound(max, i64::MAX)).build()
}

fn limit(max: usize) -> Option<usize> {
    Some(max).filter(|max| *max != UNLIMITED)
}
