//! `windward-sink check`: everything that the configuration names, tried.

use anyhow::Result;
use windward_sink::config::{self, Config};
use windward_sink::io::archive::Place;
use windward_sink::io::company::Company;
use windward_sink::io::dynamodb::DynamoDb;
use windward_sink::io::labs::Labs;
use windward_sink::io::mail::Mail;
use windward_sink::io::sns::Sns;
use windward_sink::io::store::Store;
use windward_sink::io::{kinesis, mqtt};

/// Tries each part and says how it stands. `create`: makes the tables that are not there. False if any part fails.
pub(super) async fn check(config: Config, create: bool) -> Result<bool> {
    let mut all = say("configuration", Ok(format!("farm {}", config.farm)));
    if let Some(mqtt) = &config.mqtt {
        all &= say("broker", mqtt::check(mqtt).await);
    }
    if let Some(kinesis) = &config.kinesis {
        all &= say("stream", kinesis::check(kinesis).await);
    }
    #[cfg(feature = "kafka")]
    if let Some(kafka) = &config.kafka {
        all &= say("topic", windward_sink::io::kafka::check(kafka).await);
    }
    #[cfg(not(feature = "kafka"))]
    if config.kafka.is_some() {
        all &= say("topic", Err(anyhow::anyhow!("this program was built without Kafka (feature `kafka`)")));
    }
    if let (true, config::Store::DynamoDb(dynamodb)) = (create, &config.store) {
        let tables = DynamoDb::open(dynamodb).await.create_tables().await;
        all &= say("create", tables.map(made));
    }
    let store = match Store::open(&config.store).await {
        Ok(store) => store.check().await,
        Err(error) => Err(error),
    };
    all &= say("store", store);
    for (name, target) in &config.notify.targets {
        let part = format!("target {name}");
        all &= match target {
            config::Target::Sns(sns) => say(&part, Sns::open(sns).await.check().await),
            // A webhook has no question that is not an alarm; it is only named here.
            config::Target::Webhook(webhook) => {
                say(&part, Ok(format!("{}, not called by a check", config::shown(&webhook.url))))
            }
            config::Target::Mail(mail) => match Mail::new(mail) {
                Ok(mail) => say(&part, mail.check().await),
                Err(error) => say(&part, Err(error)),
            },
        };
    }
    if let Some(labs) = &config.labs {
        let labs = Labs::open(labs).await;
        if create {
            all &= say("labs' tables", labs.create().await.map(made));
        }
        all &= say("labs", labs.check().await);
    }
    if let Some(archive) = &config.archive {
        let place = match Place::open(&archive.place).await {
            Ok(place) => place.check().await,
            Err(error) => Err(error),
        };
        all &= say("archive", place);
    }
    if let Some(oidc) = &config.http.oidc {
        all &= match Company::open(oidc, config.http.public.as_deref().unwrap_or_default()) {
            Ok(company) => say("login", company.check().await),
            Err(error) => say("login", Err(error)),
        };
    }
    let listening = tokio::net::TcpListener::bind(config.http.listen).await;
    all &= say(
        "http",
        listening
            .map(|_| config.http.listen.to_string())
            .map_err(|error| anyhow::anyhow!("{}: {error}", config.http.listen)),
    );
    Ok(all)
}

fn made(tables: Vec<String>) -> String {
    match tables.len() {
        0 => "all tables were there".into(),
        _ => tables.join(", "),
    }
}

fn say(part: &str, result: Result<String>) -> bool {
    match &result {
        Ok(how) => println!("ok      {part:14} {how}"),
        Err(why) => println!("failed  {part:14} {why:#}"),
    }
    result.is_ok()
}
