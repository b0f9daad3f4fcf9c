//! Variables of the shell that look like settings and are none: a misspelt one is silently without effect otherwise.

use ::settings::Environment;
use token_provisioner::settings::VARIABLES;

use crate::settings::Setting;

/// What others of ours read: the demo, the scripts, the build.
const OTHERS: [&str; 16] = [
    "SECA_CONFIG",
    "SECA_BUILD_COMMIT",
    "SECA_DEMO_URL",
    "SECA_DEMO_TOKEN_FILE",
    "SECA_DEMO_SIM",
    "SECA_DEMO_SIM_TOKEN_FILE",
    "SECA_URL",
    "SECA_TOKEN",
    "SECA_TOKEN_FILE",
    "SECA_TENANT",
    "SECA_REGION",
    "SECA_ZONE",
    "SECA_WORKSPACE",
    "SECA_PROJECT",
    "SECA_PROVIDER_GLOBAL",
    "SECA_TF_TOKEN",
];

/// What Kubernetes sets in each container for each service whose name begins with `seca-`.
const OF_KUBERNETES: [&str; 2] = ["_SERVICE_HOST", "_SERVICE_PORT"];

/// A variable that nothing reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    name: String,
    /// The one that was probably meant.
    meant: Option<&'static str>,
}

impl Unused {
    /// Whether it is probably misspelt.
    pub(crate) const fn is_misspelt(&self) -> bool {
        self.meant.is_some()
    }
}

impl std::fmt::Display for Unused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.name;
        match self.meant {
            Some(meant) => write!(f, "{name} is set, and no setting has this name: did you mean {meant}?"),
            None => write!(f, "{name} is set, and nothing reads it: `secapi-proxy serve --help` lists the settings"),
        }
    }
}

/// The variables with our prefix that nothing reads, by name.
pub(crate) fn variables(environment: &Environment) -> Vec<Unused> {
    let known = || {
        let settings = Setting::ALL.iter().flat_map(|setting| setting.spec().names);
        settings.copied().chain(VARIABLES.iter().copied()).chain(OTHERS)
    };
    let is_known = |name: &str| known().any(|known| name == known || name.strip_suffix("_FILE") == Some(known));
    let ours = environment.names().filter(|name| name.starts_with("SECA_"));
    let unused = ours.filter(|name| !is_known(name) && !is_of_kubernetes(name));
    let meant = |name: &str| {
        let bare = name.strip_suffix("_FILE").unwrap_or(name);
        let near =
            known().map(|known| (strsim::osa_distance(known, bare).min(strsim::osa_distance(known, name)), known));
        near.min().filter(|(distance, known)| *distance <= 2.max(known.len() / 8)).map(|(_, known)| known)
    };
    unused.map(|name| Unused { name: name.to_owned(), meant: meant(name) }).collect()
}

/// `SECA_API_SERVICE_HOST`, `SECA_API_SERVICE_PORT_HTTP`, `SECA_API_PORT`, `SECA_API_PORT_8080_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    let of_port = name.split_once("_PORT").is_some_and(|(_, rest)| {
        rest.is_empty() || rest.strip_prefix('_').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    of_port || OF_KUBERNETES.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<(String, Option<&'static str>)> {
        let environment = names.iter().map(|name| (*name, "x")).collect();
        variables(&environment).into_iter().map(|unused| (unused.name, unused.meant)).collect()
    }

    #[test]
    fn a_misspelt_variable_is_told_with_the_one_that_was_meant() {
        for (name, meant) in [
            ("SECA_LISTEN_ADRR", "SECA_LISTEN_ADDR"),
            ("SECA_AMDIN_TOKEN", "SECA_ADMIN_TOKEN"),
            ("SECA_DATABSE_URL_FILE", "SECA_DATABASE_URL"),
            ("SECA_TOKEN_PROVISIONER_INTERVALL", "SECA_TOKEN_PROVISIONER_INTERVAL"),
            ("SECA_METRIC_TOKEN", "SECA_METRICS_TOKEN"),
        ] {
            assert_eq!(found(&[name]), [(name.to_owned(), Some(meant))]);
        }
        assert_eq!(found(&["SECA_SOMETHING_ELSE_ENTIRELY"]), [("SECA_SOMETHING_ELSE_ENTIRELY".to_owned(), None)]);
    }

    #[test]
    fn what_is_read_and_what_kubernetes_sets_is_not_told() {
        let settings = Setting::ALL.iter().flat_map(|setting| setting.spec().names).copied();
        let kubernetes = [
            "SECA_API_SERVICE_HOST",
            "SECA_API_SERVICE_PORT",
            "SECA_API_SERVICE_PORT_HTTPS",
            "SECA_API_PORT",
            "SECA_API_PORT_8080_TCP",
            "SECA_API_PORT_8080_TCP_ADDR",
        ];
        let others = ["SECA_ADMIN_TOKEN_FILE", "SECA_CREDENTIALS_KEY_FILE", "HCLOUD_TOKEN", "HETZNER_ANYTHING"];
        let all: Vec<&str> =
            settings.chain(VARIABLES.iter().copied()).chain(OTHERS).chain(kubernetes).chain(others).collect();
        assert_eq!(found(&all), []);
        assert!(!is_of_kubernetes("SECA_REPORT") && !is_of_kubernetes("SECA_PORTAL"));
    }
}
