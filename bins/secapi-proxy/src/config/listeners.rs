//! What the settings say of the listeners: how fast their callers may go, what is refused, how many connections may be
//! silent, and whether they speak TLS.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use ::settings::Problem;
use api_server::{Rate, Rates, SilentLimits, Tls, TlsFiles, UnknownParameters};
use ipnet::IpNet;
use secrecy::ExposeSecret as _;

use super::{Reader, one_of};
use crate::settings::Setting;

/// The most that a rate or a burst may be: more is no limit.
const MOST: u32 = 1_000_000;

/// A rate as its users write it; the outer none is no rate, the inner one no limit.
fn rate(text: &str) -> Option<Option<u32>> {
    match text.trim() {
        "0" | "off" => Some(None),
        text => burst(text).map(Some),
    }
}

fn burst(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|count| (1..=MOST).contains(count))
}

/// Addresses and networks, comma-separated.
fn proxies(text: &str) -> Option<Arc<[IpNet]>> {
    let net = |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    text.split(',').map(|item| net(item.trim())).collect()
}

impl Reader<'_> {
    /// What becomes of query parameters that nobody knows.
    pub(super) fn unknown_parameters(&mut self) -> UnknownParameters {
        let choices = [("refuse", UnknownParameters::Refuse), ("ignore", UnknownParameters::Ignore)];
        self.value(Setting::UnknownParameters, |text| one_of(text, &choices)).unwrap_or_default()
    }

    /// How many connections of one address may not have sent a byte.
    pub(super) fn silent(&mut self) -> SilentLimits {
        let default = SilentLimits::default();
        let count = self.value(Setting::SilentConnections, rate);
        let count = count.map(|count| count.and_then(|count| usize::try_from(count).ok()));
        SilentLimits {
            per_address: count.unwrap_or(default.per_address),
            trusted_proxies: self.value(Setting::TrustedProxies, proxies).unwrap_or_default(),
        }
    }

    /// How fast a subject may go.
    pub(super) fn rates(&mut self) -> Rates {
        let default = Rates::default();
        Rates {
            writes: self.rate(Setting::WriteRate, Setting::WriteBurst, default.writes),
            reads: self.rate(Setting::ReadRate, Setting::ReadBurst, default.reads),
        }
    }

    fn rate(&mut self, rate_setting: Setting, burst_setting: Setting, default: Option<Rate>) -> Option<Rate> {
        let (per_second, at_once) = (self.value(rate_setting, rate), self.value(burst_setting, burst));
        let default = default?;
        let per_second = per_second.unwrap_or(Some(default.per_second.get()))?;
        Rate::new(per_second, at_once.unwrap_or(default.burst.get()))
    }

    /// TLS of the public listener, where its files are given.
    pub(super) fn public_tls(&mut self) -> Option<Tls> {
        self.tls(Setting::TlsCertFile, Setting::TlsKeyFile, None)
    }

    /// TLS of the admin listener, where its files are given.
    pub(super) fn admin_tls(&mut self) -> Option<Tls> {
        let authority = Setting::AdminTlsClientCaFile;
        self.tls(Setting::AdminTlsCertFile, Setting::AdminTlsKeyFile, Some(authority))
    }

    fn tls(&mut self, certificate: Setting, key: Setting, authority: Option<Setting>) -> Option<Tls> {
        let path = |setting: Setting| self.settings.get(setting).map(|found| PathBuf::from(found.text.expose_secret()));
        let client_ca = authority.and_then(path);
        let set: Vec<_> = [Some(certificate), Some(key), authority.filter(|_| client_ca.is_some())]
            .into_iter()
            .flatten()
            .filter(|setting| path(*setting).is_some())
            .map(Setting::name)
            .collect();
        let files = match (path(certificate), path(key)) {
            (Some(certificate), Some(key)) => TlsFiles { certificate, key, client_ca },
            (None, None) if set.is_empty() => return None,
            (found, _) => {
                let missing = if found.is_none() { certificate } else { key };
                self.problems.push(Problem::new(format!(
                    "{} is set without {}: certificate and key must both be set, or nothing of TLS, for example {}={}",
                    set.join(" and "),
                    missing.name(),
                    missing.name(),
                    missing.spec().example
                )));
                return None;
            }
        };
        match Tls::load(files) {
            Ok(tls) => Some(tls),
            Err(error) => {
                let (sources, rule) = (set.join(", "), certificate.rule());
                self.problems.push(Problem::wrong_secret(&sources, rule, error));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use rcgen::{CertificateParams, KeyPair};

    use super::{
        super::tests::{check_refused, environment},
        *,
    };

    #[test]
    fn silent_connections_have_a_limit_but_for_proxies() {
        let silent = |more: &[(&str, &str)]| {
            let config = environment(more).unwrap_or_else(|problems| panic!("{problems:?}"));
            let nets: Vec<_> = config.silent.trusted_proxies.iter().map(ToString::to_string).collect();
            (config.silent.per_address, nets.join(" "))
        };
        assert_eq!(silent(&[]), (Some(256), String::new()));
        assert_eq!(silent(&[("SECA_SILENT_CONNECTIONS", "5")]).0, Some(5));
        for none in ["0", "off"] {
            assert_eq!(silent(&[("SECA_SILENT_CONNECTIONS", none)]).0, None);
        }
        let proxies = silent(&[("SECA_TRUSTED_PROXIES", "10.0.0.7, 192.0.2.0/24,2001:db8::/32,::1")]).1;
        assert_eq!(proxies, "10.0.0.7/32 192.0.2.0/24 2001:db8::/32 ::1/128");
        check_refused(&[("SECA_SILENT_CONNECTIONS", "many")], "SECA_SILENT_CONNECTIONS");
        for bad in ["everybody", "10.0.0.0/33", "10.0.0.1,"] {
            check_refused(&[("SECA_TRUSTED_PROXIES", bad)], "SECA_TRUSTED_PROXIES");
        }
    }

    #[test]
    fn unknown_parameters_are_refused_or_ignored() {
        let of = |more: &[(&str, &str)]| environment(more).unwrap_or_else(|p| panic!("{p:?}")).unknown_parameters;
        assert_eq!(of(&[]), UnknownParameters::Refuse);
        assert_eq!(of(&[("SECA_UNKNOWN_PARAMETERS", "refuse")]), UnknownParameters::Refuse);
        assert_eq!(of(&[("SECA_UNKNOWN_PARAMETERS", "ignore")]), UnknownParameters::Ignore);
        check_refused(&[("SECA_UNKNOWN_PARAMETERS", "warn")], "SECA_UNKNOWN_PARAMETERS");
    }

    #[test]
    fn rates_are_whole_numbers_and_zero_or_off_is_no_limit() {
        let check = |more: &[(&str, &str)], writes: Option<Rate>, reads: Option<Rate>| {
            let config = environment(more).unwrap_or_else(|problems| panic!("{problems:?}"));
            assert_eq!(config.rates, Rates { writes, reads }, "{more:?}");
        };
        let default = Rates::default();
        check(&[], Rate::new(100, 1000), Rate::new(1000, 5000));
        check(&[("SECA_WRITE_RATE", "7")], Rate::new(7, 1000), default.reads);
        check(&[("SECA_WRITE_BURST", " 1 ")], Rate::new(100, 1), default.reads);
        check(&[("SECA_READ_RATE", "7"), ("SECA_READ_BURST", "8")], default.writes, Rate::new(7, 8));
        for none in ["0", "off"] {
            check(&[("SECA_WRITE_RATE", none), ("SECA_WRITE_BURST", "5")], None, default.reads);
            check(&[("SECA_READ_RATE", none)], default.writes, None);
        }
        for name in ["SECA_WRITE_RATE", "SECA_WRITE_BURST", "SECA_READ_RATE", "SECA_READ_BURST"] {
            for bad in ["-1", "1.5", "many", "1000001", "10/s"] {
                check_refused(&[(name, bad)], name);
            }
        }
        check_refused(&[("SECA_WRITE_BURST", "0")], "SECA_WRITE_BURST");
    }

    /// A certificate and its key in a folder, and their paths.
    fn pair(folder: &Path) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let paths = ["cert.pem", "key.pem"].map(|name| folder.join(name));
        fs::write(&paths[0], certificate.pem()).unwrap();
        fs::write(&paths[1], key.serialize_pem()).unwrap();
        fs::set_permissions(&paths[1], fs::Permissions::from_mode(0o600)).unwrap();
        paths.map(|path| path.display().to_string())
    }

    #[test]
    fn a_listener_with_certificate_and_key_speaks_tls() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = pair(folder.path());
        let of = |more: &[(&str, &str)]| {
            let config = environment(more).unwrap_or_else(|problems| panic!("{problems:?}"));
            (config.tls.is_some(), config.admin_tls.is_some(), config.notes.join("\n").contains("in the clear"))
        };
        let admin = ("SECA_ADMIN_LISTEN_ADDR", ":8081");
        let public = [("SECA_TLS_CERT_FILE", certificate.as_str()), ("SECA_TLS_KEY_FILE", &key)];
        let private = [("SECA_ADMIN_TLS_CERT_FILE", certificate.as_str()), ("SECA_ADMIN_TLS_KEY_FILE", &key)];
        let authority = ("SECA_ADMIN_TLS_CLIENT_CA_FILE", certificate.as_str());
        assert_eq!(of(&[admin]), (false, false, true));
        assert_eq!(of(&[admin, public[0], public[1]]), (true, false, true));
        assert_eq!(of(&[admin, private[0], private[1]]), (false, true, false));
        assert_eq!(of(&[admin, private[0], private[1], authority]), (false, true, false));
    }

    #[test]
    fn files_of_tls_that_cannot_be_used_are_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = pair(folder.path());
        let (certificate, key) = (certificate.as_str(), key.as_str());
        for (cert_name, key_name) in
            [("SECA_TLS_CERT_FILE", "SECA_TLS_KEY_FILE"), ("SECA_ADMIN_TLS_CERT_FILE", "SECA_ADMIN_TLS_KEY_FILE")]
        {
            check_refused(&[(cert_name, certificate)], key_name);
            check_refused(&[(key_name, key)], cert_name);
            check_refused(&[(cert_name, "/nowhere"), (key_name, key)], "/nowhere cannot be read");
            check_refused(&[(cert_name, certificate), (key_name, "/nowhere")], "/nowhere cannot be read");
            check_refused(&[(cert_name, certificate), (key_name, certificate)], "others may read the key");
            let other = tempfile::tempdir().unwrap();
            let [_, another] = pair(other.path());
            check_refused(&[(cert_name, certificate), (key_name, &another)], "is not the key of the certificate");
        }
        let authority = "SECA_ADMIN_TLS_CLIENT_CA_FILE";
        check_refused(&[(authority, certificate)], authority);
        let admin = [("SECA_ADMIN_TLS_CERT_FILE", certificate), ("SECA_ADMIN_TLS_KEY_FILE", key)];
        check_refused(&[admin[0], admin[1], (authority, "/nowhere")], "/nowhere cannot be read");
    }
}
