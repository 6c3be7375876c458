//! How a running sink on this machine is, asked by its own program: the health check of a container that holds nothing else.

use crate::config;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value as Json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long the sink has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the sink that listens as `http` says; gives what it has done. An error unless all its sources are heard and its
/// store answers.
pub fn ask(http: &config::Http) -> Result<String> {
    ensure!(http.listen.port() != 0, "http.listen has port 0: nobody but the sink knows where it listens");
    let url = format!("http://{}/healthz", reached_at(http.listen));
    let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
    let mut answer = ureq::Agent::from(agent).get(&url).call().with_context(|| url.clone())?;
    let body = answer.body_mut().read_to_string().with_context(|| url.clone())?;
    let said: Json = serde_json::from_str(&body).with_context(|| format!("{url} is no sink"))?;
    let word = said["status"].as_str().or(said["detail"].as_str());
    let word = word.with_context(|| format!("{url} is no sink"))?;
    if !answer.status().is_success() {
        bail!("{word}");
    }
    // Where everybody is asked who they are, strangers hear the word alone.
    Ok(match (said["deliveries"].as_u64(), said["envelopes"].as_u64()) {
        (Some(deliveries), Some(envelopes)) => format!("{word}: {deliveries} deliveries, {envelopes} envelopes stored"),
        _ => word.to_string(),
    })
}

/// Where a listener is reached from its own machine: one on all addresses also by the loopback address.
fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// What is said of a server that answers with this status and body.
    fn asked(status: u16, body: &str) -> Result<String> {
        let answer = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let said = ask(&config::Http::on(SocketAddr::from(([0, 0, 0, 0], port))));
        assert!(server.join().unwrap().starts_with("GET /healthz HTTP/1.1"));
        said
    }

    #[test]
    fn a_sink_is_well_when_it_says_so() {
        let well = asked(200, r#"{"status":"ok","deliveries":7,"envelopes":9,"poison":0}"#);
        assert_eq!(well.unwrap(), "ok: 7 deliveries, 9 envelopes stored");
        assert_eq!(asked(200, r#"{"status":"ok","now_ms":1}"#).unwrap(), "ok");
        let deaf = asked(503, r#"{"status":"a source is not heard"}"#);
        assert_eq!(deaf.unwrap_err().to_string(), "a source is not heard");
        let lame = asked(503, r#"{"status":503,"detail":"the store does not answer"}"#);
        assert_eq!(lame.unwrap_err().to_string(), "the store does not answer");
        let other = asked(200, "{}").unwrap_err().to_string();
        assert!(other.ends_with("/healthz is no sink"), "{other}");
    }

    #[test]
    fn nobody_knows_the_port_of_a_sink_that_takes_any() {
        let refused = ask(&config::Http::on(SocketAddr::from(([127, 0, 0, 1], 0))));
        assert!(refused.unwrap_err().to_string().starts_with("http.listen has port 0"));
    }
}
