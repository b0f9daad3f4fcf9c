//! Wire types of the SECA API: names, references, metadata, selectors, conditions, problems, limits. Pure.
