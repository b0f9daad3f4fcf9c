//! Query strings and lists: filters, sorting, pagination.

use super::http::{Api, ApiError, Reply};
use super::labels::{Labels, Selector};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// A parsed query string; parameters may repeat. Unknown ones are ignored, as the API does.
#[derive(Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(raw: &str) -> Self {
        Self(url::form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    /// All non-empty values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(crate) fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The ids given as `?id=1&id=2`; a value that is no number is invalid input.
    pub(crate) fn ids(&self) -> Api<Vec<i64>> {
        self.all("id").map(|text| text.parse().map_err(|_| ApiError::invalid("id", "must be an integer"))).collect()
    }
}

/// How one kind of object may be listed.
pub(crate) struct ListSpec {
    /// The key of the list in the answer, also its path.
    pub(crate) key: &'static str,
    /// Parameters that filter by equality with the field of the same name.
    pub(crate) filters: &'static [&'static str],
    /// Fields that may be sorted by; empty when the endpoint has no sort.
    pub(crate) sorts: &'static [&'static str],
    /// Whether `label_selector` is understood.
    pub(crate) labels: bool,
}

/// Settings of the list machinery.
#[derive(Clone, Copy)]
pub(crate) struct Paging<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) path: &'a str,
    /// `per_page` above 50 is cut to 50 instead of refused.
    pub(crate) clamp: bool,
}

/// Filters, sorts and pages `items`.
pub(crate) fn list(query: &Query, spec: &ListSpec, mut items: Vec<Value>, paging: Paging<'_>) -> Api<Reply> {
    for name in spec.filters {
        let wanted: Vec<&str> = query.all(name).collect();
        if !wanted.is_empty() {
            items.retain(|item| matches_field(&item[*name], &wanted));
        }
    }
    if spec.labels
        && let Some(text) = query.first("label_selector")
    {
        let selector = Selector::parse(text).map_err(|why| ApiError::invalid("label_selector", &why))?;
        items.retain(|item| selector.matches(&labels_of(item)));
    }
    sort(query, spec, &mut items)?;
    page(query, spec.key, items, paging)
}

fn matches_field(field: &Value, wanted: &[&str]) -> bool {
    match field {
        Value::String(text) => wanted.contains(&text.as_str()),
        Value::Number(number) => wanted.contains(&number.to_string().as_str()),
        _ => false,
    }
}

pub(crate) fn labels_of(item: &Value) -> Labels {
    item["labels"].as_object().map_or_else(Labels::new, |labels| {
        labels.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    })
}

fn sort(query: &Query, spec: &ListSpec, items: &mut [Value]) -> Api<()> {
    let mut keys = Vec::new();
    for text in query.all("sort").filter(|_| !spec.sorts.is_empty()) {
        let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
        if !spec.sorts.contains(&field) || !["asc", "desc"].contains(&direction) {
            return Err(ApiError::invalid("sort", &format!("'{text}' is not a supported sorting")));
        }
        keys.push((field.to_owned(), direction == "desc"));
    }
    items.sort_by(|a, b| {
        keys.iter()
            .map(|(field, descending)| {
                let order = compare(&a[field], &b[field]);
                if *descending { order.reverse() } else { order }
            })
            .find(|order| order.is_ne())
            .unwrap_or_else(|| compare(&a["id"], &b["id"]))
    });
    Ok(())
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_str().unwrap_or_default().cmp(b.as_str().unwrap_or_default()),
    }
}

fn number(query: &Query, name: &str, default: usize) -> Api<usize> {
    query.first(name).map_or(Ok(default), |text| {
        text.parse()
            .ok()
            .filter(|number| *number >= 1)
            .ok_or_else(|| ApiError::invalid(name, "must be an integer of at least 1"))
    })
}

fn page(query: &Query, key: &str, items: Vec<Value>, paging: Paging<'_>) -> Api<Reply> {
    let page = number(query, "page", 1)?;
    let mut per_page = number(query, "per_page", 25)?;
    if per_page > 50 {
        if !paging.clamp {
            return Err(ApiError::invalid("per_page", "must be at most 50"));
        }
        per_page = 50;
    }
    let total = items.len();
    let last = total.div_ceil(per_page).max(1);
    let previous = (page > 1).then(|| page - 1);
    let next = (page < last).then(|| page + 1);
    let items: Vec<Value> = items.into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page).collect();
    let mut reply = Reply::ok(json!({
        key: items,
        "meta": {"pagination": {
            "page": page, "per_page": per_page, "previous_page": previous, "next_page": next,
            "last_page": last, "total_entries": total,
        }},
    }));
    let link = |to: usize, rel: &str| {
        format!("<{}{}?page={to}&per_page={per_page}>; rel=\"{rel}\"", paging.base_url, paging.path)
    };
    let links: Vec<String> = previous
        .map(|to| link(to, "prev"))
        .into_iter()
        .chain(next.map(|to| link(to, "next")))
        .chain([link(last, "last")])
        .collect();
    reply.link = Some(links.join(", "));
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: ListSpec = ListSpec { key: "things", filters: &["name"], sorts: &["id", "name"], labels: true };

    fn run(query: &str, count: i64, clamp: bool) -> Api<(Vec<i64>, Value, String)> {
        let items = (1..=count)
            .map(|id| json!({"id": id, "name": format!("n{}", id % 3), "labels": {"odd": (id % 2).to_string()}}))
            .collect();
        let paging = Paging { base_url: "http://x/v1", path: "/things", clamp };
        let reply = list(&Query::parse(query), &SPEC, items, paging)?;
        let body = reply.body.unwrap();
        let ids = body["things"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect();
        Ok((ids, body["meta"]["pagination"].clone(), reply.link.unwrap()))
    }

    #[test]
    fn pages_are_of_25_and_say_what_comes_before_and_after() {
        let (ids, meta, link) = run("page=2", 60, false).unwrap();
        assert_eq!(ids, (26..=50).collect::<Vec<_>>());
        assert_eq!(
            meta,
            json!({"page": 2, "per_page": 25, "previous_page": 1, "next_page": 3, "last_page": 3, "total_entries": 60})
        );
        assert!(link.contains("<http://x/v1/things?page=1&per_page=25>; rel=\"prev\""), "{link}");
        assert!(link.contains("page=3&per_page=25>; rel=\"next\""), "{link}");
        let (ids, meta, _) = run("", 0, false).unwrap();
        assert!(ids.is_empty());
        assert_eq!(meta["last_page"], json!(1));
        assert_eq!(meta["next_page"], Value::Null);
        assert!(run("page=9", 60, false).unwrap().0.is_empty());
    }

    #[test]
    fn more_than_50_a_page_is_refused_or_cut_by_the_switch() {
        assert_eq!(run("per_page=51", 60, false).unwrap_err().code, "invalid_input");
        assert_eq!(run("per_page=51", 60, true).unwrap().0.len(), 50);
        for query in ["page=0", "page=x", "per_page=0", "per_page=-1", "sort=secret", "sort=id:up"] {
            assert_eq!(run(query, 3, false).unwrap_err().code, "invalid_input", "{query}");
        }
    }

    #[test]
    fn filters_selectors_and_several_sortings_combine() {
        assert_eq!(run("name=n1", 7, false).unwrap().0, [1, 4, 7]);
        assert_eq!(run("sort=name:desc&sort=id:desc", 5, false).unwrap().0, [5, 2, 4, 1, 3]);
        assert_eq!(run("label_selector=odd%3D1&sort=id:desc", 5, false).unwrap().0, [5, 3, 1]);
        assert_eq!(run("unknown=1", 2, false).unwrap().0, [1, 2]);
        assert_eq!(run("label_selector=,", 5, false).unwrap_err().code, "invalid_input");
    }
}
