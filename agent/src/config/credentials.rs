//! Paths that name a credential of the service manager: `credential:NAME` in place of a file.
//!
//! systemd gives a service its secrets in a folder that only this service can read and that is never on a disk
//! (systemd.exec(5), `LoadCredential=`); it differs from start to start, so that a configuration cannot name it.

use super::{Commands, Config};
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
    fn files_to_read(&mut self) -> Vec<&mut PathBuf> {
        let mut files = Vec::new();
        let mut tls = Vec::new();
        if let Some(mqtt) = &mut self.mqtt {
            tls.extend(&mut mqtt.tls);
            files.extend(mqtt.login.as_mut().map(|(_, file)| file));
        }
        if let Some(kinesis) = &mut self.kinesis {
            tls.extend(kinesis.iot.as_mut().map(|iot| &mut iot.tls));
        }
        if let Some(kafka) = &mut self.kafka {
            tls.extend(&mut kafka.tls);
            files.extend(kafka.sasl.as_mut().map(|sasl| &mut sasl.password_file));
        }
        if let Commands::Signed(key) = &mut self.commands {
            files.push(key);
        }
        for tls in tls {
            files.push(&mut tls.ca);
            files.extend(tls.cert_key.iter_mut().flat_map(|(cert, key)| [cert, key]));
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(key: &str, password: &str) -> Config {
        let text = format!(
            "agent = \"t\"\nfarm = \"f\"\ndata = \"d\"\n[mqtt]\nhost = \"h\"\nca = \"/etc/ca.pem\"\ncert = \"credential:cert\"\n\
             key = \"{key}\"\nusername = \"u\"\npassword_file = \"{password}\"\n[commands]\naccept = \"signed\"\n\
             key = \"credential:operator\"\n[[device]]\nname = \"d\"\nmodbus_tcp = {{ host = \"h\" }}\n\
             [[device.channel]]\nname = \"w\"\nunit = \"m/s\"\nregister = 0\ntype = \"u16\"\n"
        );
        Config::from_toml(&text, "test.toml").unwrap()
    }

    fn in_folder(name: &str) -> Result<PathBuf, String> {
        Ok(Path::new("/run/credentials/w").join(name))
    }

    #[test]
    fn a_credential_becomes_its_file_and_other_paths_stay() {
        let config = config("credential:key", "/etc/password").with_credentials(in_folder).unwrap();
        let mqtt = config.mqtt.unwrap();
        let tls = mqtt.tls.unwrap();
        assert_eq!(tls.ca, Path::new("/etc/ca.pem"));
        assert_eq!(tls.cert_key, Some((in_folder("cert").unwrap(), in_folder("key").unwrap())));
        assert_eq!(mqtt.login.unwrap().1, Path::new("/etc/password"));
        assert_eq!(config.commands, Commands::Signed(in_folder("operator").unwrap()));
    }

    #[test]
    fn a_name_that_is_none_and_one_that_nobody_knows_are_refused() {
        for name in ["credential:", "credential:../key", "credential:/etc/key"] {
            let error = config(name, "p").with_credentials(in_folder).unwrap_err();
            assert!(error.contains("is no name of a credential"), "{error}");
        }
        let error = config("k", "p").with_credentials(|_| Err("nobody gave it".into())).unwrap_err();
        assert_eq!(error, "credential:operator: nobody gave it");
    }
}
