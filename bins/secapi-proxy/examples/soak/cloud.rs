//! The provider as a person with the console sees it: every object of a project, and calls by hand.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{common, stage::CloudProject};

/// What is looked at: the collection, and the query that leaves out what belongs to everybody.
const TYPES: [(&str, &str); 8] = [
    ("servers", ""),
    ("volumes", ""),
    ("networks", ""),
    ("primary_ips", ""),
    ("firewalls", ""),
    ("placement_groups", ""),
    ("ssh_keys", ""),
    ("images", "&type=snapshot"),
];

/// An object of a project.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) project: String,
    /// The collection: `servers`.
    pub(crate) kind: &'static str,
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// All of it.
    pub(crate) json: Value,
}

impl Object {
    fn of(project: &str, kind: &'static str, json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let labels = json["labels"].as_object().into_iter().flatten();
        Self {
            project: project.to_owned(),
            kind,
            id: json["id"].as_i64().unwrap_or_default(),
            name: if kind == "images" { text("description") } else { text("name") },
            labels: labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
            json: json.clone(),
        }
    }

    /// The resource that it belongs to, by its label.
    pub(crate) fn uid(&self) -> Option<&str> {
        self.labels.get("seca.uid").map(String::as_str)
    }

    /// What it is to that beside the main object.
    pub(crate) fn role(&self) -> Option<&str> {
        self.labels.get("seca.role").map(String::as_str)
    }

    /// Whether the product made it.
    pub(crate) fn is_managed(&self) -> bool {
        self.labels.get("seca.managed").is_some_and(|value| value == "true")
    }

    /// Whether it is what a project is known again by.
    pub(crate) fn is_marker(&self) -> bool {
        self.labels.get("seca.purpose").is_some_and(|value| value == "marker")
    }

    /// The id that a marker gives its project.
    pub(crate) fn project_id(&self) -> &str {
        self.labels.get("seca.project").map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.kind, self.id)
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} `{}` of {}", self.kind, self.id, self.name, self.project)
    }
}

/// Calls of the provider's API with the tokens of its persons. No fault strikes them.
#[derive(Clone)]
pub(crate) struct Cloud {
    http: reqwest::Client,
    endpoint: String,
}

impl Cloud {
    pub(crate) fn at(endpoint: String) -> Self {
        Self { http: common::http(), endpoint }
    }

    /// A call: status and answer.
    pub(crate) async fn call(
        &self,
        project: &CloudProject,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let mut request = self.http.request(method, format!("{}{path}", self.endpoint)).bearer_auth(&project.person);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.timeout(Duration::from_secs(20)).send().await.context("the simulator does not answer")?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null)))
    }

    /// The objects of one type.
    pub(crate) async fn list(&self, project: &CloudProject, wanted: &str) -> anyhow::Result<Vec<Object>> {
        let (kind, filter) = *TYPES.iter().find(|(kind, _)| *kind == wanted).context("a type of objects")?;
        let mut all = Vec::new();
        let mut page = 1;
        loop {
            let path = format!("/{kind}?per_page=50&page={page}{filter}");
            let (status, answer) = self.call(project, "GET", &path, None).await?;
            ensure!(status == 200, "GET {path} of {}: {status} {answer}", project.name);
            all.extend(answer[kind].as_array().into_iter().flatten().map(|json| Object::of(&project.name, kind, json)));
            match answer["meta"]["pagination"]["next_page"].as_u64() {
                Some(next) => page = next,
                None => return Ok(all),
            }
        }
    }

    /// Every object of every project.
    pub(crate) async fn objects(&self, projects: &[CloudProject]) -> anyhow::Result<Vec<Object>> {
        let mut all = Vec::new();
        for project in projects {
            for (kind, _) in TYPES {
                all.extend(self.list(project, kind).await?);
            }
        }
        Ok(all)
    }
}
