//! Reading: single resources and lists, from the store and from the catalogue alike.

use seca_api::{
    ResourceKey, Selector,
    names::is_name,
    operation::{LIMIT_DEFAULT, LIMIT_MAX},
    violation::Violation,
};

use super::{Ask, Caller, Context, ControlPlane, Refusal, View, access::is_for_everybody, render};
use crate::{
    kinds,
    ports::{Deleted, ListQuery, Look, Page, Shown},
    resource::Representation,
    watch::Transition,
};

/// A list request.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// The collection: a key with an empty name.
    pub collection: ResourceKey,
    /// The label selector as sent.
    pub labels: Option<String>,
    /// The page size as sent; 1,000 when absent, clamped to 1..=10,000.
    pub limit: Option<i64>,
    /// Names after this one.
    pub after: String,
    /// Which resources are shown.
    pub deleted: Deleted,
}

/// A page as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListView {
    /// The items, JSON documents with a comma between each two.
    pub items: String,
    /// The name after which the next page begins; none on the last page.
    pub next: Option<String>,
}

impl ControlPlane {
    /// One resource. No write, no provider call.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Forbidden`], and failures of the store.
    pub async fn get(&self, context: Context<'_>, key: &ResourceKey) -> Result<View, Refusal> {
        let look = match kinds::rules(key.kind) {
            Some(_) if is_possible(key) && !is_for_everybody(key) => Some(self.store.look(key).await?),
            _ => None,
        };
        self.may_get(context.caller, key, look.as_ref()).await?;
        if let Some(found) = look.and_then(|look| look.found) {
            return Ok(view(&found.resource, found.children, "GET"));
        }
        let catalog = self.catalog.load();
        let entry = kinds::catalog::find(&catalog, key).ok_or_else(|| Refusal::NotFound(key.clone()))?;
        let body = render::entry(entry, &key.tenant, catalog.version, context.base_url);
        Ok(View { body, tag: None, transition: None })
    }

    /// Whether the caller may see what a look found.
    async fn may_get(&self, caller: &Caller, key: &ResourceKey, look: Option<&Look>) -> Result<(), Refusal> {
        let judged = match look {
            Some(look) => self.authorize_at(caller, &Ask { verb: "get", key }, look.authorization).await.map(drop),
            _ => self.authorize(caller, "get", key).await.map(drop),
        };
        let (Err(Refusal::Forbidden { .. }), Some(look)) = (&judged, look) else { return judged };
        match &look.found {
            None if self.could_read(caller, key).await? => Err(Refusal::NotFound(key.clone())),
            Some(found) if self.loses_by(caller, key, &found.resource).await? => Ok(()),
            _ => judged,
        }
    }

    /// A page. No write, no provider call.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] for a selector that is none, and as for [`Self::get`].
    pub async fn list(&self, context: Context<'_>, request: &ListRequest) -> Result<ListView, Refusal> {
        let collection = &request.collection;
        let asked = match asked(request) {
            Ok(asked) => asked,
            // What is wrong with the question is nothing for those who may not ask.
            Err(refusal) => {
                return Err(self.authorize(context.caller, "list", collection).await.err().unwrap_or(refusal));
            }
        };
        let page = match &asked.query {
            Some(query) => self.store.list(query).await?,
            None => Page::default(),
        };
        match page.authorization {
            Some(version) => {
                let ask = Ask { verb: "list", key: collection };
                self.authorize_at(context.caller, &ask, Some(version)).await.map(drop)?;
            }
            None => self.authorize(context.caller, "list", collection).await.map(drop)?,
        }
        let entries = match asked.possible {
            true => self.entries(context, request, asked.selector.as_ref(), asked.limit),
            false => Vec::new(),
        };
        Ok(merged(&page.items, entries, asked.limit, page.more))
    }

    /// What nobody wrote of a collection, as a list shows it, each with its name: a page, and one more if there is more.
    /// Nothing of it is ever being deleted.
    fn entries(
        &self,
        context: Context<'_>,
        request: &ListRequest,
        selector: Option<&Selector>,
        limit: usize,
    ) -> Vec<Named> {
        if request.deleted == Deleted::Only {
            return Vec::new();
        }
        let catalog = self.catalog.load();
        let collection = &request.collection;
        let entries = kinds::catalog::following(&catalog, collection, &request.after).into_iter();
        let entries = entries.filter(|entry| selector.is_none_or(|selector| selector.matches(&entry.labels)));
        let render = |entry| render::entry(entry, &collection.tenant, catalog.version, context.base_url);
        entries.take(limit.saturating_add(1)).map(|entry| (entry.name.clone(), render(entry))).collect()
    }
}

/// A list request, understood.
struct Asked {
    selector: Option<Selector>,
    limit: usize,
    /// Whether anything can be there.
    possible: bool,
    /// What the store is asked; none for what is in no store.
    query: Option<ListQuery>,
}

fn asked(request: &ListRequest) -> Result<Asked, Refusal> {
    let collection = &request.collection;
    let selector = selector(request.labels.as_deref())?;
    let limit = request.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if !request.after.is_empty() && !is_name(&request.after) {
        let rule = "skipToken is not one that this collection gave out; leave it out to begin at the first page";
        return Err(Refusal::Parameter(Violation::parameter("skipToken", rule)));
    }
    let possible = is_possible_place(collection);
    let has_rows = possible && kinds::rules(collection.kind).is_some() && !is_for_everybody(collection);
    let query = has_rows.then(|| ListQuery {
        kind: collection.kind,
        tenant: collection.tenant.clone(),
        region: collection.region.clone(),
        workspace: collection.workspace.clone(),
        network: collection.network.clone(),
        deleted: request.deleted,
        selector: selector.clone(),
        after: request.after.clone(),
        limit,
    });
    Ok(Asked { selector, limit, possible, query })
}

/// An item of the catalogue, and its name.
type Named = (String, String);

/// A page of two sources of one collection, both in its order and both with their first `limit` items. Of two items
/// of one name the row is shown: somebody wrote it before the provider offered the other.
fn merged(rows: &[Shown], entries: Vec<Named>, limit: usize, more: bool) -> ListView {
    let mut page = Text { text: String::with_capacity(256 + rows.len() * 1_280), last: None, left: limit, more };
    let mut entries = entries.into_iter().peekable();
    for Shown { resource, children } in rows {
        let name = &resource.key.name;
        while let Some((other, text)) = entries.next_if(|(other, _)| other < name) {
            page.add(&other, |page| page.push_str(&text));
        }
        entries.next_if(|(other, _)| other == name);
        page.add(name, |page| render::write_row(page, resource, "GET", *children));
    }
    for (name, text) in entries {
        page.add(&name, |page| page.push_str(&text));
    }
    ListView { items: page.text, next: page.last.filter(|_| page.more) }
}

/// A page in the making.
struct Text {
    text: String,
    /// The name of the last item.
    last: Option<String>,
    /// How many items fit yet.
    left: usize,
    /// Whether there are more.
    more: bool,
}

impl Text {
    fn add(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        if self.left == 0 {
            self.more = true;
            return;
        }
        if self.last.is_some() {
            self.text.push(',');
        }
        write(&mut self.text);
        self.left -= 1;
        self.last = Some(name.to_owned());
    }
}

/// A row as a client sees it, with what was counted.
pub(super) fn view(row: &Representation, children: Option<i64>, verb: &str) -> View {
    let mut tag = format!("{}.{}", row.resource_version, row.revision);
    if let Some(count) = children {
        // The count changes without the row.
        tag = format!("{tag}.{count}");
    }
    View { body: render::row(row, verb, children), tag: Some(tag), transition: Transition::of(row) }
}

fn selector(labels: Option<&str>) -> Result<Option<Selector>, Refusal> {
    let Some(text) = labels else { return Ok(None) };
    let selector =
        Selector::parse(text).map_err(|error| Refusal::Parameter(Violation::parameter("labels", error.to_string())))?;
    Ok((!selector.terms.is_empty()).then_some(selector))
}

/// Whether something can have this key; databases choke on some texts that are no names.
pub(super) fn is_possible(key: &ResourceKey) -> bool {
    is_name(&key.name) && is_possible_place(key)
}

fn is_possible_place(key: &ResourceKey) -> bool {
    [&key.workspace, &key.network].into_iter().all(|name| name.is_empty() || is_name(name))
}
