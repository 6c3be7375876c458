//! The broker as it is shipped (`deploy/mosquitto`), with certificates that its own script has made: who may do what, and
//! what is left of a certificate that is renewed, revoked or stolen.

mod client;
mod rights;
mod rotation;

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use windward_tests::certificates::Issued;
use windward_tests::peers::Mosquitto;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/mosquitto");

/// An authority that the script keeps in a folder.
struct Authority(PathBuf);

impl Authority {
    fn new(dir: PathBuf) -> Result<Self> {
        let name = dir.file_name().and_then(|name| name.to_str()).context("a folder has a name")?.to_owned();
        let authority = Self(dir);
        authority.ca(&["init", &name])?;
        Ok(authority)
    }

    /// Has the script do something; gives what it says.
    fn ca(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(format!("{DEPLOY}/ca")).arg("--dir").arg(&self.0).args(arguments).output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "ca {}: {said}", arguments.join(" "));
        Ok(said)
    }

    fn pem(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// The certificate of this number that was issued for the name.
    fn issued(&self, name: &str, number: u32) -> Issued {
        let file = |end: &str| self.0.join(format!("issued/{name}.{number}.{end}"));
        Issued { cert: file("pem"), key: file("key") }
    }
}

/// A broker with the shipped files: of its configuration only places, port and user are others here.
struct Broker {
    dir: PathBuf,
    mosquitto: Mosquitto,
}

impl Broker {
    async fn start(dir: PathBuf, authority: &Authority, own: &Issued) -> Result<Self> {
        std::fs::create_dir(&dir)?;
        for (from, name) in [(&authority.pem(), "ca.pem"), (&own.cert, "broker.pem"), (&own.key, "broker.key")] {
            std::fs::copy(from, dir.join(name)).with_context(|| from.display().to_string())?;
        }
        std::fs::copy(format!("{DEPLOY}/acl"), dir.join("acl"))?;
        copy_list(authority, &dir)?;
        let here = format!("{}/", dir.display());
        let text = std::fs::read_to_string(format!("{DEPLOY}/mosquitto.conf"))?;
        for shipped in ["listener 8883\n", "/etc/mosquitto/", "/var/lib/mosquitto/"] {
            ensure!(text.contains(shipped), "mosquitto.conf has another {shipped}");
        }
        let text = text.replace("/etc/mosquitto/", &here).replace("/var/lib/mosquitto/", &here);
        // Started by root it would become somebody who cannot read the key of a test.
        let text = text.replace("listener 8883\n", "user root\nlistener PORT 127.0.0.1\n");
        let mosquitto = Mosquitto::start_as(&dir, &text).await?;
        Ok(Self { dir, mosquitto })
    }

    /// Gives it the authority's newest list of what is revoked.
    async fn hears_of_revocations(&self, authority: &Authority) -> Result<()> {
        copy_list(authority, &self.dir)?;
        self.mosquitto.reload().await
    }
}

fn copy_list(authority: &Authority, dir: &Path) -> Result<()> {
    std::fs::copy(authority.0.join("crl.pem"), dir.join("crl.pem"))?;
    Ok(())
}
