//! What handlers read.

use std::collections::BTreeMap;

use seca_api::ResourceKey;

use super::{Row, State};
use crate::{
    kinds,
    ports::{
        Admission, AdmissionQuery, Before, Collection, Deleted, Edition, ListQuery, Look, Looked, Outline, Outlines,
        Page, Shown,
    },
    resource::{Resource, Uid},
};

impl State {
    pub(in super::super) fn look(&self, key: &ResourceKey, known: Option<Edition>) -> Look {
        let found = |row: &Resource| {
            let shown = self.shown(row);
            match known.is_some() && shown.edition() == known {
                true => Looked::Same { children: shown.children },
                false => Looked::Shown(shown),
            }
        };
        Look { found: self.find(key).map(found), authorization: self.tenant(&key.tenant).map(|tenant| tenant.version) }
    }

    fn shown(&self, row: &Resource) -> Shown {
        let counted = kinds::rules(row.key.kind).is_some_and(|rules| rules.counts_children);
        Shown { resource: row.clone().into(), children: counted.then(|| self.count_live(&row.key)) }
    }

    fn count_live(&self, parent: &ResourceKey) -> i64 {
        let live = self.children(parent).filter(|child| !child.is_deleting()).count();
        i64::try_from(live).unwrap_or(i64::MAX)
    }

    pub(in super::super) fn admission(&self, query: &AdmissionQuery) -> Admission {
        let own = self.keys.get(&query.key).and_then(|uid| self.rows.get(uid));
        let before = own.map(|row| Before { row: row.resource.clone(), edges: row.edges.clone() });
        let former = before.iter().flat_map(|before| &before.edges).map(|edge| &edge.target);
        let named = query.named.iter().chain(former).chain([&query.key]);
        let mut rows: BTreeMap<Uid, &Resource> =
            named.filter_map(|key| self.find(key)).map(|row| (row.uid, row)).collect();
        let holders: Vec<Uid> = rows.values().filter_map(|row| row.holder).collect();
        rows.extend(holders.into_iter().filter_map(|uid| Some((uid, self.resource(uid)?))));
        rows.retain(|_, row| row.key != query.key);
        let relative = |row: &&Resource| {
            row.key != query.key && !row.is_deleting() && query.relatives.iter().any(|c| contains(c, &row.key))
        };
        Admission {
            before,
            rows: rows.into_values().cloned().collect(),
            relatives: self.rows.values().map(|row| &row.resource).filter(relative).cloned().collect(),
            authorization: self.tenant(&query.key.tenant).map(|tenant| tenant.version),
        }
    }

    pub(in super::super) fn outline(&self, query: &ListQuery) -> Outlines {
        let (items, more, authorization) = self.page(query);
        let outline = |row: &Resource| Outline { uid: row.uid, name: row.key.name.clone(), revision: row.revision };
        Outlines { items: items.into_iter().map(outline).collect(), more, authorization }
    }

    pub(in super::super) fn list(&self, query: &ListQuery) -> Page {
        let (items, more, authorization) = self.page(query);
        let mut items: Vec<_> = items.into_iter().map(|row| self.shown(row)).collect();
        for item in &mut items {
            item.resource.uid = None;
        }
        Page { items, more, authorization }
    }

    /// The rows of a page, whether there are more, and the authorization version.
    fn page(&self, query: &ListQuery) -> (Vec<&Resource>, bool, Option<i64>) {
        let wanted = |row: &&Row| {
            let Resource { key, .. } = &row.resource;
            let deleting = row.resource.is_deleting();
            (key.kind, &key.tenant, &key.region) == (query.kind, &query.tenant, &query.region)
                && (&key.workspace, &key.network) == (&query.workspace, &query.network)
                && match query.deleted {
                    Deleted::Exclude => !deleting,
                    Deleted::Include => true,
                    Deleted::Only => deleting,
                }
                && key.name > query.after
                && query.selector.as_ref().is_none_or(|s| s.matches(&row.label_pairs))
        };
        let mut items: Vec<&Resource> = self.rows.values().filter(wanted).map(|row| &row.resource).collect();
        items.sort_by(|a, b| a.key.name.cmp(&b.key.name));
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let authorization = self.tenant(&query.tenant).map(|tenant| tenant.version).filter(|_| !items.is_empty());
        (items, more, authorization)
    }
}

fn contains(collection: &Collection, key: &ResourceKey) -> bool {
    let Collection { kind, tenant, region, workspace, network } = collection;
    (key.kind, &key.tenant, &key.region) == (*kind, tenant, region)
        && (&key.workspace, &key.network) == (workspace, network)
}
