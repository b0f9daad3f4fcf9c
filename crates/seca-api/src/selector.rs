//! Label selectors: `env=prod,tier>=2,!legacy,zone in (a, b)`. A comma means and.
//!
//! Keys and values may hold `*`, which stands for any text. Several labels can match such a key, and one that fits
//! is enough. The terms are public, so that a store can turn them into a query; [`Selector::matches`] says what the
//! query must mean.

use std::{fmt, str::FromStr};

use winnow::{
    ModalResult, Parser,
    ascii::{multispace0, multispace1},
    combinator::{alt, cut_err, delimited, eof, not, opt, preceded, separated, terminated},
    error::StrContext,
    token::take_while,
};

/// A parsed label selector. The empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// What must all hold.
    pub terms: Vec<Term>,
}

/// One condition on the labels of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// `key`: there is such a label.
    Exists(Glob),
    /// `!key`: there is none.
    NotExists(Glob),
    /// `key=value`: there is such a label with such a value.
    Equals(Glob, Glob),
    /// `key!=value`: there is none, be it that the key is absent.
    NotEquals(Glob, Glob),
    /// `key>5`: there is such a label, its value is a number, and it compares so.
    Compare(Glob, Comparison, Decimal),
    /// `key in (a, b)`: there is such a label with one of these values.
    In(Glob, Vec<Glob>),
    /// `key notin (a, b)`: there is none.
    NotIn(Glob, Vec<Glob>),
}

/// How numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A text in which `*` stands for any text, the empty one included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

/// A number, kept as it was written: `-12.50`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(String);

/// A selector cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It breaks the grammar.
    #[error(
        "the label selector is not understood at character {at}; write terms like key=value, key!=value, key>5, key, !key or key in (a, b), joined by commas"
    )]
    Malformed {
        /// The place, counted from 1.
        at: usize,
    },
    /// It is too long.
    #[error(
        "the label selector must be at most {} bytes long and have at most {} terms; shorten it",
        Selector::LENGTH_MAX,
        Selector::TERMS_MAX
    )]
    TooLong,
}

impl Selector {
    /// The longest selector, in bytes.
    pub const LENGTH_MAX: usize = 4_096;
    /// The most terms, and the most values of one term.
    pub const TERMS_MAX: usize = 64;

    /// Parses a selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > Self::LENGTH_MAX {
            return Err(SelectorError::TooLong);
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let terms: Vec<Term> = selector.parse(text).map_err(|error| SelectorError::Malformed {
            at: text.get(..error.offset()).map_or(0, |before| before.chars().count()) + 1,
        })?;
        let is_long = |term: &Term| match term {
            Term::In(_, values) | Term::NotIn(_, values) => values.len() > Self::TERMS_MAX,
            _ => false,
        };
        if terms.len() > Self::TERMS_MAX || terms.iter().any(is_long) {
            return Err(SelectorError::TooLong);
        }
        Ok(Self { terms })
    }

    /// Whether a resource with these labels is selected.
    pub fn matches<K, V, L>(&self, labels: L) -> bool
    where
        K: AsRef<str>,
        V: AsRef<str>,
        L: IntoIterator<Item = (K, V)> + Clone,
    {
        self.terms.iter().all(|term| term.matches(labels.clone()))
    }
}

impl Term {
    /// Whether labels fulfil this term.
    pub fn matches<K, V, L>(&self, labels: L) -> bool
    where
        K: AsRef<str>,
        V: AsRef<str>,
        L: IntoIterator<Item = (K, V)>,
    {
        let any = |key: &Glob, fits: &dyn Fn(&str) -> bool| {
            labels.into_iter().any(|(name, value)| key.matches(name.as_ref()) && fits(value.as_ref()))
        };
        match self {
            Self::Exists(key) => any(key, &|_| true),
            Self::NotExists(key) => !any(key, &|_| true),
            Self::Equals(key, wanted) => any(key, &|value| wanted.matches(value)),
            Self::NotEquals(key, wanted) => !any(key, &|value| wanted.matches(value)),
            Self::In(key, wanted) => any(key, &|value| wanted.iter().any(|glob| glob.matches(value))),
            Self::NotIn(key, wanted) => !any(key, &|value| wanted.iter().any(|glob| glob.matches(value))),
            Self::Compare(key, comparison, bound) => any(key, &|value| {
                Decimal::parse(value).is_some_and(|value| comparison.holds(value.as_f64(), bound.as_f64()))
            }),
        }
    }
}

impl Comparison {
    /// The operator as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
        }
    }
}

impl Glob {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, where it has no `*`.
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.as_str())
    }

    /// Whether a text fits.
    pub fn matches(&self, text: &str) -> bool {
        let Some((head, tail)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut rest) = text.strip_prefix(head) else { return false };
        let (middle, end) = tail.rsplit_once('*').unwrap_or(("", tail));
        // Taking the leftmost place for each part leaves the most text for those behind it.
        for part in middle.split('*') {
            match rest.find(part) {
                Some(place) => rest = &rest[place + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(end)
    }
}

impl Decimal {
    /// Reads digits with an optional sign and fraction; nothing else is a number here.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        (plain(whole) && plain(fraction)).then(|| Self(text.to_owned()))
    }

    /// The number as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its value.
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, &self.terms, ",")
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |f: &mut fmt::Formatter<'_>, key: &Glob, word: &str, values: &[Glob]| {
            write!(f, "{key} {word} (")?;
            join(f, values, ",")?;
            f.write_str(")")
        };
        match self {
            Self::Exists(key) => write!(f, "{key}"),
            Self::NotExists(key) => write!(f, "!{key}"),
            Self::Equals(key, value) => write!(f, "{key}={value}"),
            Self::NotEquals(key, value) => write!(f, "{key}!={value}"),
            Self::Compare(key, comparison, bound) => write!(f, "{key}{}{}", comparison.as_str(), bound.as_str()),
            Self::In(key, values) => set(f, key, "in", values),
            Self::NotIn(key, values) => set(f, key, "notin", values),
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

fn join<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

fn selector(input: &mut &str) -> ModalResult<Vec<Term>> {
    terminated(separated(1.., term, ','), eof).parse_next(input)
}

fn term(input: &mut &str) -> ModalResult<Term> {
    delimited(multispace0, alt((absent, present)), multispace0).parse_next(input)
}

fn absent(input: &mut &str) -> ModalResult<Term> {
    preceded(('!', multispace0), cut_err(key)).map(Term::NotExists).parse_next(input)
}

fn present(input: &mut &str) -> ModalResult<Term> {
    let name = key.parse_next(input)?;
    let set = opt(preceded(multispace1, set)).parse_next(input)?;
    if let Some((is_in, values)) = set {
        return Ok(if is_in { Term::In(name, values) } else { Term::NotIn(name, values) });
    }
    match opt(preceded(multispace0, operator)).parse_next(input)? {
        None => Ok(Term::Exists(name)),
        Some(Operator::Equal) => value.map(|wanted| Term::Equals(name.clone(), wanted)).parse_next(input),
        Some(Operator::Unequal) => value.map(|wanted| Term::NotEquals(name.clone(), wanted)).parse_next(input),
        Some(Operator::Compare(how)) => {
            cut_err(number).map(|bound| Term::Compare(name.clone(), how, bound)).parse_next(input)
        }
    }
}

fn key(input: &mut &str) -> ModalResult<Glob> {
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_.:/*-".contains(c);
    take_while(1.., is_key).map(|text: &str| Glob(text.to_owned())).parse_next(input)
}

/// Anything but what separates; blanks at both ends do not count.
fn value(input: &mut &str) -> ModalResult<Glob> {
    let is_value = |c: char| !"(),=!<>".contains(c) && !c.is_control();
    take_while(0.., is_value).map(|text: &str| Glob(text.trim().to_owned())).parse_next(input)
}

fn number(input: &mut &str) -> ModalResult<Decimal> {
    let text = value.context(StrContext::Label("number"));
    text.verify_map(|glob| Decimal::parse(glob.as_str())).parse_next(input)
}

#[derive(Clone, Copy)]
enum Operator {
    Equal,
    Unequal,
    Compare(Comparison),
}

fn operator(input: &mut &str) -> ModalResult<Operator> {
    alt((
        "==".value(Operator::Equal),
        "=".value(Operator::Equal),
        "!=".value(Operator::Unequal),
        "<=".value(Operator::Compare(Comparison::LessOrEqual)),
        ">=".value(Operator::Compare(Comparison::GreaterOrEqual)),
        "<".value(Operator::Compare(Comparison::Less)),
        ">".value(Operator::Compare(Comparison::Greater)),
    ))
    .parse_next(input)
}

/// `in (a, b)` or `notin (a, b)`, behind the blank that ends the key.
fn set(input: &mut &str) -> ModalResult<(bool, Vec<Glob>)> {
    let is_in = alt(("in".value(true), "notin".value(false))).parse_next(input)?;
    not(take_while(1, |c: char| c.is_ascii_alphanumeric())).parse_next(input)?;
    let values = delimited((multispace0, '('), separated(1.., value, ','), ')');
    cut_err(values).map(|values| (is_in, values)).parse_next(input)
}
