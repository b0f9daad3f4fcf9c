//! The paths of the admin API, as its document has them. The answer to an unknown path lists them, and the answer to a wrong
//! method lists the methods of the path.

use axum::http::Method;
use utoipa::openapi::{OpenApi, path::PathItem};

use crate::route::{self, RouteError};

/// The paths, each with its methods.
pub(super) struct Places(Vec<(String, Vec<Method>)>);

/// What all paths begin with.
const BASE: &str = "/admin/v1/";

impl Places {
    pub(super) fn of(document: &OpenApi) -> Self {
        let places = document.paths.paths.iter().map(|(path, item)| (path.clone(), methods(item)));
        Self(places.collect())
    }

    /// The methods of a path, if it names something. GET is answered to HEAD as well.
    pub(super) fn methods(&self, path: &str) -> Option<&[Method]> {
        self.0.iter().find(|(place, _)| matches(place, path)).map(|(_, methods)| methods.as_slice())
    }

    /// What a path that names nothing is told.
    pub(super) fn unknown(&self, path: &str) -> String {
        match route::unknown(path, |path| self.methods(path).is_some()) {
            RouteError::Unknown => format!(
                "no resource of the admin API has this path; below {} there are {}",
                BASE.trim_end_matches('/'),
                self.list()
            ),
            slash => slash.to_string(),
        }
    }

    fn list(&self) -> String {
        let names: Vec<&str> = self.0.iter().filter_map(|(place, _)| place.strip_prefix(BASE)).collect();
        match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => "none".to_owned(),
        }
    }
}

fn methods(item: &PathItem) -> Vec<Method> {
    let operations = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    let mut methods: Vec<Method> =
        operations.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| method).collect();
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods
}

/// Whether a path is of this form: `/tenants/{tenant}`.
fn matches(place: &str, path: &str) -> bool {
    let (mut place, mut path) = (place.split('/'), path.split('/'));
    loop {
        match (place.next(), path.next()) {
            (None, None) => return true,
            (Some(form), Some(segment)) if form == segment || (form.starts_with('{') && !segment.is_empty()) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_a_form_segment_by_segment() {
        let form = "/admin/v1/tenants/{tenant}/admins/{subject}";
        for path in ["/admin/v1/tenants/a/admins/b", "/admin/v1/tenants/%2F/admins/admins"] {
            assert!(matches(form, path), "{path}");
        }
        for path in ["/admin/v1/tenants/a/admins", "/admin/v1/tenants/a/admins/", "/admin/v1/tenants//admins/b", "/x"] {
            assert!(!matches(form, path), "{path}");
        }
    }
}
