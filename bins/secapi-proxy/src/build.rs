//! Of which build this binary is.

use std::sync::LazyLock;

/// The version of the product.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from: what `SECA_BUILD_COMMIT` held when it was built.
pub(crate) const COMMIT: &str = match option_env!("SECA_BUILD_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    _ => "unknown",
};

/// Both, for `--version`.
pub(crate) fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {COMMIT})"));
    &TEXT
}
