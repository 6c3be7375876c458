//! The checks of `[mqtt]`, `[kinesis]` and `[kafka]`.

use super::faults::{Faults, place};
use super::raw::{RawAck, RawEncoding, RawIot, RawKafka, RawKinesis, RawMqtt, RawOrder};
use super::{AckMode, IotCredentials, Kafka, Kinesis, Mechanism, Mqtt, Sasl, Sending, Tls};
use crate::forward::{Encoding, Order};
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;
use windward_protocol::AgentId;

/// Slower than that, a line cannot carry what a single device says.
const LEAST_BYTES_PER_S: u64 = 100;
const MOST_BYTES_PER_S: u64 = 1_000_000_000;
/// Longest time that readings are gathered: an hour, ms.
const MOST_GATHER_MS: u64 = 3_600_000;

/// What is left of the checks when each uplink has been looked at alone.
pub(super) fn all<'a>(uplinks: impl Iterator<Item = &'a Sending>, agent: Range<usize>, faults: &mut Faults) {
    let mut mirrors = uplinks.map(|sending| sending.mirror).peekable();
    if mirrors.peek().is_none() {
        faults.add(agent, "nothing says where to send to: add [mqtt], [kinesis] or [kafka]".into());
    } else if mirrors.all(|mirror| mirror) {
        faults.add(agent, "every uplink only mirrors; one has to be without mirror = true".into());
    }
}

/// `[mqtt]`.
pub(super) fn mqtt(raw: RawMqtt, faults: &mut Faults) -> Mqtt {
    faults.text_of(&raw.host, "host", 1..=253);
    faults.within(&raw.port, "port", 1..=u16::MAX);
    // rumqttc takes nothing below 5 s; MQTT 5, 3.1.2.10 nothing above 18 h.
    faults.within(&raw.keep_alive_s, "keep_alive_s", 5..=u16::MAX);
    let tls = tls(raw.ca, raw.cert, raw.key, faults);
    let login = match (raw.username, raw.password_file) {
        (Some(username), Some(file)) => Some((username.into_inner(), file.into_inner())),
        (None, None) => None,
        (Some(username), None) => {
            faults.add(
                username.span(),
                "username without password_file; the password stands in a file of its own".into(),
            );
            None
        }
        (None, Some(file)) => {
            faults.add(file.span(), "password_file without username".into());
            None
        }
    };
    let ack = match raw.ack {
        RawAck::Sink => AckMode::Sink,
        RawAck::Broker => AckMode::Broker,
    };
    if let (RawEncoding::Json, AckMode::Sink) = (raw.encoding.get_ref(), ack) {
        let fault = "encoding = \"json\" needs ack = \"broker\": who reads JSON does not ack";
        faults.add(raw.encoding.span(), fault.into());
    }
    Mqtt {
        host: raw.host.into_inner(),
        port: raw.port.into_inner(),
        keep_alive_s: raw.keep_alive_s.into_inner(),
        tls,
        login,
        ack,
        sending: sending(
            raw.encoding.get_ref(),
            &raw.order,
            &raw.max_bytes_per_s,
            &raw.publish_every_ms,
            raw.mirror,
            faults,
        ),
    }
}

/// `[kinesis]`.
pub(super) fn kinesis(raw: Spanned<RawKinesis>, agent: &AgentId, faults: &mut Faults) -> Kinesis {
    let raw = raw.into_inner();
    let stream = raw.stream.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if stream.is_empty() || stream.len() > 128 || !stream.chars().all(allowed) {
        faults.add(raw.stream.span(), format!("stream {stream:?} is not 1 to 128 characters of A-Z a-z 0-9 . _ -"));
    }
    faults.text_of(&raw.region, "region", 1..=64);
    if let Some(endpoint) = &raw.endpoint {
        let url = endpoint.get_ref();
        if !url.starts_with("https://") && !url.starts_with("http://") {
            faults.add(endpoint.span(), format!("endpoint {url:?} is no URL: https://..."));
        }
    }
    Kinesis {
        stream: raw.stream.into_inner(),
        region: raw.region.into_inner(),
        endpoint: raw.endpoint.map(Spanned::into_inner),
        iot: raw.iot.map(|iot| credentials(iot, agent, faults)),
        sending: sending(&raw.encoding, &raw.order, &raw.max_bytes_per_s, &raw.publish_every_ms, raw.mirror, faults),
    }
}

/// `[kafka]`.
pub(super) fn kafka(raw: Spanned<RawKafka>, faults: &mut Faults) -> Kafka {
    let raw = raw.into_inner();
    if raw.brokers.get_ref().is_empty() {
        faults.add(raw.brokers.span(), "brokers is empty: name some of the cluster's, host:port each".into());
    }
    for broker in raw.brokers.get_ref() {
        let address = broker.get_ref().rsplit_once(':');
        if !address.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            faults.add(broker.span(), format!("broker {:?} is not host:port", broker.get_ref()));
        }
    }
    let topic = raw.topic.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if topic.is_empty() || topic.len() > 249 || !topic.chars().all(allowed) {
        faults.add(raw.topic.span(), format!("topic {topic:?} is not 1 to 249 characters of A-Z a-z 0-9 . _ -"));
    }
    let tls = tls(raw.ca, raw.cert, raw.key, faults);
    let sasl = sasl(raw.sasl, raw.username, raw.password_file, tls.is_some(), faults);
    Kafka {
        brokers: raw.brokers.into_inner().into_iter().map(Spanned::into_inner).collect(),
        topic: raw.topic.into_inner(),
        tls,
        sasl,
        sending: sending(&raw.encoding, &raw.order, &raw.max_bytes_per_s, &raw.publish_every_ms, raw.mirror, faults),
    }
}

fn sasl(
    mechanism: Option<Spanned<Mechanism>>,
    username: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    is_tls: bool,
    faults: &mut Faults,
) -> Option<Sasl> {
    let given = [place(&mechanism), place(&username), place(&password_file)].into_iter().flatten().next();
    let (Some(mechanism), Some(username), Some(password_file)) = (mechanism, username, password_file) else {
        if let Some(span) = given {
            faults.add(span, "sasl, username and password_file belong together; one of them is missing".into());
        }
        return None;
    };
    if *mechanism.get_ref() == Mechanism::Plain && !is_tls {
        let fault = "sasl = \"plain\" shows the password to everybody on the way: name ca for TLS, or use SCRAM";
        faults.add(mechanism.span(), fault.into());
    }
    Some(Sasl {
        mechanism: mechanism.into_inner(),
        username: username.into_inner(),
        password_file: password_file.into_inner(),
    })
}

fn credentials(raw: RawIot, agent: &AgentId, faults: &mut Faults) -> IotCredentials {
    faults.text_of(&raw.endpoint, "endpoint", 1..=253);
    if raw.endpoint.get_ref().contains('/') {
        faults.add(raw.endpoint.span(), "endpoint is a host name, without https:// and without a path".into());
    }
    for (value, key) in
        [(&raw.role_alias, "role_alias")].into_iter().chain(raw.thing.iter().map(|thing| (thing, "thing")))
    {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '=' | ',' | '@' | '-' | ':');
        let name = value.get_ref();
        if name.is_empty() || name.len() > 128 || !name.chars().all(allowed) {
            faults.add(value.span(), format!("{key} {name:?} is not 1 to 128 characters of A-Z a-z 0-9 _ = , @ : -"));
        }
    }
    IotCredentials {
        endpoint: raw.endpoint.into_inner(),
        role_alias: raw.role_alias.into_inner(),
        thing: raw.thing.map_or_else(|| agent.to_string(), Spanned::into_inner),
        tls: Tls { ca: raw.ca, cert_key: Some((raw.cert, raw.key)) },
    }
}

fn tls(
    ca: Option<PathBuf>,
    cert: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    faults: &mut Faults,
) -> Option<Tls> {
    let cert_key = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            faults.add(one.span(), "cert and key belong together; one of them is missing".into());
            None
        }
    };
    match (ca, cert_key) {
        (Some(ca), cert_key) => {
            Some(Tls { ca, cert_key: cert_key.map(|(cert, key)| (cert.into_inner(), key.into_inner())) })
        }
        (None, Some((cert, _))) => {
            faults.add(cert.span(), "cert without ca: name the file of the authority that signed the broker".into());
            None
        }
        (None, None) => None,
    }
}

/// The keys that all uplinks share.
fn sending(
    encoding: &RawEncoding,
    order: &RawOrder,
    max_bytes_per_s: &Option<Spanned<u64>>,
    publish_every_ms: &Option<Spanned<u64>>,
    mirror: bool,
    faults: &mut Faults,
) -> Sending {
    Sending {
        encoding: match encoding {
            RawEncoding::Postcard => Encoding::Postcard,
            RawEncoding::Json => Encoding::Json,
        },
        order: match order {
            RawOrder::Oldest => Order::Oldest,
            RawOrder::Live => Order::Live,
        },
        max_bytes_per_s: faults.or(max_bytes_per_s, "max_bytes_per_s", LEAST_BYTES_PER_S..=MOST_BYTES_PER_S, 0),
        publish_every_ms: faults.or(publish_every_ms, "publish_every_ms", 0..=MOST_GATHER_MS, 0),
        mirror,
    }
}
