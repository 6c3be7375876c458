//! Files that hold what nobody else may know: whether others may read them.

use crate::config::{self, Config, Target};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Says what is wrong with how the configuration's secrets are kept and shown.
pub fn warn(config: &Config) {
    let named = named(config);
    warn_of_open(named.iter().map(PathBuf::as_path));
    warn_of_plain(&config.http);
    let is_here = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
    if let Some(mqtt) = config.mqtt.as_ref().filter(|mqtt| mqtt.password_file.is_some() && mqtt.ca.is_none())
        && !is_here(&mqtt.host)
    {
        tracing::warn!(
            broker = mqtt.host,
            "the password goes to the broker for everybody to read; [mqtt] ca makes it TLS"
        );
    }
}

/// Says when what lets people in goes to the page for everybody to read.
fn warn_of_plain(http: &config::Http) {
    let is_tls = http.cert.is_some() || http.public.as_ref().is_some_and(|public| public.starts_with("https://"));
    if http.has_accounts() && !http.listen.ip().is_loopback() && !is_tls {
        tracing::warn!(
            listen = %http.listen,
            "tokens come to the page for everybody to read; [http] cert and key make it TLS, and public says if a proxy does"
        );
    }
}

/// Passwords and private keys that the configuration names.
fn named(config: &Config) -> Vec<PathBuf> {
    let of_mqtt = config.mqtt.iter().flat_map(|mqtt| [&mqtt.key, &mqtt.password_file]);
    let of_kafka = config.kafka.iter().flat_map(|kafka| [&kafka.key, &kafka.password_file]);
    let of_mail = config.notify.targets.values().filter_map(|target| match target {
        Target::Mail(mail) => Some(&mail.password_file),
        Target::Sns(_) | Target::Webhook(_) => None,
    });
    let of_http = [&config.http.key].into_iter();
    let of_oidc = config.http.oidc.iter().map(|oidc| &oidc.client_secret_file);
    of_mqtt.chain(of_kafka).chain(of_mail).chain(of_http).chain(of_oidc).flatten().cloned().collect()
}

/// Whether the address of a webhook stands in the configuration: its file is a secret then.
pub fn has_webhook(config: &Config) -> bool {
    config.notify.targets.values().any(|target| matches!(target, Target::Webhook(_)))
}

/// Whether every user of this machine may read the file. One that is not there nobody may.
pub fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

/// Says of each that is open what is to be done.
pub fn warn_of_open<'a>(paths: impl IntoIterator<Item = &'a Path>) {
    for path in paths.into_iter().filter(|path| is_open(path)) {
        let file = path.display();
        tracing::warn!(%file, "holds a secret, and every user of this machine may read it; chmod o= helps");
    }
}
