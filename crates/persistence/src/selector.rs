//! A label selector as a condition in SQL that means what [`Selector::matches`] says.
//!
//! The text is put together out of fixed parts and numbered parameters; what a client wrote is only ever a
//! parameter. Numbers are compared as texts: the bits of a double, turned so that they sort as they compare. So
//! both databases and [`Selector::matches`] agree to the last bit.

use std::fmt::Write as _;

use seca_api::selector::{Decimal, Glob, Selector, Term};

use crate::sql::{Dialect, Value};

/// The number in a label's value as a text that sorts as it compares; none for what is no number.
pub(crate) fn sortable(value: &str) -> Option<String> {
    Decimal::parse(value).map(|number| sortable_number(&number))
}

fn sortable_number(number: &Decimal) -> String {
    // Adding zero makes -0 and 0 the same.
    let bits = (number.as_f64() + 0.0).to_bits();
    let turned = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
    format!("{turned:016x}")
}

/// How many terms PostgreSQL may turn into joins, so that it can begin with the labels where few resources have them.
/// It weighs all orders of them, which takes a second for 64; what is left is asked of each row in turn, and stands in
/// a CASE because many conditions would look to the planner as if hardly a row could fulfil them.
const JOINED: usize = 3;

/// Writes conditions about `resource_labels` of `r`.
pub(crate) struct Writer<'a, 'b> {
    pub(crate) dialect: Dialect,
    pub(crate) text: &'a mut String,
    pub(crate) args: &'a mut Vec<Value<'b>>,
}

impl<'b> Writer<'_, 'b> {
    /// Adds ` AND …` for every term.
    pub(crate) fn selector(&mut self, selector: &'b Selector) {
        let apart = match self.dialect {
            Dialect::Postgres => selector.terms.len().min(JOINED),
            Dialect::Sqlite => selector.terms.len(),
        };
        let (joined, apart) = selector.terms.split_at(apart);
        for term in joined {
            self.text.push_str(" AND ");
            self.term(term);
            self.text.push(')');
        }
        for (index, term) in apart.iter().enumerate() {
            self.text.push_str(if index == 0 { " AND CASE WHEN " } else { " AND " });
            self.term(term);
            self.text.push_str(" OFFSET 0)");
        }
        if !apart.is_empty() {
            self.text.push_str(" THEN TRUE ELSE FALSE END");
        }
    }

    fn term(&mut self, term: &'b Term) {
        let negated = matches!(term, Term::NotExists(_) | Term::NotEquals(..) | Term::NotIn(..));
        self.text.push_str(if negated { "NOT EXISTS" } else { "EXISTS" });
        self.text.push_str(" (SELECT 1 FROM resource_labels l WHERE l.uid = r.uid AND ");
        match term {
            Term::Exists(key) | Term::NotExists(key) => self.glob("l.name", key),
            Term::Equals(key, value) | Term::NotEquals(key, value) => {
                self.glob("l.name", key);
                self.text.push_str(" AND ");
                self.glob("l.value", value);
            }
            Term::In(key, values) | Term::NotIn(key, values) => {
                self.glob("l.name", key);
                self.text.push_str(" AND (");
                for (index, value) in values.iter().enumerate() {
                    self.text.push_str(if index == 0 { "" } else { " OR " });
                    self.glob("l.value", value);
                }
                self.text.push_str(if values.is_empty() { "1 = 0)" } else { ")" });
            }
            Term::Compare(key, comparison, bound) => {
                self.glob("l.name", key);
                self.text.push_str(" AND l.number ");
                self.text.push_str(comparison.as_str());
                self.parameter(Value::from(sortable_number(bound)));
            }
        }
    }

    fn glob(&mut self, column: &'static str, glob: &'b Glob) {
        self.text.push_str(column);
        match (glob.literal(), self.dialect) {
            (Some(text), _) => {
                self.text.push_str(" =");
                self.parameter(Value::from(text));
            }
            (None, Dialect::Postgres) => {
                self.text.push_str(" LIKE");
                self.parameter(Value::from(like(glob.as_str())));
            }
            (None, Dialect::Sqlite) => {
                self.text.push_str(" GLOB");
                self.parameter(Value::from(sqlite_glob(glob.as_str())));
            }
        }
    }

    fn parameter(&mut self, value: Value<'b>) {
        self.args.push(value);
        let _ = write!(self.text, " ${}", self.args.len());
    }
}

/// `*` as LIKE has it; its own special characters are escaped by a backslash, the default of PostgreSQL.
fn like(glob: &str) -> String {
    let mut pattern = String::with_capacity(glob.len() + 8);
    for c in glob.chars() {
        match c {
            '*' => pattern.push('%'),
            '%' | '_' | '\\' => pattern.extend(['\\', c]),
            _ => pattern.push(c),
        }
    }
    pattern
}

/// SQLite's GLOB knows `*` too, and also `?` and sets, which stand for themselves inside a set.
fn sqlite_glob(glob: &str) -> String {
    let mut pattern = String::with_capacity(glob.len() + 8);
    for c in glob.chars() {
        match c {
            '?' | '[' => pattern.extend(['[', c, ']']),
            _ => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sortable_texts_sort_as_the_numbers_compare(a in "-?[0-9]{1,4}(\\.[0-9]{1,3})?", b in "-?[0-9]{1,4}(\\.[0-9]{1,3})?") {
            let (x, y) = (Decimal::parse(&a).unwrap().as_f64(), Decimal::parse(&b).unwrap().as_f64());
            prop_assert_eq!(x.partial_cmp(&y), Some(sortable(&a).cmp(&sortable(&b))));
        }
    }

    #[test]
    fn what_is_no_number_has_no_place_among_them() {
        for text in ["", "-", "1e3", "+1", " 1", "0x1", "١"] {
            assert_eq!(sortable(text), None, "{text}");
        }
    }
}
