use std::{fs, os::unix::fs::OpenOptionsExt as _};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A folder with a certificate, its key and an authority.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.renew();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> TlsFiles {
        let path = |name| self.path(name);
        TlsFiles { certificate: path("cert.pem"), key: path("key.pem"), client_ca: Some(path("ca.pem")) }
    }

    /// Beside its place, then moved there, as those do who renew certificates.
    fn write(&self, name: &str, content: &str, mode: u32) {
        let beside = self.path("new");
        drop(fs::remove_file(&beside));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).unwrap();
        io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    fn renew(&self) {
        let (certificate, key) = pair();
        self.write("cert.pem", &certificate, 0o644);
        self.write("key.pem", &key, 0o600);
        self.write("ca.pem", &certificate, 0o644);
    }
}

fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn files_that_cannot_be_used_are_told_by_name_and_without_their_content() {
    let check = |spoil: &dyn Fn(&Folder), parts: &[&str]| {
        let folder = Folder::new();
        spoil(&folder);
        let sentence = Tls::load(folder.files()).err().unwrap_or_else(|| panic!("{parts:?}")).to_string();
        parts.iter().for_each(|part| assert!(sentence.contains(part), "{sentence}"));
        assert!(!sentence.contains('\n') && !sentence.contains("sesame"), "{sentence}");
    };
    let remove = |name: &'static str| move |folder: &Folder| fs::remove_file(folder.path(name)).unwrap();
    let put = |name: &'static str, content: &'static str| move |folder: &Folder| folder.write(name, content, 0o600);
    check(&remove("cert.pem"), &["cert.pem cannot be read"]);
    check(&remove("key.pem"), &["key.pem cannot be read"]);
    check(&remove("ca.pem"), &["ca.pem cannot be read"]);
    check(&put("cert.pem", ""), &["cert.pem holds no certificate in PEM"]);
    check(
        &put("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        &["cert.pem cannot be used"],
    );
    check(&put("ca.pem", ""), &["ca.pem holds no certificate in PEM"]);
    check(&put("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &["ca.pem cannot be used"]);
    check(&put("key.pem", "-----BEGIN sesame"), &["key.pem holds no private key in PEM that is not encrypted"]);
    check(&|folder| folder.write("key.pem", &pair().1, 0o600), &["key.pem is not the key", "cert.pem"]);
    for mode in [0o640, 0o604, 0o644] {
        check(&|folder| folder.write("key.pem", &pair().1, mode), &["others may read the key", "chmod 600"]);
    }
}

#[test]
fn files_are_taken_when_they_change_and_kept_when_they_are_bad() {
    let folder = Folder::new();
    let tls = Tls::load(folder.files()).unwrap();
    let first = tls.current();
    assert!(matches!(tls.refresh(), Look::Unchanged));

    // Half of a renewal: a certificate whose key is not there yet.
    let (certificate, key) = pair();
    folder.write("cert.pem", &certificate, 0o644);
    assert!(matches!(tls.refresh(), Look::Kept(TlsError::Mismatch(..))));
    assert!(matches!(tls.refresh(), Look::Unchanged), "told once");
    assert!(Arc::ptr_eq(&tls.current(), &first));
    folder.write("key.pem", &key, 0o600);
    assert!(matches!(tls.refresh(), Look::Taken(())));
    let second = tls.current();
    assert!(!Arc::ptr_eq(&second, &first));

    folder.write("ca.pem", &pair().0, 0o644);
    assert!(matches!(tls.refresh(), Look::Taken(())));
    fs::remove_file(folder.path("key.pem")).unwrap();
    assert!(matches!(tls.refresh(), Look::Kept(TlsError::Unreadable(..))));
    folder.renew();
    assert!(matches!(tls.refresh(), Look::Taken(())));
}
