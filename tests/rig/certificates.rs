//! Certificates for tests, made with openssl: an authority of its own, and what it signs.

use anyhow::{Context as _, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A private authority, with its files in a directory.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    name: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new(dir: &Path, name: &str) -> anyhow::Result<Self> {
        let authority = Self { dir: dir.to_path_buf(), name: name.to_owned() };
        let subject = format!("/CN={name}");
        openssl(
            dir,
            &[
                &["req", "-x509", "-days", "2", "-subj", &subject],
                &NEW_KEY[..],
                &["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")],
            ],
        )?;
        Ok(authority)
    }

    /// Its own certificate.
    pub fn pem(&self) -> PathBuf {
        self.dir.join(format!("{}.pem", self.name))
    }

    /// A certificate for this name, and for 127.0.0.1, that is valid for so many days; 0: it expires within a second.
    pub fn issue(&self, name: &str, days: u32) -> anyhow::Result<Issued> {
        let file = |end: &str| format!("{name}-{days}.{end}");
        let subject = format!("/CN={name}");
        std::fs::write(self.dir.join("names"), "subjectAltName = IP:127.0.0.1, DNS:localhost\n")?;
        openssl(
            &self.dir,
            &[&["req", "-subj", &subject], &NEW_KEY[..], &["-keyout", &file("key"), "-out", &file("csr")]],
        )?;
        let (days, authority) = (days.to_string(), &self.name);
        let (ca, ca_key) = (format!("{authority}.pem"), format!("{authority}.key"));
        openssl(
            &self.dir,
            &[&[
                "x509",
                "-req",
                "-in",
                &file("csr"),
                "-CA",
                &ca,
                "-CAkey",
                &ca_key,
                "-CAcreateserial",
                "-days",
                &days,
                "-extfile",
                "names",
                "-out",
                &file("pem"),
            ]],
        )?;
        Ok(Issued { cert: self.dir.join(file("pem")), key: self.dir.join(file("key")) })
    }
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

fn openssl(dir: &Path, arguments: &[&[&str]]) -> anyhow::Result<()> {
    let output = Command::new("openssl").current_dir(dir).args(arguments.concat()).output();
    let output = output.context("openssl is not installed")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
