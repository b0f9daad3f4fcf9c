//! Reading: single resources and lists, from the store and from the catalogue alike.

use std::{collections::HashMap, sync::Arc};

use seca_api::{
    ResourceKey, Selector,
    names::is_name,
    operation::{LIMIT_DEFAULT, LIMIT_MAX, PAGE_BYTES},
    violation::Violation,
};

use super::{
    Ask, Caller, Context, ControlPlane, Refusal, View,
    access::{Permit, is_for_everybody},
    render,
};
use crate::{
    catalog::CatalogEntry,
    kinds,
    ports::{Deleted, ListQuery, Look, Looked, Shown},
    resource::{Representation, Uid},
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
    /// The page's document up to the end of its last item. It begins with [`Self::HEAD`], so that who answers has only to
    /// add the end, in the same memory.
    pub text: String,
    /// The name after which the next page begins; none on the last page.
    pub next: Option<String>,
}

impl ListView {
    /// How the document of a page begins.
    pub const HEAD: &str = r#"{"items":["#;
}

impl ControlPlane {
    /// One resource. No write, no provider call.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Forbidden`], and failures of the store.
    pub async fn get(&self, context: Context<'_>, key: &ResourceKey) -> Result<View, Refusal> {
        let caller = context.caller;
        let has_row = kinds::rules(key.kind).is_some() && is_possible(key) && !is_for_everybody(key);
        let permit = match self.permit(caller, &Ask { verb: "get", key }).await {
            Ok(permit) => Some(permit),
            Err(Refusal::Forbidden { .. }) if has_row && self.may_have_read(caller, key).await? => None,
            Err(refusal) => return Err(refusal),
        };
        let kept = if has_row && permit.is_some() { self.settled_texts.latest(key) } else { None };
        let known = kept.as_ref().map(|(edition, _)| *edition);
        let look = if has_row { Some(self.store.look(key, known).await?) } else { None };
        self.may_get(caller, key, permit, look.as_ref()).await?;
        match (look.and_then(|look| look.found), kept) {
            (Some(Looked::Same { children }), Some((edition, text))) => {
                return Ok(View {
                    body: render::counting(&text, children),
                    tag: Some(tag((edition.resource_version, edition.revision), children)),
                    transition: None,
                });
            }
            (Some(Looked::Shown(found)), _) => return Ok(self.shown(key, &found)),
            _ => {}
        }
        let catalog = self.catalog.load();
        let entry = kinds::catalog::find(&catalog, key).ok_or_else(|| Refusal::NotFound(key.clone()))?;
        let body = self.entry_text(entry, &key.tenant, catalog.version, context.base_url).to_string();
        Ok(View { body, tag: None, transition: None })
    }

    /// What a look showed. Its text is kept if it stays as it is: who polls for a change reads each text once.
    fn shown(&self, key: &ResourceKey, found: &Shown) -> View {
        let row = &found.resource;
        let view = view(row, None, "GET");
        if let Some(edition) = found.edition().filter(|_| view.transition.is_none()) {
            self.settled_texts.put(key.clone(), edition, view.body.as_str().into());
        }
        if found.children.is_none() {
            return view;
        }
        let tag = tag((row.resource_version, row.revision), found.children);
        View { body: render::counting(&view.body, found.children), tag: Some(tag), transition: view.transition }
    }

    /// An entry of the catalogue as a tenant sees it.
    fn entry_text(&self, entry: &CatalogEntry, tenant: &str, version: i64, base_url: &str) -> Arc<str> {
        let (kind, region, name) = (entry.kind.as_str(), &entry.region, &entry.name);
        // No name holds a space.
        let key = format!("{kind} {region} {name} {tenant} {base_url}");
        if let Some(text) = self.entry_texts.get(&key, &version) {
            return text;
        }
        let text: Arc<str> = render::entry(entry, tenant, version, base_url).into();
        self.entry_texts.put(key, version, Arc::clone(&text));
        text
    }

    /// Whether the caller may see what a look found.
    async fn may_get(
        &self,
        caller: &Caller,
        key: &ResourceKey,
        permit: Option<Permit>,
        look: Option<&Look>,
    ) -> Result<(), Refusal> {
        let ask = Ask { verb: "get", key };
        let judged = self.judged_again(caller, &ask, permit, look.map(|look| look.authorization)).await;
        let (Err(Refusal::Forbidden { .. }), Some(look)) = (&judged, look) else { return judged };
        match &look.found {
            None if self.could_read(caller, key).await? => Err(Refusal::NotFound(key.clone())),
            Some(Looked::Shown(found)) if self.loses_by(caller, key, &found.resource).await? => Ok(()),
            _ => judged,
        }
    }

    /// Whether the caller may at the moment of a read, whose statement told the version, or told none. Nothing is judged
    /// twice by the same roles.
    async fn judged_again(
        &self,
        caller: &Caller,
        ask: &Ask<'_>,
        permit: Option<Permit>,
        read_at: Option<Option<i64>>,
    ) -> Result<(), Refusal> {
        match (permit, read_at) {
            (Some(Permit { version: Some(version), .. }), Some(read_at)) if read_at == Some(version) => Ok(()),
            (_, Some(read_at)) => self.authorize_at(caller, ask, read_at).await.map(drop),
            (Some(Permit { is_fresh: true, .. }), None) => Ok(()),
            (_, None) => self.authorize(caller, ask.verb, ask.key).await.map(drop),
        }
    }

    /// A page. No write, no provider call.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] for a selector that is none, and as for [`Self::get`].
    pub async fn list(&self, context: Context<'_>, request: &ListRequest) -> Result<ListView, Refusal> {
        let ask = Ask { verb: "list", key: &request.collection };
        let permit = self.permit(context.caller, &ask).await?;
        let mut asked = asked(request)?;
        let mut rows = match &asked.query {
            Some(query) => self.rows(query).await?,
            None => Rows::default(),
        };
        let read_at = rows.authorization.map(Some);
        self.judged_again(context.caller, &ask, Some(permit), read_at).await?;
        let entries = match asked.possible {
            true => self.entries(context, request, asked.selector.as_ref(), asked.limit),
            false => Vec::new(),
        };
        let mut page = PageBuilder::new(asked.limit, entries);
        while page.takes(&rows) && rows.more {
            let (Some(query), Some((last, _))) = (&mut asked.query, rows.items.last()) else { break };
            query.after.clone_from(last);
            query.limit = page.room();
            rows = self.rows(query).await?;
        }
        Ok(page.end(rows.more))
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
        let render = |entry| self.entry_text(entry, &collection.tenant, catalog.version, context.base_url);
        entries.take(limit.saturating_add(1)).map(|entry| (entry.name.clone(), render(entry))).collect()
    }
}

impl ControlPlane {
    /// The rows of a page. Of those whose texts are kept in their present version, the version is read and nothing else.
    async fn rows(&self, query: &ListQuery) -> Result<Rows, Refusal> {
        if kinds::rules(query.kind).is_some_and(|rules| rules.counts_children) {
            // What is counted changes without the row.
            let page = self.store.list(query).await?;
            let row = |Shown { resource, children }: Shown| {
                let mut text = String::new();
                render::write_row(&mut text, &resource, "GET", children);
                (resource.key.name, Some(text.into()))
            };
            let items = page.items.into_iter().map(row).collect();
            return Ok(Rows { items, more: page.more, authorization: page.authorization });
        }
        let page = self.store.outline(query).await?;
        let kept = page.items.iter().map(|row| self.row_texts.get(&row.uid, &row.revision));
        let mut texts: Vec<_> = kept.collect();
        let unknown = page.items.iter().zip(&texts).filter(|(_, text)| text.is_none()).map(|(row, _)| row.uid);
        let unknown: Vec<Uid> = unknown.collect();
        if !unknown.is_empty() {
            let mut read: HashMap<Uid, Arc<str>> = HashMap::new();
            for row in self.store.shown(&query.collection(), &unknown).await? {
                let Some(uid) = row.uid else { continue };
                let mut text = String::new();
                render::write_row(&mut text, &row, "GET", None);
                let text: Arc<str> = text.into();
                self.row_texts.put(uid, row.revision, Arc::clone(&text));
                read.insert(uid, text);
            }
            for (row, text) in page.items.iter().zip(&mut texts).filter(|(_, text)| text.is_none()) {
                *text = read.remove(&row.uid);
            }
        }
        let items = page.items.into_iter().map(|row| row.name).zip(texts).collect();
        Ok(Rows { items, more: page.more, authorization: page.authorization })
    }
}

/// Rows of a page by name, each with its text; none of a row that left in between.
#[derive(Default)]
struct Rows {
    items: Vec<(String, Option<Arc<str>>)>,
    more: bool,
    authorization: Option<i64>,
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
        limit: if limit <= ROWS_AT_ONCE { limit } else { ROWS_AT_FIRST },
    });
    Ok(Asked { selector, limit, possible, query })
}

/// An item of the catalogue, and its name.
type Named = (String, Arc<str>);

/// How many rows are asked for at once. A resource has up to some 1 MiB, so that so many are a bounded lot of memory; most
/// are a thousandth of that, and a usual page is one statement.
const ROWS_AT_ONCE: usize = 64;

/// How many rows a large page begins with: those that follow are asked for by the size of these.
const ROWS_AT_FIRST: usize = 16;

/// A page in the making of two sources of one collection, both in its order: rows, which come by and by, and entries of the
/// catalogue. Of two items of one name the row is shown: somebody wrote it before the provider offered the other.
struct PageBuilder {
    text: String,
    entries: std::iter::Peekable<std::vec::IntoIter<Named>>,
    /// The name of the last item.
    last: Option<String>,
    /// How many items fit yet.
    left: usize,
    /// The bytes of the largest item.
    largest: usize,
    /// Whether an item was left out for want of room.
    is_full: bool,
}

impl PageBuilder {
    fn new(limit: usize, entries: Vec<Named>) -> Self {
        let mut text = String::with_capacity(256 + limit.min(ROWS_AT_ONCE) * 1_280);
        text.push_str(ListView::HEAD);
        Self { text, entries: entries.into_iter().peekable(), last: None, left: limit, largest: 1, is_full: false }
    }

    /// Adds rows, and the entries before them. Whether more may follow.
    fn takes(&mut self, rows: &Rows) -> bool {
        for (name, text) in &rows.items {
            let Some(row) = text else { continue };
            while let Some((other, text)) = self.entries.next_if(|(other, _)| other < name) {
                self.add(&other, &text);
            }
            self.entries.next_if(|(other, _)| other == name);
            self.add(name, row);
        }
        !self.is_full && self.left > 0
    }

    /// How many rows to ask for, of which all that are no larger than those before may fit, and some one more.
    fn room(&self) -> usize {
        let fitting = PAGE_BYTES.saturating_sub(self.text.len()) / self.largest + 1;
        fitting.min(self.left).clamp(1, ROWS_AT_ONCE)
    }

    fn add(&mut self, name: &str, text: &str) {
        let is_first = self.last.is_none();
        if self.is_full || self.left == 0 || (!is_first && self.text.len() + 1 + text.len() > PAGE_BYTES) {
            self.is_full = true;
            return;
        }
        if !is_first {
            self.text.push(',');
        }
        self.text.push_str(text);
        self.largest = self.largest.max(text.len() + 1);
        self.left -= 1;
        name.clone_into(self.last.get_or_insert_default());
    }

    /// The page, with all entries that are left and fit. `more`: whether there are rows that were not asked for.
    fn end(mut self, more: bool) -> ListView {
        if !more {
            while let Some((name, text)) = self.entries.next() {
                self.add(&name, &text);
            }
        }
        let is_last = !more && !self.is_full;
        ListView { text: self.text, next: self.last.filter(|_| !is_last) }
    }
}

/// A row as a client sees it, with what was counted.
pub(super) fn view(row: &Representation, children: Option<i64>, verb: &str) -> View {
    let tag = tag((row.resource_version, row.revision), children);
    View { body: render::row(row, verb, children), tag: Some(tag), transition: Transition::of(row) }
}

/// What tells a representation from the next: its version and revision. What is counted changes without the row.
fn tag((version, revision): (i64, i64), children: Option<i64>) -> String {
    match children {
        Some(count) => format!("{version}.{revision}.{count}"),
        None => format!("{version}.{revision}"),
    }
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
