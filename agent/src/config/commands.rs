//! Whose commands are taken.

use super::faults::Faults;
use super::raw::{RawAccept, RawCommands};
use super::{Commands, Mqtt};

/// Checks the table. Whoever may publish on the command topic may change the turbine's configuration, so that a plain
/// connection over a network is not enough.
pub(super) fn commands(raw: RawCommands, mqtt: Option<&Mqtt>, faults: &mut Faults) -> Commands {
    let Some(accept) = raw.accept else {
        if let Some(key) = &raw.key {
            faults.add(key.span(), "key without accept = \"signed\"".into());
        }
        return Commands::None;
    };
    if mqtt.is_none() {
        faults.add(accept.span(), "commands come by MQTT: there is no [mqtt]".into());
    }
    match (accept.get_ref(), raw.key) {
        (RawAccept::Signed, Some(key)) => Commands::Signed(key.into_inner()),
        (RawAccept::Signed, None) => {
            faults.add(accept.span(), "accept = \"signed\" needs key, the file of the operator's public key".into());
            Commands::None
        }
        (RawAccept::Acl, Some(key)) => {
            faults.add(key.span(), "key is for accept = \"signed\"; with \"acl\" the broker decides".into());
            Commands::None
        }
        (RawAccept::Acl, None) => {
            let is_here = |mqtt: &Mqtt| matches!(mqtt.host.as_str(), "localhost" | "127.0.0.1" | "::1");
            if mqtt.is_some_and(|mqtt| mqtt.tls.is_none() && !is_here(mqtt)) {
                faults.add(accept.span(), "accept = \"acl\" needs TLS ([mqtt] ca), or a broker on this machine".into());
            }
            Commands::Acl
        }
    }
}
