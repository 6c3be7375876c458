//! Page and API on an address that others reach: TLS, tokens as the program makes them, and a company's login that is not
//! ours.

use crate::system::{Program, SOON, ask};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use windward_tests::certificates::Authority;
use windward_tests::peers::{Login, Mosquitto, there};
use windward_tests::process::{eventually, free_port, program};

/// A browser, as far as this needs one: it follows nothing by itself.
struct Browser {
    agent: ureq::Agent,
    at: String,
}

/// Status, headers and text.
type Page = (u16, HeaderMap, String);

impl Browser {
    fn new(at: String, ca: Option<&Path>) -> Result<Self> {
        let mut config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        if let Some(ca) = ca {
            let ca = Certificate::from_pem(&std::fs::read(ca)?)?;
            config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[ca])).build());
        }
        Ok(Self { agent: config.build().into(), at })
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Page> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.at) };
        let mut request = Request::get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        page(self.agent.run(request.body(())?)?)
    }

    fn post(&self, path: &str, kind: &str, body: &str) -> Result<Page> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.at) };
        page(self.agent.post(url).header("content-type", kind).send(body)?)
    }
}

fn page(mut answer: ureq::http::Response<ureq::Body>) -> Result<Page> {
    let text = answer.body_mut().read_to_string()?;
    Ok((answer.status().as_u16(), answer.headers().clone(), text))
}

fn header(page: &Page, name: &str) -> Result<String> {
    Ok(page.1.get(name).with_context(|| format!("no {name} in {page:?}"))?.to_str()?.to_owned())
}

/// A new token, and the lines that let it in, as the program prints them.
fn new_token(name: &str, role: &str) -> Result<(String, String)> {
    let made = Command::new(program("windward-sink")?).args(["token", name, "--role", role]).output()?;
    let said = String::from_utf8(made.stdout)?;
    let (token, lines) = said.split_once("\n\n").context("a token and lines")?;
    Ok((token.to_owned(), lines.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_page_that_others_reach_speaks_tls_and_knows_tokens() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let (mosquitto, http) = (Mosquitto::start(dir.path()).await?, free_port()?);
    let authority = Authority::new(dir.path(), "authority")?;
    let own = authority.issue("farm", 1)?;
    let (token, lines) = new_token("Anja \"on call\"", "operator")?;
    let config = |accounts: &str| {
        format!(
            "farm = \"test-farm\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {}\n[store]\nsqlite = {:?}\n[http]\nlisten = \
             \"0.0.0.0:{http}\"\ncert = {:?}\nkey = {:?}\n{accounts}",
            mosquitto.port(),
            dir.path().join("farm.db"),
            own.cert,
            own.key
        )
    };
    let mut open = Program::new("windward-sink", dir.path(), &config(""))?;
    let (well, said) = open.refused().await?;
    ensure!(!well && said.contains("is not a loopback address, and there are no accounts"), "{said}");

    let mut sink = Program::new("windward-sink", dir.path(), &config(&lines))?;
    sink.env("RUST_LOG", "trace");
    sink.start()?;
    let browser = Browser::new(format!("https://127.0.0.1:{http}"), Some(&authority.pem()))?;
    let there = async || Ok(browser.get("/healthz", &[]).ok().filter(|page| page.0 == 200));
    eventually(SOON, "the page", there).await?;
    ensure!(browser.get("/api/v1/agents", &[])?.0 == 401, "nobody is let in without a token");
    let kept = browser.post("/api/v1/session", "application/json", &json!({ "token": token }).to_string())?;
    let cookie = header(&kept, "set-cookie")?;
    ensure!(kept.0 == 204 && cookie.contains("; Secure"), "{kept:?}");
    let me = browser.get("/api/v1/me", &[("cookie", cookie.split(';').next().unwrap_or_default())])?;
    ensure!(me.2.contains(r#""name":"Anja \"on call\"""#), "{me:?}");
    let stranger = Browser::new(format!("https://127.0.0.1:{http}"), None)?.get("/healthz", &[]);
    ensure!(stranger.is_err(), "who does not know the authority does not trust the page");
    let plain = Browser::new(format!("http://127.0.0.1:{http}"), None)?.get("/healthz", &[]);
    ensure!(plain.map_or(true, |page| page.0 != 200), "nothing is told without TLS");
    sink.stop().await?;
    ensure!(!sink.output().contains(&token), "the log tells the token");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_people_sign_in_at_a_company_s_login() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let (mosquitto, http) = (Mosquitto::start(dir.path()).await?, free_port()?);
    let login =
        Login::start(&[("jo", json!({ "name": "Jo", "groups": ["crew"] })), ("eve", json!({ "name": "Eve" }))]).await?;
    std::fs::write(dir.path().join("secret"), "between us\n")?;
    let config = format!(
        "farm = \"test-farm\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {}\n[store]\nsqlite = {:?}\n[http]\nlisten = \
         \"127.0.0.1:{http}\"\npublic = \"http://127.0.0.1:{http}\"\n[http.oidc]\nissuer = {:?}\nclient_id = \
         \"windward\"\nclient_secret_file = {:?}\nrole_claim = \"groups\"\nroles = {{ crew = \"operator\" }}\n",
        mosquitto.port(),
        dir.path().join("farm.db"),
        login.issuer,
        dir.path().join("secret")
    );
    let mut sink = Program::new("windward-sink", dir.path(), &config)?;
    sink.env("RUST_LOG", "trace");
    let (well, said) = sink.check(&[]).await?;
    ensure!(well && said.contains("people come back to"), "{said}");
    sink.start()?;
    eventually(SOON, "the page", async || Ok(ask(http, "/healthz").ok())).await?;
    let browser = Browser::new(format!("http://127.0.0.1:{http}"), None)?;
    let sign_in = |who: &str| -> Result<Page> {
        let away = browser.get("/api/v1/session/login", &[])?;
        let cookie = header(&away, "set-cookie")?;
        let form = format!("sub={who}");
        let back = browser.post(&header(&away, "location")?, "application/x-www-form-urlencoded", &form)?;
        browser.get(&header(&back, "location")?, &[("cookie", cookie.split(';').next().unwrap_or_default())])
    };
    let back = sign_in("jo")?;
    ensure!(back.0 == 303 && header(&back, "location")? == "/", "{back:?}");
    let session = back
        .1
        .get_all("set-cookie")
        .iter()
        .filter_map(|kept| kept.to_str().ok())
        .find(|kept| kept.starts_with("windward="));
    let session = session.and_then(|kept| kept.split(';').next()).context("no session")?;
    let me = browser.get("/api/v1/me", &[("cookie", session)])?;
    ensure!(me.2.contains(r#""name":"Jo","role":"operator","auth":true"#), "{me:?}");
    let eve = sign_in("eve")?;
    ensure!(eve.0 == 403 && eve.2.contains("Eve has no role here"), "{eve:?}");
    sink.stop().await?;
    for secret in ["between us", session.trim_start_matches("windward=")] {
        ensure!(!sink.output().contains(secret), "the log tells {secret}");
    }
    Ok(())
}
