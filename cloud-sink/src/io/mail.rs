//! Messages by mail.

use crate::config;
use crate::notify::Message;
use anyhow::{Context, Result};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::time::Duration;

/// Longest that one command to the server may take.
const COMMAND: Duration = Duration::from_secs(5);
/// Longest that a message may take: well below [`crate::notify::CLAIM_MS`].
const WHOLE: Duration = Duration::from_secs(20);

/// One server, one sender, some recipients.
#[derive(Clone)]
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    server: String,
}

impl Mail {
    /// A client. Nothing is asked of the server yet.
    pub fn new(config: &config::Mail) -> Result<Self> {
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&with_tls(config))
            .with_context(|| format!("mail: {}", config.smtp))?
            .timeout(Some(COMMAND));
        if let (Some(username), Some(file)) = (&config.username, &config.password_file) {
            let password = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            transport = transport.credentials(Credentials::new(username.clone(), password.trim_end().into()));
        }
        let mailbox = |address: &String| address.parse().with_context(|| format!("mail: {address:?} is no address"));
        Ok(Self {
            transport: transport.build(),
            from: mailbox(&config.from)?,
            to: config.to.iter().map(mailbox).collect::<Result<_>>()?,
            server: config.smtp.clone(),
        })
    }

    /// Sends one message to all recipients.
    pub async fn send(&self, message: &Message) -> Result<()> {
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .subject(&message.subject)
            // A server or a mailbox that sees it twice can tell.
            .message_id(Some(format!("<{}@windward>", message.dedup_id)));
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let mail = mail.body(message.body.clone())?;
        let sent = tokio::time::timeout(WHOLE, self.transport.send(mail)).await;
        sent.context("it took too long")
            .and_then(|sent| Ok(sent?))
            .with_context(|| format!("mail: {}", self.server))?;
        Ok(())
    }

    /// Whether the server is there and lets us in.
    pub async fn check(&self) -> Result<String> {
        let there = tokio::time::timeout(WHOLE, self.transport.test_connection()).await;
        let there = there.context("it took too long").and_then(|there| Ok(there?));
        anyhow::ensure!(there.with_context(|| self.server.clone())?, "{}: it does not take mail now", self.server);
        Ok(self.server.clone())
    }
}

/// The server's address with what is asked of TLS, as lettre reads it. A password never goes out in the clear, but to a
/// server on this machine.
fn with_tls(config: &config::Mail) -> String {
    let Some(server) = config.smtp.strip_prefix("smtp://") else { return config.smtp.clone() };
    let host = server.trim_end_matches('/').rsplit_once(':').map_or(server, |(host, _)| host);
    let is_here = ["127.0.0.1", "[::1]", "localhost"].contains(&host);
    let tls = match (is_here, &config.username) {
        (true, _) => return config.smtp.clone(),
        (false, Some(_)) => "required",
        (false, None) => "opportunistic",
    };
    format!("{}?tls={tls}", config.smtp)
}
