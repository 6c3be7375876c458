//! Paths that name a credential of the service manager: `credential:NAME` in place of a file.
//!
//! systemd gives a service its secrets in a folder that only this service can read and that is never on a disk
//! (systemd.exec(5), `LoadCredential=`); it differs from start to start, so that a configuration cannot name it.

use super::{Config, Target};
use std::path::PathBuf;

/// How such a path begins.
const PREFIX: &str = "credential:";

impl Config {
    /// The same with the file in place of each `credential:NAME`, as `file_of` finds it by its name or says why not.
    pub fn with_credentials(mut self, file_of: impl Fn(&str) -> Result<PathBuf, String>) -> Result<Config, String> {
        for path in self.files_to_read() {
            let Some(name) = path.to_str().and_then(|text| text.strip_prefix(PREFIX)) else { continue };
            if name.is_empty() || name.starts_with('.') || name.contains('/') {
                let fault = "is no name of a credential: one word, as in LoadCredential=NAME:FILE";
                return Err(format!("{PREFIX}{name} {fault}"));
            }
            let file = file_of(name).map_err(|fault| format!("{PREFIX}{name}: {fault}"))?;
            *path = file;
        }
        Ok(self)
    }

    /// The files that the configuration names: certificates, keys, passwords.
    fn files_to_read(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let mut files = Vec::new();
        if let Some(mqtt) = &mut self.mqtt {
            files.extend([&mut mqtt.ca, &mut mqtt.cert, &mut mqtt.key, &mut mqtt.password_file]);
        }
        if let Some(kafka) = &mut self.kafka {
            files.extend([&mut kafka.ca, &mut kafka.cert, &mut kafka.key, &mut kafka.password_file]);
        }
        files.extend([&mut self.http.cert, &mut self.http.key]);
        if let Some(oidc) = &mut self.http.oidc {
            files.extend([&mut oidc.client_secret_file, &mut oidc.ca]);
        }
        for target in self.notify.targets.values_mut() {
            if let Target::Mail(mail) = target {
                files.push(&mut mail.password_file);
            }
        }
        files.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const TEXT: &str = "farm = \"f\"\n[mqtt]\nhost = \"h\"\nca = \"/etc/ca.pem\"\ncert = \"credential:cert\"\n\
                        key = \"credential:key\"\n[store]\nsqlite = \"f.db\"\n[notify.targets.m]\nmail = { smtp = \
                        \"smtps://m\", from = \"a@b.c\", to = [\"d@e.f\"], username = \"u\", password_file = \
                        \"credential:smtp\" }\n";

    fn in_folder(name: &str) -> Result<PathBuf, String> {
        Ok(Path::new("/run/credentials/w").join(name))
    }

    #[test]
    fn a_credential_becomes_its_file_and_other_paths_stay() {
        let config = Config::from_toml(TEXT, "sink.toml").unwrap().with_credentials(in_folder).unwrap();
        let mqtt = config.mqtt.unwrap();
        assert_eq!(mqtt.ca.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!((mqtt.cert, mqtt.key), (in_folder("cert").ok(), in_folder("key").ok()));
        let Target::Mail(mail) = &config.notify.targets["m"] else { panic!("mail") };
        assert_eq!(mail.password_file, in_folder("smtp").ok());
    }

    #[test]
    fn a_name_that_is_none_and_one_that_nobody_knows_are_refused() {
        let config = |key: &str| Config::from_toml(&TEXT.replace("credential:key", key), "sink.toml").unwrap();
        let error = config("credential:../key").with_credentials(in_folder).unwrap_err();
        assert!(error.contains("credential:../key is no name of a credential"), "{error}");
        let error = config("k").with_credentials(|_| Err("nobody gave it".into())).unwrap_err();
        assert_eq!(error, "credential:cert: nobody gave it");
    }
}
