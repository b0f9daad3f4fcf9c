//! The registry and what stands in it: each family is registered and described by one call, so that the page about
//! metrics tells what is exposed.

use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::atomic::AtomicU64,
};

use prometheus_client::{
    encoding::{EncodeLabel as _, EncodeLabelSet, EncodeMetric, LabelSetEncoder},
    metrics::{
        TypedMetric,
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

/// What kind of number a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How many were at most so long, or so large.
    Histogram,
}

impl Type {
    /// The word of the exposition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family, as the page about metrics tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as queries have it: with its unit, and of a counter with `_total`.
    pub name: String,
    /// What kind of number it has.
    pub r#type: Type,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

impl Entry {
    /// The names that queries may use.
    #[must_use]
    pub fn samples(&self) -> Vec<String> {
        match self.r#type {
            Type::Counter | Type::Gauge => vec![self.name.clone()],
            Type::Histogram => ["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", self.name)).into(),
        }
    }
}

/// The values of a family's labels, in the order of their names.
#[derive(Clone, Debug)]
pub(crate) struct Values<const N: usize> {
    names: &'static [&'static str; N],
    values: [Cow<'static, str>; N],
}

impl<const N: usize> PartialEq for Values<N> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<const N: usize> Eq for Values<N> {}

impl<const N: usize> Hash for Values<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

impl<const N: usize> EncodeLabelSet for Values<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.names.iter().zip(&self.values) {
            (*name, value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// A family of metrics, each of which has its own values of the labels.
#[derive(Debug)]
pub(crate) struct Labelled<const N: usize, M, C = fn() -> M> {
    names: &'static [&'static str; N],
    family: Family<Values<N>, M, C>,
}

/// Counters by labels.
pub(crate) type Counters<const N: usize> = Labelled<N, Counter>;
/// Counters of seconds by labels.
pub(crate) type SecondCounters<const N: usize> = Labelled<N, Counter<f64, AtomicU64>>;
/// Gauges by labels.
pub(crate) type Gauges<const N: usize> = Labelled<N, Gauge<f64, AtomicU64>>;
/// Histograms by labels.
pub(crate) type Histograms<const N: usize> = Labelled<N, Histogram, Buckets>;

impl<const N: usize, M, C: MetricConstructor<M>> Labelled<N, M, C> {
    /// The metric of these values, made when it is asked for first.
    pub(crate) fn of(&self, values: [&'static str; N]) -> impl Deref<Target = M> + '_ {
        self.with(values.map(Cow::Borrowed))
    }

    /// The same for values that are made while the process runs.
    pub(crate) fn with(&self, values: [Cow<'static, str>; N]) -> impl Deref<Target = M> + '_ {
        self.family.get_or_create(&Values { names: self.names, values })
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        self.family.clear();
    }
}

/// Upper bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets(&'static [f64]);

impl Buckets {
    /// Of how long something takes here, in seconds.
    pub(crate) const SHORT: Self =
        Self(&[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
    /// Of how long something takes elsewhere, in seconds.
    pub(crate) const LONG: Self = Self(&[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
    /// Of how many there are.
    pub(crate) const COUNT: Self = Self(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]);
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// The registry and its description.
#[derive(Debug, Default)]
pub(crate) struct Book {
    registry: Registry,
    entries: Vec<Entry>,
}

impl Book {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Counters, by a name without `_total`.
    pub(crate) fn counters<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str; N],
    ) -> Counters<N> {
        self.enter(name, Type::Counter, help, labels, Family::default())
    }

    /// Counters that count seconds.
    pub(crate) fn second_counters<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str; N],
    ) -> SecondCounters<N> {
        self.enter(name, Type::Counter, help, labels, Family::default())
    }

    pub(crate) fn gauges<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str; N],
    ) -> Gauges<N> {
        self.enter(name, Type::Gauge, help, labels, Family::default())
    }

    pub(crate) fn histograms<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str; N],
        buckets: Buckets,
    ) -> Histograms<N> {
        self.enter(name, Type::Histogram, help, labels, Family::new_with_constructor(buckets))
    }

    fn enter<const N: usize, M, C>(
        &mut self,
        name: &'static str,
        r#type: Type,
        help: &'static str,
        names: &'static [&'static str; N],
        family: Family<Values<N>, M, C>,
    ) -> Labelled<N, M, C>
    where
        M: EncodeMetric + TypedMetric + fmt::Debug + Send + Sync + 'static,
        C: MetricConstructor<M> + Clone + Send + Sync + 'static,
    {
        let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
        let unit = units.into_iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)));
        match unit {
            Some((bare, unit)) => self.registry.register_with_unit(bare, help, unit, family.clone()),
            None => self.registry.register(name, help, family.clone()),
        }
        let name = if r#type == Type::Counter { format!("{name}_total") } else { name.to_owned() };
        self.entries.push(Entry { name, r#type, labels: names, help });
        Labelled { names, family }
    }
}
