//! For every limit of a schema a document that just keeps it and one that just breaks it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    spec::{Schema, Spec},
    table::Row,
};

/// A document, and what must be said of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is tried, for messages.
    pub what: String,
    /// The member whose limit it is.
    pub pointer: String,
    /// Whether the document keeps the limit.
    pub kept: bool,
    pub document: Value,
}

/// Members that the specification calls required and that may be unset, with the number in seca-v1.7.md.
const MAY_BE_UNSET: [(&str, &str, &str); 2] =
    [("Subnet", "/spec/zone", "§4.29"), ("Subnet", "/spec/routeTableRef", "§4.29")];

/// Objects of optional members that must not be empty, with the number in seca-v1.7.md.
const NEVER_EMPTY: [(&str, &str); 2] = [("cidr", "§2.5: at least one family"), ("Ports", "§3.13: `ports: {}`")];

/// Walks the schema of a kind along a document that has every member.
pub struct Generator<'a> {
    spec: &'a Spec,
    row: &'a Row,
    base: Value,
    pub cases: Vec<Case>,
    /// Members of the schema that the document does not have.
    pub unreached: BTreeSet<String>,
}

impl<'a> Generator<'a> {
    pub fn new(spec: &'a Spec, row: &'a Row, base: Value) -> Self {
        Self { spec, row, base, cases: Vec::new(), unreached: BTreeSet::new() }
    }

    /// All cases of the members that clients own.
    pub fn run(mut self) -> Self {
        let mut whole = self.spec.schema(self.row.schema.0, self.row.schema.1);
        // These are the server's and not read, which has its own test.
        whole.properties.retain(|(name, _)| name != "metadata" && name != "status");
        // Nothing and null are an empty specification, whose required members are missing then.
        assert_eq!(whole.required, ["spec"]);
        whole.required.clear();
        self.members(&whole, "");
        self
    }

    fn case(&mut self, what: &str, pointer: &str, kept: bool, document: Value) {
        self.cases.push(Case { what: what.to_owned(), pointer: pointer.to_owned(), kept, document });
    }

    /// A case with another value at a place.
    fn with(&mut self, what: &str, pointer: &str, kept: bool, value: Value) {
        let mut document = self.base.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        self.case(what, pointer, kept, document);
    }

    fn without(&mut self, pointer: &str, kept: bool) {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let mut document = self.base.clone();
        document.pointer_mut(parent).unwrap().as_object_mut().unwrap().shift_remove(member);
        self.case("left out", pointer, kept, document);
        self.with("null", pointer, kept, Value::Null);
    }

    /// Values of other JSON types than the one that is asked for.
    fn types(&mut self, pointer: &str, asked: &[&str]) {
        let others = [("text", json!("text")), ("number", json!(7)), ("boolean", json!(true))];
        let structures = [("list", json!(["x"])), ("object", json!({"x": 1}))];
        for (name, value) in others.into_iter().chain(structures) {
            if !asked.contains(&name) {
                self.with(&format!("a {name}"), pointer, false, value);
            }
        }
    }

    fn members(&mut self, schema: &Schema, pointer: &str) {
        for (name, place) in &schema.properties {
            let at = format!("{pointer}/{name}");
            if self.base.pointer(&at).is_none() {
                self.unreached.insert(at);
                continue;
            }
            let inner = self.spec.fold(place);
            let is_free = MAY_BE_UNSET.iter().any(|(kind, place, _)| *kind == self.row.schema.1 && *place == at);
            let required = schema.required.contains(name) && !is_free;
            if !pointer.is_empty() {
                self.without(&at, !required);
            }
            self.value(&inner, &at, Some(required), &[]);
        }
    }

    /// A value: of a member (required or not) or of a list. `rules` are those of the list that holds it.
    fn value(&mut self, schema: &Schema, pointer: &str, member: Option<bool>, rules: &[&str]) {
        if schema.name.as_deref() == Some("Reference") {
            self.types(pointer, &["text", "object"]);
            return self.reference(schema, pointer, member);
        }
        if let Some(words) = schema.rest.get("enum") {
            return self.words(words.as_array().unwrap(), pointer, member);
        }
        match schema.word("type") {
            Some("string") => self.text(schema, pointer, member, rules),
            Some("integer") => self.integer(schema, pointer),
            Some("boolean") => {
                self.types(pointer, &["boolean"]);
                self.with("true", pointer, true, json!(true));
                self.with("false", pointer, true, json!(false));
            }
            Some("array") => self.list(schema, pointer),
            Some("object") | None => self.object(schema, pointer),
            Some(other) => panic!("{pointer}: a type that this suite does not know: {other}"),
        }
    }

    fn object(&mut self, schema: &Schema, pointer: &str) {
        self.types(pointer, &["object"]);
        if let Some(place) = &schema.values {
            let inner = self.spec.fold(place);
            self.value(&inner, &format!("{pointer}/tested"), None, &[]);
            // The keys have no limit.
            self.with("a long key", pointer, true, json!({"k".repeat(300): "x"}));
            return self.with("no members", pointer, true, json!({}));
        }
        if schema.properties.is_empty() {
            return self.with("anything", pointer, true, json!({"a": [{"b": null}], "": 1.5}));
        }
        let needs = !schema.required.is_empty() && pointer != "/spec";
        if NEVER_EMPTY.iter().any(|(name, _)| schema.name.as_deref() == Some(name)) {
            self.with("empty", pointer, false, json!({}));
        } else if !needs && schema.required.is_empty() {
            self.with("empty", pointer, true, json!({}));
        }
        let mut stranger = self.base.pointer(pointer).unwrap().clone();
        stranger["unheardOf"] = json!(1);
        self.with("a member that the schema does not know", pointer, true, stranger);
        self.members(schema, pointer);
    }

    /// A reference has limits of its own; what it names is another test's.
    fn reference(&mut self, schema: &Schema, pointer: &str, member: Option<bool>) {
        let original = self.base.pointer(pointer).unwrap().clone();
        self.with("a text", pointer, true, original["resource"].clone());
        // A text that names nothing is unset, as a member; in a list it breaks the minimum of its own member.
        let place = if member.is_some() { pointer.to_owned() } else { format!("{pointer}/resource") };
        let mut nothing = self.base.clone();
        *nothing.pointer_mut(pointer).unwrap() = json!({"resource": ""});
        self.case("of nothing", &place, member == Some(false), nothing);
        for (name, place) in &schema.properties {
            let inner = self.spec.fold(place);
            let at = format!("{pointer}/{name}");
            let (Some(most), mut broken) = (inner.count("maxLength"), original.clone()) else { continue };
            broken[name] = json!("a".repeat(most + 1));
            let mut document = self.base.clone();
            *document.pointer_mut(pointer).unwrap() = broken.clone();
            self.case("too long", &at, false, document.clone());
            // Within the limit it names nothing, which is said of the reference and not of this member.
            broken[name] = json!("a".repeat(most));
            *document.pointer_mut(pointer).unwrap() = broken.clone();
            self.case("as long as may be", &at, true, document.clone());
            broken[name] = json!(7);
            *document.pointer_mut(pointer).unwrap() = broken;
            self.case("a number", &at, false, document);
        }
    }

    fn words(&mut self, words: &[Value], pointer: &str, member: Option<bool>) {
        self.types(pointer, &["text"]);
        for word in words {
            self.with("one of the words", pointer, true, word.clone());
            let swapped: String = word.as_str().unwrap().chars().map(swap_case).collect();
            self.with("another case", pointer, false, json!(swapped));
        }
        self.with("another word", pointer, false, json!("unheard-of"));
        self.with("empty", pointer, member == Some(false), json!(""));
    }

    fn integer(&mut self, schema: &Schema, pointer: &str) {
        self.types(pointer, &["number"]);
        self.with("a fraction", pointer, false, json!(1.5));
        let (least, most) = (schema.number("minimum"), schema.number("maximum"));
        assert!(least.is_some() && most.is_some(), "{pointer} has no limits");
        for (limit, beyond) in [(least, -1), (most, 1)] {
            let limit = limit.unwrap();
            self.with("at the limit", pointer, true, json!(limit));
            self.with("beyond the limit", pointer, false, json!(limit + beyond));
        }
        self.with("far beyond", pointer, false, serde_json::from_str("123456789012345678901234567890").unwrap());
    }

    fn list(&mut self, schema: &Schema, pointer: &str) {
        self.types(pointer, &["list"]);
        let least = schema.count("minItems").unwrap_or(0);
        let most = schema.count("maxItems").unwrap_or_else(|| panic!("{pointer} has no limit"));
        let item = self.base.pointer(&format!("{pointer}/0")).unwrap().clone();
        let of = |count: usize| Value::Array(vec![item.clone(); count]);
        self.with("as few as may be", pointer, true, of(least));
        self.with("as many as may be", pointer, true, of(most));
        self.with("too many", pointer, false, of(most + 1));
        if least > 0 {
            self.with("too few", pointer, false, of(least - 1));
        }
        let at = format!("{pointer}/0");
        self.with("null in a list", &at, false, Value::Null);
        let rules: Vec<_> = schema.cel();
        self.value(&self.spec.fold(schema.items.as_ref().unwrap()), &at, None, &rules);
    }

    fn text(&mut self, schema: &Schema, pointer: &str, member: Option<bool>, rules: &[&str]) {
        self.types(pointer, &["text"]);
        let rules: Vec<_> = schema.cel().into_iter().chain(rules.iter().copied()).collect();
        let (least, most) = (schema.count("minLength").unwrap_or(0), schema.count("maxLength"));
        // An empty member is unset; an empty item of a list is a text of no characters.
        let empty_is_kept = member.map_or(least == 0, |required| !required);
        self.with("empty", pointer, empty_is_kept, json!(""));
        if let Some(samples) = Samples::of(&rules) {
            return self.samples(&samples, pointer, most);
        }
        if least > 1 {
            self.with("too short", pointer, false, json!("a".repeat(least - 1)));
        }
        if least > 0 {
            self.with("as short as may be", pointer, true, json!("a".repeat(least)));
        }
        let Some(most) = most else { return self.with("long", pointer, true, json!("a".repeat(5000))) };
        self.with("as long as may be", pointer, true, json!("a".repeat(most)));
        self.with("as many characters, more bytes", pointer, true, json!("ä".repeat(most)));
        self.with("too long", pointer, false, json!("a".repeat(most + 1)));
    }

    /// Texts with a rule: those of the least and the most characters are among the samples.
    fn samples(&mut self, samples: &Samples, pointer: &str, most: Option<usize>) {
        for text in samples.kept {
            self.with("by the rule", pointer, true, json!(text));
        }
        for text in samples.broken {
            self.with("against the rule", pointer, false, json!(text));
        }
        self.with("too long", pointer, false, json!("1".repeat(most.unwrap() + 1)));
    }
}

/// Texts that keep and break a rule in CEL.
struct Samples {
    kept: &'static [&'static str],
    broken: &'static [&'static str],
}

const CIDR4: Samples = Samples {
    kept: &["9.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.100.128/25"],
    broken: &[
        "1.0/8",
        "10.0.0.0",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0/24",
        "256.0.0.0/8",
        "fd00::/56",
        "not-a-cidr",
        "010.0.0.0/8",
        "10.0.0.0/8 ",
    ],
};
const CIDR6: Samples = Samples {
    kept: &["::/0", "fd00::/56", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"],
    broken: &["::/", "fd00::", "fd00::/129", "fd00:::/56", "10.0.0.0/8", "not-a-cidr", "gd00::/56"],
};
const CIDR: Samples = Samples {
    kept: &["0.0.0.0/0", "192.168.0.0/24", "::/0", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"],
    broken: &["not-a-cidr", "10.0.0.0", "10.0.0.0/33", "fd00::/129"],
};
const IP: Samples = Samples {
    kept: &["10.0.1.20", "0.0.0.0", "::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    broken: &["10.0.1", "10.0.1.256", "10.0.1.20/24", "01.0.0.1", "fd00:::1", "not-an-address", "10.0.1.20 "],
};

impl Samples {
    fn of(rules: &[&str]) -> Option<Self> {
        let says = |text: &str| rules.iter().any(|rule| rule.contains(text));
        match () {
            () if says("family() == 4") => Some(CIDR4),
            () if says("family() == 6") => Some(CIDR6),
            () if says("isCIDR(self)") => Some(CIDR),
            () if says("isIP(") => Some(IP),
            // Rules about the former value are the subject of another test.
            () if rules.iter().all(|rule| rule.contains("oldSelf")) => None,
            () => panic!("a rule that this suite does not know: {rules:?}"),
        }
    }
}

fn swap_case(letter: char) -> char {
    if letter.is_uppercase() { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
}
