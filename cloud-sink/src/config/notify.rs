//! Who is told of alerts: `[notify]`.

use crate::notify::{Escalate, Phase, Policy, Quiet, Repeat, Rule, kind_named, kinds};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use windward_protocol::Severity;

/// Times that an alert is repeated unless somebody acknowledges it, when the rule does not say.
const REPEAT_TIMES: u32 = 10;

/// Who is told of alerts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notify {
    /// Targets by name.
    pub targets: BTreeMap<String, Target>,
    /// Who is told what and when.
    pub policy: Policy,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// An SNS topic.
    Sns(Sns),
    /// A webhook.
    Webhook(Webhook),
    /// Mail.
    Mail(Mail),
}

/// An SNS topic.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sns {
    /// ARN of the topic. A FIFO topic (`….fifo`) also absorbs the repeat a crash at the wrong moment can cause.
    pub topic: String,
    /// Another endpoint than the region's, for emulators.
    pub endpoint: Option<String>,
    /// Region; the topic's own unless given.
    pub region: Option<String>,
}

/// A webhook: every message is one POST of JSON.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// `http://` or `https://`. Many services know their customer by its path, so it is told as [`shown`] and not else.
    pub url: String,
    /// How long one POST may take, ms: 100 to 20000; 5000 unless given.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("url", &shown(&self.url)).field("timeout_ms", &self.timeout_ms).finish()
    }
}

/// An address as far as it may stand in a log: without user, password, path and query.
pub fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let hidden = if rest.len() > host.len() + 1 { "/…" } else { "" };
    format!("{scheme}://{host}{hidden}")
}

/// Mail over SMTP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// `smtps://host` (TLS from the start, port 465) or `smtp://host` (port 25; STARTTLS where it is offered, and
    /// required with a user name, but for a server on this machine).
    pub smtp: String,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// User name.
    pub username: Option<String>,
    /// File that holds the password, and nothing else.
    pub password_file: Option<PathBuf>,
}

/// As it stands in the file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    page: Option<String>,
    at_once: Option<u32>,
    #[serde(default)]
    targets: BTreeMap<String, RawTarget>,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    sns: Option<Sns>,
    webhook: Option<Webhook>,
    mail: Option<Mail>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    to: Vec<String>,
    from_severity: Option<String>,
    #[serde(default)]
    kinds: Vec<String>,
    phases: Option<Vec<String>>,
    quiet: Option<RawQuiet>,
    repeat_every_min: Option<u32>,
    repeat_times: Option<u32>,
    escalate: Option<RawEscalate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuiet {
    from: String,
    to: String,
    zone: String,
    except: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEscalate {
    after_min: u32,
    to: Vec<String>,
}

type Refusal = (&'static str, String);

/// Checks it once into what the sink uses.
pub(super) fn check(raw: RawNotify) -> Result<Notify, Refusal> {
    let mut targets = BTreeMap::new();
    for (name, raw) in raw.targets {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(("notify.targets", format!("{name:?} must be a name of letters, digits, - and _")));
        }
        targets.insert(name.clone(), target(&name, raw)?);
    }
    let page = raw.page;
    if page.as_ref().is_some_and(|page| !is_http(page)) {
        return Err(("notify.page", "must begin with http:// or https://".into()));
    }
    let default = Policy::default();
    let at_once = raw.at_once.unwrap_or(default.at_once);
    if !(1..=1_000).contains(&at_once) {
        return Err(("notify.at_once", "must be 1 to 1000".into()));
    }
    let rules = raw.rules.into_iter().map(|raw| rule(raw, &targets)).collect::<Result<_, _>>()?;
    let policy = Policy { targets: targets.keys().cloned().collect(), rules, at_once, page };
    Ok(Notify { targets, policy })
}

fn target(name: &str, raw: RawTarget) -> Result<Target, Refusal> {
    match (raw.sns, raw.webhook, raw.mail) {
        (Some(sns), None, None) if !sns.topic.starts_with("arn:") => Err((
            "notify.targets",
            format!("{name}: sns.topic must be an ARN, like arn:aws:sns:eu-west-1:123456789012:alerts"),
        )),
        (Some(sns), None, None) => Ok(Target::Sns(sns)),
        (None, Some(webhook), None) if !is_http(&webhook.url) => {
            Err(("notify.targets", format!("{name}: webhook.url must begin with http:// or https://")))
        }
        (None, Some(webhook), None) if !(100..=20_000).contains(&webhook.timeout_ms) => {
            Err(("notify.targets", format!("{name}: webhook.timeout_ms must be 100 to 20000")))
        }
        (None, Some(webhook), None) => Ok(Target::Webhook(webhook)),
        (None, None, Some(mail)) => check_mail(name, mail),
        _ => Err(("notify.targets", format!("{name}: give it one of sns, webhook and mail"))),
    }
}

fn check_mail(name: &str, mail: Mail) -> Result<Target, Refusal> {
    let refuse = |reason: &str| Err(("notify.targets", format!("{name}: {reason}")));
    if !mail.smtp.starts_with("smtp://") && !mail.smtp.starts_with("smtps://") {
        return refuse("mail.smtp must begin with smtp:// or smtps://");
    }
    if mail.smtp.contains('@') {
        return refuse("mail.smtp must hold no user or password; they go into username and password_file");
    }
    if !mail.from.contains('@') || mail.to.is_empty() || !mail.to.iter().all(|address| address.contains('@')) {
        return refuse("mail.from and mail.to must be addresses like crew@example.org");
    }
    if mail.username.is_some() != mail.password_file.is_some() {
        return refuse("mail.username and mail.password_file go together");
    }
    Ok(Target::Mail(mail))
}

fn rule(raw: RawRule, targets: &BTreeMap<String, Target>) -> Result<Rule, Refusal> {
    let known = |to: &[String]| match to.iter().find(|name| !targets.contains_key(*name)) {
        Some(name) => Err(("notify.rules.to", format!("there is no [notify.targets.{name}]"))),
        None if to.is_empty() => Err(("notify.rules.to", "names nobody".into())),
        None => Ok(()),
    };
    known(&raw.to)?;
    let kinds = raw.kinds.iter().map(|name| {
        let all: Vec<&str> = kinds().map(|kind| kind.name()).collect();
        kind_named(name).ok_or_else(|| ("notify.rules.kinds", format!("{name:?} is none of {}", all.join(", "))))
    });
    let kinds = kinds.collect::<Result<_, _>>()?;
    let told = |name: &String| match Phase::named(name) {
        Some(phase @ (Phase::Open | Phase::Update | Phase::Clear)) => Ok(phase),
        _ => Err(("notify.rules.phases", format!("{name:?} is none of open, update, clear"))),
    };
    let phases = match &raw.phases {
        Some(phases) => phases.iter().map(told).collect::<Result<_, _>>()?,
        None => vec![Phase::Open],
    };
    let quiet = raw.quiet.map(|quiet| {
        let except = quiet.except.as_deref().map(|name| severity("notify.rules.quiet", name)).transpose()?;
        Quiet::new(&quiet.from, &quiet.to, &quiet.zone, except)
            .map_err(|error| ("notify.rules.quiet", error.to_string()))
    });
    let minutes = |key, minutes: u32| match minutes {
        1..=10_080 => Ok(i64::from(minutes) * 60_000),
        _ => Err((key, "must be 1 to 10080 minutes".to_string())),
    };
    let repeat = match (raw.repeat_every_min, raw.repeat_times) {
        (None, None) => None,
        (None, Some(_)) => return Err(("notify.rules.repeat_times", "is nothing without repeat_every_min".into())),
        (Some(every), times @ (None | Some(1..=1_000))) => {
            let every_ms = minutes("notify.rules.repeat_every_min", every)?;
            Some(Repeat { every_ms, times: times.unwrap_or(REPEAT_TIMES) })
        }
        _ => return Err(("notify.rules.repeat_times", "must be 1 to 1000".into())),
    };
    let escalate = raw.escalate.map(|escalate| {
        known(&escalate.to)?;
        let after_ms = minutes("notify.rules.escalate.after_min", escalate.after_min)?;
        Ok(Escalate { after_ms, to: escalate.to })
    });
    Ok(Rule {
        to: raw.to,
        from_severity: match raw.from_severity.as_deref() {
            Some(name) => severity("notify.rules.from_severity", name)?,
            None => Severity::Info,
        },
        kinds,
        phases,
        quiet: quiet.transpose()?,
        repeat,
        escalate: escalate.transpose()?,
    })
}

fn severity(key: &'static str, name: &str) -> Result<Severity, Refusal> {
    let known = [Severity::Info, Severity::Warning, Severity::Critical].into_iter();
    known
        .into_iter()
        .find(|severity| severity.name() == name)
        .ok_or_else(|| (key, format!("{name:?} is none of info, warning, critical")))
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

fn default_timeout_ms() -> u64 {
    5_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_webhook_only_the_host_is_told() {
        for (url, told) in [
            ("https://hooks.example.org/services/T0/B1/SECRET", "https://hooks.example.org/…"),
            ("http://user:SECRET@10.0.0.1:8080", "http://10.0.0.1:8080/…"),
            ("https://x.example.org?token=SECRET", "https://x.example.org/…"),
            ("https://x.example.org/", "https://x.example.org"),
        ] {
            assert_eq!(shown(url), told);
            let told = format!("{:?}", Webhook { url: url.into(), timeout_ms: 5 });
            assert!(!told.contains("SECRET"), "{told}");
        }
    }

    fn read(text: &str) -> Result<Notify, String> {
        let raw: RawNotify = toml::from_str(text).map_err(|error| error.message().to_string())?;
        check(raw).map_err(|(key, reason)| format!("{key}: {reason}"))
    }

    const TARGETS: &str = "targets.crew.webhook.url = \"http://x\"\n\
                           targets.boss.mail = { smtp = \"smtps://m\", from = \"a@b\", to = [\"c@d\"] }\n";

    #[test]
    fn a_rule_with_everything_is_read() {
        let rule = "rules = [{ to = [\"crew\"], from_severity = \"warning\", kinds = [\"gust\", \"no-data\"], \
                    phases = [\"open\", \"update\", \"clear\"], \
                    quiet = { from = \"22:00\", to = \"06:00\", zone = \"Europe/Berlin\", except = \"critical\" }, \
                    repeat_every_min = 30, escalate = { after_min = 15, to = [\"boss\"] } }]\n";
        let notify = read(&format!("page = \"https://farm.example\"\n{TARGETS}{rule}")).unwrap();
        let rule = &notify.policy.rules[0];
        assert_eq!((rule.from_severity, rule.kinds.len(), rule.phases.len()), (Severity::Warning, 2, 3));
        assert_eq!(rule.repeat, Some(Repeat { every_ms: 1_800_000, times: REPEAT_TIMES }));
        assert_eq!(rule.escalate, Some(Escalate { after_ms: 900_000, to: vec!["boss".into()] }));
        assert!(rule.quiet.is_some());
        assert_eq!(notify.policy.at_once, 5);
        assert_eq!(notify.policy.targets.len(), 2);
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        for (text, reason) in [
            ("page = \"farm\"\n", "notify.page: must begin with"),
            ("at_once = 0\n", "notify.at_once: must be 1"),
            ("targets.a.sns.topic = \"alerts\"\n", "a: sns.topic must be an ARN"),
            ("targets.a.webhook.url = \"ftp://x\"\n", "a: webhook.url must begin with"),
            ("targets.a.webhook = { url = \"http://x\", timeout_ms = 9 }\n", "a: webhook.timeout_ms must be"),
            ("targets.a = {}\n", "a: give it one of sns, webhook and mail"),
            ("targets.\"a#b\".webhook.url = \"http://x\"\n", "\"a#b\" must be a name of letters"),
            ("targets.a.mail = { smtp = \"m\", from = \"a@b\", to = [\"c@d\"] }\n", "a: mail.smtp must begin with"),
            ("targets.a.mail = { smtp = \"smtp://m\", from = \"a@b\", to = [] }\n", "a: mail.from and mail.to must be"),
            (
                "targets.a.mail = { smtp = \"smtp://u:p@m\", from = \"a@b\", to = [\"c@d\"] }\n",
                "a: mail.smtp must hold no",
            ),
            ("rules = [{ to = [\"crow\"] }]\n", "there is no [notify.targets.crow]"),
            ("rules = [{ to = [] }]\n", "notify.rules.to: names nobody"),
            ("rules = [{ to = [\"crew\"], kinds = [\"gusts\"] }]\n", "\"gusts\" is none of anomaly, stuck"),
            ("rules = [{ to = [\"crew\"], phases = [\"repeat\"] }]\n", "\"repeat\" is none of open"),
            ("rules = [{ to = [\"crew\"], from_severity = \"bad\" }]\n", "\"bad\" is none of info"),
            ("rules = [{ to = [\"crew\"], repeat_times = 3 }]\n", "is nothing without repeat_every_min"),
            ("rules = [{ to = [\"crew\"], repeat_every_min = 0 }]\n", "must be 1 to 10080 minutes"),
            ("rules = [{ to = [\"crew\"], escalate = { after_min = 5, to = [\"x\"] } }]\n", "no [notify.targets.x]"),
            (
                "rules = [{ to = [\"crew\"], quiet = { from = \"22:00\", to = \"06:00\", zone = \"CEST\" } }]\n",
                "\"CEST\" is no time zone",
            ),
        ] {
            let error = read(&format!("{text}{}", if text.contains("targets") { "" } else { TARGETS })).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
