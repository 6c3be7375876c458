//! The credentials that systemd has given this service.

use std::env;
use std::path::PathBuf;

/// The file of a credential; or why there is none, and what to do.
pub fn file_of(name: &str) -> Result<PathBuf, String> {
    let Some(folder) = env::var_os("CREDENTIALS_DIRECTORY") else {
        return Err(format!(
            "$CREDENTIALS_DIRECTORY is not set, for this is no service with credentials. Name a file instead; or have \
             systemd start the program, with LoadCredential={name}:FILE"
        ));
    };
    let file = PathBuf::from(folder).join(name);
    if !file.exists() {
        return Err(format!(
            "the service was given no credential of this name: put its file where the unit's LoadCredential= looks, or add \
             LoadCredential={name}:FILE to the unit"
        ));
    }
    Ok(file)
}
